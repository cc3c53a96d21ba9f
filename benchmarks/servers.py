"""Real server processes: started, awaited, watched and killed.

Every server is a context manager around one child process in a session of its own. Leaving the
context kills the whole session, and Linux kills the child when we die without leaving it. What a
Datasette is configured with is in `DatasetteServer`; what is measured on it is not.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from benchmarks.client import Address, Response, connect, read_response
from benchmarks.environments import ROOT, Interpreter, SetupError
from benchmarks.messages import Wire

if TYPE_CHECKING:
    from typing_extensions import Self

START_LIMIT_SECONDS = 120.0
SECRET = "benchmarks"  # signs the actor cookie of servers that live for minutes
LARGE = 64 << 30  # bytes; above anything that is uploaded here
PR_SET_PDEATHSIG = 1


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _die_with_parent() -> Callable[[], None]:
    libc = ctypes.CDLL(None)

    def arrange() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    return arrange


class Server:
    """One child process that listens on a port of 127.0.0.1."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        folder: Path,
        port: int,
        *,
        ready: str = "/",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.folder = folder
        self.address: Address = ("127.0.0.1", port)
        self.start_seconds = 0.0
        self._command = list(command)
        self._ready = Wire().get(ready)
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._process is None:
            raise RuntimeError(f"{self.name} is not running")
        return self._process.pid

    def __enter__(self) -> Self:
        started = time.perf_counter()
        with (self.folder / "server.log").open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=self._environment,
                cwd=self.folder,
                start_new_session=True,
                preexec_fn=_die_with_parent(),  # noqa: PLW1509 (one call into a loaded libc)
            )
        try:
            self._wait(started)
        except BaseException:
            self.stop()
            raise
        self.start_seconds = time.perf_counter() - started
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server: a polite SIGTERM, five seconds, then SIGKILL for its whole session."""
        process = self._process
        if process is None:
            return
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self._process = None

    def _wait(self, started: float) -> None:
        while time.perf_counter() - started < START_LIMIT_SECONDS:
            if self._process is None or self._process.poll() is not None:
                raise SetupError(f"{self.name} did not start:\n{self.log_tail()}")
            response = self._try()
            if response is not None:
                self._check(response)
                return
            time.sleep(0.005)
        raise SetupError(
            f"{self.name} did not answer within {START_LIMIT_SECONDS:.0f} s:\n{self.log_tail()}"
        )

    def _check(self, response: Response) -> None:
        """Judge the first answer; any will do for a server that is only known to listen."""

    def _try(self) -> Response | None:
        try:
            with connect(self.address) as sock:
                sock.sendall(self._ready)
                return read_response(sock)
        except ConnectionError:
            return None

    def log_tail(self) -> str:
        """The last lines that the server wrote."""
        text = (self.folder / "server.log").read_text(errors="replace")
        return "\n".join(text.splitlines()[-15:])


class DatasetteServer(Server):
    """`datasette serve` with datasette-files, one internal database and filesystem sources.

    `readable` are the sources that may be browsed and uploaded to; others are configured and
    denied; everybody may write to `database`. `entry` is a source's entry in the yaml, in place of
    a folder; `plugins` is a folder of plugins. The access log is on, as Datasette ships it, and
    goes to a file, on every side alike.
    """

    def __init__(
        self,
        interpreter: Interpreter,
        folder: Path,
        *,
        sources: Sequence[str] = ("bench",),
        denied: Sequence[str] = (),
        signed_in: bool = False,
        internal: Path | None = None,
        entry: Mapping[str, object] | None = None,
        database: Path | None = None,
        plugins: Path | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.roots = {slug: folder / "files" / slug for slug in (*sources, *denied)}
        self.wire = Wire(actor_cookie() if signed_in else "")
        sources_of = self._sources() if entry is None else dict.fromkeys(self.roots, entry)
        config = {
            "plugins": {"datasette-files": {"sources": sources_of}},
            "permissions": grants(sources, signed_in=signed_in, everywhere=not denied),
        }
        if database is not None:
            config["permissions"] |= dict.fromkeys(
                ("create-table", "insert-row", "update-row"), True
            )  # type: ignore[operator]
        path = folder / "datasette.json"
        path.write_text(json.dumps(config))
        port = free_port()
        command = [str(interpreter.python), "-m", "datasette", "serve", "-c", str(path)]
        command += [str(database)] if database is not None else []
        command += ["--internal", str(internal or folder / "internal.db"), "--secret", SECRET]
        command += ["--plugins-dir", str(plugins)] if plugins is not None else []
        command += ["-h", "127.0.0.1", "-p", str(port)]
        super().__init__(
            interpreter.label,
            command,
            folder,
            port,
            ready="/-/files/sources.json",
            environment=interpreter.extra,
        )

    def _check(self, response: Response) -> None:
        if response.status != 200:
            raise SetupError(
                f"{self.name} has no working datasette-files: "
                f"/-/files/sources.json answered {response.status}\n{self.log_tail()}"
            )

    def _sources(self) -> dict[str, object]:
        return {
            slug: {"storage": "filesystem", "config": {"root": str(root), "max_file_size": LARGE}}
            for slug, root in self.roots.items()
        }

    def discard_files(self, larger_than: int = 1 << 20) -> None:
        """Remove large files of the source `bench` behind the server's back, to free the disk.

        Their rows stay, and nothing asks for them again. `larger_than` is in bytes.
        """
        for path in self.roots["bench"].rglob("*"):
            if path.is_file() and path.stat().st_size > larger_than:
                path.unlink()


def grants(sources: Sequence[str], *, signed_in: bool, everywhere: bool) -> dict[str, object]:
    """The `permissions` block: browse and upload for everyone, or for one actor, per source."""
    who: object = {"id": "bench"} if signed_in else True
    if everywhere and not signed_in:
        return {"files-browse": True, "files-upload": True}
    block = {slug: {"allow": who} for slug in sources}
    return {"files-browse": block, "files-upload": block}


def actor_cookie() -> str:
    """A `Cookie` value that signs the actor `bench` in, made as Datasette documents it."""
    from itsdangerous import URLSafeSerializer

    signed = URLSafeSerializer(SECRET, "actor").dumps({"a": {"id": "bench"}})
    return f"ds_actor={signed}"


def limit_server(app: str, folder: Path) -> Server:
    """One of the apps of `limits.py` under the uvicorn of this environment, with h11."""
    stored = folder / "files"
    stored.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", f"benchmarks.limits:{app}", "--http", "h11"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    return Server(
        f"limit {app}",
        command,
        folder,
        port,
        environment={"BENCHMARKS_LIMIT_DIR": str(stored), "PYTHONPATH": str(ROOT)},
    )


def yardstick_server(interpreter: Interpreter, folder: Path) -> Server:
    """A Datasette with the plugin of `yardstick/` alone."""
    port = free_port()
    command = [str(interpreter.python), "-m", "datasette", "serve", "-h", "127.0.0.1"]
    command += ["-p", str(port), "--internal", str(folder / "internal.db")]
    command += ["--plugins-dir", str(Path(__file__).parent / "yardstick")]
    alone = {**interpreter.extra, "DATASETTE_LOAD_PLUGINS": ""}
    path = "/-/yardstick"
    return Server("yardstick", command, folder, port, ready=path, environment=alone)


def copyparty_server(interpreter: Interpreter, folder: Path) -> Server:
    """copyparty with the index of its files, by which it searches; anybody may read and write."""
    stored = folder / "files"
    stored.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [str(interpreter.python), "-m", "copyparty", "-q", "--http-only", "-e2d"]
    command += ["-i", "127.0.0.1", "-p", str(port), "-v", f"{stored}::A"]
    return Server(interpreter.label, command, folder, port)


NGINX = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
{user}
events {{ worker_connections 64; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port}; root "{root}"; }}
}}
"""


def nginx_server(folder: Path, root: Path) -> Server:
    """nginx with sendfile(2) over the files below `root`.

    Raises SetupError when nginx is not installed.
    """
    binary = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if binary is None:
        raise SetupError("nginx is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    # Started by root, workers would become a user that cannot read the temporary folder.
    user = "user root;" if os.getuid() == 0 else ""
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, root=root, port=port, user=user))
    return Server("nginx", [binary, "-c", str(config), "-p", str(folder)], folder, port)
