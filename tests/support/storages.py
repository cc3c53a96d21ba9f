"""Storages for tests, each smaller than what it stands for.

``BasicStorage`` does what it must, ``MemoryStorage`` has every power of the contract;
``DocumentedStorage`` and ``LegacyStorage`` are plugins as the public 0.1a3 and 0.1a1 documented
them; ``AppendStorage`` takes uploads that go on; ``SignedStorage`` redirects downloads, and
``DirectStorage`` takes uploads past Datasette, both to a bucket that is a dictionary.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from datasette import hookimpl
from datasette.plugins import pm

from datasette_files.base import (
    FileMetadata,
    SentPart,
    SignedPart,
    Storage,
    StorageCapabilities,
    UploadInstructions,
    UploadParts,
    WantedPart,
)
from datasette_files.errors import ChecksumMismatch, Conflict, FileTooLarge, Invalid

#: A host that cannot exist (RFC 2606): nobody fetches these URLs over a network.
BUCKET = "https://bucket.invalid"


def described(path: str, content: bytes, content_type: str | None = None) -> FileMetadata:
    return FileMetadata(
        path=path,
        filename=path.rpartition("/")[2],
        content_type=content_type,
        content_hash="sha256:" + hashlib.sha256(content).hexdigest(),
        size=len(content),
    )


class BasicStorage(Storage):
    """Objects in a dictionary, by path; for all else, the contract's own defaults."""

    storage_type = "memory"
    capabilities = StorageCapabilities(can_upload=True, can_delete=True)

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    async def configure(self, config: dict[str, Any], get_secret: Any) -> None:
        self.config = config

    def content(self, path: str) -> bytes:
        try:
            return self.objects[path]
        except KeyError:
            raise FileNotFoundError(path) from None

    async def get_file_metadata(self, path: str) -> FileMetadata | None:
        return described(path, self.objects[path]) if path in self.objects else None

    async def read_file(self, path: str) -> bytes:
        return self.content(path)

    async def receive_upload(
        self, path: str, stream: AsyncIterator[bytes], content_type: str
    ) -> FileMetadata:
        content = b"".join([chunk async for chunk in stream])
        self.objects[path] = content
        return described(path, content, content_type)

    async def delete_file(self, path: str) -> None:
        self.objects.pop(path, None)


class MemoryStorage(BasicStorage):
    """The same with every power of the contract that needs no URL."""

    capabilities = StorageCapabilities(
        can_upload=True, can_delete=True, can_list=True, requires_proxy_download=True
    )

    async def read_bytes(self, path: str, num_bytes: int = 2048) -> bytes:
        return self.content(path)[:num_bytes]

    async def read_file_limited(self, path: str, max_bytes: int) -> bytes:
        if len(self.content(path)) > max_bytes:
            raise FileTooLarge(f"The file has more than {max_bytes} bytes")
        return self.content(path)

    async def stream_file(self, path: str) -> AsyncIterator[bytes]:
        async for chunk in self.stream_range(path, 0, len(self.content(path))):
            yield chunk

    async def stream_range(self, path: str, start: int, end: int) -> AsyncIterator[bytes]:
        content = self.content(path)[start:end]
        for position in range(0, len(content), 50_000):
            yield content[position : position + 50_000]

    async def list_files(
        self, prefix: str = "", cursor: str | None = None, limit: int = 100
    ) -> tuple[list[FileMetadata], str | None]:
        paths = sorted(p for p in self.objects if p.startswith(prefix) and p > (cursor or ""))
        page = [described(path, self.objects[path]) for path in paths[:limit]]
        return page, page[-1].path if len(paths) > limit else None


class AppendStorage(MemoryStorage):
    """Uploads go on: what was appended waits beside the objects."""

    storage_type = "append"

    def __init__(self) -> None:
        super().__init__()
        self.appended: dict[str, bytes] = {}
        self.locked: set[str] = set()

    async def append_upload(
        self, path: str, offset: int, stream: AsyncIterator[bytes], state: dict[str, Any]
    ) -> dict[str, Any]:
        if path in self.locked:
            raise Conflict("Another request appends to this upload")
        self.locked.add(path)
        try:
            content = b"".join([chunk async for chunk in stream])
        finally:
            self.locked.discard(path)
        before = self.appended.get(path, b"")
        if len(before) < offset:
            raise FileNotFoundError(path)
        self.appended[path] = before[:offset] + content
        return {"calls": state.get("calls", 0) + 1}

    async def finish_upload(self, path: str, instructions_state: dict[str, Any]) -> FileMetadata:
        if path in self.appended:
            self.objects[path] = self.appended.pop(path)
        return described(path, self.content(path))

    async def discard_upload(self, path: str, instructions_state: dict[str, Any]) -> None:
        self.appended.pop(path, None)


