"""Reads that never wait for a disk: what the kernel has in memory, or nothing.

Of a descriptor by ``RWF_NOWAIT`` (preadv2(2)), of a path by ``RESOLVE_CACHED`` (openat2(2)), for
which Python has no function. Where a system lacks either, there is nothing, and the caller goes the
ordinary way, which reports what is wrong too.
"""

from __future__ import annotations

import ctypes
import os
import platform
import stat
import struct
import sys

_NOWAIT = getattr(os, "RWF_NOWAIT", 0)

#: The call's number, the same on both; other processors go the ordinary way.
_OPENAT2 = 437
_PROCESSORS = ("x86_64", "aarch64")
# openat2(2): below the given directory, through no link, only by names that are in memory.
_RESOLVE = 0x08 | 0x04 | 0x20
_HOW = struct.pack("QQQ", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0, _RESOLVE)


def _loaded() -> ctypes.CDLL | None:
    if sys.platform != "linux" or platform.machine() not in _PROCESSORS or sys.maxsize < 2**32:
        return None
    return ctypes.CDLL(None)


_LIBC = _loaded()


def is_available(fd: int) -> bool:
    """Whether the file system of an open file tells what it has in memory; network ones do not."""
    try:
        return _NOWAIT != 0 and os.preadv(fd, [bytearray(1)], 0, _NOWAIT) >= 0
    except BlockingIOError:
        return True  # it does, and it has not
    except OSError:
        return False


def read(fd: int, buffer: memoryview, position: int) -> bytes:
    """What is in memory from ``position`` on, at most a buffer full; empty where nothing is."""
    if not _NOWAIT:
        return b""
    try:
        return bytes(buffer[: os.preadv(fd, [buffer], position, _NOWAIT)])
    except OSError:
        return b""


def read_file(root: int, path: str, size: int) -> bytes | None:
    """The regular file of ``size`` bytes at ``path`` below the directory ``root``, or None.

    ``path`` is plain and relative, as ``root.split`` checks.
    """
    if _LIBC is None:
        return None
    fd = _LIBC.syscall(_OPENAT2, root, os.fsencode(path), _HOW, len(_HOW))
    if fd < 0:
        return None
    try:
        content = read(fd, memoryview(bytearray(size)), 0)
        return content if len(content) == size and stat.S_ISREG(os.fstat(fd).st_mode) else None
    finally:
        os.close(fd)
