"""Previews: which kind a file gets, and that a head is cut, decoded and bounded safely."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import AsyncIterator
from typing import Any

import pytest
from datasette.app import Datasette
from PIL import Image

from datasette_files.app import Files
from datasette_files.errors import StorageUnavailable
from datasette_files.previews.file_page import Preview, preview
from tests.conftest import MakeDatasette, upload
from tests.support.fixtures import fixture
from tests.support.storages import installed, storage_class


async def shown(
    datasette: Datasette, content: bytes, filename: str, content_type: str | None = None
) -> Preview:
    record = await upload(datasette, content, filename, content_type=content_type)
    found = await Files.of(datasette).lookup.existing(record["id"])
    return await preview(Files.of(datasette).thumbnails, found[1], found[0])


@pytest.mark.parametrize(
    ("sample", "kind"),
    [
        ("photos/phone.jpg", "image"),
        ("photos/still.tiff", "picture"),
        ("media/tone.mp3", "audio"),
        ("media/clip.webm", "video"),
        ("documents/one-page.pdf", "pdf"),
        ("documents/utf-8.txt", "text"),
        ("documents/towers.json", "code"),
        ("documents/hostile.svg", "text"),
        ("documents/script.html", "code"),
        ("documents/towers.csv", "table"),
        ("documents/towers.tsv", "table"),
        ("archives/two-files.zip", "archive"),
        ("archives/two-files.tar.gz", "archive"),
        ("odd/zip-like.docx", "icon"),
        ("odd/nuls.bin", "icon"),
    ],
)
async def test_kind(datasette: Datasette, sample: str, kind: str) -> None:
    file = fixture(sample)
    found = await shown(datasette, file.path.read_bytes(), file.path.name, file.content_type)
    assert (found.kind, found.problem) == (kind, None)


@pytest.mark.parametrize(
    ("content", "text", "cut"),
    [
        (b"", "", False),
        (b"short", "short", False),
        (b"\xef\xbb\xbfmarked", "marked", False),
        ("Größe €".encode("utf-16"), "Größe €", False),
        ("Größe €".encode("utf-32"), "Größe €", False),
        (b"caf\xe9", "café", False),
        # Windows-1252, as an import reads it.
        (b"Gr\xf6\xdfe\n", "Größe\n", False),
        (b"x" * 4096, "x" * 4096, False),
        (b"x" * 4097, "x" * 4096, True),
        # The cut falls into a character, which is left out rather than replaced.
        (b"x" * 4095 + "€".encode() * 2, "x" * 4095, True),
        (b"line\n" * 100, "line\n" * 100, False),
        (b"line\n" * 101, "line\n" * 100, True),
    ],
    ids=repr,
)
async def test_the_head_of_a_text(
    datasette: Datasette, content: bytes, text: str, cut: bool
) -> None:
    found = await shown(datasette, content, "a.txt", "text/plain")
    assert (found.kind, found.text, found.cut) == ("text", text, cut)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "windows-1252", "utf-16"])
async def test_a_table_is_split_after_decoding(datasette: Datasette, encoding: str) -> None:
    content = "Name;Größe\n\nMüller;12\n".encode(encoding)
    found = await shown(datasette, content, "a.csv", "text/csv")
    assert found.table is not None
    assert (found.table.columns, found.table.rows) == (["Name", "Größe"], [["Müller", "12"]])


async def test_a_table_may_name_its_delimiter(datasette: Datasette) -> None:
    found = await shown(datasette, b"sep=|\na|b;c\n1|2\n", "a.csv", "text/csv")
    assert found.table is not None
    assert (found.table.columns, found.table.rows) == (["a", "b;c"], [["1", "2"]])


async def test_the_last_line_of_a_cut_table_is_left_out(datasette: Datasette) -> None:
    content = b"name\n" + (b"x" * 1000 + b"\n") * 9
    found = await shown(datasette, content, "a.csv", "text/csv")
    assert found.cut
    assert found.table is not None
    assert found.table.rows == [["x" * 500]] * 4


async def test_json_is_laid_out(datasette: Datasette) -> None:
    found = await shown(datasette, b'{"a":[1,2]}', "a.json", "application/json")
    assert (found.kind, found.text) == ("code", '{\n  "a": [\n    1,\n    2\n  ]\n}')


async def test_code_is_shown_for_longer_than_prose(datasette: Datasette) -> None:
    code = b"x = 1\n" * 5000
    found = await shown(datasette, code, "a.sql", "application/sql")
    assert (found.kind, found.text.count("\n"), found.cut) == ("code", 400, True)


async def test_an_archive_lists_its_members(datasette: Datasette) -> None:
    for name, content_type in (("zip", "application/zip"), ("tar.gz", "application/gzip")):
        content = fixture(f"archives/two-files.{name}").path.read_bytes()
        found = await shown(datasette, content, f"a.{name}", content_type)
        assert found.archive is not None
        assert len(found.archive.entries) == found.archive.total == 2
        assert not found.cut


async def test_a_name_is_shown_as_what_it_is(datasette: Datasette) -> None:
    """A member's in a listing, a file's in the grid: nothing in it turns the rest around."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("gnp.\u202eexe", b"x")
    record = await upload(
        datasette, out.getvalue(), "piz.\u202eexe", content_type="application/zip"
    )
    for url in (record["url"], "/-/files/source/docs?view=grid"):
        page = await datasette.client.get(url)
        assert page.status_code == 200
        assert "\u202e" not in page.text
        assert ".\ufffdexe" in page.text


