"""Facts about pictures, videos and sound: read in the sandbox, shown, and hidden."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette
from PIL import Image, PngImagePlugin, TiffImagePlugin

from datasette_files.app import Files
from datasette_files.db import media
from datasette_files.db.media import Facts
from datasette_files.previews import facts
from datasette_files.sandbox import framing
from tests.conftest import MakeDatasette, disk_source, missing, upload
from tests.media.test_stripping import gif, xmp_of_gif

BERLIN = {
    1: "N",
    2: (52.0, 31.0, 12.0),
    3: "W",
    4: (13.0, 24.0, 18.0),
}


def picture(
    image_format: str = "JPEG",
    gps: dict[int, Any] | None = None,
    tags: dict[int, str] | None = None,
) -> bytes:
    """A small picture, taken upright by a camera that was held sideways."""
    exif = Image.Exif()
    exif.update({0x010F: "Acme", 0x0110: "Acme One", 0x0112: 6})
    exif.get_ifd(0x8769).update(
        {0x9003: "2024:05:06 07:08:09", 0x9011: "+02:00", 0xA434: "50mm\x00rubbish", **(tags or {})}
    )
    if gps is not None:
        exif.get_ifd(0x8825).update(gps)
    out = io.BytesIO()
    Image.new("RGB", (40, 20), "red").save(out, image_format, exif=exif)
    return out.getvalue()


async def read(datasette: Datasette, source: str = "docs") -> None:
    files = Files.of(datasette)
    await files.facts.of(files.sources.get(source)).round.once()


async def found(datasette: Datasette, file_id: str) -> tuple[str, Facts]:
    known = await Files.of(datasette).catalog.read(lambda conn: media.of_file(conn, file_id))
    assert known is not None
    return known


async def test_pictures(make_datasette: MakeDatasette, tmp_path: Path) -> None:
    sources = {"docs": disk_source(tmp_path / "docs", location="show")}
    datasette = await make_datasette(sources=sources, thumbnail_eager=False)
    made = [
        await upload(datasette, picture(image_format, BERLIN), f"a.{image_format.lower()}")
        for image_format in ("JPEG", "PNG", "WEBP")
    ]
    assert await found(datasette, made[0]["id"]) == ("pending", Facts())
    await read(datasette)
    rows = (await datasette.client.get("/files_docs/media.json")).json()["rows"]
    assert [row["file_id"] for row in rows] == [file["id"] for file in made]
    for row in rows:
        assert row | {"file_id": None} == {
            **{"file_id": None, "taken_at": "2024-05-06T07:08:09+02:00", "camera": "Acme One"},
            **{"lens": "50mm", "duration": None, "width": 20, "height": 40},
            **{"latitude": pytest.approx(52.52), "longitude": pytest.approx(-13.405)},
        }
    page = (await datasette.client.get(made[0]["url"])).text
    assert "2024-05-06 07:08:09 +02:00" in page
    assert "Acme One" in page
    assert 'href="geo:52.520000,-13.405000"' in page
    assert f'href="/files_docs/files/{made[0]["id"]}"' in page
    assert 'href="/files_docs"' in (await datasette.client.get("/-/files/source/docs")).text


async def test_a_hidden_place_is_told_nowhere(datasette: Datasette) -> None:
    file = await upload(datasette, picture(gps=BERLIN), "a.jpg")
    await read(datasette)
    assert (await found(datasette, file["id"]))[1].latitude == pytest.approx(52.52)
    for path in (
        *(file["url"], f"{file['url']}.json", f"{file['url']}/text.json"),
        *("/files_docs/media.json", "/files_docs/media", "/files_docs/files.json"),
        *("/-/files/search.json?q=a.jpg", "/-/files/source/docs.json"),
        "/files_docs/-/query.json?sql=select+*+from+media+where+latitude+is+not+null",
    ):
        answer = await datasette.client.get(path)
        assert answer.status_code == 200
        assert "52.5" not in answer.text
        assert "13.4" not in answer.text
    thumbnail = await datasette.client.get(f"{file['url']}/thumbnail")
    with Image.open(io.BytesIO(thumbnail.content)) as shown:
        assert dict(shown.getexif()) == {}
    original = await datasette.client.get(f"{file['url']}/download")
    assert original.content == picture(gps=BERLIN)


@pytest.mark.full
async def test_a_video_and_a_sound(datasette: Datasette, tmp_path: Path) -> None:
    if shutil.which("ffmpeg") is None or shutil.which("ffprobe") is None:
        missing("ffprobe")
    made = {}
    for name, arguments in {
        "a.mp4": ["-f", "lavfi", "-i", "color=red:s=64x32:d=2:r=5"],
        "a.flac": ["-f", "lavfi", "-i", "sine=d=1.5"],
    }.items():
        place = ["-metadata", "location=+52.5200+013.4050/"]
        time = ["-metadata", "creation_time=2024-05-06T07:08:09Z"]
        command = ["ffmpeg", "-v", "error", *arguments, *place, *time, str(tmp_path / name)]
        subprocess.run(command, check=True)
        made[name] = await upload(datasette, (tmp_path / name).read_bytes(), name)
    await read(datasette)
    status, video = await found(datasette, made["a.mp4"]["id"])
    assert (status, video.duration, video.width, video.height) == ("done", 2.0, 64, 32)
    assert video.taken_at == "2024-05-06T07:08:09+00:00"
    assert (video.latitude, video.longitude, video.has_place) == (52.52, 13.405, True)
    status, sound = await found(datasette, made["a.flac"]["id"])
    assert (status, sound.duration, sound.width) == ("done", 1.5, None)
    assert "1.5 s" in (await datasette.client.get(made["a.flac"]["url"])).text


@pytest.mark.full
async def test_damaged_absent_and_other_files(
    datasette: Datasette, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has its outcome, none stops the next, and a better reader reads them again."""
    png = b"\x89PNG\r\n\x1a\n"
    damaged = await upload(datasette, png + b"\x00" * 50, "a.png")
    odd = await upload(datasette, b"<svg xmlns='http://www.w3.org/2000/svg'/>", "a.svg")
    gone = await upload(datasette, picture(), "gone.jpg")
    (tmp_path / "docs" / gone["id"].removeprefix("df-") / "gone.jpg").unlink()
    nothing = TiffImagePlugin.IFDRational(0, 0)
    strange = await upload(datasette, picture(gps={2: (nothing,) * 3, 4: (500.0,)}), "s.jpg")
    times = {0x9003: "0000:00:00 00:00:00", 0x9011: "rubbish", 0xA434: "\x00"}
    zeros = picture(gps={2: (0.0,) * 3, 4: (0.0,) * 3}, tags=times)
    zero = await upload(datasette, zeros, "z.jpg")
    text = await upload(datasette, b"words", "a.txt")
    assert await Files.of(datasette).catalog.read(lambda c: media.of_file(c, text["id"])) is None
    await read(datasette)
    statuses = {
        "damaged": (await found(datasette, damaged["id"]))[0],
        "odd": (await found(datasette, odd["id"]))[0],
        "gone": (await found(datasette, gone["id"]))[0],
    }
    assert statuses == {"damaged": "failed", "odd": "none", "gone": "pending"}
    for one in (strange, zero):
        status, known = await found(datasette, one["id"])
        assert (status, known.latitude, known.longitude) == ("done", None, None)
        assert known.has_place  # what cannot be read may still tell it
    assert (known.taken_at, known.lens, known.camera) == (None, None, "Acme One")
    # The type of a file changes, and it goes: its facts go with it.
    await datasette.client.delete(strange["url"])
    left = await Files.of(datasette).catalog.read(
        lambda conn: conn.execute("SELECT count(*) FROM datasette_files_media").fetchone()[0]
    )
    assert left == 4
    monkeypatch.setattr(facts, "_VERSION", 99)
    await read(datasette)
    assert (await found(datasette, zero["id"]))[0] == "done"


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"facts": []},
        {"facts": {"camera": "x" * 201}},
        {"facts": {"taken_at": "<script>"}},
        {"facts": {"latitude": 91.0}},
        {"facts": {"duration": "long"}},
        {"facts": {"other": 1}},
    ],
)
def test_an_answer_of_another_form_is_refused(answer: dict[str, Any]) -> None:
    with pytest.raises(framing.Broken):
        facts._checked(answer)


