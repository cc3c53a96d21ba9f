"""Giving a finished file on the local disk its name, so that it appears whole and is durable."""

from __future__ import annotations

import errno
import os
from pathlib import Path

#: Errors of a file system that has no more room.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: Errors of a file system without hard links.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


def link_new(new: Path, path: Path) -> None:
    """Name the file by a link, which unlike a rename never replaces a file created meanwhile.

    Raises OSError: FileExistsError if the name is taken.
    """
    try:
        os.link(new, path)
    except OSError as error:
        if error.errno not in _NO_LINKS or os.path.lexists(path):
            raise
        new.rename(path)


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
