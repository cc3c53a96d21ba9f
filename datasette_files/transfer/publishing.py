"""Writing to the local disk: a finished file gets its name, and is durable; errors are ours."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import Conflict, FilesError, Invalid, NoSpace

#: Errors of a file system that has no more room.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
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


def check_free(path: Path, replaces: bool) -> None:
    """Raise FileExistsError, or Conflict for what ``replaces`` cannot replace."""
    if not os.path.lexists(path):
        return
    if not replaces:
        raise FileExistsError
    if not stat.S_ISREG(path.lstat().st_mode):
        raise Conflict(f"{path} exists and is not a regular file; choose another path")


def publish(new: Path, path: Path, replaces: bool) -> None:
    """Give a durable file its name, durably. Raises OSError, and as ``check_free``."""
    check_free(path, replaces)
    if replaces:
        new.replace(path)
    else:
        link_new(new, path)
        new.unlink(missing_ok=True)
    sync(path.parent)


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def system_errors(path: Path, taken: str = "choose another path") -> Iterator[None]:
    """Turn the operating system's errors at ``path`` into NoSpace, Conflict or Invalid.

    ``taken`` tells what to do where something is there already.
    """
    try:
        yield
    except FilesError:
        raise
    except FileExistsError as error:
        raise Conflict(f"{path} exists already; {taken}") from error
    except OSError as error:
        if error.errno in _FULL:
            raise NoSpace(f"The disk of {path} is full; free some space") from error
        raise Invalid(f"{path} cannot be written ({error.strerror})") from error
