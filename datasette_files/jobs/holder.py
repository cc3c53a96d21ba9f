"""Processes as holders of jobs: the name of this one, and whether another one is surely gone."""

from __future__ import annotations

import os
from pathlib import Path


def this_process() -> str:
    """This process as others of the same system know it; empty where there is no /proc."""
    pid = os.getpid()
    started = _started(pid)
    return f"{_system()}/{pid}/{started}" if started else ""


def _system() -> str:
    """The running system, and of it the processes that see each other."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}.{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """When a process started (proc(5), the 22nd field of stat); None for one that is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return stat.rpartition(")")[2].split()[19]


def is_gone(holder: str) -> bool:
    """Whether a process that held a lease is surely gone; one of another system may live."""
    system, _, rest = holder.partition("/")
    pid, _, rest = rest.partition("/")
    if not system or system != _system() or not pid.isdigit():
        return False
    return _started(int(pid)) != rest.partition("/")[0]
