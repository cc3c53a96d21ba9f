"""Malformed requests made by Hypothesis (R7): never a 500, a hang, a traceback, or stored bytes.

Each example is one raw ASGI request, so that nothing tidies it on the way; ``--full`` sends more.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from datasette.app import Datasette
from hypothesis import given, settings
from hypothesis import strategies as st

from datasette_files.app import Files
from tests.conftest import OPEN, disk_source, upload
from tests.support.fixtures import hostile_names
from tests.support.loops import shut_down

pytestmark = pytest.mark.full

CODES = {
    *("invalid", "permission_denied", "not_found", "not_supported", "timeout", "conflict"),
    *("expired", "too_large", "bad_type", "range", "checksum_mismatch", "storage_error"),
    *("storage_unavailable", "no_space"),
}
LIMIT = 2000


@dataclass
class Answer:
    """The answer that the application sent."""

    status: int
    headers: dict[str, str]
    body: bytes


@pytest.fixture
def examples(request: pytest.FixtureRequest) -> Any:
    """The settings of every test here."""
    count = 1000 if request.config.getoption("--full") else 40
    return settings(max_examples=count, deadline=None)


class App:
    """One Datasette on one loop of its own, for tests whose examples are synchronous."""

    def __init__(self, folder: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self.root = folder / "docs"
        self.datasette = Datasette(
            memory=True,
            internal=str(folder / "internal.db"),
            config={
                "plugins": {
                    "datasette-files": {
                        "sources": {"docs": disk_source(self.root, max_file_size=LIMIT)}
                    }
                },
                "permissions": {**OPEN, "files-manage": True},
            },
        )
        self.run(self.datasette.invoke_startup())
        self.file = self.run(upload(self.datasette, b"0123456789" * 10, "digits.txt"))

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(work, 20))

    def close(self) -> None:
        shut_down(self.loop, self.datasette)

    def files(self) -> int:
        """How many files the catalog and the disk have; they must agree."""
        rows = self.run(
            self.datasette.get_internal_database().execute("SELECT count(*) FROM datasette_files")
        )
        self.run(Files.of(self.datasette).sweeper.sweep())
        on_disk = [path for path in self.root.rglob("*") if path.is_file()]
        assert len(on_disk) == rows.single_value()
        return len(on_disk)

    def send(
        self,
        method: str,
        path: bytes | str,
        query: bytes = b"",
        headers: list[tuple[bytes, bytes]] | None = None,
        body: bytes = b"",
        cut: int = 0,
    ) -> Answer:
        """One request, its body in two messages; the answer, which is never a 500."""
        raw = path if isinstance(path, bytes) else path.encode()
        messages = [
            {"type": "http.request", "body": body[:cut], "more_body": True},
            {"type": "http.request", "body": body[cut:], "more_body": False},
        ]
        sent: list[dict[str, Any]] = []

        ended = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if not messages:
                await ended.wait()  # a client stays until it has its answer
            return messages.pop(0) if messages else {"type": "http.disconnect"}

        async def keep(message: dict[str, Any]) -> None:
            sent.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                ended.set()

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": raw.decode("latin-1"),
            "raw_path": raw,
            "query_string": query,
            "root_path": "",
            "headers": [(b"host", b"localhost"), *(headers or [])],
            "client": ("127.0.0.1", 1),
            "server": ("localhost", 80),
        }
        self.run(self.datasette.app()(scope, receive, keep))
        named = {k.decode().lower(): v.decode("latin-1") for k, v in sent[0]["headers"]}
        content = b"".join(message.get("body", b"") for message in sent[1:])
        return check(Answer(sent[0]["status"], named, content))


def check(answer: Answer) -> Answer:
    """An answer of ours: no server error, one line per header, a code of the list with an error."""
    assert answer.status < 500, answer
    for name, value in answer.headers.items():
        assert not set("\r\n\0") & set(name + value)
    if answer.status >= 400 and answer.headers["content-type"].startswith("application/json"):
        body = json.loads(answer.body)
        assert body["ok"] is False
        assert body["code"] in CODES
        assert body["status"] == answer.status
        assert body["error"] and body["errors"]
    return answer


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    made = App(tmp_path_factory.mktemp("fuzz"))
    yield made
    made.close()


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Nothing is logged as an error, and no traceback printed, during a test."""
    yield
    ours = [r for r in caplog.get_records("call") if r.name.startswith("datasette_files")]
    assert [record for record in ours if record.levelno >= logging.ERROR] == []
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err


TEXT = st.text(max_size=40)
#: JSON escapes carry lone surrogates, which Hypothesis's text leaves out by default.
ANY_TEXT = st.text(st.characters(codec=None), max_size=30)
NAMES = st.sampled_from([name for name, _ in hostile_names()]) | ANY_TEXT
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=8,
)
ACCEPTS = st.sampled_from([b"*/*", b"text/html", b"application/json", b""])
#: Bytes that a header field may hold on the wire, and what servers let through beside them.
HEADER = st.binary(max_size=60).map(lambda raw: raw.translate(None, b"\r\n\0"))


