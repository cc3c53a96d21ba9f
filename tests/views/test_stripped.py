"""Downloads without the place where a picture was taken: on request, and by share links."""

from __future__ import annotations

from io import BytesIO
from mimetypes import guess_type
from pathlib import Path
from zipfile import ZipFile

import pytest
from datasette.app import Datasette
from PIL import Image

from datasette_files.app import Files
from tests.conftest import MakeDatasette, disk_source, upload
from tests.media.test_stripping import SECRET, gif, picture, xmp_of_gif
from tests.media.test_tiff import SECRET as TIFF_SECRET
from tests.media.test_tiff import picture as tiff_picture
from tests.support.sharing import ALICE, PERMISSIONS, share


@pytest.fixture
async def site(make_datasette: MakeDatasette) -> Datasette:
    return await make_datasette(permissions=PERMISSIONS, thumbnail_eager=False)


async def read(datasette: Datasette) -> None:
    files = Files.of(datasette)
    await files.facts.of(files.sources.get("docs")).round.once()


async def test_a_stripped_download(site: Datasette) -> None:
    content = picture("JPEG") + SECRET
    file = await upload(site, content, "a.jpg", actor=ALICE)
    url = f"{file['url']}/download"
    original = await site.client.get(url, actor=ALICE)
    assert original.content == content
    assert (await site.client.get(f"{url}?stripped=1")).status_code == 403
    whole = await site.client.get(f"{url}?stripped=1", actor=ALICE)
    assert (whole.status_code, len(whole.content)) == (200, len(content))
    assert SECRET not in whole.content
    assert whole.headers["content-type"] == "image/jpeg"
    assert whole.headers["content-length"] == str(len(content))
    assert whole.headers["etag"] != original.headers["etag"]
    with Image.open(BytesIO(whole.content)) as shown:
        assert dict(shown.getexif()) == {0x0112: 6}
    part = await site.client.get(
        f"{url}?stripped=1&redirect=0",
        actor=ALICE,
        headers={"Range": "bytes=100-2000", "If-Range": whole.headers["etag"]},
    )
    assert (part.status_code, part.content) == (206, whole.content[100:2001])
    several = await site.client.get(
        f"{url}?stripped=1", actor=ALICE, headers={"Range": "bytes=0-1,50-60"}
    )
    assert (several.status_code, several.content) == (200, whole.content)
    known = await site.client.get(
        f"{url}?stripped=1", actor=ALICE, headers={"If-None-Match": whole.headers["etag"]}
    )
    assert (known.status_code, known.content) == (304, b"")
    head = await site.client.head(f"{url}?stripped=1", actor=ALICE)
    assert head.headers["etag"] == whole.headers["etag"]
    shown = await site.client.get(f"{file['url']}/inline?stripped=1", actor=ALICE)
    assert shown.content == whole.content


async def test_other_types(site: Datasette) -> None:
    text = await upload(site, b"words", "a.txt", actor=ALICE)
    bmp = BytesIO()
    Image.new("RGB", (3, 3)).save(bmp, "BMP")
    plain = await upload(site, bmp.getvalue(), "a.bmp", actor=ALICE)
    empty = await upload(site, b"", "a.jpg", actor=ALICE, content_type="image/jpeg")

    async def stripped(url: str) -> tuple[int, bytes]:
        answer = await site.client.get(f"{url}/download?stripped=1", actor=ALICE)
        return answer.status_code, answer.content

    assert await stripped(text["url"]) == (200, b"words")
    assert await stripped(empty["url"]) == (200, b"")
    status, body = await stripped(plain["url"])
    assert status == 415
    assert b"bad_type" in body
    await read(site)
    assert await stripped(plain["url"]) == (200, bmp.getvalue())


