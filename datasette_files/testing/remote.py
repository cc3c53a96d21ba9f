"""Checks of storages that clients reach by themselves: signed URLs and direct uploads."""

from __future__ import annotations

import asyncio
import json
import secrets
import urllib.request
from collections.abc import Mapping
from urllib.parse import urlsplit

import pytest

from ..base import Storage, UploadInstructions
from ..errors import ChecksumMismatch, FilesError
from .helpers import PATIENCE, Part, assert_absent, content_of, needs, sha256_of

_PATH = "remote/some file.bin"
_TYPE = "application/x-conformance"
_DISPOSITION = "attachment; filename=\"a-b.bin\"; filename*=UTF-8''%C3%A4%20b.bin"
_MAX_SIZE = 100_000


async def http(
    url: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes = b""
) -> tuple[dict[str, str], bytes]:
    """One plain HTTP request: ``(headers in lower case, body)``. Raises OSError for a 4xx or 5xx.

    It is given only the URLs that the storage under test made.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError(f"{url!r} is no URL that this can fetch: override the method that calls")
    request = urllib.request.Request(  # noqa: S310 - its scheme is checked above
        url, method=method, headers=dict(headers or {}), data=body if method != "GET" else None
    )

    def send() -> tuple[dict[str, str], bytes]:
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:  # noqa: S310
            return {k.lower(): v for k, v in response.headers.items()}, response.read()

    return await asyncio.to_thread(send)


def multipart(fields: Mapping[str, str], content: bytes) -> tuple[str, bytes]:
    """``(content type, body)`` of a form with these fields and then ``file``, as browsers send."""
    boundary = secrets.token_hex(16)
    head = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    head += (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n'
        f"Content-Type: application/octet-stream\r\n\r\n"
    )
    body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    return f"multipart/form-data; boundary={boundary}", body


class SignedUrlChecks(Part):
    """``download_url`` and ``signed_download_url``, with ``can_generate_signed_urls``."""

    async def fetch(self, storage: Storage, url: str) -> tuple[dict[str, str], bytes]:
        """Fetch a signed URL as a client does: ``(headers in lower case, body)``."""
        return await http(url)

    async def test_download_url_serves_the_object(self, storage: Storage) -> None:
        needs(storage, "can_generate_signed_urls")
        await self.place(storage, _PATH, b"signed")
        url = await storage.download_url(_PATH, expires_in=60)
        assert urlsplit(url).scheme in ("http", "https")
        assert urlsplit(url).netloc
        assert (await self.fetch(storage, url))[1] == b"signed"

    async def test_signed_download_url_carries_type_and_disposition(self, storage: Storage) -> None:
        needs(storage, "can_generate_signed_urls")
        await self.place(storage, _PATH, b"signed")
        url = await storage.signed_download_url(
            _PATH, filename="ä b.bin", content_type=_TYPE, disposition=_DISPOSITION, expires_in=60
        )
        headers, body = await self.fetch(storage, url)
        assert body == b"signed"
        if type(storage).signed_download_url is not Storage.signed_download_url:
            assert headers["content-type"] == _TYPE
            assert headers["content-disposition"] == _DISPOSITION


class DirectUploadChecks(Part):
    """``prepare_upload`` and ``finish_upload``, where ``prepare_upload`` answers."""

    async def send(
        self, storage: Storage, instructions: UploadInstructions, content: bytes
    ) -> None:
        """Send the bytes as a client does: a form where there are fields, else as they are."""
        headers = dict(instructions.headers)
        body = content
        if instructions.fields or instructions.method == "POST":
            headers["Content-Type"], body = multipart(instructions.fields, content)
        await http(instructions.url, instructions.method, headers, body)

    async def _prepare(
        self, storage: Storage, size: int | None, sha256: str | None = None
    ) -> UploadInstructions:
        needs(storage, "can_upload")
        instructions = await storage.prepare_upload(
            _PATH, "text/plain", size, sha256=sha256, max_size=_MAX_SIZE, expires_in=60
        )
        if instructions is None:
            pytest.skip("the storage takes no direct uploads")
        # The core stores the state as JSON between the two calls.
        instructions.state = json.loads(json.dumps(instructions.state))
        return instructions

    @pytest.mark.parametrize("size", [0, 1, 70_000])
    async def test_direct_upload_round_trip(self, storage: Storage, size: int) -> None:
        content = content_of(size)
        sha256 = sha256_of(content).partition(":")[2]
        instructions = await self._prepare(storage, size, sha256)
        await self.send(storage, instructions, content)
        stored = await storage.finish_upload(_PATH, instructions.state)
        assert stored.path == _PATH
        assert stored.size == size
        assert stored.content_hash in (None, sha256_of(content))
        assert await storage.read_file(_PATH) == content

    async def test_direct_upload_of_undeclared_size(self, storage: Storage) -> None:
        instructions = await self._prepare(storage, None)
        await self.send(storage, instructions, b"undeclared")
        assert (await storage.finish_upload(_PATH, instructions.state)).size == 10

    async def test_finishing_a_direct_upload_without_bytes_raises(self, storage: Storage) -> None:
        instructions = await self._prepare(storage, 5)
        with pytest.raises((FileNotFoundError, FilesError)):
            await storage.finish_upload(_PATH, instructions.state)
        await assert_absent(storage, _PATH)

    async def test_direct_upload_of_other_bytes_is_refused(self, storage: Storage) -> None:
        """The storage refuses them when they are sent, or when the upload is finished."""
        declared = sha256_of(b"declared").partition(":")[2]
        instructions = await self._prepare(storage, 8, declared)
        try:
            await self.send(storage, instructions, b"DECLARED")
        except (OSError, FilesError):
            return
        try:
            stored = await storage.finish_upload(_PATH, instructions.state)
        except ChecksumMismatch:
            return
        # Else the core has to be able to tell.
        assert stored.content_hash == sha256_of(b"DECLARED")

    async def test_deleting_an_unfinished_direct_upload_leaves_nothing(
        self, storage: Storage
    ) -> None:
        """The core deletes an expired upload in this way."""
        instructions = await self._prepare(storage, 9)
        needs(storage, "can_delete")
        await self.send(storage, instructions, b"abandoned")
        await storage.delete_file(_PATH)
        await assert_absent(storage, _PATH)
        with pytest.raises((FileNotFoundError, FilesError)):
            await storage.finish_upload(_PATH, instructions.state)
