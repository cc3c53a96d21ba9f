"""A client of the soak: signed in, with files that it alone knows, sent in each of the ways in.

A visitor alone knows its files, so it alone judges them. It keeps a bounded number of them. Leaves
out what it does with them (visits.py), the server, the clock and the figures (soak.py).
"""

from __future__ import annotations

import base64
import hashlib
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from itsdangerous import URLSafeSerializer

from tests.support.client import Answer, Client, expect, multipart
from tests.support.faults.uploader import BODY, TUS, collection

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
SECRET = "test"  # as tests/support/server.py starts every server with
SOURCES = ("docs", "shelf")
#: Files that a visitor keeps; the oldest beyond them are deleted for good.
KEPT = 12
#: Seconds in which a job, a text or a thumbnail of a small file must be there.
_PATIENCE = 600.0
_SIZES = (0, 100, 2_000, 10_000, 10_000, 50_000, 600_000, 3_000_000)


class Actor(Client):
    """A client that is signed in, and tells which addresses it asked for."""

    def __init__(self, url: str, actor: str | None, asked: Callable[[str, str], None]) -> None:
        super().__init__(url, timeout=_PATIENCE)
        self.place = (urlsplit(url).hostname or "", urlsplit(url).port or 80)
        self._asked = asked
        self._headers: dict[str, str] = {}
        if actor is not None:
            cookie = URLSafeSerializer(SECRET, "actor").dumps({"a": {"id": actor}})
            self._headers = {"Cookie": f"ds_actor={cookie}"}

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        self._asked(method, path)
        return super().request(method, path, body, {**self._headers, **(headers or {})})

    def get(self, path: str, *statuses: int, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return expect(self.request("GET", path, None, named), *(statuses or (200,)))

    def json(self, path: str) -> Any:
        return self.get(path).json()

    def post(self, path: str, value: dict[str, Any], *statuses: int) -> Any:
        return expect(self.post_json(path, value), *(statuses or (200,))).json()

    def form(self, path: str, fields: dict[str, str], *statuses: int) -> Answer:
        headers = {
            **{"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        }
        return expect(self.request("POST", path, urlencode(fields).encode(), headers), *statuses)


def wait(look: Callable[[], Any]) -> Any:
    """What ``look`` answers, once it is neither None nor False. Raises AssertionError."""
    end = time.monotonic() + _PATIENCE
    while not (found := look()):
        assert time.monotonic() < end, f"{look.__name__}: nothing within {_PATIENCE:g} s"
        time.sleep(0.5)
    return found


@dataclass
class Kept:
    """A file that must be there, whole."""

    id: str
    digest: str
    size: int


class Visitor:
    """One client with an id of its own, and its files."""

    def __init__(self, url: str, number: int, asked: Callable[[str, str], None]) -> None:
        self.name = f"visitor-{number:03}"  # a search takes the beginning of a word too
        self.client = Actor(url, self.name, asked)
        self.guest = Actor(url, None, asked)
        self.chance = random.Random(number)
        self.files: dict[str, Kept] = {}
        #: The ids of files that are being deleted.
        self._leaving: set[str] = set()
        self._number = 0

    def _content(self) -> bytes:
        return self.chance.randbytes(self.chance.choice(_SIZES))

    def _new_name(self, ending: str = "bin") -> str:
        self._number += 1
        return f"{self.name} {self._number}.{ending}"

    def _keep(self, record: dict[str, Any], content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        assert record["content_hash"] == f"sha256:{digest}", record
        kept = Kept(record["id"], digest, len(content))
        self.files[kept.id] = kept
        return kept.id

    def _one(self) -> Kept:
        if not self.files:
            self.send()
        return self.chance.choice(list(self.files.values()))

    def _some(self) -> list[str]:
        self._one()  # of which there is one at least
        return self.chance.sample(list(self.files), min(len(self.files), 4))

    def check(self, kept: Kept) -> Answer:
        """Download a file whole. Raises AssertionError if a byte differs."""
        answer = self.client.get(f"/-/files/{kept.id}/download")
        assert hashlib.sha256(answer.body).hexdigest() == kept.digest, kept
        return answer

    def _job(self, url: str) -> dict[str, Any]:
        def ended() -> Any:
            job = self.client.json(f"{urlsplit(url).path}.json")
            return job if job["status"] not in ("pending", "running") else None

        job: dict[str, Any] = wait(ended)
        assert job["status"] == "finished", job
        return job

    def _drop(self, ids: list[str]) -> None:
        """Delete files for good: through the trash."""
        self._leaving |= set(ids)
        bulk = {"action": "delete", "selection": {"ids": ids}}
        done = self.client.post("/-/files/-/bulk", bulk)
        assert (done["done"], done["refused"]) == (len(ids), []), done
        purged = self.client.post("/-/files/trash/-/purge", {"ids": ids})
        assert sorted(purged["purged"]) == sorted(ids), purged
        for one in ids:
            self.client.get(f"/-/files/{one}.json", 404)
            del self.files[one]
        self._leaving -= set(ids)

    def reconcile(self) -> None:
        """After an answer that did not come, learn what became of the files that it was about.

        Raises AssertionError for a file that is gone, and was not being deleted; Unanswered.
        """
        trashed = {one["id"] for one in self._mine("trash.json?")} & set(self.files)
        if trashed:
            self.client.post("/-/files/trash/-/restore", {"ids": sorted(trashed)})
        there: dict[str, dict[str, Any]] = {}
        for source in SOURCES:
            there |= {one["id"]: one for one in self._mine(f"source/{source}.json?versions=all&")}
        for one in set(self.files) - set(there):
            assert one in self._leaving, f"lost: {self.files[one]}"
            del self.files[one]
        for one in set(there) - set(self.files):
            record = self.client.json(f"/-/files/{one}.json")
            digest = record["content_hash"].removeprefix("sha256:")
            self.files[one] = Kept(one, digest, record["size"])
        self._leaving.clear()

    def _mine(self, route: str) -> Iterator[dict[str, Any]]:
        """The files of a list that this visitor sent, also by a link: their names tell."""
        path: str | None = f"/-/files/{route}_size=200"
        while path is not None:
            page = self.client.json(path)
            yield from (file for file in page["files"] if f"{self.name} " in file["filename"])
            path = page["next_url"]

    def _bound(self) -> None:
        if len(self.files) > KEPT:
            self._drop(sorted(self.files)[: len(self.files) - KEPT // 2])

    # -- The ways in

    def send(self) -> None:
        """A file by one of the ways in, read back."""
        content, name = self._content(), self._new_name()
        ways = (self._raw, self._form, self._steps, self._tus, self._prepared_tus)
        record = self.chance.choice(ways)(name, content)
        self.check(self.files[self._keep(record, content)])

    def _raw(self, name: str, content: bytes) -> dict[str, Any]:
        return self.client.put("docs", name, content, len(content))

    def _form(self, name: str, content: bytes) -> dict[str, Any]:
        fields = {"folder": f"{self.name}/form", "tags": "form"}
        kind, body = multipart(fields, content, name, "application/octet-stream")
        headers = {"Content-Type": kind, "Accept": "application/json"}
        answer = self.client.request("POST", "/-/files/upload/docs", body, headers)
        record: dict[str, Any] = expect(answer, 201).json()["file"]
        return record

    def _steps(self, name: str, content: bytes) -> dict[str, Any]:
        return self.client.three_steps("docs", name, content, "application/octet-stream")

    def _tus(self, name: str, content: bytes, **metadata: str) -> dict[str, Any]:
        """By tus, in up to three parts, with a look at the offset between them."""
        words = {"filename": name, "folder": f"{self.name}/tus", **metadata}
        told = ",".join(f"{k} {base64.b64encode(v.encode()).decode()}" for k, v in words.items())
        headers = {**TUS, "Upload-Length": str(len(content)), "Upload-Metadata": told}
        created = expect(self.client.request("POST", collection("docs"), b"", headers), 201)
        path, offset = urlsplit(created.headers["location"]).path, 0
        step = len(content) // 3 + 1
        while True:
            head = expect(self.client.request("HEAD", path, None, TUS), 200)
            assert int(head.headers["upload-offset"]) == offset, (head, offset)
            if offset == len(content):
                file_id = head.headers["content-location"].rpartition("/")[2]
                record: dict[str, Any] = self.client.json(f"/-/files/{file_id}.json")
                return record
            headers = {**BODY, "Upload-Offset": str(offset)}
            part = content[offset : offset + step]
            answer = expect(self.client.request("PATCH", path, part, headers), 204)
            offset = int(answer.headers["upload-offset"])

    def _prepared_tus(self, name: str, content: bytes) -> dict[str, Any]:
        prepared = self.client.prepare("docs", name, size=len(content), tags=["prepared"])
        return self._tus(name, content, upload_token=expect(prepared, 200).json()["upload_token"])
