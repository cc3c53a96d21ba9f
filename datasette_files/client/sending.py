"""Uploads to a server: small files in one request, large ones in a way that goes on after a break.

The server's answer to *prepare* decides: parts that go straight to the storage, tus, or one form.
What is needed to go on is remembered (memory.py) until the upload is complete.
"""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import httpx2 as httpx

from ..errors import Conflict, Expired, FilesError, Invalid, NotFound
from .memory import Entry, Memory
from .server import PAUSES, Server, Unreachable, body_of

#: Bytes. A larger file is sent so that it can go on.
ONE_REQUEST = 8 * 1024 * 1024
_CHUNK = 256 * 1024
#: Parts whose addresses are asked for at once. They live as long as the upload.
_SIGNED = 10
#: Parts that are sent at the same time.
_PARALLEL = 3

Tell = Callable[[int], None]
#: Makes the body of each try of a request.
_Body = Callable[[], AsyncIterator[bytes]]


def _silent(_number: int) -> None:
    """A ``Tell`` for bytes that were told already, or are told otherwise."""


class Sent(Protocol):
    """A file to upload: where its bytes come from, and how the catalog is to know it."""

    @property
    def name(self) -> str: ...
    @property
    def content_type(self) -> str | None: ...
    @property
    def folder(self) -> str: ...
    @property
    def tags(self) -> tuple[str, ...]: ...
    @property
    def replaces(self) -> str | None: ...
    @property
    def sha256(self) -> str | None:
        """In hexadecimal, for the server to verify; None if it is not known."""

    def opened(self) -> tuple[int, str]:
        """Its size in bytes, and a text that changes with its bytes. Raises FilesError."""

    def chunks(self, start: int, size: int, tell: Tell) -> AsyncIterator[bytes]:
        """``size`` bytes from ``start``. Raises FilesError if there are fewer."""


@dataclass(frozen=True)
class LocalFile:
    """A local file to upload, and how the catalog is to know it."""

    path: Path
    name: str
    content_type: str | None = None
    folder: str = ""
    tags: tuple[str, ...] = ()
    #: The id of the file whose next version this is.
    replaces: str | None = None
    sha256: str | None = None

    def opened(self) -> tuple[int, str]:
        """Its size in bytes, and a text that changes with its bytes. Raises NotFound."""
        try:
            info = self.path.stat()
        except OSError as error:
            raise NotFound(f"{self.path} cannot be read ({error.strerror})") from error
        times = (info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino)
        return info.st_size, repr((os.fsencode(self.path.absolute()), times))

    async def chunks(self, start: int, size: int, tell: Tell) -> AsyncIterator[bytes]:
        """``size`` bytes from ``start``. Raises Invalid if the file has become shorter."""
        try:
            with await asyncio.to_thread(self.path.open, "rb") as file:
                file.seek(start)
                while size:
                    chunk = await asyncio.to_thread(file.read, min(size, _CHUNK))
                    if not chunk:
                        raise Invalid(f"{self.path} became shorter while it was read; try again")
                    size -= len(chunk)
                    yield chunk
                    tell(len(chunk))
        except OSError as error:
            raise NotFound(f"{self.path} cannot be read ({error.strerror})") from error


class Sending:
    """Uploads of local files to the sources of one server."""

    def __init__(self, server: Server, memory: Memory) -> None:
        self._server = server
        self._memory = memory

    async def file(self, source: str, file: Sent, tell: Tell) -> dict[str, Any]:
        """Upload a file, or the rest of it. Returns its record. Raises FilesError.

        ``tell`` is told the bytes of each step; those that an earlier run had sent too.
        """
        size, version = await asyncio.to_thread(file.opened)
        if size <= ONE_REQUEST:
            content = _WholeFile(file, size, tell)
            record = await self._put(source, file, content, size, key=secrets.token_hex(20))
            content.arrived()
            return record
        entry = self._memory.of("put", self._server.url, source, version, file)
        upload = _Upload(self._server, source, file, size, entry, tell)
        try:
            return await upload.run()
        except (Expired, NotFound):
            if not upload.went_on:
                raise
        return await _Upload(self._server, source, file, size, entry, tell).run()

    async def stream(self, source: str, file: Sent, chunks: AsyncIterator[bytes]) -> dict[str, Any]:
        """Upload bytes of an unknown number in one request. Returns the record.

        Raises Unreachable also where the server may have stored them; its message says so.
        """
        return await self._put(source, file, chunks, None)

    async def _put(
        self,
        source: str,
        file: Sent,
        chunks: AsyncIterator[bytes] | _Body,
        size: int | None,
        key: str | None = None,
    ) -> dict[str, Any]:
        """As ``stream``; with a ``key`` the request is repeated, and stores one file."""
        url = self._server.route(f"/-/files/upload/{source}/{quote(file.name, safe='')}")
        params = {"folder": file.folder, "tags": list(file.tags), "replaces": file.replaces}
        given = {name: value for name, value in params.items() if value}
        headers = {"Accept": "application/json"}
        headers["Content-Type"] = file.content_type or "application/octet-stream"
        if size is not None:
            headers["Content-Length"] = str(size)
        if file.sha256 is not None:
            digest = base64.b64encode(bytes.fromhex(file.sha256)).decode()
            headers["Repr-Digest"] = f"sha-256=:{digest}:"
        if key is not None:
            headers["Idempotency-Key"] = key
        try:
            answer = await self._server.send(
                "PUT",
                url.copy_merge_params(given),
                headers=headers,
                content=chunks,
                repeat=key is not None,
            )
        except Unreachable as error:
            if not error.sent:
                raise
            raise Unreachable(
                f"{error}. The server may have stored {file.name}; look there before you send it"
                " again",
                sent=True,
            ) from error
        record: dict[str, Any] = body_of(answer)["file"]
        return record


