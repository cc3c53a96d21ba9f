"""Every route and method against every kind of actor and grant (R8), generated from ``ROUTES``.

``NEEDS`` says which action each route and method asks for; a route that is not in it fails here.
Leaves out the forms of the rules themselves (test_permissions.py).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

import pytest
from datasette.app import Datasette
from datasette.database import Database
from datasette.permissions import PermissionSQL

from datasette_files.app import Files
from datasette_files.catalog.bulk import Order
from datasette_files.catalog.selecting import Selection
from datasette_files.db import jobs, live, shares, trash
from datasette_files.db.shares import Share
from datasette_files.models import FileRecord
from datasette_files.naming import new_ulid
from datasette_files.permissions.actions import (
    BROWSE,
    DEBUG,
    DELETE,
    EDIT,
    MANAGE,
    SHARE,
    UPLOAD,
    VIEW,
)
from datasette_files.permissions.grants import Grant
from datasette_files.permissions.shares import Guessing
from datasette_files.transfer.incoming import Incoming
from datasette_files.views.routes import ROUTES
from tests.conftest import MakeDatasette, disk_source
from tests.support.storages import registered

ACTIONS = (BROWSE, VIEW, UPLOAD, EDIT, DELETE, MANAGE, SHARE)
ACTORS: dict[str, dict[str, Any] | None] = {
    "anonymous": None,
    "stranger": {"id": "stranger"},
    "right": {"id": "right"},
    "owner": {"id": "owner"},
}
SECRET_NAME = "classified.txt"
SECRET = b"the cellar key is under the mat"
#: A file beside the one that requests are about, and the source's label.
WITHHELD = "withheld.txt"
LABEL = "Cellar of papers"

#: An action on the source or the file, or the global one; "any": browse or upload on any source, or
#: a file to see; None: open, but shows nothing.
Needed = (
    Literal[
        "files-browse",
        "files-view",
        "files-upload",
        "files-edit",
        "files-delete",
        "files-manage",
        "files-share",
        "debug-storages",
        "any",
    ]
    | None
)


@dataclass(frozen=True)
class Need:
    """The permissions that one route and method asks for, and its answer when they are given."""

    action: Needed
    status: int = 200


NEEDS: dict[tuple[str, str], Need] = {
    ("/-/files", "GET"): Need("any"),
    ("/-/files/sources.json", "GET"): Need(None),
    ("/-/files/batch.json", "GET"): Need(None),
    ("/-/files/search", "GET"): Need(None),
    ("/-/files/search.json", "GET"): Need(None),
    ("/-/files/source/{source}", "GET"): Need("files-browse"),
    ("/-/files/source/{source}.json", "GET"): Need("files-browse"),
    ("/-/files/source/{source}/index", "GET"): Need("files-manage"),
    ("/-/files/source/{source}/index.json", "GET"): Need("files-manage"),
    ("/-/files/source/{source}/index/-/start", "POST"): Need("files-manage", 202),
    ("/-/files/source/{source}/usage", "GET"): Need("files-manage"),
    ("/-/files/source/{source}/usage.json", "GET"): Need("files-manage"),
    ("/-/files/source/{source}/verify", "GET"): Need("files-manage"),
    ("/-/files/source/{source}/verify.json", "GET"): Need("files-manage"),
    ("/-/files/source/{source}/verify/-/start", "POST"): Need("files-manage", 202),
    # A job that there is not; who sees one is in test_verify.py.
    ("/-/files/source/{source}/verify/{job}.json", "GET"): Need("files-manage", 404),
    ("/-/files/source/{source}/manifest.txt", "GET"): Need("files-manage"),
    ("/-/files/source/{source}/manifest.json", "GET"): Need("files-manage"),
    ("/-/files/source/{source}/settings", "GET"): Need("files-manage"),
    ("/-/files/source/{source}/settings.json", "GET"): Need("files-manage"),
    ("/-/files/source/{source}/settings/-/update", "POST"): Need("files-manage"),
    ("/-/files/source/{source}/settings/-/reset", "POST"): Need("files-manage"),
    # Of one source; without one it has those that the actor manages, in test_audit_reading.py.
    ("/-/files/audit", "GET"): Need("files-manage"),
    ("/-/files/audit.json", "GET"): Need("files-manage"),
    ("/-/files/audit.csv", "GET"): Need("files-manage"),
    ("/-/files/trash", "GET"): Need(None),
    ("/-/files/trash.json", "GET"): Need(None),
    # A file that is not in the trash; who sees one there is in test_trash.py.
    ("/-/files/trash/{file_id}/thumbnail", "GET"): Need(None, 404),
    # Of what somebody else threw away: an owner's own deletion is in test_trash.py.
    ("/-/files/trash/-/restore", "POST"): Need("files-manage"),
    ("/-/files/trash/-/purge", "POST"): Need("files-manage"),
    ("/-/files/storages", "GET"): Need("debug-storages"),
    ("/-/files/storages.json", "GET"): Need("debug-storages"),
    ("/-/files/storages/list/{source}", "GET"): Need("debug-storages"),
    ("/-/files/storages/list/{source}.json", "GET"): Need("debug-storages"),
    ("/-/files/upload/{source}", "GET"): Need("files-upload"),
    ("/-/files/upload/{source}", "POST"): Need("files-upload", 201),
    # Discovery tells nothing of the source; an upload of nobody is absent to who may upload.
    ("/-/files/upload/{source}/-/tus", "OPTIONS"): Need(None, 204),
    ("/-/files/upload/{source}/-/tus", "POST"): Need("files-upload", 201),
    ("/-/files/upload/{source}/-/tus/{upload}", "OPTIONS"): Need(None, 204),
    ("/-/files/upload/{source}/-/tus/{upload}", "HEAD"): Need("files-upload", 404),
    ("/-/files/upload/{source}/-/tus/{upload}", "POST"): Need(None, 405),
    ("/-/files/upload/{source}/-/tus/{upload}", "PATCH"): Need("files-upload", 404),
    ("/-/files/upload/{source}/-/tus/{upload}", "DELETE"): Need("files-upload", 404),
    ("/-/files/upload/{source}/-/prepare", "POST"): Need("files-upload"),
    ("/-/files/upload/{source}/-/upload", "POST"): Need("files-upload"),
    ("/-/files/upload/{source}/-/complete", "POST"): Need("files-upload", 201),
    # This storage takes no parts; test_parts.py has one that does.
    ("/-/files/upload/{source}/-/sign-parts", "POST"): Need("files-upload", 405),
    ("/-/files/upload/{source}/-/list-parts", "POST"): Need("files-upload", 405),
    ("/-/files/upload/{source}/{filename}", "PUT"): Need("files-upload", 201),
    ("/-/files/import/{file_id}", "GET"): Need("files-view"),
    ("/-/files/import/{file_id}", "POST"): Need("files-view", 302),
    ("/-/files/import/{file_id}/{job}/-/cancel", "POST"): Need("files-view"),
    ("/-/files/import/{file_id}/{job}/-/restart", "POST"): Need("files-view", 302),
    ("/-/files/import/{file_id}/{job}", "GET"): Need("files-view"),
    ("/-/files/import/{file_id}/{job}.json", "GET"): Need("files-view"),
    ("/-/files/{file_id}.json", "GET"): Need("files-view"),
    ("/-/files/{file_id}/tables.json", "GET"): Need("files-view"),
    # Of files that nobody has opened; who sees the tables is in test_live.py.
    ("/-/files/{file_id}/-/open", "POST"): Need("files-view", 202),
    ("/-/files/{file_id}/open", "GET"): Need("files-view", 409),
    ("/-/files/{file_id}/open/{job}", "GET"): Need("files-view"),
    ("/-/files/{file_id}/open/{job}.json", "GET"): Need("files-view"),
    ("/-/files/{file_id}/open/{job}/-/cancel", "POST"): Need("files-view"),
    ("/-/files/{file_id}/uses.json", "GET"): Need("files-view"),
    ("/-/files/{file_id}/versions.json", "GET"): Need("files-view"),
    ("/-/files/{file_id}/latest", "GET"): Need("files-view", 302),
    ("/-/files/{file_id}/latest/download", "GET"): Need("files-view", 302),
    # It needs files-view and files-edit besides, which test_versions.py takes away.
    ("/-/files/{file_id}/-/restore-version", "POST"): Need("files-upload", 201),
    ("/-/files/{file_id}/rows", "GET"): Need("files-view"),
    # Rows need the permission on their table: test_version_rows.py.
    ("/-/files/{file_id}/-/rows", "POST"): Need("files-view"),
    ("/-/files/{file_id}/text.json", "GET"): Need("files-view"),
    ("/-/files/{file_id}/download", "GET"): Need("files-view"),
    ("/-/files/{file_id}/inline", "GET"): Need("files-view"),
    ("/-/files/{file_id}/inline/{filename}", "GET"): Need("files-view"),
    ("/-/files/{file_id}/thumbnail", "GET"): Need("files-view"),
    # Answers with the refused files: each is permitted by itself, in test_bulk.py.
    ("/-/files/-/bulk", "POST"): Need(None),
    # A job of somebody else.
    ("/-/files/bulk/{job}", "GET"): Need(None, 403),
    ("/-/files/bulk/{job}.json", "GET"): Need(None, 403),
    ("/-/files/bulk/{job}/-/cancel", "POST"): Need(None, 403),
    ("/-/files/bulk/{job}/-/undo", "POST"): Need(None, 403),
    ("/-/files/-/selection", "POST"): Need("files-view"),
    # A zip that nobody chose; who gets one is in test_zips.py.
    ("/-/files/-/selection/{selection}", "GET"): Need(None, 404),
    ("/-/files/-/selection/{selection}.zip", "GET"): Need(None, 404),
    ("/-/files/-/share", "POST"): Need("files-share", 201),
    ("/-/files/-/share/{share_id}/revoke", "POST"): Need("files-manage"),
    ("/-/files/source/{source}/-/upload-link", "POST"): Need("files-share", 201),
    ("/-/files/shares.json", "GET"): Need(None),
    # By a token of nobody; what a right one gives is in test_shares.py.
    ("/-/files/s/{token}", "GET"): Need(None, 404),
    ("/-/files/s/{token}/zip", "GET"): Need(None, 404),
    ("/-/files/s/{token}/{file_id}", "GET"): Need(None, 404),
    ("/-/files/s/{token}/{file_id}/download", "GET"): Need(None, 404),
    ("/-/files/s/{token}/{file_id}/inline", "GET"): Need(None, 404),
    ("/-/files/s/{token}/{file_id}/thumbnail", "GET"): Need(None, 404),
    ("/-/files/u/{token}", "GET"): Need(None, 404),
    ("/-/files/u/{token}", "POST"): Need(None, 404),
    ("/-/files/u/{token}/-/prepare", "POST"): Need(None, 404),
    ("/-/files/u/{token}/-/upload", "POST"): Need(None, 404),
    ("/-/files/u/{token}/-/complete", "POST"): Need(None, 404),
    ("/-/files/u/{token}/-/sign-parts", "POST"): Need(None, 404),
    ("/-/files/u/{token}/-/list-parts", "POST"): Need(None, 404),
    ("/-/files/u/{token}/-/tus", "OPTIONS"): Need(None, 404),
    ("/-/files/u/{token}/-/tus", "POST"): Need(None, 404),
    **{
        ("/-/files/u/{token}/-/tus/{upload}", method): Need(None, 404)
        for method in ("OPTIONS", "HEAD", "PATCH", "DELETE")
    },
    ("/-/files/u/{token}/-/tus/{upload}", "POST"): Need(None, 405),
    ("/-/files/{file_id}/-/update", "POST"): Need("files-edit"),
    ("/-/files/{file_id}/-/delete", "POST"): Need("files-delete"),
    ("/-/files/{file_id}", "GET"): Need("files-view"),
    ("/-/files/{file_id}", "DELETE"): Need("files-delete", 204),
}


def each(block: Any) -> dict[str, Any]:
    """The same block for every action."""
    return dict.fromkeys(ACTIONS, block)


@dataclass(frozen=True)
class Setup:
    """A configuration of permissions, and who may do what in source ``docs`` under it."""

    permissions: dict[str, Any]
    plugin: dict[str, Any]
    #: Actors with every action on ``docs``.
    may: frozenset[str] = frozenset()
    #: Actors with something on any source.
    anywhere: frozenset[str] = frozenset()
    #: Whether the uploader may edit and delete.
    owns: bool = False
    #: Who may see the file without all of its source.
    views: frozenset[str] = frozenset()
    #: What another plugin's rule says to ``right`` about ``files-view`` on the file, if it has one.
    rule: bool | None = None
    #: Actors who may look into the storages.
    debug: frozenset[str] = frozenset()

    def allows(self, actor: str, action: Needed) -> bool:
        if action is None:
            return True
        if action == "any":
            return actor in self.anywhere
        if action == DEBUG:
            return actor in self.debug
        if action == VIEW and actor in self.views:
            return True
        if action in (EDIT, DELETE) and self.owns and actor == "owner":
            return True
        return actor in self.may


RIGHT = {"id": "right"}
_RIGHT = frozenset({"right"})
_OWNERS = {"owners_can_edit": True, "owners_can_delete": True}
SETUPS = {
    "no grant": Setup({}, {}),
    "global grant": Setup(each(RIGHT), {}, _RIGHT, _RIGHT),
    "source grant": Setup(each({"docs": {"allow": RIGHT}}), {}, _RIGHT, _RIGHT),
    "grant elsewhere": Setup(each({"other": {"allow": RIGHT}}), {}, anywhere=_RIGHT),
    "denied source": Setup(each({**RIGHT, "docs": {"allow": False}}), {}, anywhere=_RIGHT),
    "owners": Setup({}, _OWNERS, owns=True),
    "debugging alone": Setup({DEBUG: RIGHT}, {}, debug=_RIGHT),
    "one file": Setup({}, {}, anywhere=_RIGHT, views=_RIGHT, rule=True),
    "one file of a denied source": Setup(each({"docs": {"allow": False}}), {}, rule=True),
    "one file of a source of others": Setup(
        each({**RIGHT, "docs": {"allow": {"id": "boss"}}}),
        *({}, frozenset(), _RIGHT),
        views=_RIGHT,
        rule=True,
    ),
    "one file denied": Setup(each(RIGHT), {}, _RIGHT, _RIGHT, rule=False),
    "owners and denied source": Setup(each({"docs": {"allow": False}}), _OWNERS),
}


#: What others mean together: all are slow proofs but one of each kind.
OFTEN = ("no grant", "source grant", "one file")


#: Headers of a well-formed request by the tus protocol: to create, and to send bytes.
_TUS = {
    **{"Tus-Resumable": "1.0.0", "Upload-Length": "3", "Upload-Offset": "0"},
    "Upload-Metadata": "filename bmV3LnR4dA==",
    "Content-Type": "application/offset+octet-stream",
}


async def _chunks(more: bytes = b"") -> AsyncIterator[bytes]:
    yield SECRET + more


class Stage:
    """A Datasette of one setup, in which any state can be made whatever the permissions."""

    _open = Grant(UPLOAD, "SELECT 'docs' AS parent", {})

    def __init__(self, datasette: Datasette) -> None:
        self.datasette = datasette
        self.files = Files.of(datasette)
        self.source = self.files.sources.get("docs")
        #: The file and job that requests are about, until one deletes them.
        self._shared: tuple[FileRecord, int] | None = None
        self._trashed: str | None = None
        self._bulk_job: int | None = None

    async def file(self, name: str = SECRET_NAME, more: bytes = b"") -> FileRecord:
        """A new file of ``owner``."""
        incoming, chunks = Incoming(name, "text/plain"), _chunks(more)
        return await self.files.uploads.store(self.source, "owner", self._open, incoming, chunks)

    async def token(self, actor: dict[str, Any] | None, received: bool) -> str:
        """An upload prepared by the actor, its bytes received or not."""
        who = actor["id"] if actor else None
        uploads = self.files.uploads
        incoming = Incoming("new.txt", "text/plain")
        token, _ = await uploads.prepare(self.source, who, self._open, incoming)
        if received:
            await uploads.receive(self.source, who, self._open, token, _chunks())
        return token

    async def trashed(self) -> str:
        """The id of a file of ``owner`` that ``somebody`` has put into the trash."""
        if self._trashed is not None and await self._is_trashed(self._trashed):
            return self._trashed
        file = await self.file()
        now = time.time()
        await self.files.catalog.write(
            lambda conn: trash.add(conn, file.id, "somebody", now, now + 3600)
        )
        self._trashed = file.id
        return file.id

    async def _is_trashed(self, file_id: str) -> bool:
        return await self.files.catalog.read(lambda conn: trash.get(conn, file_id)) is not None

    async def share(self) -> str:
        """The id of a link of ``somebody`` to upload into ``docs``."""
        link_id, now = f"sh-{new_ulid()}", time.time()
        maker = {"id": "somebody"}
        link = Share(
            *(None, link_id, link_id, "upload", self.source.id, None),
            *(maker, "somebody", now, now + 3600),
        )
        await self.files.catalog.write(lambda conn: shares.insert(conn, link, ()))
        return link_id

    async def bulk_job(self) -> int:
        """The id of a bulk action of ``somebody``."""
        if self._bulk_job is None:
            order, selection = Order("tag", ("a",)), Selection(("df-absent",))
            start = self.files.bulk_jobs.start
            self._bulk_job = await start({"id": "somebody"}, order, selection)
        return self._bulk_job

    async def job(self, file: FileRecord, status: str = "complete") -> int:
        def insert(conn: Any) -> int:
            return int(
                conn.execute(
                    """INSERT INTO _datasette_files_imports (file_id, import_type, database_name,
                    table_name, status, row_count, total_size, bytes_read, started_at, actor_id)
                    VALUES (?, 'csv', 'tables', ?, ?, 3, 30, 30,
                    '2026-01-02 03:04:05', 'owner')""",
                    (file.id, new_ulid(), status),
                ).lastrowid
            )

        return await self.files.catalog.write(insert)

    async def opening(
        self, file: FileRecord, actor: dict[str, Any] | None, status: str | None
    ) -> int:
        """A job of the actor that opens the file as a table; it ended with the status, if any."""

        def insert(conn: Any) -> int:
            options = {"file_id": file.id, "key": "none", "size": 3}
            who = actor and actor["id"]
            job = jobs.add(
                conn, kind=live.KIND, actor=actor, actor_id=who, options=options, notes={}
            )
            if status is not None:
                jobs.end(conn, job, status)
            return job

        return await self.files.catalog.write(insert)

    async def request(self, path: str, method: str, actor: dict[str, Any] | None) -> Any:
        """Send a well-formed request to the route; the answer."""
        parts = {"{source}": "docs", "{filename}": "new.txt", "{token}": "a-wrong-one"}
        parts |= {"{upload}": "0" * 40, "{selection}": "a-wrong-one"}
        if "{token}" in path:
            self.files.links.guessing = Guessing()  # or all the wrong ones would be answered late
        if "{share_id}" in path:
            parts["{share_id}"] = await self.share()
        if "/bulk/{job}" in path:
            parts["{job}"] = str(await self.bulk_job())
        if "/verify/{job}" in path:
            parts["{job}"] = "999999"
        if "{file_id}" in path:
            if self._shared is None:
                file = await self.file()
                self._shared = file, await self.job(file)
            file, job = self._shared
            if "/open" in path:
                file = await self.file(more=new_ulid().encode())
                job = await self.opening(
                    file, actor, None if path.endswith("/cancel") else "cancelled"
                )
            elif path.endswith(("/cancel", "/restart")):
                job = await self.job(file, "pending" if path.endswith("/cancel") else "error")
            parts |= {"{file_id}": file.id, "{job}": str(job)}
        url = path
        for name, value in parts.items():
            url = url.replace(name, value)
        if "/audit" in path:
            url += "?source=docs"
        body = await self._body(path, method, actor)
        # A refusal as JSON: the error page costs ten times as much, and has tests of its own.
        headers = {"Accept": "application/json"} | (_TUS if "/tus" in path else {})
        client = self.datasette.client
        response = await client.request(method, url, actor=actor, headers=headers, **body)
        ends = ("/delete", "/restore-version")
        if response.is_success and (method == "DELETE" or path.endswith(ends)):
            self._shared = None
        return response

    async def _body(self, path: str, method: str, actor: dict[str, Any] | None) -> dict[str, Any]:
        if method in ("GET", "HEAD", "DELETE", "OPTIONS"):
            return {}
        if "/tus" in path:
            return {"content": b"" if method == "POST" else b"new"}
        if path == "/-/files/-/bulk":
            selection = {"ids": [(await self.file()).id, await self.trashed()]}
            return {"json": {"action": "tag", "selection": selection, "tags": ["a"]}}
        if path in ("/-/files/-/share", "/-/files/-/selection"):
            return {"json": {"ids": [(await self.file()).id]}}
        match path.rpartition("/")[2]:
            case "prepare":
                return {"json": {"filename": "new.txt"}}
            case "upload":
                token = await self.token(actor, received=False)
                return {"data": {"upload_token": token}, "files": {"file": ("new.txt", b"new")}}
            case "complete":
                return {"json": {"upload_token": await self.token(actor, received=True)}}
            case "sign-parts" | "list-parts":
                token = await self.token(actor, received=False)
                return {"json": {"upload_token": token, "numbers": [1]}}
            case "restore" | "purge":
                return {"json": {"ids": [await self.trashed()]}}
            case "update" if "settings" in path:
                return {"json": {"settings": {"label": "Papers"}}}
            case "reset" | "upload-link" | "revoke" | "start" | "rows":
                return {"json": {}}
            case "update":
                return {"json": {"update": {"search_text": "words"}}}
            case "delete":
                return {"json": {}}
            case "{file_id}":
                return {"data": {"database_name": "tables", "table_name": new_ulid()}}
            case "cancel" | "restart" | "undo" | "open":
                return {"data": {}}
            case "{filename}":
                return {"content": b"new"}
        return {"files": {"file": ("new.txt", b"new")}}

    def count(self) -> int:
        return sum(1 for path in Path(self.source.config.config["root"]).rglob("*.txt"))


def _rule(allow: bool) -> Any:
    """Another plugin's rules for ``right``, one for each file but the withheld ones."""

    def rules(datasette: Any, actor: Any, action: str) -> PermissionSQL | None:
        if action != VIEW or actor != ACTORS["right"]:
            return None
        sql = f"""SELECT 'docs' AS parent, id AS child, {int(allow)} AS allow, 'one' AS reason
            FROM datasette_files WHERE filename = '{SECRET_NAME}'"""
        return PermissionSQL(sql=sql)

    return rules


