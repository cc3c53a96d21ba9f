"""The way of chunks from a client to a storage, and the right to move an upload's offset."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from datasette_files.errors import Conflict
from datasette_files.sources.reading import Digest
from datasette_files.transfer import attempts
from datasette_files.transfer.attempts import Piece, Pipe


async def _soon(waiting: asyncio.Future[object]) -> bool:
    """Whether it is done after every other task had a turn."""
    for _ in range(5):
        await asyncio.sleep(0)
    return waiting.done()


async def test_a_client_waits_while_enough_bytes_wait_for_the_storage(monkeypatch):
    monkeypatch.setattr(attempts, "_MAX_WAITING", 4)
    pipe = Pipe()
    assert await pipe.put(b"abc")
    assert await pipe.put(b"def"), "one byte less than the most had waited"
    third = asyncio.ensure_future(pipe.put(b"g"))
    assert not await _soon(third)
    assert await pipe.take(2) == b"ab"
    assert not await _soon(third), "four wait still"
    assert await pipe.take(1) == b"c"
    assert await _soon(third)
    assert await third
    assert await pipe.take(99) == b"defg"


async def test_chunks_are_cut_and_joined_to_what_is_asked_for():
    pipe = Pipe()
    for chunk in (b"abc", b"de"):
        await pipe.put(chunk)
    assert await pipe.head(4) == b"abcd"
    assert await pipe.take(4) == b"abcd"
    waiting = asyncio.ensure_future(pipe.take(4))
    assert not await _soon(waiting), "more may come"
    pipe.end()
    assert await waiting == b"e"
    assert await pipe.take(1) == b""


async def test_the_first_bytes_are_waited_for_until_there_are_enough_or_the_end():
    pipe = Pipe()
    await pipe.put(b"ab")
    waiting = asyncio.ensure_future(pipe.head(3))
    assert not await _soon(waiting)
    await pipe.put(b"cd")
    assert await waiting == b"abc"
    longer = asyncio.ensure_future(pipe.head(9))
    assert not await _soon(longer)
    pipe.end()
    assert await longer == b"abcd"
    assert await pipe.take(9) == b"abcd", "they stayed"


async def test_a_client_learns_that_nobody_takes_its_bytes(monkeypatch):
    monkeypatch.setattr(attempts, "_MAX_WAITING", 1)
    pipe = Pipe()
    assert await pipe.put(b"ab")
    waiting = asyncio.ensure_future(pipe.put(b"c"))
    assert not await _soon(waiting)
    pipe.abandon()
    assert not await waiting
    assert not await pipe.put(b"d")


async def _all(chunks: AsyncIterator[bytes]) -> list[bytes]:
    return [chunk async for chunk in chunks]


async def test_a_piece_takes_bytes_up_to_its_checkpoint_and_hashes_them():
    pipe, digest, asked = Pipe(), Digest(crc32=True), []

    async def confirm() -> None:
        asked.append(1)

    for chunk in (b"abc", b"def"):
        await pipe.put(chunk)
    pipe.end()
    first = Piece(pipe, 4, digest, confirm)
    assert await _all(aiter(first)) == [b"abcd"]
    assert first.size == 4
    last = Piece(pipe, 4, digest, confirm)
    assert await _all(aiter(last)) == [b"ef"]
    assert (last.size, asked) == (2, [1, 1])
    await last.hashed()
    other = Digest(crc32=True)
    await other.add(b"abcdef")
    assert (digest.content_hash, digest.crc32) == (other.content_hash, other.crc32)


async def test_a_piece_ends_at_its_checkpoint_however_its_bytes_come(monkeypatch):
    monkeypatch.setattr(attempts, "_MAX_WAITING", 3)
    pipe = Pipe()

    async def confirm() -> None:
        return

    await pipe.put(b"abc")
    taken = []
    async for chunk in Piece(pipe, 4, None, confirm):
        taken.append(chunk)
        await pipe.put(b"def")
    assert taken == [b"abc", b"d"]
    pipe.end()
    assert await pipe.take(9) == b"efdef"


async def test_a_piece_whose_upload_is_lost_takes_no_byte():
    pipe = Pipe()
    await pipe.put(b"abc")

    async def lost() -> None:
        raise Conflict("lost")

    piece = Piece(pipe, 4, None, lost)
    with pytest.raises(Conflict):
        await _all(aiter(piece))
    assert piece.size == 0
    assert await pipe.take(3) == b"abc"
