"""Files as cameras, phones and offices leave them: cut off, turned, filled in, stretched, black."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from datasette_files.previews import kinds
from datasette_files.previews.worker import clips, documents
from datasette_files.previews.worker.pictures import Picture, Unfit, picture
from tests.conftest import missing
from tests.support.fixtures import fixture


def opened(made: Picture) -> Image.Image:
    return Image.open(io.BytesIO(made.encoded[0].content)).convert("RGB")


def halves(image_format: str, size: tuple[int, int] = (80, 40), **options: object) -> bytes:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", size, (255, 0, 0))
    image.paste((0, 0, 255), (size[0] // 2, 0, *size))
    out = io.BytesIO()
    image.save(out, image_format, **options)
    return out.getvalue()


def shades(content: bytes) -> Image.Image:
    return opened(picture(io.BytesIO(content), 100, 10**7))


@pytest.mark.parametrize("kept", [-2, -40, -400, 0.95, 0.9, 0.5, 0.3])
@pytest.mark.parametrize("kind", ["baseline", "progressive", "grey", "with a second picture"])
def test_a_jpeg_that_was_cut_off_shows_what_is_there(kept: float, kind: str) -> None:
    photo = Image.open(fixture("photos/orientation-1.jpg").path)
    photo = photo.convert("L" if kind == "grey" else "RGB")
    out = io.BytesIO()
    if kind == "with a second picture":  # as phones write it: MPO
        photo.save(out, "MPO", save_all=True, append_images=[photo.resize((40, 30))])
    else:
        photo.save(out, "JPEG", progressive=kind == "progressive")
    content = out.getvalue()
    cut = content[: int(kept)] if kept < 0 else content[: int(len(content) * kept)]
    made = picture(io.BytesIO(cut), 100, 10**7)
    assert (made.width, made.height) == photo.size
    whole, shown = shades(content), opened(made)
    # A progressive one is there from top to bottom, though less sharp.
    part = 1.0 if kind == "progressive" or kept < 0 else kept * 0.6
    top = (0, 0, whole.width, int(whole.height * part))
    pairs = zip(whole.crop(top).tobytes(), shown.crop(top).tobytes(), strict=True)
    assert sum(abs(a - b) for a, b in pairs) / (3 * top[2] * top[3]) < 12


def test_a_progressive_jpeg_may_be_cut_off_anywhere_after_its_first_scan() -> None:
    """Within a table or a header too, for whose rest a decoder waits."""
    out = io.BytesIO()
    photo = Image.open(fixture("photos/orientation-1.jpg").path).convert("RGB")
    photo.save(out, "JPEG", progressive=True)
    content = out.getvalue()
    headers = [
        at for at in range(len(content)) if content[at : at + 2] in (b"\xff\xc4", b"\xff\xda")
    ]
    for at in headers[4::3]:
        for more in (0, 1, 2, 3, 7):
            assert picture(io.BytesIO(content[: at + more]), 32, 10**7).width == photo.width


def test_of_a_jpeg_without_any_row_nothing_is_shown_and_the_next_is_no_different() -> None:
    content = fixture("photos/orientation-1.jpg").path.read_bytes()
    begin = content.index(b"\xff\xda")  # the scan
    for end in (begin, begin + 14, 20):
        with pytest.raises((Unfit, OSError)):
            picture(io.BytesIO(content[:end]), 100, 10**7)
    png = halves("PNG", (400, 400))
    with pytest.raises(Unfit, match="truncated"):
        picture(io.BytesIO(png[: len(png) // 2]), 100, 10**7)


_PACKET = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description {}/></rdf:RDF></x:xmpmeta>'


@pytest.mark.parametrize(
    "packet",
    [
        _PACKET.format('tiff:Orientation="6"'),
        _PACKET.format("tiff:Orientation = '6'"),
        _PACKET.format("").replace("/><", "><tiff:Orientation>6</tiff:Orientation></x><", 1),
    ],
)
@pytest.mark.parametrize("image_format", ["JPEG", "WEBP"])
def test_xmp_tells_how_a_picture_was_held(packet: str, image_format: str) -> None:
    made = picture(io.BytesIO(halves(image_format, xmp=packet.encode())), 100, 10**7)
    assert (made.width, made.height) == (40, 80)
    image = opened(made)
    assert image.getpixel((20, 5))[0] > 200  # the left side is at the top
    assert image.getpixel((20, 75))[2] > 200


def test_exif_goes_before_xmp() -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    xmp = _PACKET.format('tiff:Orientation="6"').encode()
    made = picture(io.BytesIO(halves("JPEG", xmp=xmp, exif=exif)), 100, 10**7)
    assert (made.width, made.height) == (80, 40)
    assert opened(made).getpixel((5, 20))[2] > 200


def form_pdf(value: str, *, appearance: bool) -> bytes:
    """A page with a text field that is filled in, with or without a drawing of its own."""
    drawing = f"/Tx BMC q BT /F1 60 Tf 0 g 5 20 Td ({value}) Tj ET Q EMC"
    field = (
        f"<< /Type /Annot /Subtype /Widget /FT /Tx /T (name) /V ({value}) /DA (/F1 60 Tf 0 g)"
        f" /F 4 /P 3 0 R /Rect [20 60 280 140]{' /AP << /N 6 0 R >>' if appearance else ''} >>"
    )
    bodies = [
        "<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [4 0 R] /NeedAppearances"
        f" {'false' if appearance else 'true'} /DA (/F1 60 Tf 0 g)"
        " /DR << /Font << /F1 5 0 R >> >> >> >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Annots [4 0 R] >>",
        field,
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        "<< /Type /XObject /Subtype /Form /BBox [0 0 260 80] /Resources"
        f" << /Font << /F1 5 0 R >> >> /Length {len(drawing)} >>\nstream\n{drawing}\nendstream",
    ]
    out, offsets = "%PDF-1.7\n", []
    for number, body in enumerate(bodies, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n"
    start = len(out)
    out += f"xref\n0 {len(bodies) + 1}\n0000000000 65535 f \n"
    out += "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    out += f"trailer\n<< /Size {len(bodies) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n"
    return out.encode("ascii")


@pytest.mark.parametrize("appearance", [True, False])
def test_a_form_shows_what_was_filled_in(appearance: bool) -> None:
    if kinds.installed().of("application/pdf") is None:
        missing("pypdfium2")

    def dark(value: str) -> int:
        page = opened(documents.first_page(form_pdf(value, appearance=appearance), 300))
        return sum(page.convert("L").histogram()[:100])

    assert dark("MMMM") > dark("") + 500


def video(path: Path, *arguments: str) -> bytes:
    if not kinds.installed().ffmpeg:
        missing("ffmpeg")
    command = ["ffmpeg", "-v", "error", "-y", *arguments, "-threads", "1", str(path)]
    subprocess.run(command, check=True)
    return path.read_bytes()


def frame(content: bytes, content_type: str = "video/mp4", side: int = 100) -> Image.Image:
    program = kinds.installed().ffmpeg
    assert program
    return opened(
        clips.frame([content], content_type, side, ffmpeg=program, max_pixels=10**7, seconds=30)
    )


@pytest.mark.parametrize(
    ("ratio", "size"), [("2/1", (100, 38)), ("1/2", (67, 100)), ("1/1", (100, 75))]
)
def test_pixels_that_are_not_square_are_stretched(
    tmp_path: Path, ratio: str, size: tuple[int, int]
) -> None:
    content = video(
        tmp_path / "x.mp4",
        *("-f", "lavfi", "-i", f"testsrc=size=160x120:rate=10:duration=1,setsar={ratio}"),
        *("-c:v", "mpeg4"),
    )
    assert frame(content).size == size


@pytest.mark.parametrize("key_frames", ["12", "1000"])
def test_a_black_beginning_is_passed_over(tmp_path: Path, key_frames: str) -> None:
    black, lit = (
        f"color={colour}:size=160x120:rate=10:duration=4" for colour in ("black", "orange")
    )
    content = video(
        tmp_path / "x.mp4",
        *("-f", "lavfi", "-i", black, "-f", "lavfi", "-i", lit),
        *("-filter_complex", "[0][1]concat", "-c:v", "mpeg4", "-sc_threshold", "1000000000"),
        *("-g", key_frames),
    )
    red, green, blue = frame(content).getpixel((50, 30))
    assert red > 200
    assert 100 < green < 220
    assert blue < 80


def test_a_video_that_is_black_throughout_is_black(tmp_path: Path) -> None:
    black = "color=black:size=160x120:rate=10:duration=2"
    content = video(tmp_path / "x.mp4", "-f", "lavfi", "-i", black, "-c:v", "mpeg4")
    assert max(frame(content).getpixel((50, 30))) < 32
