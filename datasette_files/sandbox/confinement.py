"""What a child process may not do. It says so to the kernel itself, before it sees a byte.

What it starts inherits all of it. A kernel or a container may refuse the network of its own and
Landlock; ``enter`` tells which. Leaves out which files a child needs to read (process.py).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import resource
import select
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from . import landlock

#: Behind the server, which has requests to answer (nice(2)).
_NICENESS = 10
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
# prctl(2), capset(2)
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECUREBITS, _PR_SET_NO_NEW_PRIVS = 1, 4, 28, 38
_SECBIT_NOROOT_LOCKED = 0x3
_CAPABILITY_VERSION_3 = 0x20080522

#: The names of what may be refused, as an administrator reads them.
PRIVILEGES, NETWORK, FILES = "no new privileges", "a network of its own", "Landlock"


def enter(
    folder: str,
    limits: dict[str, int],
    seconds: float,
    read: Sequence[str],
    run: Sequence[str],
) -> dict[str, str | None]:
    """Confine this process for good. ``folder`` is its own, and its working directory.

    ``limits`` by their names of setrlimit(2) without RLIMIT_, in bytes, seconds or descriptors;
    ``seconds`` of CPU until ``allow_cpu`` allows more; ``read`` and ``run``: paths that it may
    read, and also execute. Returns what the kernel was asked for, each with its reason to refuse,
    or None.
    """
    os.setpgid(0, 0)  # so that what it starts is killed with it, and no Ctrl-C reaches it
    os.nice(_NICENESS)
    for name, value in limits.items():
        # Not every system has every limit; Linux, where servers run, has all.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            _limit(getattr(resource, f"RLIMIT_{name}"), value)
    allow_cpu(seconds)
    # Where libraries put temporary files: Python's, SQLite's and those in other languages.
    tempfile.tempdir = folder
    os.environ.update(dict.fromkeys(("TMPDIR", "SQLITE_TMPDIR"), folder))
    # Held while this process lives: who finds a folder that nobody holds may remove it.
    with contextlib.suppress(OSError):  # a file system without locks
        fcntl.flock(os.open(folder, os.O_RDONLY), fcntl.LOCK_SH | fcntl.LOCK_NB)
    told: dict[str, str | None] = {}
    if sys.platform == "linux":
        for name, step in ((PRIVILEGES, _renounce), (NETWORK, _leave_network)):
            told[name] = _refusal(step)
        _drop_capabilities()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        allowed = [
            *((path, landlock.READ) for path in read),
            *((path, landlock.RUN) for path in run),
            *((path, landlock.WRITE) for path in (folder, os.devnull)),
        ]
        told[FILES] = _refusal(lambda: landlock.restrict(allowed))
    _end_with(0)
    return told


def _limit(which: int, value: int) -> None:
    hard = resource.getrlimit(which)[1]
    bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (bound, bound))


def _refusal(step: Callable[[], None]) -> str | None:
    try:
        step()
    except OSError as error:
        return error.strerror or str(error)
    return None


def _renounce() -> None:
    """No program that it starts has more rights than it has. Raises OSError."""
    _ask("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _leave_network() -> None:
    """A network of its own, with nobody else in it. Raises OSError."""
    user, group = os.getuid(), os.getgid()
    _ask("unshare", _CLONE_NEWUSER | _CLONE_NEWNET)
    # Without these it could make no temporary file (user_namespaces(7)). And it is to make no
    # other namespace, in which it would have the capabilities again that it gives up here.
    for name, text in (
        ("self/setgroups", "deny"),
        ("self/uid_map", f"{user} {user} 1"),
        ("self/gid_map", f"{group} {group} 1"),
        ("sys/user/max_user_namespaces", "0"),
    ):
        with contextlib.suppress(OSError):
            Path("/proc", name).write_text(text)


def _drop_capabilities() -> None:
    """Those of its own namespace, or of root, and the way back to them. Raises OSError."""
    with contextlib.suppress(OSError):  # without a namespace it is root's to ask
        _ask("prctl", _PR_SET_SECUREBITS, _SECBIT_NOROOT_LOCKED, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    _ask("capset", ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)()))


def _ask(name: str, *arguments: object) -> None:
    """Call the C library. Raises OSError."""
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def cpu_used() -> float:
    """Seconds of CPU that this process has taken so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def allow_cpu(total: float) -> None:
    """The kernel ends this process once it has taken more seconds of CPU, in all."""
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    bound = int(total) + 1
    if hard != resource.RLIM_INFINITY:
        bound = min(bound, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (bound, hard))


def _end_with(descriptor: int) -> None:
    """End this process and its children once the other side of a pipe is closed, even at work."""

    def watch() -> None:
        poll = select.poll()
        poll.register(descriptor, 0)  # an end is reported unasked, data is not
        poll.poll()
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def end_child_with_parent() -> Callable[[], None] | None:
    """For ``preexec_fn``: the kernel ends the program once this process is gone, however it went.

    None where the kernel does not (prctl(2) is Linux's own).
    """
    if sys.platform != "linux":
        return None
    # All that is needed is at hand before the fork, after which little is safe.
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def bind() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # gone already: nobody will signal
            os._exit(1)

    return bind


def hide_memory() -> None:
    """For the server: no process but root's may trace it, or read its memory or environment.

    A child that a file has taken over runs as the same user. It leaves no core dump either. Only
    Linux has it (prctl(2), PR_SET_DUMPABLE).
    """
    if sys.platform == "linux":
        _ask("prctl", _PR_SET_DUMPABLE, 0, 0, 0, 0)


def peak_memory() -> int:
    """The largest resident set so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
