"""How the server and its workers talk: headers of JSON and pieces of bytes, over two pipes.

A message is a header, which is a length in four bytes and so much JSON, and then what the header
says follows. A file travels as pieces, each a length and so many bytes, and a length of 0 at its
end: its size need not be known. Pure; the reading of one side blocks, the other's is in workers.py.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

LENGTH = struct.Struct(">I")
#: Bytes; no header of ours comes near.
MAX_HEADER = 64 * 1024
#: Bytes; no piece of a file is larger.
MAX_PIECE = 1024 * 1024
#: Bytes of all the images in one answer.
MAX_ANSWER = 16 * 1024 * 1024


class Broken(Exception):
    """The other side does not keep to the framing, or ended within a message."""


def packed(header: dict[str, Any]) -> bytes:
    """A header as it is sent."""
    body = json.dumps(header).encode()
    return LENGTH.pack(len(body)) + body


def unpacked(body: bytes) -> dict[str, Any]:
    """A header's JSON. Raises Broken."""
    try:
        header = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Broken("a header is not JSON") from error
    if not isinstance(header, dict):
        raise Broken("a header is not an object")
    return header


def length_of(raw: bytes, most: int) -> int:
    """A length that was received. Raises Broken for more than ``most``."""
    (length,) = LENGTH.unpack(raw)
    if length > most:
        raise Broken(f"{length} bytes where at most {most} belong")
    return int(length)


def read_header(source: BinaryIO) -> dict[str, Any] | None:
    """The next header; None where the stream ends before one. Blocks. Raises Broken."""
    raw = source.read(LENGTH.size)
    if not raw:
        return None
    return unpacked(_exactly(source, length_of(raw.ljust(LENGTH.size, b"\xff"), MAX_HEADER)))


def read_pieces(source: BinaryIO) -> Iterator[bytes]:
    """The pieces of a file, up to its end. Blocks. Raises Broken."""
    while length := length_of(_exactly(source, LENGTH.size), MAX_PIECE):
        yield _exactly(source, length)


def _exactly(source: BinaryIO, length: int) -> bytes:
    body = source.read(length)
    if len(body) != length:
        raise Broken("the stream ended within a message")
    return body