@pytest.fixture
async def stage(
    make_datasette: MakeDatasette, tmp_path: Path, request: Any
) -> AsyncIterator[Stage]:
    setup = SETUPS[request.param]
    with ExitStack() as stack:
        if setup.rule is not None:
            stack.enter_context(registered(permission_resources_sql=_rule(setup.rule)))
        yield await _stage(make_datasette, tmp_path, setup)


async def _stage(make_datasette: MakeDatasette, tmp_path: Path, setup: Setup) -> Stage:
    sources = {slug: disk_source(tmp_path / slug) for slug in ("docs", "other")}
    sources["docs"]["label"] = LABEL
    # What an import needs of Datasette; test_imports.py takes it away.
    permissions = {**setup.permissions, "create-table": True, "insert-row": True}
    datasette = await make_datasette(sources, permissions, **setup.plugin)
    # In a file, as an import that a request starts writes there while others read.
    tables = tmp_path / "tables.db"
    sqlite3.connect(tables).close()
    datasette.add_database(Database(datasette, path=str(tables), is_mutable=True), name="tables")
    return Stage(datasette)


def routes_and_methods() -> list[tuple[str, str]]:
    """Every cell of the route table, HEAD too."""
    cells = []
    for route in ROUTES:
        cells += [(route.path, method) for method in route.methods]
        if "GET" in route.methods:
            cells.append((route.path, "HEAD"))
    return cells


