"""The folder with the databases of live tables: bounded, shared by processes, least used first out.

A database appears whole, by a rename, and is never changed. Its name is a key, which says what it
was made of. A process that reads a database that another one removes keeps its open file. All
functions block.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import time
from collections.abc import Collection
from pathlib import Path

from .. import naming
from ..errors import NoSpace, StorageUnavailable

logger = logging.getLogger("datasette_files")

_END = ".db"
_MAKING = "making-"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_ASK = "ask the administrator to make room, then open the file again"
#: A folder of a job that is older than this many seconds was left by a killed server.
_LEFT_SECONDS = 24 * 3600
#: What an internal database that lives as long as its process is named like, with our ending.
_TEMPORARY = "datasette_temp_*.db.live-tables"


class Cache:
    """The databases of one site. ``most``: bytes of all of them."""

    def __init__(self, folder: Path, most: int) -> None:
        self.folder = folder
        self.most = most

    def path(self, key: str) -> Path:
        return self.folder / f"{key}{_END}"

    def has(self, key: str) -> bool:
        return self.path(key).is_file()

    def use(self, key: str) -> bool:
        """Note that a database is used now; False if it is gone."""
        try:
            os.utime(self.path(key))
        except FileNotFoundError:
            return False
        return True

    def new_folder(self) -> Path:
        """Return the path of a new folder for a job, without making it."""
        return self.folder / f"{_MAKING}{naming.new_ulid()}"

    def make_folder(self, folder: Path) -> None:
        """Make a job's folder, for its process alone. Raises NoSpace, StorageUnavailable."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(mode=0o700)
        except OSError as error:
            raise _unusable(error) from error

    def check_room(self, size: int) -> None:
        """Raise NoSpace if the disk has fewer than ``size`` bytes free; StorageUnavailable."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            free = shutil.disk_usage(self.folder).free
        except OSError as error:
            raise _unusable(error) from error
        if free < size:
            raise NoSpace(
                f"The server's disk for live tables has {free:,} bytes free, too few for a file of"
                f" {size:,}; {_ASK}"
            )

    def remove_folder(self, folder: Path) -> None:
        """Remove a job's folder. Any other folder is left alone."""
        own = folder.parent == self.folder and folder.name.startswith(_MAKING)
        if own and folder.is_dir() and not folder.is_symlink():
            shutil.rmtree(folder)

    def keep(self, made: Path, key: str) -> None:
        """Take in a database that a process has made; remove others to make room.

        Raises NoSpace, StorageUnavailable.
        """
        try:
            self.trim({key}, made.stat().st_size)
            with made.open("rb") as written:
                os.fsync(written.fileno())
            made.chmod(0o600)
            made.replace(self.path(key))
        except OSError as error:
            raise _unusable(error) from error

    def trim(self, spared: Collection[str] = (), size: int = 0) -> None:
        """Remove the least recently used databases until there is room for ``size`` bytes more."""
        found = sorted(self._entries(), key=lambda entry: entry[1])
        total = sum(entry[2] for entry in found) + size
        for key, _, bytes_ in found:
            if total <= self.most:
                return
            if key not in spared:
                self.remove(key)
                total -= bytes_

    def remove(self, key: str) -> None:
        self.path(key).unlink(missing_ok=True)

    def remove_all(self, keys: Collection[str]) -> None:
        for key in keys:
            self.remove(key)

    def tidy(self) -> None:
        """Remove what is too much, and what a killed server left."""
        self.trim()
        for left in self.folder.glob(f"{_MAKING}*"):
            with contextlib.suppress(FileNotFoundError):  # its job has ended meanwhile
                if time.time() - left.stat().st_mtime > _LEFT_SECONDS:
                    self.remove_folder(left)

    def keys(self) -> list[str]:
        return [key for key, _, _ in self._entries()]

    def _entries(self) -> list[tuple[str, float, int]]:
        """Each database as key, time of its last use, and bytes."""
        entries = []
        for path in self.folder.glob(f"*{_END}"):
            with contextlib.suppress(FileNotFoundError):  # another process has removed it
                stat = path.stat()
                entries.append((path.name.removesuffix(_END), stat.st_mtime, stat.st_size))
        return entries


def _unusable(error: OSError) -> NoSpace | StorageUnavailable:
    logger.error("The folder of live tables cannot be used: %s", error)
    if error.errno in _FULL:
        return NoSpace(f"The server's disk for live tables is full; {_ASK}")
    return StorageUnavailable(
        f"The server cannot write to its folder for live tables ({error.strerror}); {_ASK}"
    )


def folder_beside(internal: Path) -> Path:
    """The folder of a site without a configured one."""
    return internal.with_name(f"{internal.name}.live-tables")


def clear_left(internal: Path) -> None:
    """Remove the folders beside temporary internal databases that are gone."""
    for left in internal.parent.glob(_TEMPORARY):
        if not left.with_name(left.name.removesuffix(".live-tables")).exists():
            shutil.rmtree(left, ignore_errors=True)
