"""Images by Pillow: decodes a file and encodes small pictures. Runs only in a worker.

To save memory, a large image is never converted whole. It is decoded (a JPEG at the smallest
sufficient scale), then converted and reduced band by band, which needs little more memory than the
decoded image. The pictures have none of the file's metadata.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO

# Importing a plugin enables its format; Pillow's other formats stay disabled.
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    ImageCms,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from ...media import pillow, sniffing

_PLUGINS = (
    AvifImagePlugin.AvifImageFile,
    BmpImagePlugin.BmpImageFile,
    GifImagePlugin.GifImageFile,
    JpegImagePlugin.JpegImageFile,
    PngImagePlugin.PngImageFile,
    TiffImagePlugin.TiffImageFile,
    WebPImagePlugin.WebPImageFile,
)
FORMATS = tuple(plugin.format for plugin in _PLUGINS)
#: The format of the extra ``heic``.
HEIF = "HEIF"

#: Names of Pillow's for a JPEG, and for one with further pictures behind it.
_JPEGS = ("JPEG", "MPO")
#: The byte that begins a marker; and those after it that make it data, a restart or the end.
_MARKER = 0xFF
_NO_MARKERS = (b"\x00", b"\xff", *(bytes([0xD0 + number]) for number in range(10)))
#: Pixels of one band, which is converted and then reduced.
_BAND_PIXELS = 2_000_000
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (5, 6, 7, 8)
#: As an attribute or an element (XMP, part 1, 7.9.2.2 and C.2; part 2, 8.6 names the property).
_XMP_ORIENTATION = re.compile(rb"tiff:Orientation(?:\s?=\s?[\"']|>)\s?([1-8])\b")


class Unfit(Exception):
    """The file cannot be drawn, and another attempt would fail too. Its text is the reason."""


class Absent(Exception):
    """A package or program that the job needs is missing now. The file may be fine."""


@dataclass(frozen=True)
class Encoded:
    """One encoded image. Width and height in pixels."""

    content_type: str
    width: int
    height: int
    content: bytes


@dataclass(frozen=True)
class Picture:
    """One picture in one or several formats; and the upright file's size in pixels, if known."""

    encoded: tuple[Encoded, ...]
    width: int | None = None
    height: int | None = None


def prepare(*, heif: bool, max_pixels: int) -> list[str]:
    """Set Pillow up for files that are not trusted; return the formats that it may open.

    ``heif`` adds ``HEIF``, unless its package was uninstalled since the server's start.
    """
    formats = pillow.readable(FORMATS)
    if heif:
        try:
            import pillow_heif  # noqa: PLC0415 - an extra
        except (ImportError, OSError):
            pass
        else:
            pillow_heif.register_heif_opener(thumbnails=False)
            formats.append(HEIF)
    Image.MAX_IMAGE_PIXELS = max_pixels
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # each thread needs its own buffers
    # Pillow checks the size in the header, also for an image within an image.
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    return formats


def picture(
    source: BinaryIO, side: int, max_pixels: int, formats: Iterable[str] = FORMATS
) -> Picture:
    """Make a picture of at most ``side`` by ``side`` pixels from an image file; never enlarge it.

    Raises Unfit, and for damaged bytes any exception of Pillow.
    """
    formats = tuple(formats)
    try:
        image: Image.Image = Image.open(source, formats=formats)
    except OSError as error:
        raise Unfit(_reason(error, source, formats)) from error
    with image:
        if image.width * image.height > max_pixels:
            raise Unfit(f"{image.width} x {image.height} pixels are more than {max_pixels}")
        stored = image.size
        # A JPEG is decoded at 1/2, 1/4 or 1/8, but at least twice as large as the picture.
        image.draft(None, (2 * side, 2 * side))
        _load(image, source)
        if image.format == "TIFF":
            stored = image.size  # Pillow has already turned it upright
        orientation = _orientation(image)
        small = _in_srgb(_reduced(image, side), image.info.get("icc_profile"))
    if orientation in _TURNS:
        small = small.transpose(_TURNS[orientation])
    width, height = reversed(stored) if orientation in _SIDEWAYS else stored
    return Picture(encoded(small), width, height)


def _load(image: Image.Image, source: BinaryIO) -> None:
    """Decode; of a JPEG that was cut off, what is there. Raises Unfit if nothing is."""
    try:
        image.load()
    except OSError as error:
        if image.format not in _JPEGS:
            raise Unfit(_reason(error, source, (image.format or "",))) from error
        _drop_unfinished_segment(source)
        ImageFile.LOAD_TRUNCATED_IMAGES = True  # for this image alone: Pillow has no other way
        try:
            image.load()
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = False
        # The decoder fills what is missing with one shade.
        if all(low == high for low, high in map(Image.Image.getextrema, image.split())):
            raise Unfit("nothing of the image is there: it was cut off") from None


def _reason(error: Exception, source: BinaryIO, formats: tuple[str, ...]) -> str:
    source.seek(0)
    return pillow.reason(error, source.read(sniffing.HEAD), formats)