class DocumentedStorage(Storage):
    """A plugin written from the documentation of 0.1a3, and from nothing newer."""

    storage_type = "documented"
    capabilities = StorageCapabilities(
        can_upload=True, can_delete=True, can_list=True, requires_proxy_download=True
    )

    async def configure(self, config: dict, get_secret) -> None:
        self.prefix = config.get("prefix", "")
        self.bucket: dict[str, bytes] = {}

    def _key(self, path: str) -> str:
        return f"{self.prefix}{path}"

    async def get_file_metadata(self, path: str) -> FileMetadata | None:
        content = self.bucket.get(self._key(path))
        if content is None:
            return None
        return FileMetadata(path=path, filename=path.rpartition("/")[2], size=len(content))

    async def read_file(self, path: str) -> bytes:
        if self._key(path) not in self.bucket:
            raise FileNotFoundError(path)
        return self.bucket[self._key(path)]

    async def stream_file(self, path: str):
        content = await self.read_file(path)
        for position in range(0, len(content), 65536):
            yield content[position : position + 65536]

    async def receive_upload(
        self, path: str, stream: AsyncIterator[bytes], content_type: str
    ) -> FileMetadata:
        chunks = []
        sha256 = hashlib.sha256()
        size = 0
        async for chunk in stream:
            chunks.append(chunk)
            sha256.update(chunk)
            size += len(chunk)
        self.bucket[self._key(path)] = b"".join(chunks)
        return FileMetadata(
            path=path,
            filename=path.rpartition("/")[2],
            content_type=content_type,
            content_hash="sha256:" + sha256.hexdigest(),
            size=size,
        )

    async def delete_file(self, path: str) -> None:
        self.bucket.pop(self._key(path), None)

    async def list_files(
        self, prefix: str = "", cursor: str | None = None, limit: int = 100
    ) -> tuple[list[FileMetadata], str | None]:
        keys = sorted(key for key in self.bucket if key.startswith(self._key(prefix)))
        if cursor:
            keys = [key for key in keys if key > cursor]
        files = [
            FileMetadata(
                path=key.removeprefix(self.prefix),
                filename=key.rpartition("/")[2],
                size=len(self.bucket[key]),
            )
            for key in keys[:limit]
        ]
        return files, keys[limit - 1] if len(keys) > limit else None


class LegacyStorage(Storage):
    """A plugin as 0.1a1 had them: whole bytes in, thumbnails of its own, properties."""

    @property
    def storage_type(self) -> str:
        return "legacy"

    @property
    def capabilities(self) -> StorageCapabilities:
        return StorageCapabilities(
            can_upload=True,
            can_delete=True,
            can_generate_thumbnails=True,
            requires_proxy_download=True,
        )

    async def configure(self, config: dict, get_secret) -> None:
        self.contents: dict[str, bytes] = {}

    async def get_file_metadata(self, path: str) -> FileMetadata | None:
        if path not in self.contents:
            return None
        return FileMetadata(path=path, filename=path.rpartition("/")[2])

    async def read_file(self, path: str) -> bytes:
        try:
            return self.contents[path]
        except KeyError:
            raise FileNotFoundError(path) from None

    async def receive_upload(self, path: str, content: bytes, content_type: str) -> FileMetadata:
        assert isinstance(content, bytes)
        self.contents[path] = content
        return described(path, content, content_type)

    async def delete_file(self, path: str) -> None:
        self.contents.pop(path, None)

    async def thumbnail_url(self, path: str, width: int, height: int) -> str:
        return f"{BUCKET}/thumbnails/{quote(path)}?{width}x{height}"


class SignedStorage(MemoryStorage):
    """Downloads by redirect to a signed URL of the bucket."""

    storage_type = "signed"
    capabilities = StorageCapabilities(
        can_upload=True, can_delete=True, can_list=True, can_generate_signed_urls=True
    )

    async def download_url(self, path: str, expires_in: int = 300) -> str:
        return f"{BUCKET}/{quote(path)}?{urlencode({'expires_in': expires_in})}"

    async def signed_download_url(
        self, path: str, *, filename: str, content_type: str, disposition: str, expires_in: int
    ) -> str:
        headers = {"content-type": content_type, "content-disposition": disposition}
        return f"{BUCKET}/{quote(path)}?{urlencode({**headers, 'expires_in': expires_in})}"

    def serve(self, url: str) -> tuple[dict[str, str], bytes]:
        """The bucket's answer to a GET: the headers that were signed, and the body."""
        parts = urlsplit(url)
        assert f"{parts.scheme}://{parts.netloc}" == BUCKET
        headers = {name: values[0] for name, values in parse_qs(parts.query).items()}
        assert int(headers.pop("expires_in")) > 0
        return headers, self.content(unquote(parts.path[1:]))


@dataclass
class Incoming:
    """A direct upload that the bucket expects, and its bytes once they came."""

    declared_size: int | None
    declared_sha256: str | None
    content_type: str
    max_size: int
    content: bytes | None = None


