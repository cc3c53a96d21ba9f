"""Lists a directory tree page by page, in the order of the paths' components, in bounded memory.

A directory may hold a million names, so they are never sorted all at once: one scan keeps the
smallest ``WINDOW`` names after a given one, and the next window needs another scan. A walk keeps
its latest windows between pages, under an identifier in its cursor. If they are lost, for example
by a restart, it continues from the path in the cursor. Only regular files with UTF-8 names are
listed; directories that cannot be read are skipped. Everything here blocks.
"""

from __future__ import annotations

import base64
import heapq
import json
import logging
import mimetypes
import os
import stat
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import lru_cache

from ulid import ULID

from ..base import TIME_FORMAT, FileMetadata
from ..errors import Invalid
from .root import DIRECTORY, TEMPORARY, Root

logger = logging.getLogger("datasette_files")

#: Names of one directory in memory at a time.
WINDOW = 20_000
_MAX_UNLISTED = 100
#: Suffixes of names, and seconds, whose type and spelling are kept.
_KEPT = 1024


@dataclass(frozen=True)
class _Window:
    """The smallest names of a directory after ``start``, or from it on if ``inclusive``."""

    start: str
    inclusive: bool
    names: list[str]

    def reaches(self, name: str) -> bool:
        """Tell whether the window holds every name from ``name`` to its last one."""
        begun = self.start < name or (self.inclusive and self.start == name)
        return bool(self.names) and begun and name <= self.names[-1]


class Walks:
    """Lists the files of one root. Holds the windows of the latest walk."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._walk = ""
        self._windows: dict[str, _Window] = {}
        #: The names of the latest walk that are not UTF-8, written with escapes, at most 100.
        self.unlisted: list[str] = []

    def page(
        self, prefix: str, cursor: str | None, limit: int
    ) -> tuple[list[FileMetadata], str | None]:
        """Return at most ``limit`` files whose paths start with ``prefix``, and the next cursor.

        The cursor is None after the last page. Raises Invalid for an unknown cursor.
        """
        walk, after = _decode(cursor) if cursor is not None else (str(ULID()), "")
        found: list[FileMetadata] = []
        with self._lock:
            if walk != self._walk:
                self._walk, self._windows = walk, {}
                self.unlisted = []
            for file in self._files(prefix, after):
                if found and len(found) >= limit:
                    return found, _encode(walk, found[-1].path)
                found.append(file)
        return found, None

    def _files(self, prefix: str, after: str) -> Iterator[FileMetadata]:
        with self._root.held() as fd:
            yield from self._directory(fd, "", prefix, after.split("/") if after else [])

    def _directory(
        self, fd: int, path: str, prefix: str, after: list[str]
    ) -> Iterator[FileMetadata]:
        """Yield the files below one directory, after the path ``after``, depth first."""
        start = after[0] if after else ""
        for name in self._names(fd, path, start, inclusive=len(after) > 1):
            child = path + name
            if not (child.startswith(prefix) or prefix.startswith(child + "/")):
                continue
            try:
                info = os.stat(name, dir_fd=fd, follow_symlinks=False)
                if stat.S_ISREG(info.st_mode) and child.startswith(prefix):
                    if name != start:
                        yield describe(child, name, info)
                elif stat.S_ISDIR(info.st_mode):
                    inner = os.open(name, DIRECTORY, dir_fd=fd)
                    try:
                        rest = after[1:] if name == start else []
                        yield from self._directory(inner, child + "/", prefix, rest)
                    finally:
                        os.close(inner)
            except (FileNotFoundError, NotADirectoryError):
                continue  # deleted or replaced since its directory was read
            except PermissionError as error:
                # For example lost+found of a mounted disk, which only root may read.
                logger.warning("Not listed: %s in %s", error.strerror, child)

    def _names(self, fd: int, path: str, start: str, *, inclusive: bool) -> Iterator[str]:
        """Yield the directory's names in order, from ``start`` on, window by window."""
        window = self._windows.get(path)
        if window is None or not window.reaches(start):
            window = self._read(fd, path, start, inclusive=True)
        while window.names:
            # Windows of deeper directories are dropped at their end, below.
            self._windows[path] = window
            yield from (n for n in window.names if n > start or (inclusive and n == start))
            if len(window.names) < WINDOW:
                break
            start, inclusive = window.names[-1], False
            window = self._read(fd, path, start, inclusive=False)
        self._windows.pop(path, None)

    def _read(self, fd: int, path: str, start: str, *, inclusive: bool) -> _Window:
        def names() -> Iterator[str]:
            with os.scandir(fd) as entries:
                for entry in entries:
                    name = entry.name
                    if (name > start or (inclusive and name == start)) and self._listable(
                        path, name
                    ):
                        yield name

        return _Window(start, inclusive, heapq.nsmallest(WINDOW, names()))

    def _listable(self, path: str, name: str) -> bool:
        if not path and name == TEMPORARY:
            return False
        try:
            name.encode()
        except UnicodeEncodeError:
            logger.warning("Not listed, as its name is not UTF-8: %r", path + name)
            written = (path + name).encode("utf-8", "backslashreplace").decode()
            if written not in self.unlisted and len(self.unlisted) < _MAX_UNLISTED:
                self.unlisted.append(written)
            return False
        return True


def describe(path: str, name: str, info: os.stat_result) -> FileMetadata:
    nanoseconds = info.st_mtime_ns
    return FileMetadata(
        path=path,
        filename=name,
        content_type=_type(name),
        size=info.st_size,
        created_at=_written(nanoseconds // 1_000_000_000),
        metadata={"version": f"{info.st_ino}-{nanoseconds}"},
    )


def _type(name: str) -> str | None:
    """The type by the name's last two suffixes; there are few, so most of them are known."""
    stem, *suffixes = name.rsplit(".", 2)
    return _type_of(".".join(["x" if stem.strip(".") else "", *suffixes]))


# Half of the time of a listing went into these two.
@lru_cache(_KEPT)
def _type_of(name: str) -> str | None:
    return mimetypes.guess_type(name)[0]


@lru_cache(_KEPT)
def _written(second: int) -> str:
    return datetime.fromtimestamp(second, timezone.utc).strftime(TIME_FORMAT)


def _encode(walk: str, path: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([walk, path]).encode()).decode()


def _decode(cursor: str) -> tuple[str, str]:
    try:
        walk, path = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii")))
        if not isinstance(walk, str) or not isinstance(path, str):
            raise TypeError(cursor)
    except (ValueError, TypeError, RecursionError):
        raise Invalid("The cursor is not one of this list") from None
    return walk, path
