"""Names of processes that hold jobs, and whether such a process has surely ended."""

from __future__ import annotations

import os
from pathlib import Path


def this_process() -> str:
    """Return this process's name, unique on its system; empty if there is no /proc."""
    pid = os.getpid()
    started = _started(pid)
    return f"{_system()}/{pid}/{started}" if started else ""


def _system() -> str:
    """Return the id of the system's boot and of the process namespace; empty without /proc."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}.{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """Return a process's start time (proc(5), field 22 of stat); None if it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return stat.rpartition(")")[2].split()[19]


def is_gone(holder: str) -> bool:
    """Tell whether the process has surely ended. A process of another system may be alive."""
    system, _, rest = holder.partition("/")
    pid, _, rest = rest.partition("/")
    if not system or system != _system() or not pid.isdigit():
        return False
    return _started(int(pid)) != rest.partition("/")[0]
