"""Files within files: gzip as it streams, a member of a zip archive. Bounded against bombs."""

from __future__ import annotations

import io
import zipfile
import zlib
from typing import IO, Any, BinaryIO

from .base import ImportProblem

GZIP = b"\x1f\x8b"
ZIP = b"PK\x03\x04"
_PIECE = 64 * 1024
#: Of a gzip file: what is left of it is copied for each member, and a member may be 20 bytes.
_GZIP_PIECE = 4 * 1024
#: What an archive may hold, for its list of contents to be read at all.
_MAX_MEMBERS = 10_000
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class Limited(io.RawIOBase):
    """A stream of at most ``limit`` bytes; more is a problem."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self._left = limit
        #: Bytes given.
        self.passed = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        # As much as there is: a member of a gzip file may hold the header's row alone.
        view, count = memoryview(buffer), 0
        while count < len(view) and (got := self._fill(view[count:])):
            count += got
        self._left -= count
        self.passed += count
        if self._left < 0:
            raise _too_large(self._limit)
        return count

    def _fill(self, buffer: Any) -> int:
        content = self._stream.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)


def _too_large(limit: int) -> ImportProblem:
    return ImportProblem(
        f"The file unpacks to more than {limit:,} bytes; import a smaller one, or ask the"
        " administrator to raise import_max_bytes"
    )


class Gunzipped(Limited):
    """What a gzip file holds, its members one after the other (RFC 1952, 2.2)."""

    def __init__(self, stream: IO[bytes], limit: int, cut: bool = False) -> None:
        super().__init__(stream, limit)
        #: Whether the file is known to end early.
        self._cut = cut
        self._inflate = zlib.decompressobj(31)
        self._begun = False

    def _fill(self, buffer: Any) -> int:
        while True:
            if self._inflate.eof:
                rest = self._inflate.unused_data.lstrip(b"\x00") or self._stream.read(_GZIP_PIECE)
                if not rest:
                    return 0
                self._inflate = zlib.decompressobj(31)
                fed = rest
            else:
                fed = self._inflate.unconsumed_tail or self._stream.read(_GZIP_PIECE)
                if not fed and self._cut:
                    return 0
                if not fed:
                    raise ImportProblem("The gzip file is cut short; upload it again")
            try:
                content = self._inflate.decompress(fed, len(buffer))
            except zlib.error as error:
                raise ImportProblem(
                    f"The gzip file is damaged ({error}); upload it again"
                ) from None
            if content:
                buffer[: len(content)] = content
                return len(content)


def members(archive: BinaryIO) -> list[str]:
    """The files in a zip archive, folders and what systems add left out."""
    return [info.filename for info in _listed(_opened(archive))]


def check(archive: BinaryIO, limit: int) -> None:
    """That an archive unpacks to no more than so many bytes, by unpacking it; its list may lie.

    For formats whose reader unpacks by itself.
    """
    opened = _opened(archive)
    buffer, left = bytearray(_PIECE), limit
    for info in _few(opened.infolist()):
        member = _readable(opened, info, limit)
        while count := member.readinto(buffer):
            left -= count
            if left < 0:
                raise _too_large(limit)
    archive.seek(0)


def open_member(archive: BinaryIO, name: str | None, limit: int) -> tuple[BinaryIO, str]:
    """One file of an archive, the only one if none is named; and its name."""
    opened = _opened(archive)
    infos = {info.filename: info for info in _listed(opened)}
    if not infos:
        raise ImportProblem("The archive holds no files")
    if name is None:
        name = next(iter(infos))
    info = infos.get(name)
    if info is None:
        raise ImportProblem(f"The archive holds no file {name!r}; choose one of its files")
    return _readable(opened, info, limit), name  # type: ignore[return-value]


def _readable(opened: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int) -> _Member:
    name = info.filename
    if info.flag_bits & 1:
        raise ImportProblem(f"{name!r} is encrypted; upload it unpacked")
    if info.compress_type not in _METHODS:
        raise ImportProblem(f"{name!r} is packed in a way that is not read; upload it unpacked")
    try:
        return _Member(opened.open(info), limit)
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError) as error:
        raise ImportProblem(f"The archive is damaged ({error}); upload it again") from None


class _Member(Limited):
    def _fill(self, buffer: Any) -> int:
        try:
            return super()._fill(buffer)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise ImportProblem(f"The archive is damaged ({error}); upload it again") from None


def _opened(archive: BinaryIO) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(archive)
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise ImportProblem(f"The archive cannot be read ({error}); upload it again") from None


def _listed(opened: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    return [
        info
        for info in _few(opened.infolist())
        if not info.is_dir() and not info.filename.startswith("__MACOSX/")
    ]


def _few(infos: list[zipfile.ZipInfo]) -> list[zipfile.ZipInfo]:
    if len(infos) > _MAX_MEMBERS:
        raise ImportProblem(f"The archive holds more than {_MAX_MEMBERS:,} files")
    return infos
