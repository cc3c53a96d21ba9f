"""The confinement of a child process. The child asks the kernel for it before it reads a byte.

Every process that it starts inherits the confinement. A kernel or a container may refuse the
separate network and Landlock; ``enter`` returns the refusals. Leaves out which files a child needs
to read (process.py).
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

#: The server's requests come first (nice(2)).
_NICENESS = 10
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
# prctl(2), capset(2)
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECUREBITS, _PR_SET_NO_NEW_PRIVS = 1, 4, 28, 38
_SECBIT_NOROOT_LOCKED = 0x3
_CAPABILITY_VERSION_3 = 0x20080522

#: Protections that a system may refuse, by the names that an administrator reads.
PRIVILEGES, NETWORK, FILES = "no new privileges", "a network of its own", "Landlock"


def enter(
    folder: str, limits: dict[str, int], seconds: float, read: Sequence[str], run: Sequence[str]
) -> dict[str, str | None]:
    """Confine this process for good. ``folder`` is its own, and its working directory.

    ``limits`` by their names of setrlimit(2) without RLIMIT_, in bytes, seconds or descriptors;
    ``seconds`` of CPU until ``allow_cpu`` allows more; ``read`` and ``run``: paths that it may
    read, and also execute. Returns each protection with the reason of its refusal, or None.
    """
    os.setpgid(0, 0)  # its children are killed with it, and no Ctrl-C reaches it
    os.nice(_NICENESS)
    for name, value in limits.items():
        # Linux has every limit; other systems lack some.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            _limit(getattr(resource, f"RLIMIT_{name}"), value)
    allow_cpu(seconds)
    # Where Python, SQLite and other libraries put temporary files.
    tempfile.tempdir = folder
    os.environ.update(dict.fromkeys(("TMPDIR", "SQLITE_TMPDIR"), folder))
    # Held while this process lives. A server removes folders that no process holds.
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
    """Let no program that it starts gain rights that it lacks. Raises OSError."""
    _ask("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _leave_network() -> None:
    """Enter an empty network of its own. Raises OSError."""
    user, group = os.getuid(), os.getgid()
    _ask("unshare", _CLONE_NEWUSER | _CLONE_NEWNET)
    # Without the maps it could make no temporary file (user_namespaces(7)). The last one keeps it
    # from a further namespace, in which it would regain the capabilities that it gives up here.
    for name, text in (
        ("self/setgroups", "deny"),
        ("self/uid_map", f"{user} {user} 1"),
        ("self/gid_map", f"{group} {group} 1"),
        ("sys/user/max_user_namespaces", "0"),
    ):
        with contextlib.suppress(OSError):
            Path("/proc", name).write_text(text)


def _drop_capabilities() -> None:
    """Give up the capabilities of its namespace or of root for good. Raises OSError."""
    with contextlib.suppress(OSError):  # without a namespace only root may ask
        _ask("prctl", _PR_SET_SECUREBITS, _SECBIT_NOROOT_LOCKED, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    _ask("capset", ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)()))


def _ask(name: str, *arguments: object) -> None:
    """Call the C library. Raises OSError."""
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def cpu_used() -> float:
    """Seconds of CPU that this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def allow_cpu(total: float) -> None:
    """Let the kernel end this process when it has used this many seconds of CPU in all."""
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    bound = int(total) + 1
    if hard != resource.RLIM_INFINITY:
        bound = min(bound, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (bound, hard))


def _end_with(descriptor: int) -> None:
    """End this process and its children when the other side of a pipe is closed."""

    def watch() -> None:
        poll = select.poll()
        poll.register(descriptor, 0)  # no event is asked for: only the end is reported
        poll.poll()
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def end_child_with_parent() -> Callable[[], None] | None:
    """For ``preexec_fn``: have the kernel end the program when this process ends.

    None on other systems than Linux (prctl(2)).
    """
    if sys.platform != "linux":
        return None
    # Looked up before the fork: few calls are safe after it.
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def bind() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # the parent has ended: no signal will come
            os._exit(1)

    return bind


def hide_memory() -> None:
    """Keep other processes of the same user from tracing the server and reading its memory.

    A child that a hostile file has taken over runs as the same user. Also no core dump is written.
    Linux only (prctl(2), PR_SET_DUMPABLE).
    """
    if sys.platform == "linux":
        _ask("prctl", _PR_SET_DUMPABLE, 0, 0, 0, 0)


def peak_memory() -> int:
    """The largest resident set so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
