"""Packed files: gzip and Zstandard as streams, and the members of a zip archive.

Every stream is limited, against decompression bombs.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable
from typing import IO, Any, BinaryIO

from .base import MAX_LISTED_NAME, ImportProblem

GZIP = b"\x1f\x8b"
ZIP = b"PK\x03\x04"
ZSTD = b"\x28\xb5\x2f\xfd"
#: OLE, the container of Excel files until 2003.
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_PIECE = 64 * 1024
#: Small: zlib copies the unused rest of a piece for each member, which may have only 20 bytes.
_GZIP_PIECE = 4 * 1024
#: Small: four bytes of Zstandard may unpack to 128 KiB (RFC 8878, 3.1.1.2). And its window.
_ZSTD_PIECE, _ZSTD_WINDOW = 128, 128 * 1024 * 1024
#: Most members of an archive.
_MAX_MEMBERS = 10_000
#: Members that make a zip archive a workbook.
_WORKBOOK_MEMBERS = ("xl/workbook.xml", "xl/workbook.bin")
_ODS = b"application/vnd.oasis.opendocument.spreadsheet"
#: Members of an archive that are not tables: by the start of the name, and by its end.
_NO_TABLES = ("readme", "license", "licence", "copying", "thumbs.db", "desktop.ini", "changelog")
_NO_TABLE_ENDS = (
    *(".md", ".rst", ".html", ".htm", ".pdf", ".doc", ".docx", ".rtf", ".odt", ".ppt", ".pptx"),
    *(".jpg", ".jpeg", ".png", ".gif", ".webp", ".svg", ".tif", ".tiff", ".bmp", ".ico", ".heic"),
    *(".mp3", ".mp4", ".mov", ".wav", ".avi", ".css", ".js", ".py", ".exe", ".dll", ".xml", ".xsd"),
    *(".sha256", ".md5"),
)
#: Beginnings of names of files that describe the tables beside them.
_DESCRIBING = (
    *("datapackage.json", "metadata", "schema.json", "manifest.json", "package.json"),
    *("dataset_metadata", "ro-crate-metadata"),
)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class Limited(io.RawIOBase):
    """A stream of at most ``limit`` bytes. Raises ImportProblem if there are more."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self._left = limit
        #: Bytes given.
        self.passed = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        # Fill the whole buffer: the first member of a gzip file may hold only the header.
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
    """The content of a gzip file, its members one after the other (RFC 1952, 2.2)."""

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


class Unzstd(Limited):
    """The content of a Zstandard file, its frames one after the other (RFC 8878)."""

    def __init__(self, stream: IO[bytes], limit: int, cut: bool = False) -> None:
        super().__init__(stream, limit)
        try:
            import zstandard  # noqa: PLC0415 - an extra
        except ImportError:
            raise ImportProblem(
                "Zstandard files need datasette-files[zstd]; ask the administrator to install it,"
                " or upload the file unpacked"
            ) from None
        self._cut = cut
        self._error = zstandard.ZstdError
        self._unpacker = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        self._frame = self._unpacker.decompressobj()
        self._begun = False
        self._left_over, self._at = b"", 0

    def _fill(self, buffer: Any) -> int:
        while self._at >= len(self._left_over):
            fed = (self._frame.unused_data if self._frame.eof else b"") or self._stream.read(
                _ZSTD_PIECE
            )
            if not fed:
                if self._begun and not self._frame.eof and not self._cut:
                    raise ImportProblem("The Zstandard file is cut short; upload it again")
                return 0
            if self._frame.eof:
                self._frame = self._unpacker.decompressobj()
            self._begun = True
            try:
                self._left_over, self._at = self._frame.decompress(fed), 0
            except self._error as error:
                raise ImportProblem(
                    f"The Zstandard file is damaged ({error}); upload it again"
                ) from None
        content = self._left_over[self._at : self._at + len(buffer)]
        self._at += len(content)
        buffer[: len(content)] = content
        return len(content)


def members(archive: BinaryIO, is_table: Callable[[str], bool]) -> list[str]:
    """List the files of a zip archive that may be tables.

    These are the files with a table's extension, those that describe others last; if there are
    none, all but pictures, documents and similar files. Raises ImportProblem if the list is empty.
    """
    listed = [info.filename for info in _listed(_opened(archive)) if info.file_size]
    names = sorted(dict.fromkeys(listed), key=_describes)
    tables = [name for name in names if is_table(name)] or [
        name
        for name in names
        if not name.lower().endswith(_NO_TABLE_ENDS)
        and not name.lower().rpartition("/")[2].startswith(_NO_TABLES)
    ]
    if not tables:
        raise ImportProblem("The archive holds no table; upload one with CSV, JSON or a workbook")
    return tables


def _describes(name: str) -> bool:
    """Tell whether a file, by its name, describes the tables beside it (Frictionless, CSVW)."""
    last = name.lower().rpartition("/")[2]
    return last.startswith(_DESCRIBING) or last.endswith("-metadata.json")


def is_workbook(archive: BinaryIO) -> bool:
    """Tell whether a zip archive is a workbook, by its content."""
    opened = _opened(archive)
    names = {info.filename for info in _bounded(opened.infolist())}
    if not names.isdisjoint(_WORKBOOK_MEMBERS):
        return True
    if "mimetype" not in names:
        return False
    kind = _readable(opened, opened.getinfo("mimetype"), _PIECE)
    return kind.read(len(_ODS)) == _ODS


def check(archive: BinaryIO, limit: int) -> int:
    """Unpack an archive to count its bytes, as its list may be false; return the count.

    For formats whose library unpacks by itself. Raises ImportProblem beyond ``limit`` bytes.
    """
    opened = _opened(archive)
    buffer, left = bytearray(_PIECE), limit
    for info in _bounded(opened.infolist()):
        member = _readable(opened, info, limit)
        while count := member.readinto(buffer):
            left -= count
            if left < 0:
                raise _too_large(limit)
    archive.seek(0)
    return limit - left


def open_member(archive: BinaryIO, name: str, limit: int) -> BinaryIO:
    """Open one file of an archive. Raises ImportProblem."""
    opened = _opened(archive)
    info = next((info for info in _listed(opened) if info.filename == name), None)
    if info is None:
        raise ImportProblem(f"The archive holds no file {name[:200]!r}; choose one of its files")
    return _readable(opened, info, limit)  # type: ignore[return-value]


def _readable(opened: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int) -> _Member:
    name = info.filename[:200]
    if info.flag_bits & 1:
        raise ImportProblem(f"{name!r} is encrypted; upload it unpacked")
    if info.compress_type not in _METHODS:
        raise ImportProblem(f"{name!r} has an unknown compression; upload it unpacked")
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
        for info in _bounded(opened.infolist())
        if not info.filename.endswith("/")
        and not info.filename.startswith("__MACOSX/")
        and not info.filename.rpartition("/")[2].startswith(".")
        and 0 < len(info.filename) <= MAX_LISTED_NAME
    ]


def _bounded(infos: list[zipfile.ZipInfo]) -> list[zipfile.ZipInfo]:
    if len(infos) > _MAX_MEMBERS:
        raise ImportProblem(f"The archive holds over {_MAX_MEMBERS:,} files; import one of them")
    return infos
