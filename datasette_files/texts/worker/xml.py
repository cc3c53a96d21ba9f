"""XML and zip archives of strangers: read in pieces, bounded, without entities."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO
from xml.parsers import expat

from .pages import Unreadable

#: Bytes of one unpacked member, and of all that are read.
MAX_MEMBER = 128 * 1024 * 1024
MAX_UNPACKED = 512 * 1024 * 1024
#: Bytes of a member that is kept in memory at once.
MAX_IN_MEMORY = 16 * 1024 * 1024
_CHUNK = 64 * 1024
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError)

#: ``(local name, {local name: value})``; namespaces are left out.
Start = Callable[[str, dict[str, str]], None]


class Archive:
    """A zip archive of which at most MAX_UNPACKED bytes are read."""

    def __init__(self, path: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except _DAMAGED as error:
            raise Unreadable("It is no zip archive, or protected by a password") from error
        self.names = frozenset(self._zip.namelist())
        self._left = MAX_UNPACKED

    def open(self, name: str) -> Member:
        """A member to read. Raises Unreadable."""
        try:
            info = self._zip.getinfo(name)
            if info.flag_bits & 1:
                raise Unreadable("It is protected by a password")
            return Member(self, name, self._zip.open(info))
        except KeyError:
            raise Unreadable(f"Its part {name[:200]} is missing") from None
        except _DAMAGED as error:
            raise Unreadable(f"Its part {name[:200]} is damaged") from error

    def read(self, name: str) -> bytes:
        """A small member as a whole. Raises Unreadable."""
        content = bytearray()
        member = self.open(name)
        while piece := member.read(_CHUNK):
            content += piece
            if len(content) > MAX_IN_MEMORY:
                raise Unreadable(f"Its part {name[:200]} is too large")
        return bytes(content)

    def spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise Unreadable(f"It unpacks to more than {MAX_UNPACKED:,} bytes")


class Member:
    """A member of an archive. ``read`` raises Unreadable."""

    def __init__(self, archive: Archive, name: str, stream: IO[bytes]) -> None:
        self._archive, self._name, self._stream = archive, name, stream
        self._left = MAX_MEMBER

    def read(self, size: int) -> bytes:
        try:
            content = self._stream.read(size)
        except _DAMAGED as error:
            raise Unreadable(f"Its part {self._name[:200]} is damaged") from error
        self._left -= len(content)
        if self._left < 0:
            raise Unreadable(f"Its part {self._name[:200]} has more than {MAX_MEMBER:,} bytes")
        self._archive.spend(len(content))
        return content


def parse(
    stream: Member, start: Start, end: Callable[[str], None], text: Callable[[str], None]
) -> None:
    """Hand a document's elements and text to the handlers. Raises Unreadable, and theirs."""
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True

    def doctype(name: str, system: object, public: object, has_internal_subset: int) -> None:
        if has_internal_subset:
            raise Unreadable("Its XML defines entities, which are not read")

    def entity(*_: object) -> None:
        raise Unreadable("Its XML defines entities, which are not read")

    def begin(name: str, attributes: dict[str, str]) -> None:
        # An id of a relationship has a namespace, and stands beside one that has none.
        ordered = sorted(attributes.items(), key=lambda item: " " in item[0])
        start(_local(name), {_local(key): value for key, value in ordered})

    parser.StartDoctypeDeclHandler = doctype
    parser.EntityDeclHandler = entity
    parser.StartElementHandler = begin
    parser.EndElementHandler = lambda name: end(_local(name))
    parser.CharacterDataHandler = text
    try:
        while piece := stream.read(_CHUNK):
            parser.Parse(piece, False)
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise Unreadable(f"Its XML is damaged: {error}") from error


def _local(name: str) -> str:
    return name.rpartition(" ")[2]
