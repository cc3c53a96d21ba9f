"""Clients that do random operations on files through several servers, and record each of them.

Leaves out judging what they recorded (histories.py, room.py).
"""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from itsdangerous import URLSafeSerializer

from tests.support.client import Answer, Client, Unanswered
from tests.support.faults.histories import Operation

ACTORS = ("alice", "bob")
SOURCES = ("a", "b")
TAGS = ("red", "green", "blue")
MAX_VERSIONS = 4
#: How often each operation is done.
_WEIGHTS = {
    "upload": 6,
    "replace": 8,
    "delete": 9,
    "restore": 7,
    "purge": 3,
    "move": 8,
    "tag": 6,
    "untag": 4,
    "set tags": 4,
    "share": 5,
    "revoke": 4,
    "record": 10,
    "download": 10,
    "download by link": 12,
    "list": 4,
}


@dataclass(frozen=True)
class Known:
    """A version that an answer has named."""

    id: str
    #: The first version of its file.
    first: str
    size: int


@dataclass(frozen=True)
class Link:
    """A share link of one version."""

    id: str
    file: Known
    path: str
    maker: str


class Recorder:
    """The history, and what the clients know together."""

    def __init__(self, urls: Sequence[str]) -> None:
        #: The servers that may be asked; a caller that kills one takes it out meanwhile.
        self.urls = list(urls)
        self.history: list[Operation] = []
        self.files: list[Known] = []
        self.links: list[Link] = []

    def run(self, clients: int, seed: int, wanted: Callable[[], bool]) -> Callable[[], None]:
        """Begin; the function returned waits for the end, and reads every file once more.

        Each client does one operation after another while ``wanted`` says so.
        """
        failures: list[BaseException] = []

        def work(number: int) -> None:
            try:
                person = Person(self, random.Random(seed + number))
                while wanted():
                    person.act()
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
        for thread in threads:
            thread.start()

        def end() -> None:
            for thread in threads:
                thread.join()
            assert not failures, failures
            last = Person(self, random.Random(seed))
            for file in self.files:
                last.record(file)
                last.download(file)
            for source in SOURCES:
                last.list(source)

        return end

    def by_file(self) -> list[list[Operation]]:
        """The history of each file; a list belongs to all of them, with the versions that it has.

        An upload without an answer is left out, as nobody knows its file.
        """
        first = {file.id: file.first for file in self.files}
        files: dict[str, list[Operation]] = {one: [] for one in first.values()}
        for one in self.history:
            if one.kind != "list" and (name := first.get(one.file or one.found or "")):
                files[name].append(one)
        versions: dict[str, set[str]] = {}
        for file_id, name in first.items():
            versions.setdefault(name, set()).add(file_id)
        for one in self.history:
            if one.kind == "list":
                for name, operations in files.items():
                    operations.append(replace(one, found=one.found & versions[name]))
        return list(files.values())