def near(valid: bytes) -> st.SearchStrategy[bytes]:
    """``valid`` with a few bytes replaced, removed or added, or cut."""
    edit = st.tuples(
        st.integers(0, len(valid)), st.integers(0, 3), st.binary(max_size=3) | st.just(b"\r\n--b")
    )

    def apply(edits: list[tuple[int, int, bytes]]) -> bytes:
        raw = valid
        for position, removed, added in edits:
            raw = raw[:position] + added + raw[position + removed :]
        return raw

    return st.lists(edit, max_size=4).map(apply) | st.integers(0, len(valid)).map(
        lambda length: valid[:length]
    )


FORM = (
    b'preamble\r\n--b\r\nContent-Disposition: form-data; name="upload_token"\r\n\r\ntok_1\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n'
    b"Content-Type: text/plain\r\n\r\nhello\r\n--b--\r\nepilogue"
)


def test_multipart_forms(app: App, examples: Any) -> None:
    @examples
    @given(
        st.sampled_from(["", "/-/upload"]),
        near(FORM) | st.binary(max_size=200),
        st.sampled_from([b"multipart/form-data; boundary=b"])
        | near(b'multipart/form-data; boundary="b"; charset=utf-8').map(
            lambda raw: raw.translate(None, b"\r\n\0")
        ),
        st.integers(0, 200),
        ACCEPTS,
    )
    def run(step: str, body: bytes, content_type: bytes, cut: int, accept: bytes) -> None:
        before = app.files()
        headers = [(b"content-type", content_type), (b"accept", accept)]
        answer = app.send("POST", f"/-/files/upload/docs{step}", b"", headers, body, cut)
        assert app.files() - before == (1 if answer.status in (201, 303) else 0)

    run()


def test_json_bodies(app: App, examples: Any) -> None:
    bodies = (
        st.fixed_dictionaries(
            {"filename": NAMES}, optional={"size": JSON, "sha256": JSON, "content_type": JSON}
        )
        | st.fixed_dictionaries({"update": st.dictionaries(ANY_TEXT, JSON, max_size=3)})
        | st.fixed_dictionaries({"update": st.fixed_dictionaries({"search_text": JSON})})
        | st.fixed_dictionaries({"upload_token": JSON})
        | st.fixed_dictionaries({"ids": JSON | st.lists(ANY_TEXT | st.just("df-1"), max_size=3)})
        | st.fixed_dictionaries(
            {"settings": st.fixed_dictionaries({"label": JSON}, optional={"x": JSON})},
            optional={"version": JSON},
        )
        | JSON
    ).map(lambda value: json.dumps(value).encode())
    routes = st.sampled_from(
        [
            *(f"/-/files/upload/docs/-/{step}" for step in ("prepare", "complete", "upload")),
            f"{app.file['url']}/-/update",
            *(f"/-/files/trash/-/{step}" for step in ("restore", "purge")),
            *(f"/-/files/source/docs/settings/-/{step}" for step in ("update", "reset")),
        ]
    )
    odd = st.sampled_from([b"[" * 100_000, b"9" * 5000, b'{"size": ' + b"9" * 5000 + b"}", b"\xff"])

    @examples
    @given(routes, bodies | near(b'{"filename": "a", "size": 1}') | odd, ACCEPTS)
    def run(url: str, body: bytes, accept: bytes) -> None:
        before = app.files()
        headers = [(b"content-type", b"application/json"), (b"accept", accept)]
        app.send("POST", url, b"", headers, body)
        assert app.files() == before

    run()


RANGES = st.lists(
    st.tuples(st.integers(-3, 120), st.integers(-3, 120)).map(lambda pair: f"{pair[0]}-{pair[1]}")
    | st.sampled_from(["-", "0-", "-5", "99999999999999999999999-", "a-b", "", " 1-2 "]),
    max_size=6,
).map(lambda specs: f"bytes={','.join(specs)}".encode())
CONDITIONS = st.sampled_from(
    [
        *(b"range", b"if-range", b"if-none-match", b"if-match", b"if-modified-since"),
        *(b"if-unmodified-since", b"accept", b"accept-encoding", b"content-type", b"x-other"),
    ]
)