def _drop_unfinished_segment(source: BinaryIO) -> None:
    """Drop the last segment of a JPEG if it was cut off: a decoder waits for it (ITU-T T.81, B.1).

    Data of a picture has no length, and stays.
    """
    source.seek(0)
    content = source.read()
    at = len(content) - 1
    while at > 0 and (content[at] != _MARKER or content[at + 1 : at + 2] in _NO_MARKERS):
        at = content.rfind(_MARKER, 0, at)
    size = max(2, int.from_bytes(content[at + 2 : at + 4], "big"))  # counts its own two bytes
    if at > 0 and at + 2 + size > len(content):
        source.truncate(at)


def encoded(image: Image.Image) -> tuple[Encoded, ...]:
    """Encode a small image for every client (PNG or JPEG), and as WebP if that is smaller."""
    image.info = {}  # else Pillow writes comments and profiles again
    if image.mode == "RGBA" and image.getchannel("A").getextrema() != (255, 255):
        made = [_saved(image, "PNG", optimize=True)]
    else:
        image = image.convert("RGB")
        made = [_saved(image, "JPEG", quality=80, optimize=True)]
    webp = _saved(image, "WEBP", quality=75, method=4)
    if len(webp.content) < len(made[0].content):
        made.append(webp)
    return tuple(made)


def _saved(image: Image.Image, image_format: str, **options: object) -> Encoded:
    out = io.BytesIO()
    image.save(out, image_format, **options)
    return Encoded(f"image/{image_format.lower()}", *image.size, out.getvalue())


def _orientation(image: Image.Image) -> int:
    """Return the orientation (1 to 8) from EXIF, else from XMP; 1, upright, if neither tells."""
    # Hostile EXIF fails in many ways, but the image can still be drawn.
    with contextlib.suppress(Exception):
        orientation = int(image.getexif().get(ExifTags.Base.Orientation, 0))
        if orientation in range(1, 9):
            return orientation
    packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    found = _XMP_ORIENTATION.search(packet.encode() if isinstance(packet, str) else packet)
    return int(found[1]) if found else 1


def fitted(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Scale a size down to ``side`` by ``side``, keeping its shape; at least one pixel each way."""
    width, height = size
    longest = max(width, height)
    if longest <= side:
        return size
    return max(1, round(width * side / longest)), max(1, round(height * side / longest))


def _reduced(image: Image.Image, side: int) -> Image.Image:
    """Reduce the image to ``side``, in the mode L, RGB, RGBA or CMYK."""
    target = fitted(image.size, side)
    factor = max(1, min(image.width // (2 * target[0]), image.height // (2 * target[1])))
    scale = _scale(image)
    rows = max(1, _BAND_PIXELS // image.width // factor) * factor
    whole: Image.Image | None = None
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        band = _plain(image.crop((0, top, image.width, bottom)), scale)
        if factor > 1:
            band = band.reduce(factor)
        if whole is None:
            whole = Image.new(band.mode, (band.width, -(-image.height // factor)))
        whole.paste(band, (0, top // factor))
    if whole is None:
        raise Unfit("an image without pixels")
    return whole if whole.size == target else whole.resize(target, Image.Resampling.LANCZOS)


def _scale(image: Image.Image) -> tuple[float, float]:
    """Return the factor and the offset that map samples of more than eight bits to 0 to 255."""
    if image.mode.startswith("I;16"):
        return 1 / 257, 0.0
    if image.mode not in ("I", "F"):
        return 1.0, 0.0
    extrema = image.getextrema()
    low, high = float(extrema[0]), float(extrema[1])  # type: ignore[arg-type]
    if low >= 0 and high <= 65535:
        return (1.0 if 1 < high <= 255 else 1 / 257 if high > 1 else 255.0), 0.0
    span = high - low or 1.0  # 0 if all samples are equal
    return 255 / span, -low * 255 / span


def _plain(band: Image.Image, scale: tuple[float, float]) -> Image.Image:
    """Convert a band to a mode that can be reduced without loss: L, RGB, RGBA, CMYK."""
    if band.mode.startswith("I") or band.mode == "F":
        factor, offset = scale
        samples = band if band.mode == "F" else band.convert("I")
        return samples.point(lambda sample: sample * factor + offset).convert("L")
    if band.has_transparency_data:
        return band.convert("RGBA")
    if band.mode in ("L", "RGB", "CMYK"):
        return band
    return band.convert("L" if band.mode == "1" else "RGB")


def _in_srgb(small: Image.Image, profile: object) -> Image.Image:
    """Convert a picture to sRGB by its colour profile, if that is readable; to RGB or RGBA."""
    if isinstance(profile, bytes) and profile:
        alpha = small.getchannel("A") if small.mode == "RGBA" else None
        colours = small.convert("RGB") if alpha is not None else small
        # A profile that is damaged, or for another colour space, is ignored.
        with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError):
            converted = ImageCms.profileToProfile(
                colours, io.BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
            if converted is not None:
                if alpha is not None:
                    converted.putalpha(alpha)
                return converted
    return small if small.mode == "RGBA" else small.convert("RGB")
