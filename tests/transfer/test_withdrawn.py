"""A permission that is withdrawn while a file is sent: then nothing of the file is kept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette

from datasette_files.app import Files
from datasette_files.errors import PermissionDenied
from datasette_files.permissions.grants import grant
from datasette_files.transfer.incoming import Incoming
from tests.conftest import OPEN, MakeDatasette
from tests.support.storages import DirectStorage

ALICE = {"id": "alice"}
FORM = {"Content-Type": "multipart/form-data; boundary=x"}
FILE = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
LARGE = b"a" * 400_000


def withdraw(datasette: Datasette) -> None:
    datasette.config = {**datasette.config, "permissions": {**OPEN, "files-upload": False}}


async def slowly(datasette: Datasette, *parts: bytes) -> AsyncIterator[bytes]:
    """The parts of a body; the permission is withdrawn before the last."""
    for part in parts[:-1]:
        yield part
    withdraw(datasette)
    yield parts[-1]


async def left(datasette: Datasette, root: Path) -> tuple[list[Path], list[Any]]:
    """Files on disk, and rows of files, of unfinished uploads and of bytes still to be deleted."""
    garbage = "datasette_files_garbage WHERE done_at IS NULL"
    tables = ("datasette_files", "datasette_files_uploads", garbage)
    database = datasette.get_internal_database()
    rows = [list(await database.execute(f"SELECT * FROM {name}")) for name in tables]
    return [path for path in root.rglob("*") if path.is_file()], [
        row for one in rows for row in one
    ]


@pytest.mark.parametrize("content", [b"hello", LARGE], ids=["small", "large"])
@pytest.mark.parametrize("way", ["put", "form"])
async def test_in_one_request(
    datasette: Datasette, tmp_path: Path, way: str, content: bytes
) -> None:
    if way == "put":
        body = slowly(datasette, content, b"last")
        request = ("PUT", "/-/files/upload/docs/a.txt", {"Content-Type": "text/plain"})
    else:
        body = slowly(datasette, FILE, content, b"\r\n--x--\r\n")
        request = ("POST", "/-/files/upload/docs", FORM)
    method, url, headers = request
    answer = await datasette.client.request(method, url, content=body, headers=headers, actor=ALICE)
    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
    assert await left(datasette, tmp_path / "docs") == ([], [])


async def test_in_three_steps_while_the_bytes_arrive(datasette: Datasette, tmp_path: Path) -> None:
    token = await prepared(datasette)
    field = b'--x\r\nContent-Disposition: form-data; name="upload_token"\r\n\r\n%s\r\n'
    body = slowly(datasette, field % token.encode() + FILE, LARGE, b"\r\n--x--\r\n")
    answer = await datasette.client.post(
        "/-/files/upload/docs/-/upload", content=body, headers=FORM, actor=ALICE
    )
    assert answer.status_code == 403
    assert (await left(datasette, tmp_path / "docs"))[0] == []


async def test_in_three_steps_before_the_last_one_commits(datasette: Datasette) -> None:
    token = await prepared(datasette)
    sent = await datasette.client.post(
        "/-/files/upload/docs/-/upload",
        data={"upload_token": token},
        files={"file": ("a.txt", b"hello", "text/plain")},
        actor=ALICE,
    )
    assert sent.status_code == 200
    answer = await datasette.client.post(
        "/-/files/upload/docs/-/complete",
        content=slowly(datasette, b'{"upload_token": "%s"' % token.encode(), b"}"),
        actor=ALICE,
    )
    assert answer.status_code == 403
    files = await datasette.get_internal_database().execute("SELECT id FROM datasette_files")
    assert list(files) == []


async def test_before_the_storage_signs_a_url(
    make_datasette: MakeDatasette, register_storages: Callable[..., None]
) -> None:
    register_storages(DirectStorage)
    datasette = await make_datasette({"docs": {"storage": "direct"}})
    right = await grant(datasette, ALICE, "files-upload")
    files, incoming = Files.of(datasette), Incoming("a.txt", "text/plain")
    source = files.sources.get("docs")
    await files.uploads.prepare(source, "alice", right, incoming)
    assert isinstance(source.storage, DirectStorage)
    assert len(source.storage.incoming) == 1
    withdraw(datasette)
    with pytest.raises(PermissionDenied):
        await files.uploads.prepare(source, "alice", await right.renewed(), incoming)
    assert len(source.storage.incoming) == 1


async def prepared(datasette: Datasette) -> str:
    answer = await datasette.client.post(
        "/-/files/upload/docs/-/prepare", json={"filename": "a.txt"}, actor=ALICE
    )
    token: str = answer.json()["upload_token"]
    return token


async def test_the_restrictions_of_a_token_are_asked_again_too(datasette: Datasette) -> None:
    for action, expected in (("files-upload", {"docs"}), ("files-browse", set())):
        restricted = {**ALICE, "_r": {"a": [action]}}
        again = await (await grant(datasette, restricted, "files-upload")).renewed()
        assert await Files.of(datasette).catalog.read(again.slugs) == expected
