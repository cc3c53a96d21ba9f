"""The sample files are what their manifest, their README and their notes say.

Leaves out what the application does with them: that is tested where it does it.
"""

import csv
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from tests.support.fixtures import FIXTURES, Fixture, all_fixtures, fixture, hostile_names

TOOLING = {
    "csv",  # has a README and a test of its own, tests/imports/test_awkward_files.py
    "s3_server.py",
    "sample_site.py",
    "README.md",
    "make.py",
    "makers",
    "manifest.json",
    "names.json",
    ".gitattributes",
}
CORNERS = {
    (15, 15): (220, 30, 30),
    (305, 15): (30, 180, 30),
    (15, 225): (30, 60, 220),
    (305, 225): (230, 200, 30),
}
"""Centre of each corner's square in the upright scene of 320x240, and its colour."""


def run_check(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-B", str(folder / "make.py"), "--check"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("sample", all_fixtures(), ids=lambda sample: sample.name)
def test_file_has_the_size_and_digest_of_the_manifest(sample: Fixture) -> None:
    content = sample.path.read_bytes()
    assert len(content) == sample.size
    assert hashlib.sha256(content).hexdigest() == sample.sha256


def test_every_file_is_in_the_manifest() -> None:
    present = {
        path.relative_to(FIXTURES).as_posix()
        for path in FIXTURES.rglob("*")
        if path.is_file() and path.relative_to(FIXTURES).parts[0] not in TOOLING | {"__pycache__"}
    }
    assert present == {sample.name for sample in all_fixtures()}


def test_readme_names_every_file() -> None:
    named = set(re.findall(r"`([^`\s]+)`", (FIXTURES / "README.md").read_text("utf-8")))
    wanted = {sample.name for sample in all_fixtures()} | {"names.json", "manifest.json"}
    assert wanted - named == set()


def test_folder_stays_small() -> None:
    assert sum(sample.size for sample in all_fixtures()) < 1_500_000


def test_check_accepts_the_committed_files() -> None:
    result = run_check(FIXTURES)
    assert (result.returncode, result.stderr) == (0, "")


def test_check_reports_changed_missing_and_unlisted_files(tmp_path: Path) -> None:
    copy = tmp_path / "fixtures"
    shutil.copytree(FIXTURES, copy)
    (copy / "odd/nuls.bin").write_bytes(b"\x01" + bytes(1023))
    (copy / "odd/empty.bin").unlink()
    (copy / "odd/new.bin").write_bytes(b"new")
    result = run_check(copy)
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        "odd/empty.bin: missing",
        "odd/new.bin: not in the manifest",
        "odd/nuls.bin: differs from the manifest",
    ]


def test_unknown_fixture_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        fixture("photos/absent.jpg")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_turns_the_scene_upright(orientation: int) -> None:
    with Image.open(fixture(f"photos/orientation-{orientation}.jpg").path) as stored:
        assert stored.getexif()[0x0112] == orientation
        assert stored.size == ((320, 240) if orientation < 5 else (240, 320))
        upright = ImageOps.exif_transpose(stored).convert("RGB")
    for place, colour in CORNERS.items():
        pixel = upright.getpixel(place)
        assert isinstance(pixel, tuple)
        assert max(abs(a - b) for a, b in zip(pixel, colour, strict=True)) < 25


def test_phone_photo_has_twelve_megapixels_a_camera_and_a_place() -> None:
    sample = fixture("photos/phone.jpg")
    assert sample.size < 400_000
    with Image.open(sample.path) as photo:
        assert photo.size == (4032, 3024)
        exif = photo.getexif()
    assert exif[0x0112] == 6
    assert exif[0x0110] == "Phone 12"
    assert exif.get_ifd(0x8769)[0x829A] == pytest.approx(1 / 250)
    assert [float(part) for part in exif.get_ifd(0x8825)[2]] == [48, 51, 29.6]


