"""Text in pictures, by the program tesseract."""

from __future__ import annotations

import subprocess
import warnings
from pathlib import Path

from PIL import Image, ImageOps

from ...media import pillow, sniffing
from ...sandbox.confinement import end_child_with_parent
from .pages import Pages, Unreadable

#: Pixels of a picture, and the longest side that is read.
_MAX_PIXELS = 60_000_000
_MAX_SIDE = 6_000
_FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF")
#: Pages of one picture file, such as a fax.
_MAX_FRAMES = 500


class Ocr:
    """Runs of tesseract. ``languages`` as it names them; ``seconds`` of the clock a page."""

    def __init__(self, program: str, languages: list[str], seconds: float) -> None:
        self._program, self._languages, self._seconds = program, languages, seconds

    def read(self, picture: Image.Image) -> str:
        """The text in a picture; Raises Unreadable."""
        place = Path("page.png")
        _on_white(picture).save(place, compress_level=1)
        command = [self._program, str(place), "stdout", "-l", "+".join(self._languages)]
        try:
            done = subprocess.run(  # noqa: S603 - no shell, and our own file name
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=self._seconds,
                check=False,
                env={"OMP_THREAD_LIMIT": "1", "LC_ALL": "C.UTF-8"},
                preexec_fn=end_child_with_parent(),
            )
        except subprocess.TimeoutExpired:
            raise Unreadable("Its text in pictures takes too long to read") from None
        except OSError as error:
            raise Unreadable(f"tesseract cannot be run: {error}") from error
        if done.returncode:
            reason = done.stderr.decode("utf-8", "replace").strip()[-300:]
            raise Unreadable(f"tesseract failed ({done.returncode}): {reason}")
        return done.stdout.decode("utf-8", "replace").replace("\f", "")


def _on_white(picture: Image.Image) -> Image.Image:
    """The picture in grey. Where it is transparent it is white, as words are mostly dark."""
    if not picture.has_transparency_data:
        return picture.convert("L")
    layers = picture.convert("LA")
    paper = Image.new("L", picture.size, "white")
    paper.paste(layers.getchannel("L"), mask=layers.getchannel("A"))
    return paper


def _opened(path: Path) -> Image.Image:
    formats = pillow.readable(_FORMATS)
    try:
        return Image.open(path, formats=formats)
    except OSError as error:
        with path.open("rb") as file:
            head = file.read(sniffing.HEAD)
        raise Unreadable(pillow.reason(error, head, formats)) from error


def picture(path: Path, pages: Pages, scanned: Ocr | None) -> None:
    """A page for each picture of the file."""
    if scanned is None:
        raise Unreadable("tesseract is not installed")
    Image.MAX_IMAGE_PIXELS = _MAX_PIXELS
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    try:
        with _opened(path) as image:
            for number in range(min(getattr(image, "n_frames", 1), _MAX_FRAMES)):
                image.seek(number)
                upright = ImageOps.exif_transpose(image)
                upright.thumbnail((_MAX_SIDE, _MAX_SIDE))
                pages.add(scanned.read(upright))
                if image.format not in ("TIFF",):  # other formats' frames are a film
                    return
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Unreadable(f"It has more than {_MAX_PIXELS:,} pixels") from error
