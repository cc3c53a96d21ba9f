"""The private folder of each import, on the disk that the system has for temporary files.

A folder holds the scratch database, of about twice import_max_bytes at most, and a copy of a file
that has to be on disk to be read, of import_max_bytes at most. Functions block: not for the event
loop.
"""

from __future__ import annotations

import errno
import logging
import shutil
import tempfile
from pathlib import Path

from .. import naming
from ..errors import NoSpace, StorageUnavailable

logger = logging.getLogger("datasette_files")

_PREFIX = "datasette-files-import-"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_ASK = "ask the administrator for room there, then start the import again"


def place() -> str:
    """Where folders are made. Raises StorageUnavailable where nothing can be written."""
    try:
        return str(Path(tempfile.gettempdir()).absolute())
    except FileNotFoundError as error:
        logger.exception("Imports have no folder")
        raise StorageUnavailable(
            f"The server has no folder for temporary files that it can write to; {_ASK}"
        ) from error


def new() -> str:
    """A new folder's path. Nothing is made."""
    return str(Path(tempfile.gettempdir()).absolute() / f"{_PREFIX}{naming.new_ulid()}")


def check_room(size: int) -> None:
    """Raises NoSpace where a file of so many bytes surely finds no room, StorageUnavailable."""
    free = shutil.disk_usage(place()).free
    if free < size:
        raise NoSpace(
            f"The server's disk for temporary files has {free:,} bytes free, too few to import a"
            f" file of {size:,}; {_ASK}"
        )


def make(folder: Path) -> None:
    """Raises NoSpace, StorageUnavailable."""
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        logger.exception("An import has no folder")
        if error.errno in _FULL:
            raise NoSpace(f"The server's disk for temporary files is full; {_ASK}") from error
        raise StorageUnavailable(
            f"The server cannot make a folder for temporary files ({error.strerror}); {_ASK}"
        ) from error


def remove(folder: Path) -> None:
    """Remove an import's folder, and never another's."""
    if folder.name.startswith(_PREFIX) and folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)
