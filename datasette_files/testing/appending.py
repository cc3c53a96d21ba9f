"""Checks of ``append_upload``: what is durable, what a break leaves, and two at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ..base import Storage
from ..errors import FilesError
from .helpers import PATIENCE, Part, assert_absent, chunked, content_of, needs

_PATH = "append/some file.bin"
_MIB = 1024 * 1024


class _Broke(Exception):
    """Raised by a stream in these checks."""


async def _append(
    storage: Storage, offset: int, content: bytes, state: dict[str, Any]
) -> dict[str, Any]:
    """Append as the core does, which stores the state as JSON between two calls."""
    state = await storage.append_upload(_PATH, offset, chunked(content), state)
    stored: dict[str, Any] = json.loads(json.dumps(state))
    return stored


class AppendChecks(Part):
    """``append_upload`` and what ends it, where a storage overrides it."""

    def _needs_append(self, storage: Storage) -> None:
        needs(storage, "can_upload")
        if type(storage).append_upload is Storage.append_upload:
            pytest.skip("the storage does not append")

    @pytest.mark.parametrize(
        "sizes",
        [
            pytest.param((0,), id="nothing"),
            pytest.param((1,), id="1-byte"),
            pytest.param((1, 70_000, 1), id="small"),
            pytest.param((6 * _MIB, 6 * _MIB, 5), id="6MiB-6MiB-5"),
            pytest.param((5, 7 * _MIB + 1, 3 * _MIB), id="odd"),
        ],
    )
    async def test_appended_upload_round_trip(
        self, storage: Storage, sizes: tuple[int, ...]
    ) -> None:
        self._needs_append(storage)
        content, offset = content_of(sum(sizes)), 0
        state: dict[str, Any] = {}
        for size in sizes:
            assert size <= 8 * _MIB
            state = await _append(storage, offset, content[offset : offset + size], state)
            offset += size
            await assert_absent(storage, _PATH)
        stored = await storage.finish_upload(_PATH, state)
        assert stored.size == len(content)
        assert await storage.read_file(_PATH) == content
        again = await storage.finish_upload(_PATH, state)
        assert again.size == len(content), "finish_upload may be repeated"
        assert await storage.read_file(_PATH) == content

    async def test_append_drops_what_the_core_did_not_record(self, storage: Storage) -> None:
        """After a crash the storage may have more bytes than the core knows of."""
        self._needs_append(storage)
        state = await _append(storage, 0, b"recorded ", {})
        await _append(storage, 9, b"not recorded, and longer than the rest", state)
        state = await _append(storage, 9, b"the rest", state)
        assert (await storage.finish_upload(_PATH, state)).size == 17
        assert await storage.read_file(_PATH) == b"recorded the rest"

    async def test_append_drops_whole_parts_that_the_core_did_not_record(
        self, storage: Storage
    ) -> None:
        self._needs_append(storage)
        content = content_of(13 * _MIB)
        state = await _append(storage, 0, content[: 3 * _MIB], {})
        lost = await _append(storage, 3 * _MIB, content_of(5 * _MIB, "lost"), state)
        await _append(storage, 8 * _MIB, content_of(5 * _MIB, "lost too"), lost)
        state = await _append(storage, 3 * _MIB, content[3 * _MIB : 8 * _MIB], state)
        state = await _append(storage, 8 * _MIB, content[8 * _MIB :], state)
        assert (await storage.finish_upload(_PATH, state)).size == len(content)
        assert await storage.read_file(_PATH) == content

    async def test_append_whose_stream_raises_keeps_what_was_before(self, storage: Storage) -> None:
        self._needs_append(storage)
        state = await _append(storage, 0, b"before ", {})
        broke = _Broke("half-way")

        async def stream() -> AsyncIterator[bytes]:
            yield b"lost"
            raise broke

        with pytest.raises(_Broke) as caught:
            await storage.append_upload(_PATH, 7, stream(), state)
        assert caught.value is broke, "the stream's own exception has to come out"
        state = await _append(storage, 7, b"after", state)
        await storage.finish_upload(_PATH, state)
        assert await storage.read_file(_PATH) == b"before after"

    @pytest.mark.parametrize("offset", [0, 4])
    async def test_append_that_is_refused_at_its_first_chunk_changes_nothing(
        self, storage: Storage, offset: int
    ) -> None:
        """The core refuses there if another process has the upload now."""
        self._needs_append(storage)
        before = await _append(storage, 0, b"one ", {})
        state = await _append(storage, 4, b"two", before)

        async def refused() -> AsyncIterator[bytes]:
            raise _Broke("not yours")
            yield b""  # makes it a generator

        with pytest.raises(_Broke):
            await storage.append_upload(_PATH, offset, refused(), before if offset else {})
        await storage.finish_upload(_PATH, state)
        assert await storage.read_file(_PATH) == b"one two"

    async def test_appends_at_once_do_not_mix(self, storage: Storage) -> None:
        self._needs_append(storage)
        state = await _append(storage, 0, b"", {})
        waiting, go_on = asyncio.Event(), asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield b"a" * 70_000
            waiting.set()
            await go_on.wait()
            yield b"a" * 70_000

        first = asyncio.create_task(storage.append_upload(_PATH, 0, slow(), state))
        await asyncio.wait_for(waiting.wait(), PATIENCE)
        try:
            with pytest.raises(FilesError):
                await asyncio.wait_for(_append(storage, 0, b"b" * 140_000, state), PATIENCE)
        finally:
            go_on.set()
            state = await asyncio.wait_for(first, PATIENCE)
        await storage.finish_upload(_PATH, json.loads(json.dumps(state)))
        assert await storage.read_file(_PATH) == b"a" * 140_000

    @pytest.mark.parametrize("size", [4, 5 * _MIB + 4])
    @pytest.mark.parametrize("known", [True, False], ids=["state-known", "state-lost"])
    async def test_appending_to_what_is_gone_raises(
        self, storage: Storage, size: int, known: bool
    ) -> None:
        """The core may have lost the state of the first call in a crash."""
        self._needs_append(storage)
        state = await _append(storage, 0, content_of(size), {})
        await storage.discard_upload(_PATH, state if known else {})
        await storage.discard_upload(_PATH, state if known else {})
        with pytest.raises(FileNotFoundError):
            await _append(storage, size, content_of(7 * _MIB), state)
        with pytest.raises(FileNotFoundError):
            await storage.finish_upload(_PATH, state)
        await assert_absent(storage, _PATH)

    async def test_discarding_an_appended_upload_leaves_what_is_at_the_path(
        self, storage: Storage
    ) -> None:
        self._needs_append(storage)
        state = await _append(storage, 0, b"final", {})
        await storage.finish_upload(_PATH, state)
        await storage.discard_upload(_PATH, state)
        assert await storage.read_file(_PATH) == b"final"
