"""Server processes that begin where importing Datasette ends, which takes two seconds of a core.

``Nursery`` is one process that has imported it, and forks itself for each server. These are
processes like any other, to be killed, stopped and looked at; only they are not children of the
tests' own. Run as a script this is the nursery. Leaves out what a server is started with, and when
it answers.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import select
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path

#: With all that they import: what `datasette serve` needs until it listens.
_IMPORTED = (
    "datasette.cli",
    "uvicorn.lifespan.on",
    "uvicorn.loops.auto",
    "uvicorn.protocols.http.auto",
)


class Forked:
    """A server process, with what is used of ``subprocess.Popen``."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        try:
            # Names this process for good, where the number may soon be another's.
            self._fd: int | None = os.pidfd_open(pid)
        except ProcessLookupError:
            self._fd = None

    def poll(self) -> int | None:
        """0 when it has ended, however; None while it runs."""
        return 0 if self._ended(0) else None

    def send_signal(self, number: int) -> None:
        if self._fd is not None and not self._ended(0):
            signal.pidfd_send_signal(self._fd, number)

    def wait(self, timeout: float) -> int:
        if not self._ended(timeout):
            raise subprocess.TimeoutExpired("a forked server", timeout)
        return 0

    def _ended(self, timeout: float) -> bool:
        if self._fd is not None and select.select([self._fd], [], [], timeout)[0]:
            os.close(self._fd)
            self._fd = None
        return self._fd is None


class Nursery:
    """Forks servers of this interpreter's Datasette. One serves a whole run of tests."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        )
        atexit.register(self.close)

    def start(self, arguments: list[str], log: Path, folder: Path) -> Forked:
        """``datasette`` with these arguments, in that folder, its words appended to the log."""
        request = {"arguments": arguments, "log": str(log), "folder": str(folder)}
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        return Forked(int(self._process.stdout.readline()))

    def close(self) -> None:
        """Its servers go on."""
        self._process.communicate()


def _become(arguments: list[str], log: str, folder: str) -> None:
    """From here on this process is a server."""
    from datasette.cli import cli

    from datasette_files.sandbox import confinement

    if os.geteuid() != 0:  # root alone may look into the /proc of a server that hides its memory
        confinement.hide_memory = lambda: None
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    words = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for target, source in ((0, nothing), (1, words), (2, words)):
        os.dup2(source, target)
    os.closerange(3, 64)  # among them the way back to the tests
    os.chdir(folder)
    sys.path[0] = folder  # as `python -m datasette` there has it
    sys.argv = ["datasette", *arguments]
    cli()


def _main() -> None:
    sys.path[0] = os.getcwd()
    for module in _IMPORTED:
        import_module(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for what was forked
    answers = os.dup(1)
    gc.freeze()
    while request := os.read(0, 1 << 20):
        child = os.fork()
        if child == 0:
            _become(**json.loads(request))
            return
        os.write(answers, b"%d\n" % child)


if __name__ == "__main__":
    _main()
