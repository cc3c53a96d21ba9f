"""The contract of a storage. Its promises are listed where the package begins."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel

from ..errors import FilesError, FileTooLarge, NotSupported
from .values import (
    FileMetadata,
    GetSecret,
    SentPart,
    SignedPart,
    StorageCapabilities,
    UploadInstructions,
    UploadParts,
    WantedPart,
)


class Storage(ABC):
    """One configured connection to a place where bytes are kept.

    The core makes an instance, calls ``configure`` once, uses it from one event loop, and calls
    ``close`` at the end. Errors: ``FileNotFoundError`` for a missing path, the classes of
    ``datasette_files.errors`` where one fits; anything else is logged and answered as a 502.
    """

    #: A pydantic model of the source's ``config`` mapping. With one, the configuration is checked
    #: at start, key by key; ``SecretStr`` fields are never stored or shown. Without one, no value
    #: of the mapping is stored.
    config_model: ClassVar[type[BaseModel] | None] = None
    #: Downloads that come through Datasette from one source at the same time; others wait. A slow
    #: client holds its download open, and with it what the storage needs for one.
    max_downloads: ClassVar[int] = 512

    @property
    @abstractmethod
    def storage_type(self) -> str:
        """The name that a source's ``storage:`` key refers to, such as ``"s3"``."""

    @property
    @abstractmethod
    def capabilities(self) -> StorageCapabilities:
        """The powers of this storage."""

    @abstractmethod
    async def configure(self, config: dict[str, Any], get_secret: GetSecret) -> None:
        """Take the source's ``config`` mapping, whole. Called once on each instance.

        Raises ``ConfigurationError`` (or ``KeyError``, ``ValueError``, ``TypeError``,
        ``ImportError``) when only a person can correct it, which stops the start; after any other
        exception the source is down and is tried again later, with a new instance.
        """

    async def resume(self, config: dict[str, Any], get_secret: GetSecret) -> None:
        """Do as ``configure``, for a source that has been up before with this configuration.

        Called instead of it, so that a directory or bucket that has vanished since is an outage
        and is not created again. Default: ``configure``.
        """
        await self.configure(config, get_secret)

    @abstractmethod
    async def get_file_metadata(self, path: str) -> FileMetadata | None:
        """Metadata of the object at ``path``, or None when there is none."""

    @abstractmethod
    async def read_file(self, path: str) -> bytes:
        """The whole object. Raises ``FileNotFoundError``."""

    # Powers declared by capabilities

    async def receive_upload(
        self, path: str, stream: AsyncIterator[bytes], content_type: str
    ) -> FileMetadata:
        """Store the streamed chunks at ``path``; return at least ``content_hash`` and ``size``.

        Needed with ``can_upload``. Consume the stream as it comes: it may be larger than memory.
        """
        raise NotSupported(f"Storage {self.storage_type!r} does not take uploads")

    async def delete_file(self, path: str) -> None:
        """Delete the object at ``path``; needed with ``can_delete``. May be repeated."""
        raise NotSupported(f"Storage {self.storage_type!r} does not delete files")

    async def list_files(
        self, prefix: str = "", cursor: str | None = None, limit: int = 100
    ) -> tuple[list[FileMetadata], str | None]:
        """Up to ``limit`` objects whose path starts with ``prefix``, and the next cursor or None.

        Needed with ``can_list``. Every object that exists throughout a walk is listed exactly once.
        """
        raise NotSupported(f"Storage {self.storage_type!r} does not list files")

    async def download_url(self, path: str, expires_in: int = 300) -> str:
        """A URL that serves the object for ``expires_in`` seconds.

        Needed with ``can_generate_signed_urls``.
        """
        raise NotSupported(f"Storage {self.storage_type!r} does not sign URLs")

    # Optional methods: each default works, by way of the methods above

    async def read_bytes(self, path: str, num_bytes: int = 2048) -> bytes:
        """The first ``num_bytes`` bytes, or all of a smaller object."""
        return (await self.read_file(path))[:num_bytes]

    async def read_heads(self, paths: Sequence[str], num_bytes: int = 2048) -> list[bytes | None]:
        """As ``read_bytes`` of each object, in order; None for one that cannot be read."""
        turns = asyncio.Semaphore(16)

        async def head(path: str) -> bytes | None:
            async with turns:
                try:
                    return await self.read_bytes(path, num_bytes)
                except (FileNotFoundError, FilesError):
                    return None

        return list(await asyncio.gather(*map(head, paths)))

    def unlisted(self) -> list[str]:
        """Objects that the listing which ran last left out as their names are no text."""
        return []

    def cached_bytes(self, path: str, size: int) -> bytes | None:
        """An object of ``size`` bytes if it is in memory; else None (the default).

        Called from a thread of the core, which serves other requests too: it must not block.
        Saves a small download the hop to the storage's own thread.
        """
        return None

    async def stream_file(self, path: str) -> AsyncIterator[bytes]:
        """The whole object in chunks."""
        yield await self.read_file(path)

    async def stream_range(self, path: str, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes ``start`` up to, not including, ``end``; fewer where the object ends earlier.

        The default skips within ``stream_file``.
        """
        position = 0
        async for chunk in self.stream_file(path):
            chunk_start, position = position, position + len(chunk)
            if position <= start:
                continue
            if chunk_start >= end:
                break
            yield chunk[max(start - chunk_start, 0) : end - chunk_start]

    async def open_local(self, path: str) -> int | None:
        """A descriptor of the object, which the caller closes; None where it is no local file.

        None is the default. Return a descriptor, open for reading, only of a regular file on a
        local disk that holds exactly the object's bytes; no symbolic link may lead to it. The
        kernel then sends the file (sendfile(2)), and a proxy may be told its path (``sendfile:
        x-accel``). Raises ``FileNotFoundError``.
        """
        return None

    def cached_locals(self, paths: Sequence[str]) -> list[int | None]:
        """As ``open_local`` of each object, in order; None for one that needs waiting, or fails.

        The default opens none. Called like ``cached_bytes``, from a thread that serves other
        requests too: it must not block. Saves a zip the hop to the storage's own thread.
        """
        return [None] * len(paths)

    async def read_file_limited(self, path: str, max_bytes: int) -> bytes:
        """The whole object, if it has at most ``max_bytes`` bytes. Raises ``FileTooLarge``."""
        parts: list[bytes] = []
        total = 0
        async for chunk in self.stream_file(path):
            total += len(chunk)
            if total > max_bytes:
                raise FileTooLarge(f"The file has more than {max_bytes} bytes")
            parts.append(chunk)
        return b"".join(parts)

    async def prepare_upload(
        self,
        path: str,
        content_type: str,
        size: int | None,
        *,
        sha256: str | None = None,
        max_size: int,
        expires_in: int,
    ) -> UploadInstructions | None:
        """Let the client send the bytes straight here. None (the default): through Datasette.

        ``size`` and ``max_size`` are bytes, ``expires_in`` seconds, ``sha256`` hexadecimal.
        """
        return None

    async def plan_parts(self, size: int) -> UploadParts | None:
        """The parts in which clients may send a file of ``size`` bytes straight here.

        None (the default): not in parts. Parts are offered besides what ``prepare_upload`` answers,
        so no client has to use them. Called at each preparation: it should not use the network.
        """
        return None

    async def begin_parts(
        self, path: str, content_type: str, size: int, plan: UploadParts, *, checksums: bool
    ) -> dict[str, Any]:
        """Begin an upload in parts; return its state: JSON without a secret.

        Called before the first URL is signed. ``checksums``: the client gives the sha256 of each
        part. The state is handed to the methods below, ``finish_upload`` and ``discard_upload``.
        """
        raise NotSupported(f"Storage {self.storage_type!r} does not take uploads in parts")

    async def sign_parts(
        self,
        path: str,
        parts_state: dict[str, Any],
        wanted: Sequence[WantedPart],
        *,
        expires_in: int,
    ) -> list[SignedPart]:
        """A URL for each part, pinned to its size and sha256 where the storage can.

        It lives for ``expires_in`` seconds. A part that is sent again replaces the earlier one.
        """
        raise NotSupported(f"Storage {self.storage_type!r} does not take uploads in parts")

    async def list_parts(self, path: str, parts_state: dict[str, Any]) -> list[SentPart]:
        """The parts that have arrived, by number. Raises ``FileNotFoundError`` after the end."""
        raise NotSupported(f"Storage {self.storage_type!r} does not take uploads in parts")

    #: Bytes that one call of ``append_upload`` is given at most. What one call takes is lost if
    #: the process ends during it, and is sent again; at most 6 MiB, as the core holds 1 MiB more.
    append_bytes: ClassVar[int] = 5 * 1024 * 1024

    async def append_upload(
        self, path: str, offset: int, stream: AsyncIterator[bytes], state: dict[str, Any]
    ) -> dict[str, Any]:
        """Append the stream at ``offset`` to the upload of ``path``; return the state, as JSON.

        ``state`` is what the call before returned, ``{}`` at first. When this returns, the bytes
        are durable, and nothing is visible at ``path`` before ``finish_upload``. Bytes beyond
        ``offset`` are of a call whose end the core did not see: drop them. An empty stream at 0
        makes an upload without bytes. Two calls for one path must never write at the same time, in
        two processes neither: take a lock before the first chunk is read and raise ``Conflict``
        where another holds it, as the core checks at that chunk whether the upload is still its
        own. Raises ``FileNotFoundError`` if the bytes before ``offset`` are gone. The default says
        that the storage cannot append.
        """
        raise NotSupported(f"Storage {self.storage_type!r} does not take uploads that go on")

    async def open_appended(self, path: str, state: dict[str, Any]) -> int | None:
        """As ``open_local``, of an upload that ``finish_upload`` has not made final.

        None (the default) for no local file, and for one that is gone or final. With it the core
        reads what an earlier process received while the rest arrives, and not at the end.
        """
        return None

    async def finish_upload(self, path: str, instructions_state: dict[str, Any]) -> FileMetadata:
        """Make an upload final at ``path``, and durable; return its metadata.

        The state is that of ``prepare_upload`` or ``begin_parts``, whose client's bytes are to be
        verified, or the last one of ``append_upload``, after which this may be repeated. Raises
        ``FileNotFoundError`` if there are no bytes, ``Conflict`` if parts are missing.
        """
        raise NotSupported(f"Storage {self.storage_type!r} does not take direct uploads")

    async def discard_upload(self, path: str, instructions_state: dict[str, Any]) -> None:
        """Delete what a client sent or ``append_upload`` left, but nothing that is at ``path``.

        The state is that of ``prepare_upload``, ``begin_parts`` or ``append_upload``. Called once
        the signed URLs have expired, however the upload ended, as its client may have sent more
        since; for an appended upload, when it is given up: the state may be ``{}`` if a crash came
        before the core recorded the first one. May be repeated. The default does nothing, for
        storages where nothing can stay.
        """

    async def signed_download_url(
        self, path: str, *, filename: str, content_type: str, disposition: str, expires_in: int
    ) -> str:
        """A ``download_url`` whose response has this ``Content-Type`` and ``Content-Disposition``.

        ``disposition`` is the whole header value. The default cannot carry them. Half of
        ``expires_in`` must be left when the URL is returned (``signing_window``). It is
        the field ``presign_ttl_seconds`` of the ``config_model`` if it has one, which
        administrators may change while the storage is up; else 300.
        """
        return await self.download_url(path, expires_in=expires_in)

    async def delete_files(self, paths: Iterable[str]) -> None:
        """Delete several objects; may be repeated. The default loops."""
        for path in paths:
            await self.delete_file(path)

    async def thumbnail_url(self, path: str, width: int, height: int) -> str | None:
        """Accepted from older plugins, and unused."""
        return None

    async def close(self) -> None:
        """Let go of connections and threads. Called once, when the source ends."""
