"""The ways in: shapes, answers to browsers and programs, declarations held against the bytes."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from datasette.app import Datasette

from datasette_files.app import Files
from tests.conftest import MakeDatasette, disk_source, upload
from tests.support.storages import registered

SHA256 = hashlib.sha256(b"hello").hexdigest()
FORM = {"files": {"file": ("hello.txt", b"hello", "text/plain")}}


def stored(folder: Path) -> list[Path]:
    """Every file in a source's directory, whole or on its way in."""
    return [path for path in folder.rglob("*") if path.is_file()]


async def uploads_left(datasette: Datasette) -> int:
    rows = await datasette.get_internal_database().execute(
        "SELECT count(*) FROM datasette_files_uploads WHERE state IN ('receiving', 'received')"
    )
    return int(rows.single_value())


async def prepare(datasette: Datasette, **body: Any) -> Any:
    return await datasette.client.post(
        "/-/files/upload/docs/-/prepare", json={"filename": "hello.txt", **body}
    )


async def test_three_steps(datasette: Datasette) -> None:
    client = datasette.client
    prepared = (
        await prepare(datasette, content_type="text/plain", size=5, sha256=SHA256.upper())
    ).json()
    assert set(prepared) == {
        "ok",
        "upload_token",
        "upload_url",
        "upload_method",
        "upload_headers",
        "upload_fields",
        "upload_resumable_url",
    }
    assert prepared["upload_url"] == "/-/files/upload/docs/-/upload"
    token = {"upload_token": prepared["upload_token"]}
    assert prepared["upload_fields"] == token
    for content in (b"jello", b"hello"):
        sent = await client.post(
            prepared["upload_url"], data=token, files={"file": ("x", content, "text/plain")}
        )
        assert sent.status_code == (422 if content == b"jello" else 200), sent.text
    assert sent.json() == {"ok": True}
    url = "/-/files/upload/docs/-/complete"
    first, again = await client.post(url, json=token), await client.post(url, json=token)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    file = first.json()["file"]
    assert list(file) == [
        *("id", "filename", "content_type", "content_hash", "size", "width", "height"),
        *("source_slug", "uploaded_by", "created_at", "url", "download_url", "thumbnail_url"),
    ]
    assert file["content_hash"] == f"sha256:{SHA256}"
    assert file["url"] == f"/-/files/{file['id']}"
    late = await client.post(prepared["upload_url"], data=token, **FORM)
    assert (late.status_code, late.json()["code"]) == (409, "conflict")


async def test_bytes_sent_again_before_complete_replace_the_first(
    datasette: Datasette, tmp_path: Path
) -> None:
    prepared = (await prepare(datasette)).json()
    token = {"upload_token": prepared["upload_token"]}
    for content in (b"first", b"second!"):
        files = {"file": ("hello.txt", content)}
        sent = await datasette.client.post(prepared["upload_url"], data=token, files=files)
        assert sent.json() == {"ok": True}
    done = await datasette.client.post("/-/files/upload/docs/-/complete", json=token)
    assert done.json()["file"]["size"] == 7
    await Files.of(datasette).sweeper.sweep()
    assert [path.read_bytes() for path in stored(tmp_path / "docs")] == [b"second!"]


async def test_complete_without_bytes_is_a_conflict(datasette: Datasette) -> None:
    token = (await prepare(datasette)).json()["upload_token"]
    answer = await datasette.client.post(
        "/-/files/upload/docs/-/complete", json={"upload_token": token}
    )
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


async def test_the_token_comes_before_the_file(datasette: Datasette, tmp_path: Path) -> None:
    token = (await prepare(datasette)).json()["upload_token"]
    field = f'Content-Disposition: form-data; name="upload_token"\r\n\r\n{token}\r\n'
    file = 'Content-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nhello\r\n'
    for parts in ([file, field], [file]):
        body = "".join(f"--b\r\n{part}" for part in parts) + "--b--\r\n"
        answer = await datasette.client.post(
            "/-/files/upload/docs/-/upload",
            content=body.encode(),
            headers={"Content-Type": "multipart/form-data; boundary=b"},
        )
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert stored(tmp_path / "docs") == []


