"""Checks of storages that clients send the parts of a large file to by themselves."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest

from ..base import SignedPart, Storage, UploadParts, WantedPart
from ..errors import Conflict, FilesError
from .helpers import Part, assert_absent, content_of, needs
from .remote import http

_PATH = "remote/in parts.bin"
_TYPE = "text/plain"


class PartsChecks(Part):
    """``plan_parts`` and what follows, where ``plan_parts`` answers for ``size_in_parts``."""

    #: Bytes of a file that the storage takes in two parts or more.
    size_in_parts: ClassVar[int] = 17 * 1024 * 1024

    async def send_part(self, storage: Storage, signed: SignedPart, content: bytes) -> None:
        """Send the bytes as a client does."""
        # Else the library names a type that no client has.
        headers = {"Content-Type": "application/octet-stream", **signed.headers}
        await http(signed.url, "PUT", headers, content)

    async def _begin(self, storage: Storage) -> tuple[UploadParts, dict[str, Any]]:
        needs(storage, "can_upload")
        plan = await storage.plan_parts(self.size_in_parts)
        if plan is None:
            pytest.skip("the storage takes no direct uploads in parts")
        size = self.size_in_parts
        assert plan.part_size * (plan.count - 1) < size <= plan.part_size * plan.count
        state = await storage.begin_parts(_PATH, _TYPE, size, plan, checksums=False)
        # The core stores the state as JSON between the calls.
        return plan, json.loads(json.dumps(state))

    async def _send(
        self, storage: Storage, plan: UploadParts, state: dict[str, Any], *numbers: int
    ) -> bytes:
        """Send these parts; return the whole file."""
        content = content_of(self.size_in_parts)
        slices = {n: content[(n - 1) * plan.part_size : n * plan.part_size] for n in numbers}
        wanted = [WantedPart(number, len(part)) for number, part in slices.items()]
        signed = await storage.sign_parts(_PATH, state, wanted, expires_in=60)
        assert [part.number for part in signed] == list(numbers)
        for part in signed:
            await self.send_part(storage, part, slices[part.number])
        return content

    async def test_direct_parts_round_trip(self, storage: Storage) -> None:
        plan, state = await self._begin(storage)
        assert await storage.list_parts(_PATH, state) == []
        numbers = range(1, plan.count + 1)
        content = await self._send(storage, plan, state, *reversed(numbers))
        listed = await storage.list_parts(_PATH, state)
        assert [part.number for part in listed] == list(numbers)
        assert sum(part.size for part in listed) == len(content)
        await assert_absent(storage, _PATH)
        stored = await storage.finish_upload(_PATH, state)
        assert (stored.path, stored.size) == (_PATH, len(content))
        assert await storage.read_file(_PATH) == content
        await storage.discard_upload(_PATH, state)
        assert await storage.read_bytes(_PATH, 5) == content[:5], "the file itself stays"

    async def test_direct_upload_without_a_part_is_refused(self, storage: Storage) -> None:
        plan, state = await self._begin(storage)
        with pytest.raises((FileNotFoundError, FilesError)):
            await storage.finish_upload(_PATH, state)
        content = await self._send(storage, plan, state, plan.count)
        with pytest.raises(Conflict):
            await storage.finish_upload(_PATH, state)
        await assert_absent(storage, _PATH)
        await self._send(storage, plan, state, *range(1, plan.count))
        assert (await storage.finish_upload(_PATH, state)).size == len(content)

    async def test_discarded_direct_parts_are_gone(self, storage: Storage) -> None:
        plan, state = await self._begin(storage)
        await self._send(storage, plan, state, 1)
        for _ in range(2):  # may be repeated
            await storage.discard_upload(_PATH, state)
        with pytest.raises(FileNotFoundError):
            await storage.list_parts(_PATH, state)
        with pytest.raises((FileNotFoundError, FilesError)):
            await storage.finish_upload(_PATH, state)
        await assert_absent(storage, _PATH)
