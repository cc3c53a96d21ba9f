"""Landlock (Linux 5.13 and later) restricts the files that a process may open.

Newer kernels also forbid TCP and signals to other processes. Uses system calls, whose numbers are
the same on every architecture except Alpha (landlock(7), linux/landlock.h).
"""

from __future__ import annotations

import ctypes
import os
import stat
import sys
from collections.abc import Iterable

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1  # LANDLOCK_CREATE_RULESET_VERSION
_PATH_BENEATH = 1

#: Rights on files (LANDLOCK_ACCESS_FS_*).
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE = 1 << 4, 1 << 5
_MAKE_DIR, _MAKE_REG = 1 << 7, 1 << 8
_TRUNCATE = 1 << 14
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | 1 << 15
#: How many rights each version of the interface knows. All known rights are withdrawn.
_KNOWN = (13, 14, 15, 15, 16)

READ = _READ_FILE | _READ_DIR
RUN = READ | _EXECUTE
WRITE = READ | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _TRUNCATE


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("files", ctypes.c_uint64),
        ("network", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("rights", ctypes.c_uint64), ("folder", ctypes.c_int32))


def _call(number: int, *arguments: object) -> int:
    """Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    done = int(libc.syscall(ctypes.c_long(number), *arguments))
    if done < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return done


def restrict(allowed: Iterable[tuple[str, int]]) -> None:
    """Let this thread, and all that it starts, open only these paths and what is below them.

    Takes ``(path, READ, RUN or WRITE)``; a path that does not exist is ignored. Needs
    PR_SET_NO_NEW_PRIVS. Raises OSError if the kernel has no Landlock.
    """
    if sys.platform != "linux":
        raise OSError("Landlock is Linux's own")
    version = _call(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))
    known = (1 << _KNOWN[min(version, len(_KNOWN)) - 1]) - 1
    wanted = _Ruleset(known, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    ruleset = _call(
        *(_CREATE_RULESET, ctypes.byref(wanted), ctypes.c_size_t(ctypes.sizeof(wanted))),
        ctypes.c_uint32(0),
    )
    for path, rights in allowed:
        try:
            folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue  # absent, or closed to this user
        kept = known if stat.S_ISDIR(os.fstat(folder).st_mode) else known & _ON_FILES
        rule = _Beneath(rights & kept, folder)
        _call(
            *(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH)),
            *(ctypes.byref(rule), ctypes.c_uint32(0)),
        )
        os.close(folder)
    _call(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    os.close(ruleset)