async def test_one_multipart_post_and_one_put_answer_alike(datasette: Datasette) -> None:
    posted = await datasette.client.post("/-/files/upload/docs", **FORM)
    put = await datasette.client.put(
        "/-/files/upload/docs/hello.txt", content=b"hello", headers={"Content-Type": "text/plain"}
    )
    for answer in (posted, put):
        body = answer.json()
        assert answer.status_code == 201
        assert set(body) == {
            *("ok", "file", "file_id", "filename", "content_type", "size", "url"),
        }
        assert body["file_id"] == body["file"]["id"]
        assert answer.headers["location"] == body["url"] == f"/-/files/{body['file_id']}"
        assert (body["filename"], body["content_type"], body["size"]) == (
            "hello.txt",
            "text/plain",
            5,
        )


async def test_a_browsers_form_is_sent_to_the_files_page(datasette: Datasette) -> None:
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    answer = await datasette.client.post("/-/files/upload/docs", headers={"Accept": accept}, **FORM)
    assert answer.status_code == 303
    page = await datasette.client.get(answer.headers["location"])
    assert page.status_code == 200
    assert "hello.txt" in page.text
    empty = await datasette.client.post(
        "/-/files/upload/docs", headers={"Accept": accept}, files={"file": ("", b"")}
    )
    assert empty.status_code == 400
    assert "<h1>Error 400</h1>" in empty.text


async def test_a_browsers_form_of_who_may_not_browse_links_nowhere_that_is_closed(
    make_datasette: MakeDatasette,
) -> None:
    client = (await make_datasette(permissions={"files-upload": True})).client
    html = {"Accept": "text/html"}
    answer = await client.post("/-/files/upload/docs", headers=html, **FORM)
    assert (answer.status_code, "location" in answer.headers) == (201, False)
    assert "Uploaded hello.txt" in answer.text
    for page in (answer, await client.get("/-/files/upload/docs", headers=html)):
        for link in set(re.findall(r'(?:href|src|action)="(/-/files[^"]*)"', page.text)):
            assert (await client.get(link, headers=html)).status_code == 200, link


@pytest.mark.parametrize(
    "declared, content, status, code",
    [
        ({"size": 4}, b"hello", 400, "invalid"),
        ({"size": 6}, b"hello", 400, "invalid"),
        ({"sha256": "0" * 64}, b"hello", 422, "checksum_mismatch"),
        ({}, b"x" * 1001, 413, "too_large"),
        ({"filename": "a.png", "content_type": "image/png"}, b"hello", 415, "bad_type"),
    ],
)
async def test_a_declaration_that_is_not_true_stores_nothing(
    make_datasette: MakeDatasette,
    tmp_path: Path,
    declared: dict[str, Any],
    content: bytes,
    status: int,
    code: str,
) -> None:
    types = ["image/*"] if code == "bad_type" else None
    source = disk_source(tmp_path / "docs", max_file_size=1000, allowed_content_types=types)
    datasette = await make_datasette({"docs": source})
    token = {"upload_token": (await prepare(datasette, **declared)).json()["upload_token"]}
    sent = await datasette.client.post(
        "/-/files/upload/docs/-/upload", data=token, files={"file": ("a", content)}
    )
    assert (sent.status_code, sent.json()["code"]) == (status, code)
    assert await uploads_left(datasette) == 0
    assert stored(tmp_path / "docs") == []
    done = await datasette.client.post("/-/files/upload/docs/-/complete", json=token)
    assert done.status_code == 409


