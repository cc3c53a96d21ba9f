"""Pictures that a worker makes of images: upright, in true colours, small, and without metadata.

In this process, on our own samples; that the server leaves it to workers is in test_workers.py.
"""

from __future__ import annotations

import io
from typing import Any

import PIL
import pytest
from PIL import Image, ImageCms

from datasette_files.previews.worker.pictures import Picture, Unfit, encoded, fitted, picture
from tests.support.fixtures import fixture

PIXELS = 60_000_000
CORNERS = [(220, 30, 30), (30, 180, 30), (30, 60, 220), (230, 200, 30)]


def made(name: str, side: int = 200) -> Picture:
    with fixture(name).path.open("rb") as source:
        return picture(source, side, PIXELS)


def decoded(result: Picture, which: int = 0) -> Image.Image:
    return Image.open(io.BytesIO(result.encoded[which].content))


def saved(image: Image.Image, image_format: str, **options: Any) -> io.BytesIO:
    out = io.BytesIO()
    image.save(out, image_format, **options)
    out.seek(0)
    return out


def close(pixel: Any, wanted: tuple[int, ...], by: int = 40) -> bool:
    return all(abs(a - b) <= by for a, b in zip(pixel, wanted, strict=True))


def corners(image: Image.Image) -> list[tuple[int, int, int]]:
    image = image.convert("RGB")
    inset = min(image.size) // 16
    right, bottom = image.width - 1 - inset, image.height - 1 - inset
    places = [(inset, inset), (right, inset), (inset, bottom), (right, bottom)]
    return [image.getpixel(place) for place in places]  # type: ignore[misc]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_upright(orientation: int) -> None:
    result = made(f"photos/orientation-{orientation}.jpg")
    assert (result.width, result.height) == (320, 240)
    for which in range(len(result.encoded)):
        image = decoded(result, which)
        assert image.size == (200, 150)
        assert all(close(*pair) for pair in zip(corners(image), CORNERS, strict=True))


@pytest.mark.parametrize(
    ("sample", "size"),
    [
        ("photos/still.avif", (320, 240)),
        ("photos/still.webp", (160, 120)),
        ("photos/still.tiff", (160, 120)),
        ("photos/still.bmp", (160, 120)),
        ("photos/cmyk.jpg", (160, 120)),
        ("photos/animated.gif", (120, 90)),
        ("photos/animated.webp", (120, 90)),
    ],
)
def test_each_format_keeps_its_colours(sample: str, size: tuple[int, int]) -> None:
    result = made(sample)
    assert (result.width, result.height) == size
    assert all(close(*pair) for pair in zip(corners(decoded(result)), CORNERS, strict=True))


def test_the_first_frame_is_shown() -> None:
    for name in ("photos/animated.gif", "photos/animated.webp"):
        image = decoded(made(name)).convert("RGB")
        # The white square of the frames stands at the left in the first.
        assert close(image.getpixel((29, 44)), (255, 255, 255))
        assert not close(image.getpixel((89, 44)), (255, 255, 255))


def test_transparency_stays_and_what_is_opaque_becomes_a_jpeg() -> None:
    result = made("photos/alpha.png", 80)
    assert [one.content_type for one in result.encoded] == ["image/png", "image/webp"]
    for which in (0, 1):
        alpha = decoded(result, which).convert("RGBA").getchannel("A")
        assert alpha.getpixel((1, 1)) == 0
        assert alpha.getpixel((40, 30)) == 255
    opaque = saved(Image.new("RGBA", (50, 50), (1, 2, 3, 255)), "PNG")
    assert picture(opaque, 200, PIXELS).encoded[0].content_type == "image/jpeg"


def test_a_transparent_palette_is_transparent() -> None:
    image = Image.new("P", (40, 40), 0)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.paste(1, (0, 0, 20, 40))
    result = picture(saved(image, "PNG", transparency=0), 200, PIXELS)
    shown = decoded(result).convert("RGBA")
    assert [shown.getpixel((x, 20)) for x in (5, 35)] == [(0, 0, 255, 255), (255, 0, 0, 0)]


def test_sixteen_bits_are_scaled_and_not_cut() -> None:
    image = decoded(made("photos/sixteen-bit.png")).convert("L")
    tones = [image.getpixel((64, y)) for y in (2, 48, 93)]
    assert all(abs(tone - wanted) < 12 for tone, wanted in zip(tones, (5, 128, 250), strict=True))  # type: ignore[operator]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I", "F", "RGBA", "CMYK", "YCbCr", "RGBX"])
