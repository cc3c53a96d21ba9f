"""One run: its settings, its client processes, and the turn-taking between sides.

`Bench` is what every family of measurements is given. It starts servers in folders of their own,
runs client jobs in other processes, and alternates the sides round by round, so that a noisy moment
of the machine falls on all of them alike.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import ParamSpec, TypeVar

from benchmarks import environments
from benchmarks.client import UnexpectedStatusError, connect, read_response
from benchmarks.environments import Interpreter
from benchmarks.load import ThreeSteps
from benchmarks.report import Sample
from benchmarks.servers import DatasetteServer, Server, copyparty_server, yardstick_server

P = ParamSpec("P")
T = TypeVar("T")

SMALL = 10_000  # bytes of a small file, in every measurement


@dataclass
class Bench:
    """The settings of a run and the tools that measurements share.

    `scratch` is on the same disk as the cache and is removed at the end; sizes shrink when `quick`.
    """

    ours: Interpreter
    public: Interpreter
    cache: Path
    scratch: Path
    rounds: int
    quick: bool
    signed_in: bool
    pool: ProcessPoolExecutor
    _folders: int = field(default=0, init=False)

    def folder(self, name: str) -> Path:
        """A new folder inside the scratch folder."""
        self._folders += 1
        path = self.scratch / f"{self._folders:03d}-{name.replace(' ', '-')}"
        path.mkdir(parents=True)
        return path

    def datasette(
        self,
        interpreter: Interpreter,
        sources: Sequence[str] = ("bench",),
        entry: Mapping[str, object] | None = None,
        database: Path | None = None,
    ) -> DatasetteServer:
        """A server of one side with empty sources, not yet started; on disk unless `entry` says."""
        return DatasetteServer(
            interpreter,
            self.folder(interpreter.label),
            sources=sources,
            signed_in=self.signed_in,
            entry=entry,
            database=database,
        )

    def peer(self) -> Server:
        """copyparty with an empty folder, not yet started. Raises SetupError."""
        return copyparty_server(environments.copyparty(self.cache), self.folder("copyparty"))

    def yardstick(self, interpreter: Interpreter) -> Server:
        """The least route of Datasette's own, under the interpreter, not yet started."""
        return yardstick_server(interpreter, self.folder("yardstick"))

    def submit(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Start a client job in another process."""
        return self.pool.submit(job, *args, **kwargs)

    def call(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a client job in another process and wait for what it returns."""
        return self.submit(job, *args, **kwargs).result()

    def alternate(self, title: str, sides: Mapping[str, Callable[[], float]]) -> dict[str, Sample]:
        """Measure every side once a round, in turn; the order is reversed in every second round.

        A side whose server refuses the work gets a sample with the reason and is left out of later
        rounds. Dirty pages are written out before each turn, so that one side does not pay for
        what another left to the kernel.
        """
        values: dict[str, list[float]] = {side: [] for side in sides}
        errors: dict[str, str] = {}
        for turn in range(self.rounds):
            order = list(sides) if turn % 2 == 0 else list(reversed(list(sides)))
            for side in order:
                if side in errors:
                    continue
                os.sync()
                try:
                    values[side].append(sides[side]())
                except (UnexpectedStatusError, ConnectionError) as error:
                    errors[side] = str(error)
            latest = ", ".join(f"{side} {seen[-1]:,.4g}" for side, seen in values.items() if seen)
            log(f"{title}, round {turn + 1} of {self.rounds}: {latest}")
        return {side: Sample(tuple(seen), errors.get(side, "")) for side, seen in values.items()}


def seed(server: DatasetteServer, count: int, size: int = SMALL) -> list[str]:
    """Upload `count` small files by prepare, upload and complete; return their ids."""
    script = ThreeSteps(server.wire, "bench", os.urandom(size))
    ids: list[str] = []
    with connect(server.address) as sock:
        for item in range(count):
            conversation = script.start(item)
            request = next(conversation)
            while True:
                sock.sendall(request)
                response = read_response(sock).expect(request)
                try:
                    request = conversation.send(response)
                except StopIteration:
                    break
            ids.append(response.json()["file"]["id"])
    return ids


def log(line: str) -> None:
    """Tell the person who waits what is going on; the table alone goes to standard output."""
    print(line, file=sys.stderr, flush=True)