@pytest.mark.parametrize(
    "body, says",
    [
        ({}, "filename"),
        ({"filename": 1}, "filename"),
        ({"filename": ""}, "filename"),
        ({"filename": "a", "size": -1}, "size"),
        ({"filename": "a", "size": "5"}, "size"),
        ({"filename": "a", "size": 1.5}, "size"),
        ({"filename": "a", "size": True}, "size"),
        ({"filename": "a", "size": 2**63}, "size"),
        ({"filename": "a", "sha256": "abc"}, "sha256"),
        ({"filename": "a", "sha256": 5}, "sha256"),
        ({"filename": "a", "content_type": 5}, "content_type"),
    ],
)
async def test_prepare_names_what_is_wrong(
    datasette: Datasette, body: dict[str, Any], says: str
) -> None:
    answer = await datasette.client.post("/-/files/upload/docs/-/prepare", json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert says in answer.json()["error"]


async def test_prepare_refuses_a_declared_size_before_a_byte_is_sent(
    datasette: Datasette,
) -> None:
    answer = await prepare(datasette, size=104857601)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


async def test_put_verifies_its_digest(datasette: Datasette, tmp_path: Path) -> None:
    good = base64.b64encode(hashlib.sha256(b"hello").digest()).decode()
    bad = base64.b64encode(bytes(32)).decode()
    for header, status in [
        (f"sha-256=:{good}:", 201),
        (f"sha-256=:{bad}:", 422),
        ("sha-256=:???:", 400),
        (f"sha-256=:{good[:-4]}:", 400),
    ]:
        answer = await datasette.client.put(
            "/-/files/upload/docs/a.txt", content=b"hello", headers={"Repr-Digest": header}
        )
        assert answer.status_code == status, header
    assert len(stored(tmp_path / "docs")) == 1


async def test_a_form_cut_short_is_refused(datasette: Datasette, tmp_path: Path) -> None:
    whole = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
        b"hello\r\n--b--\r\n"
    )
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    for length in range(0, len(whole) - 5, 7):
        answer = await datasette.client.post(
            "/-/files/upload/docs", content=whole[:length], headers=headers
        )
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid"), length
    assert stored(tmp_path / "docs") == []


async def test_a_body_of_another_type_is_415(datasette: Datasette) -> None:
    answer = await datasette.client.post(
        "/-/files/upload/docs", json={}, headers={"Accept": "application/json"}
    )
    assert (answer.status_code, answer.json()["code"]) == (415, "bad_type")


async def test_one_file_at_a_time(datasette: Datasette, tmp_path: Path) -> None:
    files = [("file", ("a.txt", b"a")), ("file", ("b.txt", b"b"))]
    answer = await datasette.client.post(
        "/-/files/upload/docs", files=files, headers={"Accept": "application/json"}
    )
    assert answer.status_code == 400
    assert stored(tmp_path / "docs") == []


def urls_in(value: Any) -> Iterator[str]:
    """Every path among a JSON answer's values."""
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from urls_in(one)
    elif isinstance(value, str) and "-/files" in value:
        yield value


async def test_base_url_is_in_every_url(make_datasette: MakeDatasette) -> None:
    datasette = await make_datasette(settings={"base_url": "/prefix/"})
    client = datasette.client
    prepared = (await prepare(datasette)).json()
    token = {"upload_token": prepared["upload_token"]}
    sent = await client.post("/-/files/upload/docs/-/upload", data=token, **FORM)
    assert sent.status_code == 200
    completed = await client.post("/-/files/upload/docs/-/complete", json=token)
    put = await client.put("/-/files/upload/docs/two.txt", content=b"two")
    form = await client.post("/-/files/upload/docs", headers={"Accept": "text/html"}, **FORM)
    file = f"/-/files/{completed.json()['file']['id']}"
    answers = [prepared, completed.json(), put.json()]
    for path in (
        f"{file}.json",
        f"/-/files/batch.json?id={file[9:]}",
        "/-/files/search.json?q=t&_size=1",
        "/-/files/source/docs.json?_size=1&_sort=size",
    ):
        answers.append((await client.get(path)).json())
    found = [url for answer in answers for url in urls_in(answer)]
    assert len(found) > 15
    assert {url.startswith("/prefix/-/files") for url in found} == {True}
    for answer in (put, form):
        assert answer.headers["location"].startswith("/prefix/-/files/df-")
    for path in ("", "/search?q=t&_size=1", "/source/docs?_size=1", "/upload/docs"):
        page = (await client.get(f"/-/files{path}")).text
        for attribute in ("href", "src", "action"):
            assert f'{attribute}="/-/' not in page
    page = (await client.get(file)).text
    assert f'href="/prefix{file}/download"' in page
    assert f'action="/prefix{file}/-/update"' in page
    following = answers[-1]["next_url"].removeprefix("/prefix")
    assert (await client.get(following)).json()["files"] != []


