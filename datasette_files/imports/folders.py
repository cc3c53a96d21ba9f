"""The private folder of each import, in the system's folder for temporary files.

A folder holds the scratch database, of at most about twice import_max_bytes, and a copy of a file
whose format has to seek, of at most import_max_bytes. The functions block.
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
_ASK = "ask the administrator to make room, then start the import again"


def place() -> str:
    """Return the folder for temporary files. Raises StorageUnavailable if there is none."""
    try:
        return str(Path(tempfile.gettempdir()).absolute())
    except FileNotFoundError as error:
        logger.exception("Imports have no folder")
        raise StorageUnavailable(
            f"The server has no folder for temporary files that it can write to; {_ASK}"
        ) from error


def new() -> str:
    """Return the path for a new folder, without making it."""
    return str(Path(tempfile.gettempdir()).absolute() / f"{_PREFIX}{naming.new_ulid()}")


def check_room(size: int) -> None:
    """Raise NoSpace if fewer than ``size`` bytes are free; StorageUnavailable."""
    free = shutil.disk_usage(place()).free
    if free < size:
        raise NoSpace(
            f"The server's disk for temporary files has {free:,} bytes free, too few to import a"
            f" file of {size:,}; {_ASK}"
        )


def make(folder: Path) -> None:
    """Make an import's folder. Raises NoSpace, StorageUnavailable."""
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
    """Remove an import's folder. A folder of any other name is left alone."""
    if folder.name.startswith(_PREFIX) and folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)