class DirectStorage(SignedStorage):
    """Uploads go past Datasette too: a PUT to the bucket, checked and made final afterwards."""

    storage_type = "direct"

    def __init__(self) -> None:
        super().__init__()
        self.incoming: dict[str, Incoming] = {}

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
        self.incoming[path] = Incoming(size, sha256, content_type, max_size)
        return UploadInstructions(
            url=f"{BUCKET}/incoming/{quote(path)}",
            method="PUT",
            headers={"Content-Type": content_type},
            state={"incoming": path},
        )

    def put(self, url: str, content: bytes) -> None:
        """Take a client's PUT as the bucket."""
        path = unquote(url.removeprefix(f"{BUCKET}/incoming/"))
        if path not in self.incoming:
            raise FileNotFoundError(url)
        self.incoming[path].content = content

    async def finish_upload(self, path: str, instructions_state: dict[str, Any]) -> FileMetadata:
        incoming = self.incoming.get(instructions_state["incoming"])
        if incoming is None or incoming.content is None:
            raise FileNotFoundError(path)
        stored = described(path, incoming.content, incoming.content_type)
        if len(incoming.content) > incoming.max_size:
            raise FileTooLarge(f"The file has more than {incoming.max_size} bytes")
        if incoming.declared_size not in (None, stored.size):
            raise Invalid("The bucket did not get as many bytes as were declared")
        if incoming.declared_sha256 and stored.content_hash != f"sha256:{incoming.declared_sha256}":
            raise ChecksumMismatch("The bucket did not get the bytes that were declared")
        self.objects[path] = incoming.content
        del self.incoming[instructions_state["incoming"]]
        return stored

    async def delete_file(self, path: str) -> None:
        self.incoming.pop(path, None)
        await super().delete_file(path)


class PartsStorage(DirectStorage):
    """Large files may come in parts of 1 MiB: a PUT to the bucket for each."""

    storage_type = "parts"
    part_size = 1024 * 1024

    def __init__(self) -> None:
        super().__init__()
        self.parts: dict[str, dict[int, bytes]] = {}

    async def plan_parts(self, size: int) -> UploadParts | None:
        return UploadParts(self.part_size, -(-size // self.part_size))

    async def begin_parts(
        self, path: str, content_type: str, size: int, plan: UploadParts, *, checksums: bool
    ) -> dict[str, Any]:
        self.parts[path] = {}
        return {"parts": path, "count": plan.count, "type": content_type}

    async def sign_parts(
        self,
        path: str,
        parts_state: dict[str, Any],
        wanted: Sequence[WantedPart],
        *,
        expires_in: int,
    ) -> list[SignedPart]:
        return [SignedPart(part.number, f"{BUCKET}/parts/{quote(path)}") for part in wanted]

    def put_part(self, signed: SignedPart, content: bytes) -> None:
        """Take a client's PUT as the bucket."""
        self.parts[unquote(signed.url.removeprefix(f"{BUCKET}/parts/"))][signed.number] = content

    async def list_parts(self, path: str, parts_state: dict[str, Any]) -> list[SentPart]:
        if path not in self.parts:
            raise FileNotFoundError(path)
        return [SentPart(n, len(part)) for n, part in sorted(self.parts[path].items())]

    async def finish_upload(self, path: str, instructions_state: dict[str, Any]) -> FileMetadata:
        if "parts" not in instructions_state:
            return await super().finish_upload(path, instructions_state)
        parts = self.parts.get(path)
        if not parts:
            raise FileNotFoundError(path)
        if len(parts) < instructions_state["count"]:
            raise Conflict("Parts are missing")
        self.objects[path] = b"".join(part for _, part in sorted(parts.items()))
        del self.parts[path]
        return described(path, self.objects[path], instructions_state["type"])

    async def discard_upload(self, path: str, instructions_state: dict[str, Any]) -> None:
        self.parts.pop(path, None)


def storage_class(**attributes: Any) -> type[BasicStorage]:
    """A ``BasicStorage`` with these attributes replaced."""
    return type("TestStorage", (BasicStorage,), attributes)


@contextmanager
def registered(**hooks: Any) -> Iterator[None]:
    """A plugin with these hook implementations, while the context is open."""
    members = {name: staticmethod(hookimpl(fn)) for name, fn in hooks.items()}
    plugin = type("Plugin", (), members)
    name = pm.register(plugin, name=f"test-plugin-{id(plugin)}")
    try:
        yield
    finally:
        pm.unregister(name=name)


@contextmanager
def installed(*classes: type[Storage]) -> Iterator[None]:
    """These storage types are offered by a plugin, while the context is open."""

    def register_files_storage_types(datasette: Any) -> list[type[Storage]]:
        return list(classes)

    with registered(register_files_storage_types=register_files_storage_types):
        yield
