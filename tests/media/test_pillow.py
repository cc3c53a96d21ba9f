"""A picture of a format that is not read is told apart from one that is damaged."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image, features

from datasette_files.media import pillow
from datasette_files.previews.worker import pictures
from datasette_files.texts.worker import ocr
from datasette_files.texts.worker.pages import Unreadable


def made(image_format: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (9, 9), "red").save(out, image_format)
    return out.getvalue()


def drawn(content: bytes, formats: tuple[str, ...] = ("JPEG", "PNG", "BMP")) -> str:
    """The reason why no thumbnail can be drawn."""
    with pytest.raises(pictures.Unfit) as refused:
        pictures.picture(io.BytesIO(content), 50, 1_000_000, formats)
    return str(refused.value)


@pytest.mark.parametrize(
    ("image_format", "name"),
    [("AVIF", "AVIF"), ("WEBP", "WEBP"), ("JPEG2000", "JP2"), ("PCX", "PCX")],
)
def test_a_format_that_is_not_installed_is_named(image_format: str, name: str) -> None:
    assert drawn(made(image_format)) == f"This server cannot read {name} pictures"


def test_a_kind_of_a_format_that_pillow_does_not_read_is_named() -> None:
    bmp = bytearray(made("BMP"))
    bmp[30] = 11  # a compression of printers
    assert drawn(bytes(bmp)).startswith("This server cannot read this kind of BMP picture: Unsup")


def test_damage_is_called_damage() -> None:
    assert drawn(b"words") == "It is damaged, or no picture"
    assert drawn(made("PNG")[:-30]).startswith("It is damaged (OSError: ")


def test_a_format_without_its_codec_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pillow.readable(["JPEG", "AVIF", "WEBP"]) == ["JPEG", "AVIF", "WEBP"]
    monkeypatch.setattr(features, "check", lambda name: name != "avif")
    assert pillow.readable(["JPEG", "AVIF", "WEBP"]) == ["JPEG", "WEBP"]


def test_the_reader_of_text_in_pictures_says_so_too(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(made("AVIF"))
    with pytest.raises(Unreadable, match="cannot read AVIF pictures"):
        ocr._opened(path)