async def test_what_only_xmp_tells(make_datasette: MakeDatasette, tmp_path: Path) -> None:
    sources = {"docs": disk_source(tmp_path / "docs", location="show")}
    datasette = await make_datasette(sources=sources, thumbnail_eager=False)
    as_attributes = b"""<x:xmpmeta><rdf:Description tiff:Make="Acme" tiff:Model="Acme &amp; Two"
        exif:GPSLatitude="52,31.2N" exif:GPSLongitude="13,24,18W"
        exif:DateTimeOriginal="2024:05:06 07:08:09.5+02:00" aux:Lens='50mm'/></x:xmpmeta>"""
    as_elements = b"""<x:xmpmeta><exif:GPSLatitude>91,0N</exif:GPSLatitude>
        <exif:GPSLongitude>13,24.3E</exif:GPSLongitude><xmp:CreateDate>2024</xmp:CreateDate>
        <photoshop:City>Berlin</photoshop:City></x:xmpmeta>"""
    made = []
    for packet in (as_attributes, as_elements):
        out = io.BytesIO()
        Image.new("RGB", (4, 3)).save(out, "TIFF", tiffinfo={700: packet})
        made.append(await upload(datasette, out.getvalue(), "a.tif", content_type="image/tiff"))
    await read(datasette)
    status, first = await found(datasette, made[0]["id"])
    assert (status, first.taken_at, first.camera) == (
        *("done", "2024-05-06T07:08:09+02:00"),
        "Acme & Two",
    )
    assert (first.lens, first.width, first.has_place) == ("50mm", 4, True)
    assert (first.latitude, first.longitude) == (pytest.approx(52.52), pytest.approx(-13.405))
    assert (await found(datasette, made[1]["id"]))[1] == Facts(width=4, height=3, has_place=True)
    behind = await upload(datasette, gif(b"", b"", xmp_of_gif(as_elements)), "a.gif")
    await read(datasette)
    assert (await found(datasette, behind["id"]))[1] == Facts(width=9, height=9, has_place=True)