@pytest.mark.parametrize(
    ("name", "image_format", "mode", "frames"),
    [
        ("photos/cmyk.jpg", "JPEG", "CMYK", 1),
        ("photos/grey.jpg", "JPEG", "L", 1),
        ("photos/alpha.png", "PNG", "RGBA", 1),
        ("photos/sixteen-bit.png", "PNG", "I;16", 1),
        ("photos/animated.gif", "GIF", None, 4),
        ("photos/animated.webp", "WEBP", "RGB", 4),
        ("photos/still.webp", "WEBP", "RGB", 1),
        ("photos/still.bmp", "BMP", "P", 1),
        ("photos/still.tiff", "TIFF", "RGB", 1),
        ("odd/gif-js-polyglot.gif", "GIF", None, 1),
        ("odd/png-zip-polyglot.png", "PNG", "1", 1),
    ],
)
def test_image_decodes_as_its_note_says(
    name: str, image_format: str, mode: str | None, frames: int
) -> None:
    with Image.open(fixture(name).path) as picture:
        picture.load()
        assert picture.format == image_format
        assert mode in (None, picture.mode)
        assert getattr(picture, "n_frames", 1) == frames


def test_truncated_jpeg_opens_and_does_not_decode() -> None:
    with Image.open(fixture("odd/truncated.jpg").path) as picture:
        assert picture.size == (320, 240)
        with pytest.raises(OSError, match="truncated"):
            picture.load()


def test_bomb_is_refused_by_its_header_and_the_large_image_is_not() -> None:
    with pytest.raises(Image.DecompressionBombError):
        Image.open(fixture("odd/claims-50000x50000.png").path)
    with Image.open(fixture("odd/true-8000x8000.png").path) as picture:
        picture.load()
        assert picture.size == (8000, 8000)


@pytest.mark.parametrize("name", ["documents/one-page.pdf", "odd/pdf-html-polyglot.pdf"])
def test_pdf_cross_references_point_at_their_objects(name: str) -> None:
    content = fixture(name).path.read_bytes()
    found = re.search(rb"startxref\n(\d+)\n%%EOF\n\Z", content)
    assert content.startswith(b"%PDF-1.4\n")
    assert found is not None
    table = content[int(found[1]) :]
    assert table.startswith(b"xref\n0 6\n")
    offsets = re.findall(rb"(\d{10}) 00000 n \n", table)
    assert len(offsets) == 5
    for number, offset in enumerate(offsets, start=1):
        assert content[int(offset) :].startswith(b"%d 0 obj\n" % number)


def test_tables_hold_the_same_rows() -> None:
    rows = json.loads(fixture("documents/towers.json").path.read_bytes())
    lines = fixture("documents/towers.ndjson").path.read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == rows
    as_text = [{k: "" if v is None else str(v) for k, v in row.items()} for row in rows]
    for name, delimiter in [("towers.csv", ","), ("towers.tsv", "\t")]:
        text = fixture(f"documents/{name}").path.read_bytes().decode()
        assert list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)) == as_text


def test_archives_hold_the_same_members() -> None:
    with zipfile.ZipFile(fixture("archives/two-files.zip").path) as archive:
        zipped = {name: archive.read(name) for name in archive.namelist()}
    with tarfile.open(fixture("archives/two-files.tar.gz").path) as tar:
        tarred = {}
        for member in tar:
            stream = tar.extractfile(member)
            assert stream is not None
            tarred[member.name] = stream.read()
    assert zipped == tarred
    assert set(zipped) == {"readme.txt", "data/numbers.csv"}
    assert zipfile.is_zipfile(fixture("odd/png-zip-polyglot.png").path)
    with zipfile.ZipFile(fixture("odd/zip-like.docx").path) as docx:
        assert docx.namelist()[0] == "[Content_Types].xml"


@pytest.mark.parametrize(
    "name",
    [
        "documents/script.html",
        "documents/hostile.svg",
        "odd/html-declared-as.png",
        "odd/gif-js-polyglot.gif",
        "odd/pdf-html-polyglot.pdf",
    ],
)
def test_hostile_file_carries_the_mark_that_browser_tests_look_for(name: str) -> None:
    # Within the 1024 bytes that a sniffing browser may read.
    assert b'setAttribute("data-script-ran", "yes")' in fixture(name).path.read_bytes()[:1024]


def test_hostile_names_are_distinct_and_cover_the_known_attacks() -> None:
    names = [name for name, why in hostile_names() if why]
    assert len(names) == len(hostile_names()) == len(set(names))
    for wanted in ["", "..", "/etc/passwd", "CON", "<img src=x onerror=alert(1)>", "   ", "..."]:
        assert wanted in names
    for character in "\0\n\r\\\";'\u202e\u0301\ud800\U0001f600":
        assert any(character in name for name in names)
    assert max(map(len, names)) == 10240
    lengths = {len(name.encode("utf-8", "surrogatepass")) for name in names}
    assert {0, 255, 256} <= lengths