def need(path: str, method: str) -> Need:
    return NEEDS.get((path, method)) or NEEDS[path, "GET"]


def test_every_route_and_method_has_its_expectation() -> None:
    cells = set(routes_and_methods())
    assert {
        (path, method) for path, method in cells if method != "HEAD" or (path, "GET") not in cells
    } == set(NEEDS)


@pytest.mark.parametrize(
    "stage, name",
    [
        pytest.param(name, name, marks=[] if name in OFTEN else [pytest.mark.full])
        for name in SETUPS
    ],
    indirect=["stage"],
)
async def test_routes_answer_by_the_actors_grants(stage: Stage, name: str) -> None:
    setup, wrong = SETUPS[name], []
    await stage.file(WITHHELD)
    for actor, (path, method) in product(ACTORS, routes_and_methods()):
        needed = need(path, method)
        expected = needed.status if setup.allows(actor, needed.action) else 403
        response = await stage.request(path, method, ACTORS[actor])
        if response.status_code != expected:
            wrong.append(f"{actor}: {method} {path}: {response.status_code}, not {expected}")
        leaks = SECRET_NAME in response.text or SECRET in response.content
        # Who may look into the storages sees paths, which hold names.
        if leaks and not setup.allows(actor, VIEW) and needed.action != DEBUG:
            wrong.append(f"{actor}: {method} {path} shows the file")
        beyond = WITHHELD in response.text or LABEL in response.text
        if beyond and not setup.allows(actor, BROWSE) and needed.action != DEBUG:
            wrong.append(f"{actor}: {method} {path} shows more of the source than the file")
    assert wrong == []


