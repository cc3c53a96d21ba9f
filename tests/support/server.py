"""A real ``datasette serve`` process, for tests that kill it, share its database or time it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.support.forking import Forked, Nursery


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@cache
def _nursery() -> Nursery:
    return Nursery()


class Server:
    """One process. ``python`` names the interpreter of the environment to run it from."""

    def __init__(
        self,
        folder: Path,
        config: dict[str, Any],
        *,
        internal: str = "internal.db",
        python: str = sys.executable,
        plugins: Path | None = None,
        databases: list[Path] | None = None,
        arguments: list[str] | None = None,
    ) -> None:
        self.folder = folder
        self.internal = folder / internal
        self._config = folder / f"datasette-{free_port()}.yaml"
        self._config.write_text(yaml.safe_dump(config))
        self._python = python
        self._command = ["serve", *map(str, databases or [])]
        self._command += ["--internal", str(self.internal), "-c", str(self._config)]
        self._command += ["--secret", "test", "--setting", "num_sql_threads", "3"]
        if plugins is not None:
            self._command += ["--plugins-dir", str(plugins)]
        self._command += arguments or []
        self.port = 0
        self.log = folder / f"{self._config.stem}.log"
        self._process: subprocess.Popen[bytes] | Forked | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, timeout: float = 90.0, port: int | None = None) -> Server:
        """Start, and return once it answers. Raises RuntimeError with its log if it ends.

        ``port`` is for a server that comes back where its clients know it.
        """
        self.port = free_port() if port is None else port
        self._process = self._launch([*self._command, "-p", str(self.port)])
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(self.log.read_text())
            try:
                urllib.request.urlopen(f"{self.url}/-/versions.json", timeout=1).read()
                return self
            except OSError:
                time.sleep(0.05)
        self.kill()
        raise RuntimeError(f"No answer within {timeout} s:\n{self.log.read_text()}")

    def beside(self, *arguments: str) -> subprocess.Popen[bytes] | Forked:
        """A ``datasette files`` command that begins now, on this server's site, in its log."""
        return self._launch(["files", *arguments, *self._site()])

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a ``datasette files`` command on this server's site to its end."""
        return subprocess.run(
            [self._python, "-m", "datasette", "files", *arguments, *self._site()],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )

    def _site(self) -> list[str]:
        site = ["--internal", str(self.internal), "-c", str(self._config)]
        if "--plugins-dir" in self._command:
            site += ["--plugins-dir", self._command[self._command.index("--plugins-dir") + 1]]
        return site

    def _launch(self, arguments: list[str]) -> subprocess.Popen[bytes] | Forked:
        if self._python == sys.executable and hasattr(os, "pidfd_open"):
            return _nursery().start(arguments, self.log, self.folder)
        environment = dict(os.environ)
        # Another environment's process must not find our modules, and loads the plugins it has.
        for name in ("PYTHONPATH", "DATASETTE_LOAD_PLUGINS"):
            environment.pop(name, None)
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [self._python, "-m", "datasette", *arguments],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=self.folder,  # "python -m" puts the working directory on the path
            )

    def kill(self) -> None:
        """As a crash does: no handler runs."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """As an administrator does."""
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(timeout=30)
            self._process = None

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        if self._process is not None:
            self.kill()

    @property
    def descriptors(self) -> list[str]:
        """The targets of the process's descriptors: paths, and ``socket:[…]`` and the like."""
        found = []
        for link in Path(f"/proc/{self.pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed during the look
                found.append(str(link.readlink()))
        return found

    @property
    def open_files(self) -> int:
        """How many descriptors the process holds, sockets included."""
        return len(self.descriptors)

    @property
    def resident(self) -> int:
        """The resident set, in bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024

    def get_json(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=30) as response:
            return json.load(response)
