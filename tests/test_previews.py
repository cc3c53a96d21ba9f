"""Previews: which kind a file gets, and that a head is cut, decoded and bounded safely."""

from __future__ import annotations

import pytest
from datasette.app import Datasette

from datasette_files.app import Files
from datasette_files.errors import StorageUnavailable
from datasette_files.previews import Preview, preview
from tests.conftest import MakeDatasette, upload
from tests.fixtures import fixture
from tests.storages import installed, storage_class


async def shown(
    datasette: Datasette, content: bytes, filename: str, content_type: str | None = None
) -> Preview:
    record = await upload(datasette, content, filename, content_type=content_type)
    found = await Files.of(datasette).existing(record["id"])
    return await preview(Files.of(datasette), found[1], found[0])


@pytest.mark.parametrize(
    ("sample", "kind"),
    [
        ("photos/phone.jpg", "image"),
        ("photos/still.tiff", "icon"),
        ("media/tone.mp3", "audio"),
        ("media/clip.webm", "video"),
        ("documents/one-page.pdf", "pdf"),
        ("documents/utf-8.txt", "text"),
        ("documents/towers.json", "text"),
        ("documents/hostile.svg", "text"),
        ("documents/script.html", "text"),
        ("documents/towers.csv", "table"),
        ("documents/towers.tsv", "table"),
        ("archives/two-files.zip", "icon"),
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
        (b"caf\xe9", "caf\ufffd", False),
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
