"""Pictures keep their pixels, orientation and length, and lose what else they tell."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from datasette_files.media import stripping
from datasette_files.media.stripping import strip

SECRET = b"52.5200N 13.4050E"
FORMATS = ("JPEG", "PNG", "WEBP")


async def _chunks(content: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def stripped(content: bytes, size: int = 1 << 16) -> bytes:
    return b"".join([piece async for piece in strip(_chunks(content, size))])


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
    made = await stripped(content + behind, size)
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
    for image_format in (*FORMATS, "GIF"):
        out = io.BytesIO()
        Image.new("RGB", (9, 9), "red").save(out, image_format)
        assert await stripped(out.getvalue()) == out.getvalue()


def gif(*parts: bytes) -> bytes:
    """A GIF of three frames, with parts before, between and behind them."""
    out = io.BytesIO()
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "green", "blue")]
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], loop=3, duration=50)
    made = out.getvalue()
    pieces = made.split(b"!\xf9")
    ends = (*parts, *[b""] * (len(pieces) - len(parts)))
    return b"!\xf9".join(piece + end for piece, end in zip(pieces, ends, strict=True))


def xmp_of_gif(packet: bytes) -> bytes:
    """XMP's extension, whose bytes are read as blocks by those who do not know it."""
    trailer = b"\x01" + bytes(range(255, -1, -1)) + b"\x00"
    return b"!\xff\x0bXMP DataXMP" + packet + trailer


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
@pytest.mark.parametrize("length", [1, 3000])
async def test_a_gif_keeps_its_pictures(size: int, length: int) -> None:
    packet = b"<x:xmpmeta>" + SECRET * 20 + b"a" * length
    comment = b"!\xfe" + bytes([len(SECRET)]) + SECRET + b"\x00"
    content = gif(comment, xmp_of_gif(packet)) + b"behind"
    made = await stripped(content, size)
    assert len(made) == len(content)
    for left in (SECRET, b"XMP", b"xmpmeta", b"behind"):
        assert left in content
        assert left not in made
    at = content.index(b"XMP DataXMP")
    # The lengths of blocks were bytes of the packet.
    assert set(made[at : at + 11 + len(packet)]) <= {0, 1, 254, 255}
    with Image.open(io.BytesIO(gif())) as before, Image.open(io.BytesIO(made)) as after:
        assert getattr(after, "n_frames") == 3  # noqa: B009
        assert after.info["loop"] == 3
        for number in range(3):
            before.seek(number)
            after.seek(number)
            assert before.convert("RGB").tobytes() == after.convert("RGB").tobytes()
            assert not after.info.get("comment", b"").strip(b"\0")


@pytest.mark.parametrize("size", [2, 3, 4, 255, 256, 257, 258, 259, 511, 512, 513, 514, 5000])
def test_blocks_of_zeros_fill_any_room(size: int) -> None:
    made = stripping._hollow(size)
    assert len(made) == size
    at = 0
    while made[at]:
        at += 1 + made[at]
    assert at == size - 1 or size == 2


async def test_other_bytes_pass() -> None:
    for content in (b"", b"x", b"no picture", b"BM" + bytes(100), b"RIFF\0\0\0\0WAVE" + bytes(9)):
        assert not stripping.takes(content)
        assert await stripped(content, 3) == content


async def test_behind_too_many_parts_all_is_zeros(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stripping, "_MAX_PARTS", 50)
    for head, part in (
        (b"\xff\xd8", b"\xff\xfe\x00\x02"),
        (b"\x89PNG\r\n\x1a\n", b"\0\0\0\0teXt\0\0\0\0"),
        (b"RIFF\xff\xff\0\0WEBP", b"VP8 \0\0\0\0"),
        (b"GIF89a" + bytes(7), b"!\xf9\0"),
    ):
        content = head + 60 * part
        made = await stripped(content)
        assert len(made) == len(content)
        assert made.rstrip(b"\0") != head
        assert made.endswith(bytes(10 * len(part)))


@given(
    st.sampled_from((*FORMATS, "GIF")),
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
    made = await stripped(damaged, size)
    assert len(made) == len(damaged)


_PICTURES = {image_format: picture(image_format) for image_format in FORMATS}
_PICTURES["GIF"] = gif(b"", xmp_of_gif(SECRET * 30))