async def test_a_zip_is_read_from_its_end_alone(make_datasette: MakeDatasette) -> None:
    asked = []

    async def stream_range(self: Any, path: str, start: int, end: int) -> AsyncIterator[bytes]:
        asked.append(end - start)
        yield self.objects[path][start:end]

    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("large.bin", bytes(1_000_000))
        archive.writestr("<b>small</b>.txt", b"x")
    with installed(storage_class(stream_range=stream_range)):
        datasette = await make_datasette({"docs": {"storage": "memory"}})
    record = await upload(datasette, out.getvalue(), "a.zip", content_type="application/zip")
    page = await datasette.client.get(record["url"])
    assert "&lt;b&gt;small&lt;/b&gt;.txt" in page.text
    assert asked == [256 * 1024]


async def test_an_image_of_some_size_is_shown_by_a_worker_unless_none_can(
    datasette: Datasette,
) -> None:
    scene = Image.frombytes("RGB", (600, 600), random.Random(1).randbytes(600 * 600 * 3))
    out = io.BytesIO()
    scene.save(out, "PNG")
    assert (await shown(datasette, out.getvalue(), "a.png", "image/png")).kind == "picture"
    # No thumbnail of what is cut, yet a browser shows as much as there is.
    damaged = out.getvalue()[:700_000]
    record = await upload(datasette, damaged, "b.png", content_type="image/png")
    thumbnail = await datasette.client.get(record["thumbnail_url"])
    assert thumbnail.headers["content-type"] == "image/svg+xml"
    file, source = await Files.of(datasette).lookup.existing(record["id"])
    assert (await preview(Files.of(datasette).thumbnails, source, file)).kind == "image"


async def test_bytes_that_are_no_text_get_an_icon(datasette: Datasette) -> None:
    # Later than the sniffing looks.
    found = await shown(datasette, b"text " * 200 + b"\x00\x01", "a.md", "text/markdown")
    assert found.kind == "icon"


async def test_a_storage_that_fails_costs_the_preview_and_not_the_page(
    make_datasette: MakeDatasette,
) -> None:
    async def read_file(self: object, path: str) -> bytes:
        raise StorageUnavailable("The storage is away")

    with installed(storage_class(read_file=read_file)):
        datasette = await make_datasette({"docs": {"storage": "memory"}})
    file = await upload(datasette)
    page = await datasette.client.get(file["url"])
    assert page.status_code == 200
    assert "No preview: The storage is away" in page.text