async def test_an_event_follows_each_commit(datasette: Datasette) -> None:
    seen: list[tuple[str, dict[str, Any], bool]] = []

    async def track_event(datasette: Any, event: Any) -> None:
        if event.name.endswith("-file"):
            found = await Files.of(datasette).lookup.find(event.file_id)
            seen.append((event.name, event.properties() | {"actor": event.actor}, bool(found)))

    actor = {"id": "alice"}
    with registered(track_event=track_event):
        file = await upload(datasette, actor=actor)
        update = {"update": {"search_text": "x"}}
        for _ in range(2):  # the second changes nothing
            await datasette.client.post(f"{file['url']}/-/update", json=update, actor=actor)
        for _ in range(2):
            await datasette.client.post(f"{file['url']}/-/delete", json={}, actor=actor)
        await datasette.client.put("/-/files/upload/docs/a", content=b"", headers={"Range": "x"})
    assert [(name, there) for name, _, there in seen[:3]] == [
        ("upload-file", True),
        ("update-file", True),
        ("delete-file", False),
    ]
    assert [name for name, _, _ in seen[3:]] == ["upload-file"]
    ulid = file["id"].removeprefix("df-")
    assert seen[2][1].pop("outcome") == "purged"
    for _, facts, _ in seen[:3]:
        assert facts == {
            "file_id": file["id"],
            "source_slug": "docs",
            "path": f"{ulid}/hello.txt",
            "size": 5,
            "content_type": "text/plain",
            "actor": actor,
        }


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Content-Range": "bytes 400-404/405"}, 400, "invalid"),
        ({"Content-Encoding": "gzip"}, 415, "bad_type"),
        ({"Content-Encoding": "aws-chunked"}, 415, "bad_type"),
        ({"Content-Encoding": "identity"}, 201, None),
        ({"Content-MD5": base64.b64encode(hashlib.md5(b"hello").digest()).decode()}, 201, None),
        ({"Content-MD5": base64.b64encode(bytes(16)).decode()}, 422, "checksum_mismatch"),
        ({"Content-MD5": "no digest"}, 400, "invalid"),
        ({"Digest": f"sha-512={hashlib.sha512(b'other').hexdigest()}"}, 422, "checksum_mismatch"),
        ({"Digest": "unixsum=30637"}, 400, "invalid"),
        ({"Content-Digest": f"sha-256={'0' * 64}"}, 422, "checksum_mismatch"),
    ],
)
async def test_put_ignores_no_header_that_speaks_of_the_bytes(
    datasette: Datasette,
    tmp_path: Path,
    headers: dict[str, str],
    status: int,
    code: str | None,
) -> None:
    answer = await datasette.client.put(
        "/-/files/upload/docs/a.txt", content=b"hello", headers=headers
    )
    assert (answer.status_code, answer.json().get("code")) == (status, code)
    assert len(stored(tmp_path / "docs")) == (status == 201)


@pytest.mark.parametrize(
    "header", ["Content-Encoding: gzip", "Content-MD5: AAAAAAAAAAAAAAAAAAAAAA=="]
)
async def test_a_form_ignores_no_header_of_a_part(
    datasette: Datasette, tmp_path: Path, header: str
) -> None:
    body = (
        '--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n'
        f"{header}\r\n\r\nhello\r\n--b--\r\n"
    )
    answer = await datasette.client.post(
        "/-/files/upload/docs",
        content=body.encode(),
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )
    assert answer.status_code in (415, 422)
    assert stored(tmp_path / "docs") == []


@pytest.mark.parametrize(
    ("sent", "kept"),
    [(r"C:\photos\cat.jpg", "cat.jpg"), (r"\\server\a.txt", "a.txt"), (r"a\b.txt", r"a\b.txt")],
)
async def test_a_form_drops_the_folders_of_a_windows_path_alone(
    datasette: Datasette, sent: str, kept: str
) -> None:
    answer = await datasette.client.post("/-/files/upload/docs", files={"file": (sent, b"hello")})
    assert answer.json()["filename"] == kept
    answer = await datasette.client.put(
        "/-/files/upload/docs/" + quote(sent, safe=""), content=b"hello"
    )
    assert answer.json()["filename"] == sent
