"""Bundles of a server: a zip that goes on by Range, verified, as it is or as a folder.

The server lays out the bag once and gives it an address, which is remembered: a bundle that was
killed goes on with the same bytes. The zip waits beside the target under a hidden name.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2 as httpx
from datasette.utils import tilde_encode

from ..errors import (
    ChecksumMismatch,
    Expired,
    FilesError,
    Invalid,
    NotFound,
    PermissionDenied,
    StorageUnavailable,
)
from ..protocol import bagit
from ..tables.bag_index import BagIndex
from ..transfer import bag_reading
from ..transfer.bag_layout import FILES
from ..transfer.bag_writing import Member, new_member, publish_folder, workspace
from ..transfer.bundling import in_thread
from ..transfer.publishing import check_free, publish, system_errors
from .fetching import Fetching, Tell
from .memory import Memory
from .server import Server

#: Seconds between two looks at a bundle whose files the server reads first.
_LOOK_SECONDS = 2.0
_MAX_TAG_MANIFEST = 64 * 1024


@dataclass(frozen=True)
class Fetched:
    """A bundle on this disk. ``left_out``: files that the server left out."""

    files: int
    bytes: int
    left_out: int


@dataclass(frozen=True)
class Wanted:
    """The files of a bundle: those of a table, by its path on the server, or of a selection."""

    table: str | None = None
    selection: dict[str, Any] | None = None

    @classmethod
    def of_table(cls, database: str, table: str) -> Wanted:
        return cls(table=f"/{tilde_encode(database)}/{tilde_encode(table)}")


class Bundling:
    """Fetches the bundles of one server."""

    def __init__(self, server: Server, fetching: Fetching, memory: Memory) -> None:
        self._server = server
        self._fetching = fetching
        self._memory = memory

    async def bundle(self, wanted: Wanted, out: Path, tell: Tell, *, zipped: bool) -> Fetched:
        """Write the bundle to ``out``, which must not exist: a zip file, or a folder.

        ``tell`` is told the bytes of each step. Raises Conflict, ChecksumMismatch, Invalid,
        NoSpace, Unreachable; as the server says.
        """
        with system_errors(out):
            check_free(out, replaces=False)
        part = out.parent / f".{out.name[:100]}.bundle.part"
        place = os.fsencode(part.absolute())
        known = self._memory.of("bundle", self._server.url, repr(wanted), place)
        address = str(known.read().get("address") or "")
        size = await self._begun(address)
        if size is None:
            address = await self._made(wanted)
            known.keep(address=address)
            size = await self._size(address)
        arrived = await self._fetching.into(httpx.URL(address), size, part, tell)
        try:
            return await _taken(part, out, zipped=zipped)
        except (ChecksumMismatch, Invalid):
            part.unlink(missing_ok=True)  # the same bytes would be refused again
            raise
        finally:
            if not part.exists():
                arrived.forget()
                known.forget()

    async def _made(self, wanted: Wanted) -> str:
        """Have the server choose the files; the address of the bundle."""
        if wanted.table is not None:
            url = self._server.route(f"{wanted.table}.bundle")
            answer = await self._server.send("GET", url, headers={"Accept": "application/json"})
            location = answer.headers.get("Location")
            if location is None:
                raise NotFound("The server makes no bundles of tables; update its datasette-files")
            return str(self._server.answered(location))
        body = {"selection": wanted.selection, "bundle": True}
        made = await self._server.ask("POST", "/-/files/-/selection", json=body)
        return str(self._server.answered(made["zip_url"]))

    async def _begun(self, address: str) -> int | None:
        """The bytes of a bundle that was begun; None if there is none, or it has ended.

        Then a new one is made, and its refusal is told instead.
        """
        try:
            return await self._size(address) if address else None
        except (NotFound, Expired, PermissionDenied):
            return None

    async def _size(self, address: str) -> int:
        """The bytes of a bundle, once it is laid out. Raises as the server says."""
        while True:
            try:
                answer = await self._server.send("HEAD", httpx.URL(address), repeat=True)
            except StorageUnavailable:
                raise
            except FilesError:
                # The answer to HEAD has no body, and so not the server's reason.
                first_byte = {"Range": "bytes=0-0"}
                await self._server.send("GET", httpx.URL(address), headers=first_byte)
                raise
            if answer.status_code != 202:
                return int(answer.headers["Content-Length"])
            await asyncio.sleep(_LOOK_SECONDS)


async def _taken(part: Path, out: Path, *, zipped: bool) -> Fetched:
    """Verify the zip, and give it, or a folder with what it holds, the name ``out``."""
    with workspace(out) as work, system_errors(out):

        def take(stop: Callable[[], None]) -> Fetched:
            with (
                bag_reading.opened_bag(part) as bag,
                closing(BagIndex(work / "index")) as index,
            ):
                read = bag_reading.verify if zipped else bag_reading.check
                info = read(bag, index, stop)
                if not zipped:
                    _unpack(bag, index, work / "bag", out, stop)
                size, files = index.totals(FILES)
            if zipped:
                publish(part, out, replaces=False)
            else:
                part.unlink()
            return Fetched(files, size, int(info.get("left-out-count", "0")))

        return await in_thread(take)


def _unpack(
    bag: bag_reading.Bag, index: BagIndex, base: Path, out: Path, stop: Callable[[], None]
) -> None:
    """Write every file of the bag, verified, into a folder that then gets the name ``out``."""
    made: set[Path] = set()
    base.mkdir()
    for page in index.members():
        for path, size, sha256 in page:
            with new_member(base, path, made) as file:
                member = Member(path, file)
                for chunk in bag_reading.read(bag, path, size, sha256):
                    stop()
                    member.write(chunk)
    with new_member(base, bagit.TAG_MANIFEST, made) as file:
        file.write(bag_reading.small(bag, index, bagit.TAG_MANIFEST, _MAX_TAG_MANIFEST))
    publish_folder(base, made, out)
