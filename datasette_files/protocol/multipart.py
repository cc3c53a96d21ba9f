"""Reading a `multipart/form-data` body as it arrives (RFC 7578, RFC 2046 section 5.1).

`MultipartStream` hands out the parts in order: a `Field` whole, within a limit, a `FilePart` as the
stream of its bytes, which are not kept. python-multipart finds the boundaries; this module adds the
preamble, the limits, one error class, and the change from callbacks to `await`. Left out: the
meaning of header fields (`part_headers.py`), and storing or hashing the bytes.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError

from datasette_files.protocol.part_headers import (
    MultipartError,
    decode_header_value,
    parse_boundary,
    parse_part_headers,
)

__all__ = ["Field", "FilePart", "MultipartError", "MultipartStream"]

MAX_PART_HEADERS = 32
"""Most header fields in one part; browsers send two."""

# The rest of a boundary's line, and an incomplete rest.
_REST_OF_DELIMITER = re.compile(rb"(?P<closing>--)|[ \t]*\r\n")
_UNFINISHED_DELIMITER = re.compile(rb"-?|[ \t]*\r?")


class _PartEnd:
    """Marks the end of a file's data among the events."""


_PART_END: Final = _PartEnd()


@dataclass(frozen=True)
class Field:
    """A part without a file name: `value` is its whole text, decoded as UTF-8."""

    name: str
    value: str


