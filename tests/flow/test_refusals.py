"""Refusals, on every storage: with a clear code, and nothing left behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from datasette_files.errors import StorageUnavailable
from tests.conftest import MakeDatasette
from tests.flow.conftest import MakeFlow
from tests.support.fixtures import fixture
from tests.support.flow.flow import ALICE, BOB, Flow, sha256
from tests.support.storages import storage_class

_CONTENT = b"some bytes of a file"


async def _assert_refused(
    flow: Flow, answer: Any, status: int, code: str, *, by_form: bool = False
) -> None:
    """``by_form``: a store may have let nothing come in, by the terms of the form it was signed."""
    answers = {(status, code)} | ({(409, "conflict")} if by_form and flow.direct else set())
    assert (answer.status, answer.json["code"]) in answers
    assert answer.json["ok"] is False
    assert answer.json["error"]
    await flow.change("UPDATE datasette_files_uploads SET expires_at = 1")
    await flow.sweep()
    await flow.assert_nothing_left()


async def test_other_size_than_declared(flow: Flow) -> None:
    for size in (0, len(_CONTENT) - 1, len(_CONTENT) + 1, 1_000_000):
        answer = await flow.three_steps(_CONTENT, size=size)
        await _assert_refused(flow, answer, 400, "invalid", by_form=True)


async def test_other_bytes_than_declared(flow: Flow) -> None:
    answer = await flow.three_steps(_CONTENT, sha256=sha256(b"others"))
    await _assert_refused(flow, answer, 422, "checksum_mismatch")


async def test_declared_sha256_in_upper_case_is_taken(flow: Flow) -> None:
    answer = await flow.three_steps(_CONTENT, sha256=sha256(_CONTENT).upper())
    assert answer.status == 201


async def test_too_large_is_refused(make_flow: MakeFlow) -> None:
    flow = await make_flow(max_file_size=10)
    declared = await flow.prepare(size=11)
    assert (declared.status, declared.json["code"]) == (413, "too_large")
    answer = await flow.three_steps(b"x" * 11)
    await _assert_refused(flow, answer, 413, "too_large", by_form=True)


async def test_largest_allowed_file_is_taken(make_flow: MakeFlow) -> None:
    flow = await make_flow(max_file_size=10)
    assert (await flow.three_steps(b"x" * 10, size=10)).status == 201
    assert (await flow.three_steps(b"x" * 10)).status == 201


@pytest.mark.parametrize(
    ("name", "declared"),
    [
        pytest.param("documents/note.md", "text/markdown", id="honest"),
        pytest.param("odd/html-declared-as.png", "image/png", id="html-as-png"),
    ],
)
async def test_type_outside_the_allowlist(make_flow: MakeFlow, name: str, declared: str) -> None:
    flow = await make_flow(allowed_content_types=["image/*"])
    content = fixture(name).path.read_bytes()
    answer = await flow.three_steps(content, "picture.png", content_type=declared)
    await _assert_refused(flow, answer, 415, "bad_type")


async def test_type_inside_the_allowlist(make_flow: MakeFlow) -> None:
    flow = await make_flow(allowed_content_types=["image/*"])
    photo = fixture("photos/orientation-1.jpg")
    answer = await flow.three_steps(photo.path.read_bytes(), "a.jpg", content_type="image/jpeg")
    assert answer.status == 201


async def test_html_declared_as_an_image_is_stored_as_html(flow: Flow) -> None:
    content = fixture("odd/html-declared-as.png").path.read_bytes()
    record = await flow.upload(content, "picture.png", content_type="image/png")
    assert record["content_type"] == "text/html"
    inline = await flow.request("GET", f"{record['url']}/inline")
    assert inline.headers["content-disposition"].startswith("attachment")
    assert inline.headers["x-content-type-options"] == "nosniff"


_MALFORMED: list[Any] = [
    {},
    {"filename": ""},
    {"filename": "a\x00b"},
    {"filename": "x" * 1025},
    {"filename": 5},
    {"filename": "a", "size": -1},
    {"filename": "a", "size": "5"},
    {"filename": "a", "size": True},
    {"filename": "a", "size": 2**63},
    {"filename": "a", "sha256": "xyz"},
    {"filename": "a", "content_type": 5},
    [],
]


async def test_malformed_prepare(flow: Flow) -> None:
    for body in _MALFORMED:
        answer = await flow.request("POST", "/-/files/upload/docs/-/prepare", json=body)
        assert (answer.status, answer.json["code"]) == (400, "invalid"), body
    assert await flow.rows("SELECT * FROM datasette_files_uploads") == []


async def test_source_without_permission(make_flow: MakeFlow) -> None:
    flow = await make_flow()
    flow.datasette.config["permissions"]["files-upload"] = {"id": "bob"}
    answer = await flow.three_steps(_CONTENT)
    await _assert_refused(flow, answer, 403, "permission_denied")
    await _assert_refused(flow, await flow.put(_CONTENT), 403, "permission_denied")


_FORM_TYPE = {"Content-Type": "multipart/form-data; boundary=b"}
_FORM_HEAD = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
#: Below a source's URL; each is refused for its body, size or type where uploading is allowed.
_REFUSED: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/-/prepare", {"json": {"filename": "a", "size": 1000}}),
    ("POST", "/-/prepare", {"json": {}}),
    ("POST", "/-/prepare", {"content": b"{"}),
    ("POST", "/-/prepare", {"content": b" " * 1_100_000}),
    ("POST", "/-/upload", {"content": b"no form"}),
    ("POST", "/-/upload", {"content": _FORM_HEAD, "headers": _FORM_TYPE}),
    ("POST", "/-/upload", {"data": {"upload_token": "x"}, "files": {"file": ("a", b"a")}}),
    ("POST", "/-/complete", {"json": {}}),
    ("POST", "/-/complete", {"json": {"upload_token": "x"}}),
    ("POST", "", {"content": b"no form"}),
    ("POST", "", {"content": _FORM_HEAD + b"cut", "headers": _FORM_TYPE}),
    ("POST", "", {"files": {"file": ("a.txt", b"x" * 1000)}}),
    ("POST", "", {"files": {"file": ("a.txt", b"text")}}),
    ("PUT", "/a.txt", {"content": b"x" * 1000}),
    ("PUT", "/a.txt", {"content": b"text"}),
    ("PUT", "/a.txt", {"content": b"", "headers": {"Repr-Digest": "sha-256=5"}}),
    ("PUT", "/%FF", {"content": b""}),
]


@pytest.mark.parametrize("down", [False, True], ids=["up", "down"])
async def test_who_may_not_upload_learns_nothing_of_the_source(
    make_datasette: MakeDatasette, register_storages: Callable[..., None], down: bool
) -> None:
    async def configure(self: Any, config: Any, get_secret: Any) -> None:
        if down:
            raise StorageUnavailable("for now")
        self.objects = {}

    register_storages(storage_class(configure=configure))
    source = {"storage": "memory", "max_file_size": 10, "allowed_content_types": ["image/*"]}
    datasette = await make_datasette({"docs": source}, {"files-upload": ALICE})

    async def ask(request: tuple[str, str, dict[str, Any]], slug: str, actor: Any) -> Any:
        method, path, more = request
        url = f"/-/files/upload/{slug}{path}"
        more = {**more, "headers": {"Accept": "application/json", **more.get("headers", {})}}
        answer = await datasette.client.request(method, url, actor=actor, **more)
        return answer.status_code, answer.json()["code"]

    for request in _REFUSED:
        for actor in (BOB, None):
            assert await ask(request, "docs", actor) == (403, "permission_denied"), request
            assert await ask(request, "absent", actor) == (404, "not_found"), request
        allowed = await ask(request, "docs", ALICE)
        assert allowed[0] in (400, 404, 413, 415, 503), request
    assert await ask(("GET", "", {}), "docs", BOB) == (403, "permission_denied")


# What is through Datasette on every storage: one PUT, one form


async def test_put_larger_than_allowed(make_flow: MakeFlow) -> None:
    flow = await make_flow(max_file_size=10)
    await _assert_refused(flow, await flow.put(b"x" * 11), 413, "too_large")


async def test_put_of_a_type_outside_the_allowlist(make_flow: MakeFlow) -> None:
    flow = await make_flow(allowed_content_types=["image/*"])
    await _assert_refused(flow, await flow.put(_CONTENT), 415, "bad_type")


async def test_put_with_another_digest(flow: Flow) -> None:
    from base64 import b64encode
    from hashlib import sha256 as digest

    wrong = f"sha-256=:{b64encode(digest(b'others').digest()).decode()}:"
    answer = await flow.put(_CONTENT, Repr_Digest=wrong)
    await _assert_refused(flow, answer, 422, "checksum_mismatch")


async def test_put_with_a_malformed_digest(flow: Flow) -> None:
    for value in ("sha-256=abc", "sha-256=:AAAA:", "sha-256=5"):
        answer = await flow.put(_CONTENT, Repr_Digest=value)
        await _assert_refused(flow, answer, 400, "invalid")


async def test_form_without_a_file(flow: Flow) -> None:
    for files in ({"other": ("a.txt", b"x")}, {"file": ("", b"x")}):
        answer = await flow.request("POST", "/-/files/upload/docs", files=files)
        assert answer.status in (400, 415)
        await flow.assert_nothing_left()


async def test_form_of_two_files_keeps_neither(flow: Flow) -> None:
    answer = await flow.request(
        "POST",
        "/-/files/upload/docs",
        files=[("file", ("a.txt", b"first")), ("file", ("b.txt", b"second"))],
    )
    await _assert_refused(flow, answer, 400, "invalid")


async def test_upload_form_with_the_token_after_the_file(flow: Flow) -> None:
    if flow.direct:
        pytest.skip("its bytes go past Datasette")
    prepared = (await flow.prepare()).json
    answer = await flow.request(
        "POST",
        prepared["upload_url"],
        files=[("file", ("a.txt", b"x")), ("upload_token", (None, prepared["upload_token"]))],
    )
    await _assert_refused(flow, answer, 400, "invalid")


async def test_form_that_is_cut_off(flow: Flow) -> None:
    answer = await flow.request(
        "POST", "/-/files/upload/docs", content=_FORM_HEAD + b"hel", headers=_FORM_TYPE
    )
    await _assert_refused(flow, answer, 400, "invalid")


async def test_direct_upload_does_not_take_bytes_here(flow: Flow) -> None:
    if not flow.direct:
        pytest.skip("its bytes go through Datasette")
    prepared = (await flow.prepare()).json
    answer = await flow.request(
        "POST",
        "/-/files/upload/docs/-/upload",
        data={"upload_token": prepared["upload_token"]},
        files={"file": ("a.txt", b"x")},
    )
    await _assert_refused(flow, answer, 409, "conflict")
    assert "goes to the storage" in answer.json["error"]