@pytest.mark.parametrize("stage", ["no grant"], indirect=True)
async def test_refused_requests_change_nothing(stage: Stage) -> None:
    file = await stage.file()
    stored = stage.count()
    for path, method in routes_and_methods():
        if method in ("POST", "PUT") and "/upload/" in path:
            await stage.request(path, method, ACTORS["stranger"])
    # Two uploads were received by Stage itself; nothing of a refused one is beside them.
    assert stage.count() == stored + 1
    for method, url in [("DELETE", ""), ("POST", "/-/delete")]:
        answer = await stage.datasette.client.request(method, f"/-/files/{file.id}{url}")
        assert answer.status_code == 403
    assert (await stage.files.lookup.find(file.id)) is not None
    assert stage.count() == stored + 1


@pytest.mark.parametrize("stage", ["global grant", "no grant"], indirect=True)
@pytest.mark.parametrize("actor", ["anonymous", "right"])
async def test_absent_files_and_sources_are_not_found(stage: Stage, actor: str) -> None:
    parts = {"{source}": "absent", "{file_id}": "df-absent", "{filename}": "a.txt", "{job}": "1"}
    parts["{upload}"] = "0" * 40
    for path, method in routes_and_methods():
        if ("{source}" not in path and "{file_id}" not in path) or (
            "/tus" in path and need(path, method).action is None
        ):
            continue
        url = path
        for name, value in parts.items():
            url = url.replace(name, value)
        body = await stage._body(path, method, ACTORS[actor])
        client, headers = stage.datasette.client, _TUS if "/tus" in path else {}
        who = ACTORS[actor]
        response = await client.request(method, url, actor=who, headers=headers, **body)
        assert response.status_code == 404, f"{method} {url}"


