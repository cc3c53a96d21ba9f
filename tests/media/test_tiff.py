"""TIFFs keep their pixels, orientation and length, and lose what else they tell."""

from __future__ import annotations

import io
import struct
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, TiffImagePlugin

from datasette_files.media import tiff

SECRET = b"52.5200N 13.4050E"


async def _chunks(content: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def stripped(content: bytes, size: int = 1 << 16) -> bytes:
    async def read(start: int, end: int) -> bytes:
        return content[start:end]

    segments = await tiff.plan(read)
    if segments is None:
        return content
    return b"".join([piece async for piece in tiff.apply(segments, _chunks(content, size))])


def picture(pages: int = 1, **options: object) -> bytes:
    """A picture that tells a place in every part that a TIFF has for it."""
    image = Image.linear_gradient("L").convert("RGB").resize((70, 50))
    exif = Image.Exif()
    exif.update({0x010F: "Acme", 0x0112: 6, 0x010E: SECRET.decode() * 3})
    exif.get_ifd(0x8769).update({0x9003: "2024:05:06 07:08:09", 0x9286: SECRET * 2})
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0), 0x1B: SECRET})
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[700] = b"<x:xmpmeta exif:GPSLatitude='%s'/>" % SECRET
    tags[33723] = SECRET
    tags[305] = "Acme " + SECRET.decode()
    for tag, value in exif.items():
        tags[tag] = value
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    out = io.BytesIO()
    if pages > 1:
        options |= {"save_all": True, "append_images": [image.rotate(90)] * (pages - 1)}
    image.save(out, "TIFF", exif=exif, tiffinfo=tags, icc_profile=profile, **options)
    return out.getvalue()


@pytest.mark.parametrize("size", [1, 1000, 1 << 16])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "tiff_lzw"},
        {"compression": "jpeg"},
        {"compression": "tiff_adobe_deflate", "pages": 3},
        {"big_tiff": True},
    ],
)
async def test_a_picture_keeps_what_it_shows(options: dict[str, int], size: int) -> None:
    content = picture(**options)
    behind = b" behind " + SECRET
    assert SECRET in content
    made = await stripped(content + behind, size)
    assert len(made) == len(content + behind)
    assert SECRET not in made
    for left in (b"Acme", b"2024", b"GPS", b"behind"):
        assert left not in made
    with Image.open(io.BytesIO(content)) as before, Image.open(io.BytesIO(made)) as after:
        assert after.info["icc_profile"] == before.info["icc_profile"]
        assert getattr(after, "n_frames") == getattr(before, "n_frames")  # noqa: B009
        for number in range(options.get("pages", 1)):
            before.seek(number)
            after.seek(number)
            assert before.tobytes() == after.tobytes()
        exif = after.getexif()
        assert exif.get_ifd(0x8825) == exif.get_ifd(0x8769) == {}
        assert "xmp" not in after.info
    with Image.open(io.BytesIO(made)) as after:
        assert after.getexif()[0x0112] == 6


async def test_a_strip_that_claims_the_whole_file_does_not_bring_the_place_back() -> None:
    content = bytearray(picture())
    with Image.open(io.BytesIO(content)) as image:
        assert isinstance(image, TiffImagePlugin.TiffImageFile)
        (length,) = image.tag_v2[279]
    at = content.rindex(length.to_bytes(4, "little"))
    content[at : at + 4] = (1 << 30).to_bytes(4, "little")
    made = await stripped(bytes(content))
    assert SECRET not in made
    assert b"2024" not in made


async def test_other_bytes_pass() -> None:
    for content in (b"", b"x", b"no picture", b"II*", b"GIF89a" + bytes(100)):
        assert await stripped(content) == content


async def test_an_old_form_is_refused() -> None:
    content = bytearray(picture())
    place = content.index(b"\x03\x01\x03\x00\x01\x00\x00\x00")  # the tag of the compression
    content[place + 8] = 6
    with pytest.raises(tiff.Unstrippable, match="an old form"):
        await stripped(bytes(content))


async def test_many_directories_with_many_entries_are_refused_before_they_take_long() -> None:
    """Each within bounds, all together a million entries, which take seconds on the event loop."""
    entries = b"".join(struct.pack("<HHII", 254 + number % 80, 4, 1, 0) for number in range(1_000))
    content = bytearray(b"II*\0" + struct.pack("<I", 8))
    for _ in range(1_000):
        end = len(content) + 2 + len(entries) + 4
        content += struct.pack("<H", 1_000) + entries + struct.pack("<I", end)
    with pytest.raises(tiff.Unstrippable, match="30,000 entries"):
        await stripped(bytes(content))


@given(
    st.sampled_from([0, 1]),
    st.lists(st.tuples(st.integers(0, 6000), st.integers(0, 255)), max_size=6),
    st.integers(0, 30_000),
    st.integers(1, 500),
)
async def test_damaged_pictures_keep_their_length(
    number: int, changes: list[tuple[int, int]], end: int, size: int
) -> None:
    content = bytearray(_PICTURES[number])
    for at, value in changes:
        content[4 + at % (len(content) - 4)] = value
    damaged = bytes(content[: max(12, end)])
    try:
        made = await stripped(damaged, size)
    except tiff.Unstrippable:
        return
    assert len(made) == len(damaged)


_PICTURES = (picture(), picture(big_tiff=True, pages=2))
