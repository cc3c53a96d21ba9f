"""Pictures keep their pixels, orientation and length, and lose what else they tell."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from datasette_files.media.stripping import TYPES, strip

SECRET = b"52.5200N 13.4050E"
FORMATS = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}


async def _chunks(content: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def stripped(content: bytes, content_type: str, size: int = 1 << 16) -> bytes:
    return b"".join([piece async for piece in strip(content_type, _chunks(content, size))])


def picture(image_format: str, **options: object) -> bytes:
    """A picture that tells a place in every part that its format has for it."""
    exif = Image.Exif()
    exif.update({0x010F: "Acme", 0x0112: 6, 0x010E: SECRET.decode()})
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 18.0)})
    xmp = b"<x:xmpmeta exif:GPSLatitude='%s'/>" % SECRET
    more: dict[str, object] = {"exif": exif, **options}
    if image_format == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_text("Comment", SECRET.decode())
        text.add_itxt("XML:com.adobe.xmp", xmp.decode())
        more["pnginfo"] = text
    else:
        more["xmp"] = xmp
    if image_format == "JPEG":
        more["comment"] = SECRET
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = Image.linear_gradient("L").convert("RGB").resize((70, 50))
    out = io.BytesIO()
    image.save(out, image_format, icc_profile=profile, **more)
    return out.getvalue()


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
@pytest.mark.parametrize(
    ("image_format", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True, "quality": 95}),
        ("JPEG", {"restart_marker_blocks": 1}),
        ("PNG", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
    ],
)
async def test_a_picture_keeps_what_it_shows(
    image_format: str, options: dict[str, object], size: int
) -> None:
    content = picture(image_format, **options)
    # Some phones put a second picture or a video behind the first.
    behind = b"\xff\xd8 behind " + SECRET
    assert SECRET in content
    made = await stripped(content + behind, FORMATS[image_format], size)
    assert len(made) == len(content + behind)
    assert SECRET not in made
    assert b"Acme" not in made
    assert b"behind" not in made
    with Image.open(io.BytesIO(content)) as before, Image.open(io.BytesIO(made)) as after:
        assert after.info["icc_profile"] == before.info["icc_profile"]
        assert before.tobytes() == after.tobytes()
        exif = after.getexif()
        assert dict(exif) == {0x0112: 6}
        assert exif.get_ifd(0x8825) == {}
        assert "xmp" not in after.info
        assert not after.info.get("comment", b"").strip(b"\0")
        assert not getattr(after, "text", {})


async def test_a_picture_without_more_is_the_same() -> None:
    for image_format, content_type in FORMATS.items():
        out = io.BytesIO()
        Image.new("RGB", (9, 9), "red").save(out, image_format)
        assert await stripped(out.getvalue(), content_type) == out.getvalue()


async def test_other_bytes_pass() -> None:
    for content_type in TYPES:
        for content in (b"", b"x", b"no picture", b"GIF89a" + bytes(100)):
            assert await stripped(content, content_type, 3) == content


@given(
    st.sampled_from(sorted(FORMATS)),
    st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=6),
    st.integers(0, 3000),
    st.integers(1, 50),
)
async def test_damaged_pictures_keep_their_length(
    image_format: str, changes: list[tuple[int, int]], end: int, size: int
) -> None:
    content = bytearray(_PICTURES[image_format])
    for at, value in changes:
        content[12 + at % (len(content) - 12)] = value
    damaged = bytes(content[: max(12, end)])
    made = await stripped(damaged, FORMATS[image_format], size)
    assert len(made) == len(damaged)


_PICTURES = {image_format: picture(image_format) for image_format in FORMATS}
