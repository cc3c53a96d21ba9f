"""The framing between the server and its child processes, over two pipes.

A frame is a length in four bytes (big-endian), then that many bytes, at most 2 MiB. A file or a
message is sent as frames and ends with an empty one, so its size need not be known before. A
message is a JSON object. Pure. The reading functions block and serve the child; the server reads in
process.py.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

LENGTH = struct.Struct(">I")
#: The empty frame that ends a file or a message.
END = LENGTH.pack(0)
#: The most bytes in one frame.
MAX_FRAME = 2 * 1024 * 1024
#: The most bytes in all frames of one message, and in all images of one answer.
MAX_MESSAGE = 16 * 1024 * 1024


class Broken(Exception):
    """The other side violates the framing, or ended within a message."""


def frames(content: bytes | memoryview) -> Iterator[bytes | memoryview]:
    """The frames of some content, without the one that ends it."""
    view = memoryview(content)
    for start in range(0, len(view), MAX_FRAME):
        piece = view[start : start + MAX_FRAME]
        yield LENGTH.pack(len(piece))
        yield piece


def packed(message: dict[str, Any]) -> bytes:
    """The frames of a message, joined. Raises Broken for more than MAX_MESSAGE bytes."""
    # A message may quote lone surrogates, which UTF-8 cannot encode.
    content = json.dumps(message, ensure_ascii=False).encode("utf-8", "replace")
    if len(content) > MAX_MESSAGE:
        raise Broken(f"a message has {len(content):,} bytes, more than {MAX_MESSAGE:,}")
    return b"".join((*frames(content), END))


def unpacked(content: bytes) -> dict[str, Any]:
    """A message's JSON object. Raises Broken."""
    try:
        message = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Broken("a message is not JSON") from error
    if not isinstance(message, dict):
        raise Broken("a message is not an object")
    return message


def length_of(raw: bytes, most: int = MAX_FRAME) -> int:
    """A frame's length. Raises Broken for an incomplete one, and for more than ``most``."""
    if len(raw) != LENGTH.size:
        raise Broken("the stream ended within a message")
    (length,) = LENGTH.unpack(raw)
    if length > min(most, MAX_FRAME):
        raise Broken(f"a frame of {length:,} bytes where at most {min(most, MAX_FRAME):,} belong")
    return int(length)


def read_message(source: BinaryIO) -> dict[str, Any] | None:
    """The next message; None if the stream ends before it. Raises Broken."""
    raw = source.read(LENGTH.size)
    return unpacked(b"".join(_pieces(source, raw))) if raw else None


def read_pieces(source: BinaryIO) -> Iterator[bytes]:
    """The frames of a file, up to its end. Raises Broken."""
    return _pieces(source, source.read(LENGTH.size))


def _pieces(source: BinaryIO, raw: bytes) -> Iterator[bytes]:
    while length := length_of(raw):
        piece = source.read(length)
        if len(piece) != length:
            raise Broken("the stream ended within a frame")
        yield piece
        raw = source.read(LENGTH.size)
