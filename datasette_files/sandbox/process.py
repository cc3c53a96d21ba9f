"""The server's side of one confined child process: start it, exchange messages, end it.

All children are confined alike and differ only in their ``Limits``. A child runs this interpreter
without the environment, the site's start-up hooks, and Datasette. Leaves out the confinement itself
(confinement.py), the frames (framing.py), and the messages (previews/workers.py,
imports/process.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import mimetypes
import os
import shutil
import signal
import sys
import sysconfig
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import framing

logger = logging.getLogger("datasette_files")

#: A child may take its seconds of CPU times this by the clock: a busy machine gives it little CPU.
PATIENCE = 3
#: Capacity of a pipe in bytes, where the system lets a process set it.
_PIPE = 1024 * 1024
#: How many bytes of a child's standard error are kept. They are logged if it fails.
_ERRORS = 16 * 1024
_PREFIX = "datasette-files-child-"
#: A folder without an owner that is older than this many seconds was left by a killed server.
_LEFT_SECONDS = 60
_PACKAGE = str(Path(__file__).resolve().parents[1])

# An empty package that knows its folder: the real __init__ would import all of Datasette.
_PROGRAM = """\
import json, sys, types
asked = json.loads(sys.argv[1])
sys.path[:] = asked["path"]
if asked["package"]:
    package = types.ModuleType("datasette_files")
    package.__path__ = [asked["package"]]
    sys.modules["datasette_files"] = package
from datasette_files.sandbox.child import begin
begin(**asked["child"])
"""
#: The only variables that a child inherits: where shared libraries are. Others may hold secrets.
_ENVIRONMENT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
#: Where systems keep shared libraries, and below, the data of programs.
_LIBRARIES = (
    *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64"),
    *("/nix/store", "/gnu/store"),
)
_DATA = (
    *("/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/ssl/openssl.cnf", "/etc/localtime"),
    *("/usr/share/zoneinfo", "/usr/share/fonts", "/usr/local/share/fonts", "/etc/fonts"),
    *("/dev/urandom", "/dev/random", "/dev/zero"),
    *mimetypes.knownfiles,
)

#: Errors of a child that died or sends what the framing does not allow.
NO_ANSWER = (ConnectionError, asyncio.IncompleteReadError, framing.Broken)


@dataclass(frozen=True)
class Limits:
    """The resources of a child. Sizes in bytes."""

    #: Address space.
    memory: int
    #: Size of the largest file that it may write.
    max_bytes: int
    #: CPU time of one task. By the clock, a task may take PATIENCE times as long.
    seconds: float
    #: How many tasks one process performs.
    tasks: int = 1

    def by_name(self) -> dict[str, int]:
        """The kernel's limits by their names in setrlimit(2), without RLIMIT_."""
        # More than ``allow_cpu`` allows, so that its signal comes first and ends the child.
        cpu = int(self.seconds * self.tasks) + 5
        sizes = {"AS": self.memory, "DATA": self.memory, "FSIZE": self.max_bytes}
        return {**sizes, "CPU": cpu, "NOFILE": 64, "CORE": 0}


