"""The asynchronous client of a server's files. The blocking one is in blocking.py."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO
from urllib.parse import quote

import httpx2 as httpx

from ..catalog.texts import check_text
from ..errors import FilesError, Invalid
from ..naming import ID_PATTERN, stored_name
from .bundling import Bundling, Wanted
from .copying import RemoteFile
from .fetching import Fetching
from .keeping import Keeping, Record, checked_slug, place
from .memory import Memory
from .sending import LocalFile, Sending
from .server import Server

#: Told the bytes of each step of a transfer. They may be negative, where bytes are sent again.
Progress = Callable[[int], None]


def _silent(number: int) -> None:
    return None


#: Files of one request of a bulk action.
_AT_ONCE = 200


class AsyncClient(Keeping):
    """The files of one server, for an actor's token. Use it in ``async with``.

    ``url`` is the address of the Datasette, with its ``base_url``. ``state`` is the folder of what
    transfers need to go on after a kill; by default one of the XDG state home. Every method raises
    the FilesError of the server's code, and Unreachable (a StorageUnavailable) without an answer.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        state: Path | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(Server(url, token, transport))
        memory = Memory(state)
        self._sending = Sending(self._server, memory)
        self._fetching = Fetching(self._server, memory)
        self._bundling = Bundling(self._server, self._fetching, memory)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connections."""
        await self._server.close()

    @property
    def url(self) -> str:
        """The server's address."""
        return self._server.url

    # -- What is there

    async def sources(self) -> list[Record]:
        """The sources that the actor may browse or upload to."""
        return list((await self._server.ask("GET", "/-/files/sources.json"))["sources"])

    async def files(self, source: str | None = None, **filters: Any) -> AsyncIterator[Record]:
        """The files of a source, or those that a search in all sources finds.

        ``filters`` are the arguments of the list: ``q``, ``folder``, ``recursive``, ``tag``,
        ``content_type``, ``uploaded_by``, ``created_after``, ``created_before``, ``versions``,
        ``_sort``. A list repeats an argument.
        """
        path = (
            "/-/files/search.json"
            if source is None
            else f"/-/files/source/{checked_slug(source)}.json"
        )
        given = _arguments(filters)
        after: str | None = None
        while True:
            page = await self._server.ask("GET", path, params=[*given, *place(after)])
            if page.get("by_letters"):  # no file has the words, and commands go by words
                return
            for record in page["files"]:
                yield record
            after = page["next"]
            if after is None:
                return

    async def by_path(
        self, source: str, *, prefix: str = "", after: str = ""
    ) -> AsyncIterator[Record]:
        """The newest versions of a source in the order of their paths in the storage.

        Read from the source's tables (docs/tables.md), so the records have its columns. ``prefix``:
        only paths that begin so; ``after``: only those after this one.
        """
        route = f"/files_{checked_slug(source)}/files.json"
        first = max(_at_least(prefix), f"{after}\x01" if after else "")
        given = [("_sort", "path"), ("_size", "max"), ("superseded_by__isnull", "1")]
        given += [("path__gte", first)] if first else []
        following: list[tuple[str, str]] = []
        while True:
            page = await self._server.ask("GET", route, params=[*given, *following])
            for record in page["rows"]:
                if not record["path"].startswith(prefix):
                    if record["path"] > prefix:
                        return
                    continue
                yield record
            if page["next"] is None:
                return
            following = [("_next", page["next"])]

    async def file(self, file_id: str) -> Record:
        """One file's record."""
        return await self._server.ask("GET", f"/-/files/{_id(file_id)}.json")

    async def versions(self, file_id: str) -> list[Record]:
        """The versions of a file, the newest first."""
        return list(
            (await self._server.ask("GET", f"/-/files/{_id(file_id)}/versions.json"))["versions"]
        )

    # -- Bytes

    async def put(
        self,
        source: str,
        path: str | Path,
        *,
        name: str | None = None,
        content_type: str | None = None,
        folder: str = "",
        tags: Iterable[str] = (),
        replaces: str | None = None,
        progress: Progress = _silent,
    ) -> Record:
        """Upload a local file. One of more than 8 MiB goes on after a break, also after a kill."""
        path = Path(path)
        shown = name or os.fsencode(path.name).decode("utf-8", "replace")
        file = LocalFile(path, shown, content_type, folder, tuple(tags), replaces)
        return await self._sending.file(checked_slug(source), file, progress)

    async def put_stream(
        self,
        source: str,
        chunks: AsyncIterator[bytes],
        name: str,
        *,
        content_type: str | None = None,
        folder: str = "",
        tags: Iterable[str] = (),
    ) -> Record:
        """Upload bytes of an unknown number, in one request."""
        file = LocalFile(Path(name), name, content_type, folder, tuple(tags))
        return await self._sending.stream(checked_slug(source), file, chunks)

    async def copy(self, file_id: str, source: str, *, progress: Progress = _silent) -> Record:
        """Upload a file's bytes as a new file of another source, with name, type, folder and tags.

        They pass through this client, and are kept nowhere. The server verifies them by the sha256,
        where that is known. As ``put``, a file of more than 8 MiB goes on after a break.
        """
        original = RemoteFile(self._server, await self.file(file_id))
        return await self._sending.file(checked_slug(source), original, progress)

    async def get(
        self,
        file_id: str,
        path: str | Path = ".",
        *,
        replace: bool = False,
        progress: Progress = _silent,
    ) -> Path:
        """Download a file to a path, or into a folder under a safe form of its name.

        It appears whole, durable and verified, or not at all. What had arrived before a break, or a
        kill, is not fetched again. Raises Conflict if something is there, unless ``replace``.
        """
        record = await self.file(file_id)
        path = Path(path)
        if await asyncio.to_thread(path.is_dir):
            path /= stored_name(record["filename"])
        await self._fetching.file(record, path, progress, replaces=replace)
        return path

    async def read_into(self, file_id: str, out: BinaryIO) -> None:
        """Write a file's bytes to an open file, as they come, unverified."""
        await self._fetching.to_stream(await self.file(file_id), out)

    async def text(self, file_id: str) -> AsyncIterator[Record]:
        """The text of a document, page by page, as ``{"page", "text"}``.

        Raises Conflict, with the reason, for a file without text.
        """
        path, after = f"/-/files/{_id(file_id)}/text.json", None
        while True:
            page = await self._server.ask("GET", path, params=[("texts", "1"), *place(after)])
            check_text(file_id, page["text_status"], page["text_error"])
            for one in page["texts"]:
                yield one
            after = page["next"]
            if after is None:
                return

    async def bundle(
        self,
        path: str | Path,
        *,
        source: str | None = None,
        table: str | None = None,
        files: Sequence[str] | None = None,
        zipped: bool = False,
        progress: Progress = _silent,
    ) -> Record:
        """Write a source, a table with its files, or files by their ids as one bag.

        ``table`` is ``database/table``. ``path`` must not exist; it becomes a folder, or with
        ``zipped`` a zip file: whole, durable and verified, or not at all. What had arrived before a
        break, or a kill, is not fetched again. Returns ``{"files", "bytes", "left_out"}``.
        """
        wanted = _bundled(source, table, files)
        done = await self._bundling.bundle(wanted, Path(path), progress, zipped=zipped)
        return asdict(done)

    # -- Changes

    async def update(self, file_id: str, **changes: Any) -> Record | None:
        """Change ``filename``, ``folder``, ``tags`` or ``search_text``.

        Returns the new record; None if the actor may not see it.
        """
        path = f"/-/files/{_id(file_id)}/-/update"
        answer = await self._server.ask("POST", path, json={"update": changes}, repeat=True)
        return answer.get("file")

    async def bulk(
        self, action: str, files: Sequence[str] | None = None, *, filters: Any = None, **more: Any
    ) -> Record:
        """One action on many files: ``{"done": number, "refused": [{"id", "code"}], …}``.

        ``action`` is delete, restore, purge, tag, untag, folder or move; ``more`` are its ``tags``,
        ``folder`` or ``to``. Any number of ids may be given. Waits for the server's jobs.
        """
        if files is None:
            return await self._bulk({"action": action, "selection": dict(filters or {}), **more})
        done: Record = {"ok": True, "done": 0, "refused": [], "trashed": []}
        for start in range(0, len(files), _AT_ONCE):
            chosen = {"ids": list(files[start : start + _AT_ONCE])}
            answer = await self._bulk({"action": action, "selection": chosen, **more})
            done["done"] += answer["done"]
            done["refused"] += answer["refused"]
            done["trashed"] += answer.get("trashed", [])
        return done

    async def _bulk(self, body: Record) -> Record:
        answer = await self._server.ask("POST", "/-/files/-/bulk", json=body)
        if "job" not in answer:
            return answer
        job = await self._ended(f"{answer['job']['url']}.json")
        if job["status"] != "finished":
            raise FilesError(job["error"] or f"The job ended: {job['status']}")
        return job

    async def import_table(
        self, file_id: str, database: str, table: str, *, mode: str = "create", **form: str
    ) -> Record:
        """Import a file into a table, and return the ended job. ``form``: the other fields.

        Raises Invalid with the reason if the import failed.
        """
        fields = {"database_name": database, "table_name": table, "mode": mode, **form}
        route = self._server.route(f"/-/files/import/{_id(file_id)}")
        answer = await self._server.send(
            "POST",
            route,
            headers={
                "Accept": "application/json",
                "Content-Type": "application/x-www-form-urlencoded",
            },
            content="&".join(
                f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in fields.items()
            ).encode(),
        )
        job = await self._ended(f"{answer.headers['Location']}.json")
        if job["status"] != "finished":
            raise Invalid(job["error"] or f"The import ended: {job['status']}")
        return job

    # -- Links

    async def share(
        self,
        files: Sequence[str],
        *,
        expires_in: int | None = None,
        label: str | None = None,
        max_downloads: int | None = None,
    ) -> Record:
        """Make a link to files. Its ``url`` is given here only. ``expires_in``: seconds."""
        terms = {"expires_in": expires_in, "label": label, "max_downloads": max_downloads}
        body = {"ids": list(files)} | {k: v for k, v in terms.items() if v is not None}
        return dict((await self._server.ask("POST", "/-/files/-/share", json=body))["share"])

    async def shares(self) -> list[Record]:
        """The links that have not ended: the actor's own, and those of sources that it manages."""
        found: list[Record] = []
        after: str | None = None
        while True:
            page = await self._server.ask("GET", "/-/files/shares.json", params=place(after))
            found += page["shares"]
            after = page["next"]
            if after is None:
                return found

    async def revoke(self, share_id: str) -> None:
        """End a link for good."""
        path = f"/-/files/-/share/{quote(share_id, safe='')}/revoke"
        await self._server.ask("POST", path, json={}, repeat=True)