@dataclass(frozen=True, eq=False)
class FilePart:
    """A part with a file name, its bytes still to be read.

    `filename` is as the client meant it, not safe as a path, and "" when a form was sent with no
    file chosen. `content_type` is None when the part has none. `headers` has lower-case names.
    """

    name: str
    filename: str
    content_type: str | None
    headers: Mapping[str, str]
    _stream: MultipartStream = field(repr=False)

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield the file's bytes as they arrive, in pieces no larger than the body's own chunks.

        A piece that no boundary touches is the body's chunk itself, not a copy. Raises
        `MultipartError` when the body is malformed or ends early, and `RuntimeError` when
        `next_part` has been called since, which discards the unread bytes.
        """
        return self._stream._file_chunks(self)


_Event = Field | FilePart | bytes | _PartEnd


class MultipartStream:
    """The parts of a form, read from the chunks of its body.

    `content_type_header` is the request's `Content-Type`; `chunks` the body, in pieces of any size.
    At most `max_fields` parts are accepted, files included, each with at most `max_header_bytes` of
    header fields; the preamble before the first boundary has that limit too. A field may have
    `max_field_bytes`. Files have no limit: their reader counts. No more than these and one chunk is
    held in memory.

    `MultipartError` is raised for everything malformed or beyond a limit: here for the boundary,
    else while reading, after the complete parts before the fault. An exception that `chunks` raises
    passes through. One task may read at a time.
    """

    def __init__(
        self,
        content_type_header: str | None,
        chunks: AsyncIterator[bytes],
        *,
        max_fields: int = 20,
        max_field_bytes: int = 65536,
        max_header_bytes: int = 16384,
    ) -> None:
        boundary = parse_boundary(content_type_header)
        self._source = chunks
        self._max_fields = max_fields
        self._max_field_bytes = max_field_bytes
        self._max_header_bytes = max_header_bytes
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._on_part_begin,
                "on_header_begin": self._on_header_begin,
                "on_header_field": self._on_header_field,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers_finished,
                "on_part_data": self._on_part_data,
                "on_part_end": self._on_part_end,
                "on_end": self._on_end,
            },
            max_header_count=MAX_PART_HEADERS,
            max_header_size=max_header_bytes,
        )
        self._delimiter = b"\r\n--" + boundary
        # Begins with a line break, so that a boundary may open the body.
        self._preamble: bytearray | None = bytearray(b"\r\n")
        self._preamble_searched = 0
        # Events that were parsed and not handed out, and the fault to raise after them.
        self._events: deque[_Event] = deque()
        self._error: str | None = None
        self._ended = False
        # The part handed out last, and whether more of its bytes follow.
        self._part: Field | FilePart | None = None
        self._in_file = False
        # The part being parsed.
        self._part_count = 0
        self._in_headers = False
        self._header_bytes = 0
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._headers: dict[str, str] = {}
        self._field_name: str | None = None
        self._field_value = bytearray()

    async def next_part(self) -> Field | FilePart | None:
        """Return the next part, or None after the last, when the body has been read to its end.

        Unread bytes of the file before it are read and discarded. Raises `MultipartError`.
        """
        self._part = None
        while self._in_file:
            self._in_file = isinstance(await self._next_event(), bytes)
        event = await self._next_event()
        if isinstance(event, Field | FilePart):
            self._part = event
            self._in_file = isinstance(event, FilePart)
            return event
        # Only the end of the form can follow the end of a part here.
        return None

    async def _file_chunks(self, part: FilePart) -> AsyncIterator[bytes]:
        while True:
            if self._part is not part:
                # No chunks would look like an empty file.
                raise RuntimeError("the stream has moved on from this part")
            if not self._in_file:
                return
            event = await self._next_event()
            if isinstance(event, bytes):
                yield event
            else:
                self._in_file = False

    async def _next_event(self) -> _Event | None:
        """Return the next event of the form, reading the body as needed; None at its end."""
        while not self._events:
            if self._error is not None:
                raise MultipartError(self._error)
            chunk = await anext(self._source, None)
            if chunk is None:
                if self._ended:
                    return None
                self._error = "the body ends before its closing boundary"
            elif chunk and not self._ended:  # bytes after the form are discarded
                self._parse(chunk)
        return self._events.popleft()

    def _parse(self, chunk: bytes) -> None:
        """Turn a chunk into events; keep a fault, to be raised after them."""
        try:
            if self._preamble is None:
                self._parser.write(chunk)
            else:
                self._skip_preamble(self._preamble, chunk)
        except MultipartError as error:
            self._error = str(error)
        except FormParserError:
            # The parser's own message gives offsets in a chunk, which do not help the client.
            self._error = self._header_fault() if self._in_headers else "a boundary is malformed"

    def _skip_preamble(self, preamble: bytearray, chunk: bytes) -> None:
        """Look for the first boundary, and parse what follows (RFC 2046 section 5.1.1)."""
        preamble += chunk
        limit = self._max_header_bytes
        while (found := preamble.find(self._delimiter, self._preamble_searched, limit)) >= 0:
            after = found + len(self._delimiter)
            rest = _REST_OF_DELIMITER.match(preamble, after, limit)
            if rest is not None:
                self._preamble = None
                self._parser.write(self._delimiter[2:] + (b"--" if rest["closing"] else b"\r\n"))
                if len(preamble) > rest.end():
                    self._parser.write(bytes(memoryview(preamble)[rest.end() :]))
                return
            self._preamble_searched = found
            if _UNFINISHED_DELIMITER.fullmatch(preamble, after):
                break
            self._preamble_searched = after
        else:
            # The last bytes may begin a boundary, so they are searched again.
            self._preamble_searched = max(
                self._preamble_searched, len(preamble) - len(self._delimiter) + 1
            )
        if len(preamble) >= limit:
            raise MultipartError(f"no boundary in the first {limit} bytes of the body")

    # Callbacks of the parser, in the order of a part.

    def _on_part_begin(self) -> None:
        self._part_count += 1
        if self._part_count > self._max_fields:
            raise MultipartError(f"the form has more than {self._max_fields} parts")
        self._in_headers = True
        self._header_bytes = 0
        self._headers = {}

    def _on_header_begin(self) -> None:
        self._header_name.clear()
        self._header_value.clear()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._count_header_bytes(end - start)
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._count_header_bytes(end - start)
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        name = self._header_name.decode("ascii").lower()  # the parser lets only tokens through
        if name in self._headers:
            raise MultipartError("a part has the same header twice")
        self._headers[name] = decode_header_value(bytes(self._header_value))

    def _on_headers_finished(self) -> None:
        self._in_headers = False
        name, filename = parse_part_headers(self._headers)
        if filename is None:
            self._field_name = name
            self._field_value = bytearray()
            return
        self._field_name = None
        content_type = self._headers.get("content-type") or None
        self._events.append(FilePart(name, filename, content_type, self._headers, self))

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._field_name is None:
            # A slice of all bytes is the chunk itself, not a copy.
            self._events.append(data[start:end])
            return
        if len(self._field_value) + end - start > self._max_field_bytes:
            raise MultipartError(f"a field is longer than {self._max_field_bytes} bytes")
        self._field_value += data[start:end]

    def _on_part_end(self) -> None:
        if self._field_name is None:
            self._events.append(_PART_END)
            return
        try:
            value = self._field_value.decode()
        except UnicodeDecodeError as error:
            raise MultipartError("a field is not UTF-8") from error
        self._events.append(Field(self._field_name, value))

    def _on_end(self) -> None:
        self._ended = True

    def _count_header_bytes(self, length: int) -> None:
        self._header_bytes += length
        if self._header_bytes > self._max_header_bytes:
            raise MultipartError(self._header_fault())

    def _header_fault(self) -> str:
        # One message for both faults, as the chunks decide which one is met first.
        return f"a part's header is malformed or longer than {self._max_header_bytes} bytes"