class Person:
    """One client, who is one of the actors and asks one of the servers at each request."""

    def __init__(self, recorder: Recorder, chance: random.Random) -> None:
        self._all = recorder
        self._chance = chance
        self._actor = ACTORS[0]

    def act(self) -> None:
        """Do one operation."""
        (kind,) = self._chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()))
        self._actor = self._chance.choice(ACTORS)
        if kind == "upload":
            self.upload()
        elif kind == "list":
            self.list(self._chance.choice(SOURCES))
        elif kind in ("revoke", "download by link"):
            if self._all.links:
                link = self._chance.choice(self._all.links[-20:])
                (self.revoke if kind == "revoke" else self.download_by)(link)
        elif self._all.files:
            # Mostly one of a few, so that clients meet.
            file = self._chance.choice(self._all.files[-12:])
            getattr(self, kind.replace(" ", "_"))(file)

    def upload(self) -> None:
        content, given = self._content()
        name = f"/-/files/upload/{given['source']}/a.bin"
        answer = self._do(
            *("upload", "", given, lambda client: client.request("PUT", name, content, self._as())),
            told=lambda answer: answer.json()["file_id"],
        )
        if answer.found:
            self._all.files.append(Known(answer.found, answer.found, len(content)))

    def replace(self, file: Known) -> None:
        """Upload in three steps. The first that is refused is the answer."""
        if sum(one.first == file.first for one in self._all.files) >= MAX_VERSIONS:
            return
        content, given = self._content()
        source = given["source"]

        def steps(client: Client) -> Answer:
            declared = {"filename": "b.bin", "size": len(content), "replaces": file.id}
            path = f"/-/files/upload/{source}/-/"
            prepared = client.post_json(f"{path}prepare", declared, self._as())
            if prepared.status != 200:
                return prepared
            told = prepared.json()
            sent = client.send(told, content, "application/octet-stream", self._as())
            if sent.status != 200:
                return sent
            token = {"upload_token": told["upload_token"]}
            return client.post_json(f"{path}complete", token, self._as())

        done = self._do(
            *("replace", file.id, given, steps), told=lambda answer: answer.json()["file"]["id"]
        )
        if done.found:
            self._all.files.append(Known(done.found, file.first, len(content)))

    def delete(self, file: Known) -> None:
        self._do(
            *("delete", file.id, {}),
            lambda client: client.request("DELETE", f"/-/files/{file.id}", headers=self._as()),
        )

    def restore(self, file: Known) -> None:
        self._post("restore", file, "/-/files/trash/-/restore", {"ids": [file.id]})

    def purge(self, file: Known) -> None:
        self._post("purge", file, "/-/files/trash/-/purge", {"ids": [file.id]})

    def move(self, file: Known) -> None:
        to = self._chance.choice(SOURCES)
        self._bulk("move", file, {"to": to}, {"source": to, "size": file.size})

    def tag(self, file: Known) -> None:
        tag = self._chance.choice(TAGS)
        self._bulk("tag", file, {"tags": [tag]}, {"tags": {tag}})

    def untag(self, file: Known) -> None:
        tag = self._chance.choice(TAGS)
        self._bulk("untag", file, {"tags": [tag]}, {"tags": {tag}})

    def set_tags(self, file: Known) -> None:
        tags = self._chance.sample(TAGS, self._chance.randrange(3))
        path = f"/-/files/{file.id}/-/update"
        self._post("set tags", file, path, {"update": {"tags": tags}}, {"tags": set(tags)})

    def share(self, file: Known) -> None:
        paths = []

        def told(answer: Answer) -> str:
            made = answer.json()["share"]
            paths.append(urlsplit(made["url"]).path)
            return str(made["id"])

        done = self._do(
            *("share", file.id, {}),
            lambda client: client.post_json("/-/files/-/share", {"ids": [file.id]}, self._as()),
            told,
        )
        if done.found:
            self._all.links.append(Link(done.found, file, paths[0], self._actor))

    def revoke(self, link: Link) -> None:
        self._actor = link.maker
        path = f"/-/files/-/share/{link.id}/revoke"
        self._post("revoke", link.file, path, {}, {"link": link.id})

    def record(self, file: Known) -> None:
        def told(answer: Answer) -> dict[str, Any]:
            found = answer.json()
            return {
                "source": found["source_slug"],
                "tags": frozenset(found["tags"]),
                "superseded_by": found["superseded_by"],
            }

        self._get("record", file, f"/-/files/{file.id}.json", told=told)

    def download(self, file: Known) -> None:
        self._get("download", file, f"/-/files/{file.id}/download", told=_sha256)

    def download_by(self, link: Link) -> None:
        path = f"{link.path}/{link.file.id}/download"
        self._get("download by link", link.file, path, {"link": link.id}, told=_sha256)

    def list(self, source: str) -> None:
        """One page, so that it is of one moment."""

        def told(answer: Answer) -> set[str]:
            found = answer.json()
            assert found["next"] is None
            return {one["id"] for one in found["files"]}

        path = f"/-/files/source/{source}.json?_size=200"
        self._do(
            *("list", "", {"source": source}),
            lambda client: client.request("GET", path, headers=self._as()),
            told,
        )

    def _content(self) -> tuple[bytes, dict[str, Any]]:
        # No random bytes: some would be taken for JSON, and then for an answer.
        content = b"x" + self._chance.randbytes(self._chance.randrange(250, 1500)).hex().encode()
        source = self._chance.choice(SOURCES)
        sha256 = hashlib.sha256(content).hexdigest()
        return content, {"source": source, "size": len(content), "sha256": sha256}

    def _as(self) -> dict[str, str]:
        actor = URLSafeSerializer("test", "actor").dumps({"a": {"id": self._actor}})
        return {"Cookie": f"ds_actor={actor}"}

    def _get(
        self,
        kind: str,
        file: Known,
        path: str,
        given: dict[str, Any] | None = None,
        *,
        told: Callable[[Answer], Any],
    ) -> None:
        self._do(
            *(kind, file.id, given or {}),
            lambda client: client.request("GET", path, headers=self._as()),
            told,
        )

    def _post(
        self, kind: str, file: Known, path: str, body: dict[str, Any], given: Any = None
    ) -> None:
        self._do(
            *(kind, file.id, given or {}),
            lambda client: client.post_json(path, body, self._as()),
        )

    def _bulk(
        self, action: str, file: Known, options: dict[str, Any], given: dict[str, Any]
    ) -> None:
        body = {"action": action, "selection": {"ids": [file.id]}, **options}
        self._post(action, file, "/-/files/-/bulk", body, given)

    def _do(
        self,
        kind: str,
        file: str,
        given: dict[str, Any],
        ask: Callable[[Client], Answer],
        told: Callable[[Answer], Any] = lambda answer: None,
    ) -> Operation:
        """Ask one of the servers, and record it."""
        client = Client(self._chance.choice(self._all.urls))
        begin = time.monotonic()
        try:
            answer = ask(client)
        except Unanswered:
            done = Operation(kind, file, self._actor, begin, None, "ok", given)
        else:
            end, code = time.monotonic(), _code(answer)
            found = told(answer) if code == "ok" else None
            done = Operation(kind, file, self._actor, begin, end, code, given, found)
        self._all.history.append(done)
        return done


def _sha256(answer: Answer) -> str:
    return hashlib.sha256(answer.body).hexdigest()


def _code(answer: Answer) -> str:
    """``ok``, or the code of the refusal; ``status 500`` and the like for an answer without one."""
    if answer.status in (200, 201):
        refused = answer.json().get("refused") if _is_json(answer) else None
        return str(refused[0]["code"]) if refused else "ok"
    if answer.status == 204:
        return "ok"
    return str(answer.json()["code"]) if _is_json(answer) else f"status {answer.status}"


def _is_json(answer: Answer) -> bool:
    return answer.headers.get("content-type", "").startswith("application/json")
