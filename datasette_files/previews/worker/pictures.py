"""Images by Pillow: from a file's bytes to small encoded ones. Runs in a worker, never in a server.

What is large is never converted whole: an image is decoded (a JPEG at the least scale that will
do), and goes through colour and transparency band by band while it is reduced, so that the memory
needed is that of the decoded image and little more. Nothing of the file's metadata is handed on.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO

# Each opens its format once imported; Pillow's others, for which nobody asked, stay out.
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
    UnidentifiedImageError,
    WebPImagePlugin,
)

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

#: Rows of pixels that go through colour conversion at a time, before they are reduced.
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
    """The file cannot be pictured, today or tomorrow. Says why, for a log."""


class Absent(Exception):
    """A part of the installation that this needs is not there now. Says nothing of the file."""


@dataclass(frozen=True)
class Encoded:
    """One encoded image. Width and height in pixels."""

    content_type: str
    width: int
    height: int
    content: bytes


@dataclass(frozen=True)
class Picture:
    """One image in one or several formats; and the upright file's own size, where it has one."""

    encoded: tuple[Encoded, ...]
    width: int | None = None
    height: int | None = None


def picture(
    source: BinaryIO, side: int, max_pixels: int, formats: Iterable[str] = FORMATS
) -> Picture:
    """An image file as pictures of at most ``side`` by ``side`` pixels, never enlarged.

    Raises Unfit, and whatever Pillow makes of damaged bytes.
    """
    try:
        image: Image.Image = Image.open(source, formats=tuple(formats))
    except UnidentifiedImageError as error:
        raise Unfit("no image of a known format") from error
    with image:
        if image.width * image.height > max_pixels:
            raise Unfit(f"{image.width} x {image.height} pixels are more than {max_pixels}")
        stored = image.size
        # Only a JPEG can: decoded at 1/2, 1/4 or 1/8, yet twice as large as will be shown.
        image.draft(None, (2 * side, 2 * side))
        _load(image)
        if image.format == "TIFF":
            stored = image.size  # Pillow has turned it upright by now
        orientation = _orientation(image)
        small = _in_srgb(_reduced(image, side), image.info.get("icc_profile"))
    if orientation in _TURNS:
        small = small.transpose(_TURNS[orientation])
    width, height = reversed(stored) if orientation in _SIDEWAYS else stored
    return Picture(encoded(small), width, height)


def _load(image: Image.Image) -> None:
    """Decode, a JPEG even without its last bytes. Raises Unfit if much is missing, OSError."""
    try:
        image.load()
    except OSError:
        if image.format != "JPEG":
            raise
        ImageFile.LOAD_TRUNCATED_IMAGES = True  # for this image alone: Pillow has no other way
        try:
            image.load()
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = False
        # The decoder fills what is missing with one shade.
        lower = image.crop((0, image.height * 3 // 5, *image.size)).convert("RGB")
        if all(len(shades) == 1 for shades in map(_shades, lower.split())):
            raise Unfit("much of the image is missing: it was cut off") from None


def _shades(band: Image.Image) -> list[int]:
    return [shade for shade, count in enumerate(band.histogram()) if count]


def encoded(image: Image.Image) -> tuple[Encoded, ...]:
    """A small image in the format that every client takes, and as WebP where that is smaller."""
    image.info = {}  # comments and profiles would be written out again
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
    """How the camera was held, by EXIF, else by XMP; upright where neither can be read."""
    # Hostile EXIF fails in many ways; none of them makes the image unreadable.
    with contextlib.suppress(Exception):
        orientation = int(image.getexif().get(ExifTags.Base.Orientation, 0))
        if orientation in range(1, 9):
            return orientation
    packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    found = _XMP_ORIENTATION.search(packet.encode() if isinstance(packet, str) else packet)
    return int(found[1]) if found else 1


def fitted(size: tuple[int, int], side: int) -> tuple[int, int]:
    """The largest size of this shape within ``side`` by ``side``, at least a pixel each way."""
    width, height = size
    longest = max(width, height)
    if longest <= side:
        return size
    return max(1, round(width * side / longest)), max(1, round(height * side / longest))


def _reduced(image: Image.Image, side: int) -> Image.Image:
    """The image within ``side``, in L, RGB, RGBA or CMYK."""
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
    """For samples of more than eight bits: what to multiply by, then add, to have 0 to 255."""
    if image.mode.startswith("I;16"):
        return 1 / 257, 0.0
    if image.mode not in ("I", "F"):
        return 1.0, 0.0
    extrema = image.getextrema()
    low, high = float(extrema[0]), float(extrema[1])  # type: ignore[arg-type]
    if low >= 0 and high <= 65535:
        return (1.0 if 1 < high <= 255 else 1 / 257 if high > 1 else 255.0), 0.0
    span = high - low or 1.0  # of one shade throughout
    return 255 / span, -low * 255 / span


def _plain(band: Image.Image, scale: tuple[float, float]) -> Image.Image:
    """A band in a mode that can be reduced without loss: L, RGB, RGBA, CMYK."""
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
    """By the file's colour profile, where it has one that can be read, to RGB or RGBA."""
    if isinstance(profile, bytes) and profile:
        alpha = small.getchannel("A") if small.mode == "RGBA" else None
        colours = small.convert("RGB") if alpha is not None else small
        # A profile that is damaged or of another colour space: as if there were none.
        with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError):
            converted = ImageCms.profileToProfile(
                colours, io.BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
            if converted is not None:
                if alpha is not None:
                    converted.putalpha(alpha)
                return converted
    return small if small.mode == "RGBA" else small.convert("RGB")