@pytest.mark.parametrize("stage", ["owners", "source grant"], indirect=True)
@pytest.mark.parametrize(
    "kind, status, code", [("tok_no", 404, "not_found"), ("theirs", 403, "permission_denied")]
)
async def test_an_upload_belongs_to_the_actor_who_prepared_it(
    make_datasette: MakeDatasette, stage: Stage, kind: str, status: int, code: str, tmp_path: Path
) -> None:
    sources = {"docs": disk_source(tmp_path / "docs")}
    both = await make_datasette(sources, each({"id": ["right", "owner"]}))
    token = await stage.token(ACTORS["owner"], received=True) if kind == "theirs" else kind
    for step, body in [
        ("upload", {"data": {"upload_token": token}, "files": {"file": ("n.txt", b"new")}}),
        ("complete", {"json": {"upload_token": token}}),
        ("sign-parts", {"json": {"upload_token": token, "numbers": [1]}}),
        ("list-parts", {"json": {"upload_token": token}}),
    ]:
        url = f"/-/files/upload/docs/-/{step}"
        answer = await both.client.post(url, actor=ACTORS["right"], **body)
        assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize("stage", ["source grant", "one file"], indirect=True)
async def test_lists_hold_only_what_may_be_seen(stage: Stage, request: Any) -> None:
    file = await stage.file()
    single = request.node.callspec.params["stage"] == "one file"
    if single:
        await stage.file(WITHHELD)
    client = stage.datasette.client
    for actor, sees in [("right", True), ("stranger", False), ("anonymous", False)]:
        who = ACTORS[actor]
        batch = (await client.get(f"/-/files/batch.json?id={file.id}", actor=who)).json()
        assert (file.id in batch["files"]) is sees
        sources = (await client.get("/-/files/sources.json", actor=who)).json()["sources"]
        browsable = ["docs"] if sees and not single else []
        assert [source["slug"] for source in sources] == browsable
        for query in ("", "?q=classified", f"?q={file.id}", "?source=docs", "?q=c&source=other"):
            found = (await client.get(f"/-/files/search.json{query}", actor=who)).json()
            hit = sees and "other" not in query
            assert [one["id"] for one in found["files"]] == ([file.id] if hit else [])
            assert found["total"] == int(hit)
            assert found["sources"] == browsable
            page = await client.get(f"/-/files/search{query}", actor=who)
            assert page.status_code == 200
            assert (SECRET_NAME in page.text) is hit
            assert WITHHELD not in page.text


@pytest.mark.parametrize("stage", ["owners"], indirect=True)
async def test_an_owner_who_may_not_browse_edits_without_seeing_the_record(stage: Stage) -> None:
    file = await stage.file()
    answer = await stage.datasette.client.post(
        f"/-/files/{file.id}/-/update",
        json={"update": {"search_text": "words"}},
        actor=ACTORS["owner"],
    )
    assert answer.json() == {"ok": True}
    found = await stage.files.lookup.find(file.id)
    assert found is not None
    assert found[0].search_text == "words"
