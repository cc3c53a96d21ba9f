"""Downloads from a server: a file appears whole and verified, or not at all, and goes on by Range.

The bytes that have arrived stand beside the target, under a hidden name, until the file is whole.
They are gone on with only where the server's entity tag is the same (RFC 9110, 13.1.5).
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import httpx2 as httpx

from ..errors import ChecksumMismatch, FilesError, RangeUnsatisfiable, StorageUnavailable
from ..transfer.publishing import check_free, publish, system_errors
from .memory import Entry, Memory
from .server import PAUSES, Server, error_of

_TAKEN = "allow to replace it (--force; replace=True in Python), or choose another path"
_READ_BYTES = 1024 * 1024
_WHOLE_OR_PART = (200, 206)

Tell = Callable[[int], None]


class Fetching:
    """Downloads of files of one server."""

    def __init__(self, server: Server, memory: Memory) -> None:
        self._server = server
        self._memory = memory

    async def file(self, record: dict[str, Any], path: Path, tell: Tell, *, replaces: bool) -> None:
        """Download the file of a record to ``path``, or the rest of it.

        ``tell`` is told the bytes of each step. Raises Conflict if something is at the path, unless
        it is a regular file and ``replaces``; ChecksumMismatch; Unreachable; as the server says.
        """
        with system_errors(path, _TAKEN):
            check_free(path, replaces)
        part = path.parent / f".{path.name[:100]}.{record['id']}.part"
        entry = self._entry(f"{self._server.url} {record['id']}", part)
        await _Download(self._server, self._wanted(record), part, entry, tell).run(part)
        with system_errors(path, _TAKEN):
            await asyncio.to_thread(publish, part, path, replaces)
        entry.forget()

    async def into(self, url: httpx.URL, size: int, part: Path, tell: Tell) -> Entry:
        """Bring the bytes at an address into ``part``, or the rest of them.

        Returns what is remembered until the caller has used the file. Raises as ``file``.
        """

        async def address() -> httpx.URL:
            return url

        entry = self._entry(str(url), part)
        await _Download(self._server, _Wanted(address, size), part, entry, tell).run(part)
        return entry

    def _entry(self, what: str, part: Path) -> Entry:
        return self._memory.of("get", what, os.fsencode(part.absolute()))

    def _wanted(self, record: dict[str, Any]) -> _Wanted:
        address = partial(address_of, self._server, record["id"])
        return _Wanted(address, record["size"], record.get("content_hash"))

    async def to_stream(self, record: dict[str, Any], out: BinaryIO) -> None:
        """Write the bytes to an open file, as they come: after a break the rest is asked for."""
        wanted, entry = self._wanted(record), self._memory.of("none")
        await _Download(self._server, wanted, None, entry, lambda n: None).into(out)


async def address_of(server: Server, file_id: str) -> httpx.URL:
    """Where a file's bytes are: the server, or its storage, to which no token is sent."""
    route = f"/-/files/{file_id}/download"
    told = await server.ask("GET", route, params=[("redirect", "0")])
    return server.answered(told["url"])


@dataclass(frozen=True)
class _Wanted:
    """The bytes of one download: where they are, their number, and ``sha256:…`` if it is known."""

    address: Callable[[], Awaitable[httpx.URL]]
    size: int | None
    content_hash: str | None = None


class _Download:
    """One download: the bytes in ``part``, and which entity tag they are of."""

    def __init__(
        self, server: Server, wanted: _Wanted, part: Path | None, entry: Entry, tell: Tell
    ) -> None:
        self._server = server
        self._wanted = wanted
        self._part = part
        self._entry = entry
        self._tell = tell
        self._etag: str | None = None
        self._offset = 0

    async def run(self, part: Path) -> None:
        """Bring all bytes into ``part``, durable and verified."""
        kept = self._entry.read()
        with system_errors(part):
            file = await asyncio.to_thread(os.fdopen, _opened(part), "r+b", buffering=0)
        with file:
            size = os.fstat(file.fileno()).st_size
            if kept.get("etag"):
                self._etag, self._offset = str(kept["etag"]), size
            try:
                await self.into(file)
                await asyncio.to_thread(self._verify, file)
            except FilesError as error:
                if error.status < 500:  # else what has arrived is kept
                    self._drop()
                raise

    async def into(self, file: BinaryIO) -> None:
        """Write the bytes from the offset on, with as many requests as it takes."""
        self._tell(self._offset)
        pauses = iter(PAUSES)
        while True:
            before = self._offset
            try:
                await self._pass(file)
                return
            except FilesError as error:
                if not isinstance(error, StorageUnavailable):
                    raise  # such as missing bytes, or a full disk here
                pauses = iter(PAUSES) if self._offset > before else pauses
                if (pause := next(pauses, None)) is None:
                    raise
            await asyncio.sleep(pause)

    async def _pass(self, file: BinaryIO) -> None:
        """One request. Raises Unreachable where the connection broke off."""
        url = await self._wanted.address()
        headers = {"Accept-Encoding": "identity"}
        if self._offset and self._etag:
            headers |= {"Range": f"bytes={self._offset}-", "If-Range": self._etag}
        async with self._server.stream("GET", url, headers) as answer:
            if answer.status_code == 416 and self._offset == self._wanted.size:
                return
            if answer.status_code not in _WHOLE_OR_PART:
                await answer.aread()
                raise error_of(answer)
            await self._begin(file, answer)
            async for chunk in answer.aiter_bytes():
                with system_errors(self._part or Path("-")):
                    await asyncio.to_thread(_write, file, chunk)
                self._offset += len(chunk)
                self._tell(len(chunk))

    async def _begin(self, file: BinaryIO, answer: httpx.Response) -> None:
        """Stand where the answer's bytes belong; without a range, at the beginning."""
        found = re.fullmatch(r"bytes ([0-9]+)-.*", answer.headers.get("Content-Range", ""))
        if answer.status_code == 206 and not (found and int(found[1]) == self._offset):
            raise RangeUnsatisfiable("The server answered with another range; try again")
        if answer.status_code == 200 and self._offset:
            if self._part is None:
                raise ChecksumMismatch("The file changed while it was read; try again")
            self._tell(-self._offset)
            self._offset = 0
        if self._part is not None:
            with system_errors(self._part):
                await asyncio.to_thread(_cut, file, self._offset)
        tag = answer.headers.get("ETag")
        self._etag = tag if tag and not tag.startswith("W/") else None
        self._entry.keep(etag=self._etag)

    def _verify(self, file: BinaryIO) -> None:
        """Raise ChecksumMismatch unless size and sha256 are those that are wanted."""
        os.fsync(file.fileno())
        wanted = self._wanted
        size = os.fstat(file.fileno()).st_size
        if wanted.size is not None and size != wanted.size:
            raise ChecksumMismatch(f"{size:,} bytes arrived instead of {wanted.size:,}; try again")
        algorithm, _, digest = (wanted.content_hash or "").partition(":")
        if algorithm != "sha256":
            return
        file.seek(0)
        found = hashlib.sha256()
        while chunk := file.read(_READ_BYTES):
            found.update(chunk)
        if found.hexdigest() != digest:
            raise ChecksumMismatch("The bytes do not have the file's sha256; try again")

    def _drop(self) -> None:
        self._entry.forget()
        if self._part is not None:
            with suppress(OSError):
                self._part.unlink()


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)


def _cut(file: BinaryIO, offset: int) -> None:
    file.truncate(offset)
    file.seek(offset)


def _write(file: BinaryIO, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[file.write(rest) :]