async def test_headers_tell_the_facts_of_large_and_of_damaged_pictures(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    """A photo of more pixels than are drawn has its facts. What is not looked for may be there."""
    sources = {"docs": disk_source(tmp_path / "docs", location="show")}
    datasette = await make_datasette(
        sources=sources, thumbnail_eager=False, thumbnail_max_pixels=100
    )
    large = await upload(datasette, picture(gps=BERLIN), "large.jpg", content_type="image/jpeg")
    packet = b"<x exif:GPSLatitude='52,31.2N' exif:GPSLongitude='13,24,18W'/>"
    behind = io.BytesIO()
    PngImagePlugin.putchunk(behind, b"iTXt", b"XML:com.adobe.xmp" + b"\x00" * 5 + packet)
    exif = Image.Exif()
    exif.update({0x0110: "Acme One", 0xA434: "50mm", 0x9003: "2024:05:06 07:08:09"})
    made = {}
    for name, side in (("many.png", 20), ("cut.png", 10), ("whole.png", 10)):
        out = io.BytesIO()
        Image.effect_noise((side, side), 99).save(out, "PNG", exif=exif)
        content = out.getvalue()[:-12] + behind.getvalue() + out.getvalue()[-12:]
        if name == "cut.png":
            content = content[: content.index(b"IDAT") + 20]
        made[name] = await upload(datasette, content, name, content_type="image/png")
    await read(datasette)
    status, known = await found(datasette, large["id"])
    assert (status, known.width, known.camera) == ("done", 20, "Acme One")
    assert known.latitude == pytest.approx(52.52)
    for name, file in made.items():
        status, known = await found(datasette, file["id"])
        assert (status, known.camera, known.lens) == ("done", "Acme One", "50mm")
        assert known.taken_at == "2024-05-06T07:08:09"
        assert known.latitude == (pytest.approx(52.52) if name == "whole.png" else None)
        assert known.has_place
