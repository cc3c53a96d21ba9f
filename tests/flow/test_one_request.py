"""One request for the whole upload: a form as 0.1a1's clients send it, and a raw PUT."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from typing import Any

import pytest

from tests.support.fixtures import fixture, hostile_names
from tests.support.flow.flow import Answer, Flow


async def _form(flow: Flow, content: bytes, filename: str, **headers: str) -> Answer:
    return await flow.request(
        "POST", "/-/files/upload/docs", files={"file": (filename, content)}, headers=headers
    )


def _assert_stored(answer: Answer, filename: str, size: int) -> dict[str, Any]:
    assert answer.status == 201
    body = answer.json
    file: dict[str, Any] = body["file"]
    assert body == {
        "ok": True,
        "file": file,
        "file_id": file["id"],
        "filename": filename,
        "content_type": file["content_type"],
        "size": size,
        "url": file["url"],
    }
    return file


async def test_form(flow: Flow) -> None:
    photo = fixture("photos/phone.jpg").path.read_bytes()
    file = _assert_stored(await _form(flow, photo, "phone.jpg"), "phone.jpg", len(photo))
    assert file["content_type"] == "image/jpeg"
    assert (await flow.download(file)).content == photo


async def test_form_of_a_browser_leads_to_the_page(flow: Flow) -> None:
    answer = await _form(flow, b"hello", "note.txt", Accept="text/html,*/*")
    assert answer.status == 303
    page = await flow.request("GET", answer.headers["location"], headers={"Accept": "text/html"})
    assert page.status == 200
    assert b"note.txt" in page.content


async def test_form_takes_fields_beside_the_file(flow: Flow) -> None:
    answer = await flow.request(
        "POST", "/-/files/upload/docs", data={"note": "x"}, files={"file": ("a.txt", b"hello")}
    )
    _assert_stored(answer, "a.txt", 5)


async def test_put(flow: Flow) -> None:
    content = fixture("media/clip.mp4").path.read_bytes()
    answer = await flow.put(content, "a clip.mp4", Content_Type="video/mp4")
    file = _assert_stored(answer, "a clip.mp4", len(content))
    assert answer.headers["location"] == file["url"]
    assert file["content_type"] == "video/mp4"
    assert (await flow.download(file)).content == content


async def test_put_of_nothing(flow: Flow) -> None:
    file = _assert_stored(await flow.put(b"", "empty.txt"), "empty.txt", 0)
    assert (await flow.download(file)).content == b""


async def test_put_with_its_digest(flow: Flow) -> None:
    digest = b64encode(sha256(b"hello").digest()).decode()
    answer = await flow.put(b"hello", Repr_Digest=f"sha-512=:AAAA:, sha-256=:{digest}:")
    _assert_stored(answer, "note.txt", 5)


async def test_put_in_chunks_of_unknown_length(flow: Flow) -> None:
    async def chunks():
        for _ in range(20):
            yield b"x" * 50_000

    answer = await flow.request("PUT", "/-/files/upload/docs/big.bin", content=chunks())
    file = _assert_stored(answer, "big.bin", 1_000_000)
    assert (await flow.download(file)).content == b"x" * 1_000_000


@pytest.mark.parametrize(
    "step", [pytest.param(1, id="all", marks=pytest.mark.full), pytest.param(7, id="some")]
)
@pytest.mark.full
async def test_hostile_names_are_kept_or_refused(flow: Flow, step: int) -> None:
    """The catalog keeps the person's name, the storage gets a safe one; or it is a clear 400."""
    kept = 0
    for name, why in hostile_names()[::step]:
        try:
            name.encode()
        except UnicodeEncodeError:
            continue  # no JSON client can send it
        answer = await flow.three_steps(b"hello", name)
        if answer.status == 400:
            assert answer.json["code"] == "invalid", why
            continue
        assert answer.status == 201, why
        kept += 1
        file = answer.json["file"]
        assert name.endswith(file["filename"]), why
        down = await flow.download(file)
        assert down.content == b"hello", why
        disposition = down.headers["content-disposition"]
        assert disposition.isascii(), why
        assert disposition.isprintable(), why
    paths = await flow.stored()
    assert len(paths) == kept
    assert kept >= 5
    for path in paths:
        assert ".." not in path.split("/")
        assert len(path.rpartition("/")[2].encode()) <= 200
        assert path.isprintable()