class Child:
    """One confined process."""

    def __init__(self, process: asyncio.subprocess.Process, folder: str, *, owns: bool) -> None:
        self._process = process
        self._folder = folder
        self._owns = owns
        self._loop = asyncio.get_running_loop()
        self._errors = asyncio.create_task(self._listen())
        self._ended = False
        #: Whether the child waits for bytes that the storage has not handed over yet.
        self.hungry = False
        #: Each protection that the child asked of the kernel; the reason of a refusal, or None.
        self.told: dict[str, str | None] = {}

    @classmethod
    async def start(
        cls,
        module: str,
        limits: Limits,
        *,
        folder: str | None = None,
        read: Iterable[str] = (),
        run: Iterable[str] = (),
        whole: bool = False,
    ) -> Child:
        """Start a confined process that runs ``datasette_files.<module>.main(source, sink)``.

        ``folder`` is the only place where it may write; by default a new folder, which is removed
        when the process ends. ``read`` and ``run``: further paths that it may read, and execute.
        ``whole``: import Datasette too, which a plugin's code needs. Raises OSError if the system
        cannot start a process, and NO_ANSWER if the process ends at its start.
        """
        owns = folder is None
        place = folder or str(await asyncio.to_thread(tempfile.mkdtemp, prefix=_PREFIX))
        path = await asyncio.to_thread(_path, whole)
        child = {
            "module": f"datasette_files.{module}",
            "folder": place,
            "limits": limits.by_name(),
            "seconds": limits.seconds,
            "read": [*path, _PACKAGE, *_DATA, *read],
            "run": [*_libraries(), *run],
        }
        asked = {"path": path, "package": None if whole else _PACKAGE, "child": child}
        # -I and -S keep the environment and the site's start-up files from running code. A plugin
        # may be installed by such a file, and the administrator chose it.
        flags = "-I" if whole else "-IS"
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, flags, "-c", _PROGRAM, json.dumps(asked)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=place,
                env={
                    **{name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                    "MALLOC_ARENA_MAX": "1",
                },
                # No session of its own: Linux may give each session the same share of the
                # processors and ignore the nice values (sched(7), autogroup).
            )
        except BaseException:
            if owns:
                shutil.rmtree(place, ignore_errors=True)
            raise
        made = cls(process, place, owns=owns)
        try:
            made._widen()
            made.told = await made.receive()
        except BaseException:
            await made.close()
            raise
        return made

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return not self._ended and self._process.returncode is None

    @property
    def _input(self) -> asyncio.StreamWriter:
        assert self._process.stdin is not None  # noqa: S101 - for the types: it is a pipe
        return self._process.stdin

    @property
    def _output(self) -> asyncio.StreamReader:
        assert self._process.stdout is not None  # noqa: S101 - for the types: it is a pipe
        return self._process.stdout

    def _widen(self) -> None:
        """Widen the pipe, so that a file passes in fewer turns."""
        pipe = self._input.transport.get_extra_info("pipe")
        if pipe is not None and hasattr(fcntl, "F_SETPIPE_SZ"):
            with contextlib.suppress(OSError):  # the system limits the pipes of one user
                fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE)

    def send(self, message: dict[str, Any]) -> None:
        self._input.write(framing.packed(message))

    async def feed(self, pieces: AsyncIterator[bytes]) -> None:
        """Send a file without its end (``end_file``). Raises what ``pieces`` raises."""
        self.hungry = True
        async for piece in pieces:
            for frame in framing.frames(piece):
                self._input.write(frame)
            self.hungry = False
            await self._input.drain()
            self.hungry = True

    def end_file(self) -> None:
        self.hungry = False
        self._input.write(framing.END)

    async def receive(self) -> dict[str, Any]:
        """The next message. Raises NO_ANSWER."""
        return framing.unpacked(await self.receive_bytes())

    async def receive_bytes(self, most: int = framing.MAX_MESSAGE) -> bytes:
        """The next message or file of at most ``most`` bytes. Raises NO_ANSWER."""
        read = self._output.readexactly
        content = bytearray()
        while length := framing.length_of(
            await read(framing.LENGTH.size), most=most - len(content)
        ):
            content += await read(length)
        return bytes(content)

    async def _listen(self) -> None:
        """Read standard error to its end, and log it if the child failed by itself."""
        assert self._process.stderr is not None  # noqa: S101 - for the types: it is a pipe
        kept = b""
        while piece := await self._process.stderr.read(_ERRORS):
            kept = (kept + piece)[:_ERRORS]
        if await self._process.wait() and kept and not self._ended:
            logger.error("A child process failed:\n%s", kept.decode("utf-8", "replace"))

    async def ended_by(self) -> int:
        """Wait for the process to end by itself. The exit status; a signal's number is negative."""
        return await self._process.wait()

    def kill(self) -> None:
        """Kill the process and all processes that it started."""
        self._ended = True
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                # The process first: its group exists only after it has begun.
                os.kill(self._process.pid, signal.SIGKILL)
                os.killpg(self._process.pid, signal.SIGKILL)
        if self._owns:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def close(self) -> None:
        """Kill the process, and close its pipes if its event loop still runs."""
        if self._process.returncode is not None and not self._ended:
            await self._errors
        self.kill()
        if self._loop is not asyncio.get_running_loop():
            return
        self._input.close()
        ended = asyncio.gather(self._process.wait(), self._errors)
        try:
            await asyncio.shield(ended)
        except asyncio.CancelledError:
            await ended  # soon, as it was killed; else its pipes would stay
            raise


class Protections:
    """The protections that this system gives a child. Learnt once, from a child that only tells."""

    def __init__(self) -> None:
        self._told: dict[str, str | None] = {}

    async def told(self) -> dict[str, str | None]:
        """Each protection with the reason for which the system refuses it, or None.

        Refusals are logged when they are learnt.
        """
        if self._told:
            return self._told
        try:
            child = await Child.start("sandbox.child", Limits(1 << 28, 1 << 20, 10))
        except (OSError, *NO_ANSWER) as error:
            return {"a child process": f"cannot be started: {error}"}
        await child.close()
        if not self._told:  # another caller may have learnt it meanwhile
            self._told = child.told
            for name, reason in child.told.items():
                if reason is not None:
                    logger.warning("Sandbox: this system refuses %s: %s", name, reason)
        return self._told


def _path(whole: bool) -> list[str]:
    """Where a child finds modules: not in the working directory, unless packages are there.

    Databases may stand in the directory where the server was started.
    """
    try:
        here = Path.cwd()
    except FileNotFoundError:  # removed, as by a deployment
        here = Path("/")
    if whole:
        # An entry that is no folder belongs to an import hook.
        return [str(here / one) if (here / one).exists() else one for one in sys.path]
    found = dict.fromkeys(Path(entry).resolve() for entry in sys.path if entry)
    return [str(one) for one in found if one != here or any(one.glob("*.dist-info"))]


def _libraries() -> list[str]:
    own = (*os.environ.get("LD_LIBRARY_PATH", "").split(":"), sysconfig.get_config_var("LIBDIR"))
    prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix}
    return [*_LIBRARIES, *(f"{one}/lib" for one in prefixes), *(one for one in own if one)]


def clear_left_folders() -> None:
    """Remove the folders of children whose server was killed. Blocks."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            descriptor = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while it is used
                if time.time() - left.stat().st_mtime > _LEFT_SECONDS:
                    shutil.rmtree(left)
            finally:
                os.close(descriptor)
