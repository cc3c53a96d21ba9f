"""Reads only from the kernel's page cache, so that a read never waits for a disk.

Reads a descriptor with ``RWF_NOWAIT`` (preadv2(2)) and opens a path with ``RESOLVE_CACHED``
(openat2(2)), for which Python has no function. If the system lacks one of them, or on an error,
the result is empty, and the caller reads in the ordinary way.
"""

from __future__ import annotations

import ctypes
import os
import platform
import stat
import struct
import sys

_NOWAIT = getattr(os, "RWF_NOWAIT", 0)

#: The system call has this number on both processors; on others, nothing is read.
_OPENAT2 = 437
_PROCESSORS = ("x86_64", "aarch64")
# openat2(2): beneath the directory, no symbolic links, only names that are in memory.
_RESOLVE = 0x08 | 0x04 | 0x20
_HOW = struct.pack("QQQ", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0, _RESOLVE)


def _loaded() -> ctypes.PyDLL | None:
    if sys.platform != "linux" or platform.machine() not in _PROCESSORS or sys.maxsize < 2**32:
        return None
    # It keeps the interpreter's lock: to give it up for a call that does not wait, and to get it
    # back from a busy thread, takes longer than the call.
    return ctypes.PyDLL(None)


_LIBC = _loaded()


def is_available(fd: int) -> bool:
    """Tell whether the open file's file system supports this; network file systems do not."""
    try:
        return _NOWAIT != 0 and os.preadv(fd, [bytearray(1)], 0, _NOWAIT) >= 0
    except BlockingIOError:
        return True  # supported, but not in memory
    except OSError:
        return False


def read(fd: int, buffer: memoryview, position: int) -> bytes:
    """Return the cached bytes at ``position``, at most a buffer full; empty if none is cached."""
    if not _NOWAIT:
        return b""
    try:
        return bytes(buffer[: os.preadv(fd, [buffer], position, _NOWAIT)])
    except OSError:
        return b""


def read_file(root: int, path: str, size: int) -> bytes | None:
    """Return the regular file of ``size`` bytes at ``path`` below the directory ``root``, or None.

    The caller has checked ``path`` with ``root.split``.
    """
    fd = open_file(root, path)
    if fd is None:
        return None
    try:
        content = read(fd, memoryview(bytearray(size)), 0)
        return content if len(content) == size else None
    finally:
        os.close(fd)


def open_file(root: int, path: str) -> int | None:
    """Open the regular file at ``path`` below the directory ``root``, or return None.

    The caller has checked ``path`` as for ``read_file``, and closes the descriptor.
    """
    if _LIBC is None:
        return None
    fd: int = _LIBC.syscall(_OPENAT2, root, os.fsencode(path), _HOW, len(_HOW))
    if fd < 0:
        return None
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    return None