async def test_the_bytes_decide_how_a_picture_is_stripped(site: Datasette) -> None:
    """Older versions kept the declared type of a picture under another picture's name."""
    avif = BytesIO()
    exif = Image.Exif()
    exif[0x010F] = "Acme"
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0)})
    Image.new("RGB", (9, 9)).save(avif, "AVIF", exif=exif)
    contents = {
        "a.png": picture("JPEG"),
        "b.jpg": tiff_picture(),
        "c.tif": gif(b"", xmp_of_gif(b"<x exif:GPSLatitude='" + SECRET * 9)),
        "d.png": avif.getvalue(),
        "e.jpg": b"no picture",
    }
    files = {}
    for name, content in contents.items():
        files[name] = await upload(site, content, name, actor=ALICE)
        declared = guess_type(name)[0]
        await Files.of(site).catalog.write(
            lambda conn, name=name, declared=declared: conn.execute(
                "UPDATE datasette_files SET content_type = ? WHERE id = ?",
                (declared, files[name]["id"]),
            )
        )

    async def stripped(name: str) -> tuple[int, bytes]:
        url = f"{files[name]['url']}/download?stripped=1"
        answer = await site.client.get(url, actor=ALICE)
        part = await site.client.get(url, actor=ALICE, headers={"Range": "bytes=2000-2500"})
        if answer.status_code == 200 and len(contents[name]) > 2500:
            assert (part.status_code, part.content) == (206, answer.content[2000:2501])
        return answer.status_code, answer.content

    assert (await stripped("d.png"))[0] == 503
    await read(site)
    for name in ("a.png", "b.jpg", "c.tif"):
        status, body = await stripped(name)
        assert (status, len(body)) == (200, len(contents[name]))
        assert SECRET in contents[name]
        assert SECRET not in body
    status, body = await stripped("d.png")
    assert status == 415
    assert b"no image/avif can be sent" in body
    assert await stripped("e.jpg") == (200, b"no picture")
    link = await share(site, *(file["id"] for file in files.values()))
    with ZipFile(BytesIO((await site.client.get(f"{link['path']}/zip")).content)) as opened:
        assert opened.namelist() == ["a.png", "b.jpg", "c.tif", "e.jpg", "left-out.txt"]
        assert not any(SECRET in opened.read(name) for name in opened.namelist())


async def test_a_share_link_tells_no_place(site: Datasette) -> None:
    jpeg = await upload(site, picture("JPEG"), "a.jpg", actor=ALICE)
    out = BytesIO()
    exif = Image.Exif()
    exif[0x010F] = "Acme"
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0)})
    Image.new("RGB", (9, 9)).save(out, "AVIF", exif=exif)
    avif = await upload(site, out.getvalue(), "a.avif", actor=ALICE)
    text = await upload(site, b"words", "a.txt", actor=ALICE)
    link = await share(site, jpeg["id"], avif["id"], text["id"], max_downloads=5)

    async def get(below: str) -> tuple[int, bytes]:
        answer = await site.client.get(f"{link['path']}/{below}")
        return answer.status_code, answer.content

    for way in ("download", "inline"):
        status, content = await get(f"{jpeg['id']}/{way}")
        assert status == 200
        assert SECRET not in content
        assert len(content) == len(picture("JPEG"))
    assert await get(f"{text['id']}/download") == (200, b"words")
    # Nothing is known yet.
    assert (await get(f"{avif['id']}/download"))[0] == 503
    assert (await get("zip"))[0] == 503
    await read(site)
    assert (await get(f"{avif['id']}/download"))[0] == 415
    status, body = await get("zip")
    with ZipFile(BytesIO(body)) as opened:
        assert opened.testzip() is None
        assert opened.namelist() == ["a.jpg", "a.txt", "left-out.txt"]
        told = opened.read("left-out.txt").decode()
    assert told.startswith("a.avif may tell where it was made, and no image/avif can be sent")
    assert told.endswith("have the administrator set location: show for its source\r\n")
    shares = (await site.client.get("/-/files/shares.json", actor=ALICE)).json()["shares"]
    assert shares[0]["downloads"] == 4


async def test_a_zip_of_a_link_holds_pictures_stripped(site: Datasette) -> None:
    files = [
        await upload(site, content, name, actor=ALICE, content_type=content_type)
        for name, content, content_type in (
            ("a.jpg", picture("JPEG"), "image/jpeg"),
            ("b.tif", tiff_picture(), "image/tiff"),
            ("c.txt", b"words", "text/plain"),
            ("d.jpg", b"", "image/jpeg"),
        )
    ]
    link = await share(site, *(file["id"] for file in files))
    whole = await site.client.get(f"{link['path']}/zip")
    assert whole.status_code == 200
    assert SECRET in picture("JPEG")
    assert SECRET not in whole.content
    assert TIFF_SECRET not in whole.content
    with ZipFile(BytesIO(whole.content)) as opened:
        assert opened.testzip() is None
        for file in files[:2]:
            one = await site.client.get(f"{link['path']}/{file['id']}/download")
            assert opened.read(file["filename"]) == one.content
        assert opened.read("c.txt") == b"words"
    for start, end in ((100, 300), (len(picture("JPEG")), 2000), (2500, 9000)):
        asked = {"Range": f"bytes={start}-{end - 1}", "If-Range": whole.headers["etag"]}
        part = await site.client.get(f"{link['path']}/zip", headers=asked)
        assert (part.status_code, part.content) == (206, whole.content[start:end])
    # The signed-in actor's own zip holds originals.
    own = await site.client.post(
        "/-/files/-/selection", json={"ids": [files[0]["id"]]}, actor=ALICE
    )
    assert SECRET in (await site.client.get(own.json()["zip_url"], actor=ALICE)).content