def test_every_mode_has_a_picture(mode: str) -> None:
    image = Image.linear_gradient("L").convert("RGB").convert("L" if mode in "1LIF" else "RGB")
    # Pillow 12 does not read the YCbCr that it writes unpacked.
    old = mode == "YCbCr" and int(PIL.__version__.partition(".")[0]) < 13
    source = saved(image.convert(mode), "TIFF", **({"compression": "tiff_lzw"} if old else {}))
    shown = decoded(picture(source, 64, PIXELS)).convert("L")
    assert shown.getpixel((32, 2)) < 40 < 200 < shown.getpixel((32, 61))  # type: ignore[operator]


def test_colours_are_those_that_the_profile_says() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # The same with red's place in the spectrum given to blue, and blue's to red.
    exchanged = srgb.replace(b"rXYZ", b"?XYZ").replace(b"bXYZ", b"rXYZ").replace(b"?XYZ", b"bXYZ")
    for profile, wanted in ((srgb, (220, 30, 30)), (exchanged, (30, 30, 220))):
        source = saved(Image.new("RGB", (32, 32), (220, 30, 30)), "PNG", icc_profile=profile)
        shown = decoded(picture(source, 200, PIXELS)).convert("RGB")
        assert close(shown.getpixel((16, 16)), wanted, 12)


@pytest.mark.parametrize("profile", [b"no profile", b"\0" * 128])
def test_a_profile_that_cannot_be_read_is_no_obstacle(profile: bytes) -> None:
    source = saved(Image.new("RGB", (20, 20), (10, 200, 30)), "PNG", icc_profile=profile)
    shown = decoded(picture(source, 200, PIXELS)).convert("RGB")
    assert close(shown.getpixel((10, 10)), (10, 200, 30), 6)


def test_nothing_of_the_metadata_is_handed_on() -> None:
    source = io.BytesIO()
    exif = Image.Exif()
    exif[0x010F] = "Secret camera"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.new("RGB", (64, 64)).save(
        source, "JPEG", exif=exif, comment=b"Secret note", icc_profile=profile
    )
    source.seek(0)
    for result in (picture(source, 200, PIXELS), made("photos/phone.jpg")):
        for one in result.encoded:
            assert not any(
                word in one.content for word in (b"Secret", b"Exif", b"Example", b"ICCP", b"ICC_")
            )


def test_an_image_is_never_enlarged_and_keeps_its_shape() -> None:
    for name in ("photos/grey.jpg", "photos/still.webp"):
        result = made(name, 1600)
        assert {(one.width, one.height) for one in result.encoded} == {(160, 120)}
    assert fitted((10_000, 1), 200) == (200, 1)
    assert fitted((3, 9000), 400) == (1, 400)
    wide = saved(Image.new("L", (9000, 3)), "PNG")
    assert picture(wide, 200, PIXELS).encoded[0].width == 200


def test_bands_leave_no_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    gradient = Image.radial_gradient("L").resize((1111, 777)).convert("RGBA")
    gradient.putalpha(Image.linear_gradient("L").resize((1111, 777)))
    whole = decoded(picture(saved(gradient, "PNG"), 100, PIXELS))
    monkeypatch.setattr("datasette_files.previews.worker.pictures._BAND_PIXELS", 5000)
    banded = decoded(picture(saved(gradient, "PNG"), 100, PIXELS))
    assert whole.tobytes() == banded.tobytes()


def test_more_pixels_than_allowed_are_refused_before_they_are_decoded() -> None:
    with pytest.raises(Unfit, match="pixels are more than 100"):
        picture(saved(Image.new("L", (20, 20)), "PNG"), 200, 100)


@pytest.mark.parametrize("content", [b"", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%!PS"])
def test_other_formats_of_pillow_are_not_open(content: bytes) -> None:
    with pytest.raises(Unfit):
        picture(io.BytesIO(content), 200, PIXELS)


def test_webp_is_made_where_it_is_smaller() -> None:
    assert [one.content_type for one in made("photos/phone.jpg").encoded] == [
        "image/jpeg",
        "image/webp",
    ]
    sizes = [len(one.content) for one in encoded(Image.linear_gradient("L"))]
    assert sizes == sorted(sizes, reverse=True)


def test_samples_of_one_shade_beyond_all_scales_are_a_picture() -> None:
    out = io.BytesIO()
    Image.new("F", (20, 10), -5.0).save(out, "TIFF")
    out.seek(0)
    assert picture(out, 200, 10**6).width == 20