class _Upload:
    """One upload of a large file."""

    def __init__(
        self, server: Server, source: str, file: Sent, size: int, entry: Entry, tell: Tell
    ) -> None:
        self._server = server
        self._route = f"/-/files/upload/{source}/-"
        self._file = file
        self._size = size
        self._entry = entry
        self._tell = tell
        #: Whether it goes on with what an earlier run had begun.
        self.went_on = False

    async def run(self) -> dict[str, Any]:
        kept = self._entry.read()
        self.went_on = bool(kept)
        try:
            if not kept:
                kept = await self._begin()
            if "tus" in kept:
                await self._tus(self._server.answered(kept["tus"]))
            elif "parts" in kept:
                await self._parts(kept["token"], kept["parts"])
            else:
                await self._whole(kept)
            done = await self._server.ask(
                "POST",
                f"{self._route}/complete",
                json={"upload_token": kept["token"]},
                repeat=True,
            )
        except FilesError as error:
            # What a repetition cannot mend is not gone on with.
            if not isinstance(error, Unreachable) and error.status < 500:
                self._entry.forget()
            raise
        self._entry.forget()
        record: dict[str, Any] = done["file"]
        return record

    async def _begin(self) -> dict[str, Any]:
        """Prepare the upload, and remember by which way its bytes go."""
        file = self._file
        declared = {
            **{"filename": file.name, "size": self._size, "content_type": file.content_type},
            **{"folder": file.folder, "tags": list(file.tags), "replaces": file.replaces},
            "sha256": file.sha256,
        }
        given = {name: value for name, value in declared.items() if value not in (None, "", [])}
        prepared = await self._server.ask("POST", f"{self._route}/prepare", json=given, repeat=True)
        kept = {"token": prepared["upload_token"]}
        if "upload_parts" in prepared:
            kept["parts"] = prepared["upload_parts"]
        elif "upload_resumable_url" in prepared:
            kept = await self._begin_tus(prepared)
        else:
            names = ("upload_url", "upload_method", "upload_headers", "upload_fields")
            kept |= {name: prepared[name] for name in names}
        self._entry.keep(**kept)
        return kept

    async def _begin_tus(self, prepared: dict[str, Any]) -> dict[str, Any]:
        file = self._file
        # By the token the server knows the folder, the tags and the version that were prepared.
        words = {"filename": file.name, "filetype": file.content_type, "sha256": file.sha256}
        words["upload_token"] = prepared["upload_token"]
        metadata = ",".join(
            f"{name} {base64.b64encode(value.encode()).decode()}"
            for name, value in words.items()
            if value
        )
        answer = await self._server.send(
            "POST",
            self._server.answered(prepared["upload_resumable_url"]),
            headers={**_TUS, "Upload-Length": str(self._size), "Upload-Metadata": metadata},
        )
        address = answer.headers["Location"]
        resumable = address.rstrip("/").rpartition("/")[2]
        return {"tus": address, "token": f"resumable/{resumable}"}

    async def _tus(self, url: httpx.URL) -> None:
        """Send the bytes from the durable offset, until all of them are there."""
        told, offset = 0, await self._offset(url)
        pauses = iter(PAUSES)
        while True:
            self._tell(offset - told)
            if offset >= self._size:
                return
            told = offset

            def tell(number: int) -> None:
                nonlocal told
                told += number
                self._tell(number)

            try:
                answer = await self._server.send(
                    "PATCH",
                    url,
                    headers={
                        **_TUS,
                        "Content-Type": "application/offset+octet-stream",
                        "Content-Length": str(self._size - offset),
                        "Upload-Offset": str(offset),
                    },
                    content=self._file.chunks(offset, self._size - offset, tell),
                )
                new = int(answer.headers["Upload-Offset"])
            except (Unreachable, Conflict):
                new = await self._offset(url)
                pauses = iter(PAUSES) if new > offset else pauses
                if (pause := next(pauses, None)) is None:
                    raise
                await asyncio.sleep(pause)
            offset = new

    async def _offset(self, url: httpx.URL) -> int:
        answer = await self._server.send("HEAD", url, headers=_TUS, repeat=True)
        return int(answer.headers["Upload-Offset"])

    async def _parts(self, token: str, plan: dict[str, Any]) -> None:
        """Send the parts that the storage does not hold yet, some at the same time."""
        size, count = int(plan["part_size"]), int(plan["count"])
        listed = await self._server.ask(
            "POST",
            self._server.answered(plan["list_url"]),
            json={"upload_token": token},
            repeat=True,
        )
        sizes = {n: min(size, self._size - (n - 1) * size) for n in range(1, count + 1)}
        for part in listed["parts"]:
            if sizes.get(part["number"]) == part["size"]:
                self._tell(sizes.pop(part["number"]))
        missing = sorted(sizes)
        for start in range(0, len(missing), _SIGNED):
            numbers = missing[start : start + _SIGNED]
            signed = await self._server.ask(
                "POST",
                self._server.answered(plan["sign_url"]),
                json={"upload_token": token, "numbers": numbers},
                repeat=True,
            )
            places = asyncio.Semaphore(_PARALLEL)
            sending = [
                asyncio.create_task(
                    self._part(places, part, (part["number"] - 1) * size, sizes[part["number"]])
                )
                for part in signed["parts"]
            ]
            try:
                await asyncio.gather(*sending)
            finally:
                for task in sending:
                    task.cancel()
                await asyncio.gather(*sending, return_exceptions=True)

    async def _part(
        self, places: asyncio.Semaphore, part: dict[str, Any], start: int, size: int
    ) -> None:
        async with places:
            url = self._server.answered(part["url"])
            headers = {**part["headers"], "Content-Length": str(size)}
            content = partial(self._file.chunks, start, size, _silent)
            await self._server.send("PUT", url, headers=headers, content=content, repeat=True)
        self._tell(size)

    async def _whole(self, kept: dict[str, Any]) -> None:
        """Send all bytes in one request, to Datasette or straight to the storage."""
        url, method = self._server.answered(kept["upload_url"]), kept["upload_method"]
        headers = dict(kept["upload_headers"])
        content: _Body = _WholeFile(self._file, self._size, self._tell)
        if method == "PUT":
            headers["Content-Length"] = str(self._size)
        else:
            content = self._form(kept["upload_fields"], content, headers)
        await self._server.send(method, url, headers=headers, content=content, repeat=True)

    def _form(self, fields: dict[str, str], chunks: _Body, headers: dict[str, str]) -> _Body:
        """The multipart form of the fields and the file; its headers are added."""
        boundary = secrets.token_hex(16)
        name = self._file.name.replace("\\", "\\\\").replace('"', "%22")
        name = name.replace("\r", "%0D").replace("\n", "%0A")
        kind = self._file.content_type or "application/octet-stream"
        head = "".join(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'
            for field, value in fields.items()
        )
        head += (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        )
        head += f"Content-Type: {kind}\r\n\r\n"
        start, end = head.encode("utf-8", "replace"), f"\r\n--{boundary}--\r\n".encode()
        headers["Content-Type"] = f"multipart/form-data; boundary={boundary}"
        headers["Content-Length"] = str(len(start) + self._size + len(end))

        async def form() -> AsyncIterator[bytes]:
            yield start
            async for chunk in chunks():
                yield chunk
            yield end

        return form


class _WholeFile:
    """The body of each try of a request; what a failed try told is taken back."""

    def __init__(self, file: Sent, size: int, tell: Tell) -> None:
        self._file = file
        self._size = size
        self._tell = tell
        self._told = 0

    def __call__(self) -> AsyncIterator[bytes]:
        self._count(-self._told)
        return self._file.chunks(0, self._size, self._count)

    def arrived(self) -> None:
        """Tell all of it: the server may have had it from a try whose answer was lost."""
        self._count(self._size - self._told)

    def _count(self, number: int) -> None:
        if number:
            self._told += number
            self._tell(number)


_TUS = {"Tus-Resumable": "1.0.0"}