async def test_a_tiff_is_stripped_in_whole_and_in_part(site: Datasette) -> None:
    content = tiff_picture()
    file = await upload(site, content, "a.tif", actor=ALICE, content_type="image/tiff")
    link = await share(site, file["id"])
    whole = await site.client.get(f"{link['path']}/{file['id']}/download")
    assert (whole.status_code, len(whole.content)) == (200, len(content))
    assert TIFF_SECRET in content
    assert TIFF_SECRET not in whole.content
    part = await site.client.get(
        f"{file['url']}/download?stripped=1", actor=ALICE, headers={"Range": "bytes=3000-9000"}
    )
    assert (part.status_code, part.content) == (206, whole.content[3000:9001])
    plain = await upload(site, b"no picture", "b.tif", actor=ALICE, content_type="image/tiff")
    sent = await site.client.get(f"{plain['url']}/download?stripped=1", actor=ALICE)
    assert sent.content == b"no picture"


async def test_a_link_sends_no_picture_that_nobody_could_read(site: Datasette) -> None:
    """Damaged, or of a type that nothing reads; drawings and plain sound tell no place."""
    avif = bytes.fromhex("0000001c6674797061766966") + b"avifmif1miaf" + bytes(300)
    made = {
        name: await upload(site, content, name, actor=ALICE, content_type=content_type)
        for name, content, content_type in (
            ("a.avif", avif, "image/avif"),
            ("a.psd", b"8BPS\x00\x01" + bytes(100), "image/vnd.adobe.photoshop"),
            ("a.wav", b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(40), "audio/x-wav"),
            ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"),
        )
    }
    link = await share(site, *(file["id"] for file in made.values()))
    await read(site)
    answers = {
        name: await site.client.get(f"{link['path']}/{file['id']}/download")
        for name, file in made.items()
    }
    assert {name: answer.status_code for name, answer in answers.items()} == {
        **{"a.avif": 415, "a.psd": 415, "a.wav": 200, "a.svg": 200}
    }
    assert "location: show" in answers["a.psd"].text
    zipped = await site.client.get(f"{link['path']}/zip")
    with ZipFile(BytesIO(zipped.content)) as opened:
        assert opened.namelist() == ["a.wav", "a.svg", "left-out.txt"]
    nothing = await share(site, made["a.psd"]["id"], made["a.avif"]["id"])
    refused = await site.client.get(f"{nothing['path']}/zip")
    assert refused.status_code == 415
    assert "a.psd" in refused.text


async def test_a_zip_leaves_out_a_tiff_that_cannot_be_stripped(site: Datasette) -> None:
    content = bytearray(tiff_picture())
    content[content.index(b"\x03\x01\x03\x00\x01\x00\x00\x00") + 8] = 6  # an old form of JPEG
    old = await upload(site, bytes(content), "old.tif", actor=ALICE, content_type="image/tiff")
    own = await upload(site, b"words", "left-out.txt", actor=ALICE)
    link = await share(site, old["id"], own["id"])
    whole = await site.client.get(f"{link['path']}/zip")
    assert whole.headers["content-length"] == str(len(whole.content))
    with ZipFile(BytesIO(whole.content)) as opened:
        assert opened.testzip() is None
        assert opened.namelist() == ["left-out.txt", "left-out (2).txt"]
        assert opened.read("left-out.txt") == b"words"
        told = opened.read("left-out (2).txt")
    assert b"so old.tif cannot be sent stripped" in told
    start = len(whole.content) // 2
    asked = {"Range": f"bytes={start}-", "If-Range": whole.headers["etag"]}
    rest = await site.client.get(f"{link['path']}/zip", headers=asked)
    assert (rest.status_code, rest.content) == (206, whole.content[start:])
    alone = await share(site, old["id"])
    refused = await site.client.get(f"{alone['path']}/{old['id']}/download")
    assert refused.status_code == 415
    assert "old.tif" in refused.text


async def test_a_source_that_shows_places_shares_originals(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    sources = {"docs": disk_source(tmp_path / "docs", location="show")}
    datasette = await make_datasette(sources=sources, permissions=PERMISSIONS)
    content = picture("JPEG")
    file = await upload(datasette, content, "a.jpg", actor=ALICE)
    link = await share(datasette, file["id"])
    answer = await datasette.client.get(f"{link['path']}/{file['id']}/download")
    assert answer.content == content
