"""What a worker may not do: limits on memory and CPU, no files of size, no network, no core dump.

Set by the worker on itself, before it sees a byte of any file, and inherited by what it starts.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

_DESCRIPTORS = 64
#: Behind the server, which has requests to answer (nice(2)).
_NICENESS = 10
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_PDEATHSIG = 1


def confine(memory: int, file_size: int) -> None:
    """For the rest of the process: ``memory`` bytes of address space, files of ``file_size``."""
    os.nice(_NICENESS)
    limits = {
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_DATA: memory,
        resource.RLIMIT_FSIZE: file_size,
        resource.RLIMIT_NOFILE: _DESCRIPTORS,
        resource.RLIMIT_CORE: 0,
    }
    for limit, value in limits.items():
        hard = resource.getrlimit(limit)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        # Not every system has every limit; Linux, where servers run, has all.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(limit, (bound, bound))
    if sys.platform == "linux":
        _leave_network()


def _leave_network() -> None:
    """A network of its own, with nobody else in it, where the kernel lets processes have one."""
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    user, group = os.getuid(), os.getgid()
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        return  # a container may forbid it; nothing here opens a connection anyhow
    # Without these it could make no temporary file (user_namespaces(7)).
    with contextlib.suppress(OSError):
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def allow_cpu(seconds: float) -> None:
    """From now on so many seconds of CPU more; the kernel ends a process that takes longer."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    bound = int(used.ru_utime + used.ru_stime + seconds) + 1
    if hard == resource.RLIM_INFINITY or bound < hard:
        resource.setrlimit(resource.RLIMIT_CPU, (bound, hard))


def end_with(descriptor: int) -> None:
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


def peak_memory() -> int:
    """The largest resident set so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