def _bundled(source: str | None, table: str | None, files: Sequence[str] | None) -> Wanted:
    """The files of a bundle. Raises Invalid unless exactly one argument is given."""
    if [source, table, files].count(None) != 2:
        raise Invalid("Name either a source, a table or files")
    if table is not None:
        database, slash, name = table.partition("/")
        if not (database and slash and name):
            raise Invalid("A table is named as DATABASE/TABLE, such as shop/products")
        return Wanted.of_table(database, name)
    if files is not None:
        return Wanted(selection={"ids": [_id(one) for one in files]})
    return Wanted(selection={"source": checked_slug(source or "")})


def _arguments(filters: dict[str, Any]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in filters.items():
        values = value if isinstance(value, list | tuple) else [value]
        found += [(name, "1" if one is True else str(one)) for one in values if one is not None]
    return found


def _at_least(prefix: str) -> str:
    """The least path to ask for. Datasette would take digits for a number, without their zeros."""
    if not prefix.isdigit():
        return prefix
    return f"{prefix[:-1]}{chr(ord(prefix[-1]) - 1)}\U0010ffff"


def _id(file_id: str) -> str:
    """The id. Raises Invalid for a text that is none, which would be another route."""
    if not re.fullmatch(ID_PATTERN, file_id):
        raise Invalid(f"{file_id!r} is no id of a file; ids begin with df-")
    return file_id