def test_ranges_and_headers(app: App, examples: Any) -> None:
    values = HEADER | near(b'W/"abc", "def"').map(lambda raw: raw.translate(None, b"\r\n\0"))
    dates = near(b"Sun, 06 Nov 1994 08:49:37 GMT").map(lambda raw: raw.translate(None, b"\r\n\0"))
    whole = app.send("GET", app.file["download_url"])

    @examples
    @given(
        st.sampled_from(["GET", "HEAD"]),
        st.sampled_from(["/download", "/inline", "/thumbnail", ".json", ""]),
        st.none() | RANGES | HEADER,
        st.lists(st.tuples(CONDITIONS, values | dates), max_size=3),
    )
    def run(
        method: str, suffix: str, wanted: bytes | None, more: list[tuple[bytes, bytes]]
    ) -> None:
        headers = more if wanted is None else [*more, (b"range", wanted)]
        answer = app.send(method, app.file["url"] + suffix, b"", headers)
        assert answer.status in (200, 206, 304, 412, 416)
        if method == "GET" and answer.status == 200 and suffix == "/download":
            assert answer.body == whole.body
        if method == "GET" and answer.status in (200, 206) and "content-length" in answer.headers:
            assert int(answer.headers["content-length"]) == len(answer.body)

    run()


def test_query_strings(app: App, examples: Any) -> None:
    names = st.sampled_from(
        [
            *("q", "source", "id", "_next", "_size", "_sort", "_sort_desc", "content_type"),
            *("uploaded_by", "created_after", "created_before", "trashed", "x"),
        ]
    )
    tokens = st.sampled_from(["WyIiLCAxXQ", "WzEsMV0", "W10", "WzFlOTk5LDFd", "e30", "bnVsbA"])
    dates = st.datetimes().map(str) | st.dates().map(str) | st.sampled_from(["0001-01-01T00+23"])
    values = TEXT | tokens | dates | st.integers().map(str) | st.sampled_from(["size", "max"])
    good = st.lists(st.tuples(names, values), max_size=5).map(
        lambda pairs: "&".join(f"{name}={quote(value)}" for name, value in pairs).encode()
    )
    digits = st.sampled_from([b"_size=" + b"0" * 5 + b"9" * 5000, b"_next=" + b"9" * 5000])
    many = st.sampled_from([b"id=df-1&" * 201, b"id=df-1&" * 1001, b"q=" + b"a+" * 300])
    paths = st.sampled_from(
        [
            *("/-/files/search.json", "/-/files/search", "/-/files/source/docs.json"),
            *("/-/files/source/docs", "/-/files/batch.json", "/-/files/sources.json", "/-/files"),
            *("/-/files/trash.json", "/-/files/trash"),
        ]
    )

    @examples
    @given(paths, good | digits | many | near(b"q=%E2%82%AC&_size=5&_next=WyIiLCAxXQ"))
    def run(path: str, query: bytes) -> None:
        answer = app.send("GET", path, query)
        assert answer.status in (200, 400)
        if path.endswith(("search.json", "docs.json")) and answer.status == 200:
            assert len(json.loads(answer.body)["files"]) <= 200

    run()


def test_paths_methods_and_names(app: App, examples: Any) -> None:
    segments = st.sampled_from(
        ["upload", "docs", "import", "-", "prepare", app.file["id"], "df-", "batch.json", "1", ""]
    ) | TEXT.map(quote)
    paths = st.lists(segments, max_size=5).map(lambda parts: "/-/files/" + "/".join(parts))
    methods = st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "OPTIONS", "BREW"])

    @examples
    @given(methods, paths.map(str.encode) | near(b"/-/files/upload/docs/a%20b.txt"), ACCEPTS)
    def run(method: str, path: bytes, accept: bytes) -> None:
        if not path.startswith(b"/-/files/") or set(path) - set(range(33, 127)):
            path = b"/-/files/" + quote(path).encode()
        before = app.files()
        answer = app.send(method, path, b"", [(b"accept", accept)], b"body")
        assert app.files() - before == (1 if answer.status in (201, 303) else 0)
        if answer.status == 405:
            assert "OPTIONS" in answer.headers["allow"]

    run()


def test_raw_puts(app: App, examples: Any) -> None:
    names = NAMES.filter(bool).map(lambda name: quote(name, safe="", errors="surrogatepass"))

    @examples
    @given(
        names,
        st.binary(max_size=50) | st.just(b"x" * (LIMIT + 1)),
        st.lists(
            st.tuples(
                st.sampled_from([b"content-type", b"repr-digest", b"content-length", b"expect"]),
                HEADER | st.sampled_from([b"1_0", b"-1", b"9" * 5000, b"+5", b"sha-256=:AAAA:"]),
            ),
            max_size=3,
        ),
    )
    def run(name: str, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        before = app.files()
        answer = app.send("PUT", f"/-/files/upload/docs/{name}", b"", headers, body, 10)
        assert app.files() - before == (1 if answer.status == 201 else 0)
        if answer.status == 201:
            record = json.loads(answer.body)["file"]
            assert app.send("GET", record["download_url"]).body == body
            assert app.send("GET", record["url"]).status == 200
            assert app.send("DELETE", record["url"]).status == 204

    run()
