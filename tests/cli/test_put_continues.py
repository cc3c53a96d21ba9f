"""Local files whose upload goes on after a process ended: which upload is taken over, and when."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from datasette_files.app import Files
from datasette_files.cli import disk
from datasette_files.errors import Invalid, NotFound
from datasette_files.jobs.holder import this_process
from datasette_files.permissions.actions import UPLOAD
from datasette_files.permissions.grants import administrator
from datasette_files.transfer import continuing
from datasette_files.transfer.authority import Authority
from datasette_files.transfer.continuing import LocalFile
from datasette_files.transfer.incoming import Incoming
from tests.support.faults.scene import held

MIB = 1024 * 1024


class Putting:
    """One file, that ``put`` sends again and again; each try is of a process of its own."""

    def __init__(self, files: Files, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files = files
        self.path = path
        self.tries = 0
        #: The offsets at which a try went on.
        self.went_on: list[int] = []
        self._patch = monkeypatch

    async def put(self, until: int | None = None, *, dies: bool = True, actor: Any = None) -> Any:
        """Send the file; only ``until`` there, and then its process is gone unless ``dies``."""
        (item,) = disk.found((str(self.path),), False, lambda what, error: None)
        self.tries += 1
        # The number of a live process with another start time is that of one which has ended.
        name = f"{this_process().rpartition('/')[0]}/{self.tries}" if dies else this_process()
        self._patch.setattr(continuing, "this_process", lambda: name)

        async def read(start: int) -> AsyncGenerator[bytes, None]:
            position = start
            async with aclosing(disk.chunks(item, start)) as chunks:
                async for chunk in chunks:
                    if until is not None and position + len(chunk) > until:
                        yield chunk[: until - position]
                        raise NotFound("the test's end")
                    position += len(chunk)
                    yield chunk

        file = LocalFile(Incoming(self.path.name, "text/plain", item.size), item.version, read)
        authority = Authority(actor, administrator(UPLOAD, "docs"))
        source = self.files.sources.get("docs")
        return await self.files.continuing.store(source, authority, file, self.went_on.append)

    async def interrupted(self, until: int, **more: Any) -> None:
        with pytest.raises(NotFound, match="the test's end"):
            await self.put(until, **more)


@pytest.fixture
def putting(files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Putting:
    path = tmp_path / "large.txt"
    path.write_bytes(os.urandom(9 * MIB).replace(b"\0", b"1") + b"the end")
    return Putting(files, path, monkeypatch)


async def test_file_goes_on_where_ended_processes_stopped(putting: Putting, tmp_path: Path) -> None:
    for until in (4 * MIB, 7 * MIB + 5):
        await putting.interrupted(until)
    stored = await putting.put()
    assert putting.went_on == [4 * MIB, 7 * MIB + 5]
    digest = hashlib.sha256(putting.path.read_bytes()).hexdigest()
    assert stored.content_hash == f"sha256:{digest}"
    await putting.put()
    assert len(putting.went_on) == 2, "a whole file is sent again, as a new one"
    await putting.files.sweeper.sweep()
    assert len(held(tmp_path / "docs")) == 2


def _touch(path: Path) -> None:
    os.utime(path, (1, 1))


def _change(path: Path) -> None:
    """As somebody who hides the change: another byte, the old size and the old time."""
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    with path.open("r+b") as file:
        file.write(b"\xff")
    os.utime(path, ns=times)


def _move(path: Path) -> None:
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)


@pytest.mark.parametrize("change", [_touch, _change, _move])
async def test_file_that_has_changed_begins_anew(
    putting: Putting, change: Callable[[Path], None]
) -> None:
    await putting.interrupted(4 * MIB)
    change(putting.path)
    stored = await putting.put()
    assert putting.went_on == []
    assert stored.content_hash.endswith(hashlib.sha256(putting.path.read_bytes()).hexdigest())


async def test_upload_of_a_live_process_or_another_person_is_left_alone(putting: Putting) -> None:
    await putting.interrupted(4 * MIB, dies=False)
    await putting.interrupted(5 * MIB, actor="alice")
    await putting.put()
    assert putting.went_on == []
    await putting.put(actor="alice")
    assert putting.went_on == [5 * MIB]


async def test_bytes_that_the_storage_lost_are_sent_again(putting: Putting, tmp_path: Path) -> None:
    await putting.interrupted(4 * MIB)
    for name in held(tmp_path / "docs"):
        (tmp_path / "docs" / name).unlink()
    stored = await putting.put()
    assert stored.size == putting.path.stat().st_size
    assert len(putting.went_on) == 1


async def test_file_that_became_shorter_is_refused_and_nothing_stays(
    putting: Putting, tmp_path: Path
) -> None:
    (item,) = disk.found((str(putting.path),), False, lambda what, error: None)
    file = LocalFile(
        Incoming("a.txt", "text/plain", item.size), item.version, lambda n: disk.chunks(item, n)
    )
    os.truncate(putting.path, 5 * MIB)
    authority = Authority(None, administrator(UPLOAD, "docs"))
    with pytest.raises(Invalid, match="became shorter"):
        await putting.files.continuing.store(
            putting.files.sources.get("docs"), authority, file, putting.went_on.append
        )
    await putting.files.sweeper.sweep()
    assert held(tmp_path / "docs") == set()
