"""Children of each kind, as the server starts them, with a program that does what a test says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from datasette_files.imports.process import limits_of
from datasette_files.previews import workers
from datasette_files.sandbox import process
from datasette_files.sandbox.process import Child
from tests.conftest import missing

#: Kind: its program, and its limits by default.
KINDS = {
    "thumbnails": ("previews.worker.main", workers.Limits(512 << 20, 64 << 20, 10)),
    "texts": ("texts.worker.main", process.Limits(1 << 30, 256 << 20, 30, 500)),
    "imports": ("imports.worker.main", limits_of("import", 4 << 30)),
}

#: In place of a kind's own program: runs what it is sent, and tells ``value`` or the error.
_OBEYS = """
from datasette_files.sandbox import framing

def obey(source, sink):
    while (asked := framing.read_message(source)) is not None:
        names = {}
        try:
            exec(asked["run"], names)
            said = {"value": names.get("value")}
        except BaseException as error:
            said = {"error": type(error).__name__, "errno": getattr(error, "errno", None)}
        sink.write(framing.packed(said))
        sink.flush()

program = types.ModuleType("program")
program.main = obey
sys.modules[asked["child"]["module"]] = program
"""


def behaving(monkeypatch: pytest.MonkeyPatch, program: str = _OBEYS) -> None:
    """Have children run ``program`` instead of their own, once they are confined."""
    begin = "from datasette_files.sandbox.child import begin\n"
    monkeypatch.setattr(process, "_PROGRAM", process._PROGRAM.replace(begin, program + begin))


@asynccontextmanager
async def obeying(
    monkeypatch: pytest.MonkeyPatch, kind: str, **limits: Any
) -> AsyncIterator[Child]:
    """A child of this kind that does as it is told."""
    behaving(monkeypatch)
    module, usual = KINDS[kind]
    child = await Child.start(module, replace(usual, **limits))
    try:
        yield child
    finally:
        await child.close()


async def ask(child: Child, run: str) -> dict[str, Any]:
    """The outcome of this code in the child."""
    child.send({"run": run})
    return await child.receive()


def needs(child: Child, name: str) -> None:
    """Skip where this kernel refuses it."""
    if (reason := child.told[name]) is not None:
        missing(f"{name} ({reason})")
