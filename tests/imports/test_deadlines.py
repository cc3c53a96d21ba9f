"""An import without progress, or with too much CPU, is ended; a slow storage is not its fault."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from datasette_files.formats.delimited import Delimited
from datasette_files.imports import process
from datasette_files.imports.process import ImportFailed
from tests.sandbox.kinds import behaving

TASK = {
    **{"work": "import", "format": process.located(Delimited()), "options": {}},
    "max_bytes": 1 << 20,
}


def program(body: str) -> str:
    """The code that a child runs in place of an import, once it has its task."""
    return f"""
from datasette_files.sandbox import framing
def work(source, sink):
    framing.read_message(source)
    {body}
program = types.ModuleType("program")
program.main = work
sys.modules[asked["child"]["module"]] = program
"""


async def content() -> AsyncIterator[bytes]:
    yield b"a,b\n1,2\n"


async def run(folder: Path, stream: Any = content) -> dict[str, Any]:
    return await process.run(TASK, stream, lambda *_: None, folder)


@pytest.fixture(autouse=True)
def one_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "IMPORT_SECONDS", 1.0)
    monkeypatch.setattr(process, "PATIENCE", 1)


async def test_one_that_tells_nothing_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    behaving(monkeypatch, program("import time; time.sleep(600)"))
    with pytest.raises(ImportFailed, match="No progress for 1 seconds; split the file"):
        await run(tmp_path)


@pytest.mark.full
async def test_one_that_takes_too_much_cpu_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "PATIENCE", 60)
    behaving(monkeypatch, program("while True: pass"))
    with pytest.raises(ImportFailed, match="far longer to read than others of its size"):
        await run(tmp_path)


@pytest.mark.parametrize(
    "code, words",
    [
        *((-signal.SIGXCPU, "far longer to read than others of its size"),),
        *((-code, "takes more memory") for code in (signal.SIGABRT, signal.SIGSEGV)),
        *((code, rf"unexpectedly \({code}\); start") for code in (0, 1, -signal.SIGKILL)),
    ],
)
def test_the_way_in_which_one_ends_is_explained(code: int, words: str) -> None:
    assert re.search(words, process._ended_by(int(code)))


async def test_time_in_which_the_storage_sends_nothing_is_not_counted(
    tmp_path: Path,
) -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b"a,b\n"
        await asyncio.sleep(2.5)
        yield b"1,2\n"

    assert (await run(tmp_path, slow))["rows"] == 1


async def test_a_problem_that_is_told_early_ends_the_sending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = "sink.write(framing.packed({'problem': 'no table'})); sink.flush()"
    behaving(monkeypatch, program(told))
    monkeypatch.setattr(process, "PATIENCE", 60)
    closed: list[int] = []

    async def endless() -> AsyncIterator[bytes]:
        try:
            yield b"a,b\n"
            await asyncio.sleep(60)
        finally:
            closed.append(1)

    with pytest.raises(ImportFailed, match="no table"):
        await run(tmp_path, endless)
    assert closed == [1]


async def test_what_it_reads_pays_for_cpu_also_when_the_file_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Floats, and a text at the end: the file is asked for twice."""
    monkeypatch.setattr(process, "PATIENCE", 60)
    seen: list[int] = []

    async def floats() -> AsyncIterator[bytes]:
        seen.append(1)
        yield b"a\n"
        for _ in range(10):
            yield b"1.5\n" * 10_000
        yield b"x\n"

    assert (await run(tmp_path, floats))["rows"] == 100_001
    assert len(seen) == 2


@pytest.mark.full
async def test_one_that_fails_tells_it_and_the_log_has_the_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # With a plugin's format the child loads all of Datasette, which takes a while.
    monkeypatch.setattr(process, "IMPORT_SECONDS", 60.0)
    spec = {
        "module": "broken_format",
        "class": "Broken",
        "file": str(tmp_path / "broken_format.py"),
    }
    tmp_path.joinpath("broken_format.py").write_text(
        "from datasette_files.base import ImportFormat\n"
        "class Broken(ImportFormat):\n"
        "    def read(self, stream, options):\n"
        "        raise KeyError('of the plugin')\n"
    )
    folder = tmp_path / "folder"
    folder.mkdir()
    task = {**TASK, "format": spec}
    with pytest.raises(ImportFailed, match=r"The import failed \(KeyError\); see the server's log"):
        await process.run(task, content, lambda *_: None, folder)
    assert "KeyError: 'of the plugin'" in caplog.text
    assert os.listdir(folder) == []
