"""Workers as real processes: limited, killed, replaced, ended; and nothing of them left behind."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from datasette_files.errors import StorageError
from datasette_files.previews import kinds, workers
from datasette_files.previews.workers import Blameless, Job, Limits, Lost, Refused, Workers
from datasette_files.sandbox import process
from tests.conftest import missing
from tests.support.fixtures import fixture

LIMITS = Limits(memory=512 << 20, max_bytes=64 << 20, max_pixels=60_000_000, seconds=60)
PHOTO = Job("image", "image/jpeg", 200)


@pytest.fixture
async def pool() -> AsyncIterator[Workers]:
    made = make()
    yield made
    await made.close()
    assert made.pids == []


def make(count: int = 2, **limits: Any) -> Workers:
    found = kinds.installed()
    return Workers(count, replace(LIMITS, **limits), heif=found.heif, ffmpeg=found.ffmpeg)


#: Of a file so much that a worker has been given it.
BEGUN = b"\xff\xd8\xff".ljust(1 << 20, b"\0")


async def sent(content: bytes, size: int = 65_536) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


def photo() -> AsyncIterator[bytes]:
    return sent(fixture("photos/orientation-1.jpg").path.read_bytes())


def large() -> AsyncIterator[bytes]:
    """64 million pixels, a byte each once decoded."""
    return sent(fixture("odd/true-8000x8000.png").path.read_bytes())


async def stuck(content: bytes, reached: asyncio.Event | None = None) -> AsyncIterator[bytes]:
    """So much of a file, and then nothing more."""
    yield content
    if reached is not None:
        reached.set()
    await asyncio.Event().wait()


def alive(pid: int) -> bool:
    try:
        # A killed one is a zombie until it is waited for.
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


async def until_gone(pids: list[int]) -> None:
    for _ in range(3000):
        if not any(alive(pid) for pid in pids):
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"still there: {pids}")


async def test_a_process_starts_with_the_first_job_and_serves_the_next(pool: Workers) -> None:
    assert pool.pids == []
    first = await pool.run(PHOTO, photo())
    pids = pool.pids
    again = await pool.run(PHOTO, photo())
    assert first.images == again.images
    assert (first.width, first.height) == (320, 240)
    assert pool.pids == pids
    assert len(pids) == 1


async def test_never_more_processes_than_allowed(pool: Workers) -> None:
    """Two that decode, and two that receive what is next."""
    seen = 0

    async def watched() -> AsyncIterator[bytes]:
        nonlocal seen
        seen = max(seen, len(pool.pids))
        async for piece in photo():
            yield piece

    await asyncio.gather(*(pool.run(PHOTO, watched()) for _ in range(8)))
    assert seen <= 4
    assert len(pool.pids) == 2


@pytest.mark.parametrize(
    ("sample", "kind"),
    [
        ("documents/one-page.pdf", "pdf"),
        ("media/clip.mp4", "clip"),
        ("media/clip.webm", "clip"),
        ("media/cover.mp3", "clip"),
        ("photos/still.heic", "image"),
    ],
)
async def test_other_kinds_have_pictures(pool: Workers, sample: str, kind: str) -> None:
    file = fixture(sample)
    if kinds.installed().of(file.content_type) is None:
        missing(f"what pictures {file.content_type}")
    answer = await pool.run(Job(kind, file.content_type, 200), sent(file.path.read_bytes()))
    image = Image.open(io.BytesIO(answer.images[0].content)).convert("RGB")
    assert max(image.size) in (96, 160, 200)  # never enlarged
    assert len(image.resize((20, 20)).getcolors(400) or []) > 5  # it shows something


async def test_a_playlist_under_a_videos_name_opens_nothing(pool: Workers, tmp_path: Path) -> None:
    if not kinds.installed().ffmpeg:
        missing("ffmpeg")
    clip = fixture("media/clip.webm").path
    lists = [f"#EXTM3U\n#EXTINF:1,\nfile://{clip}\n", f"ffconcat version 1.0\nfile '{clip}'\n"]
    for content in lists:
        with pytest.raises(Refused):
            await pool.run(Job("clip", "video/mp4", 200), sent(content.encode()))


def program(folder: Path, script: str) -> str:
    """The program in ffmpeg's place."""
    path = folder / "ffmpeg"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("script", "error", "match"),
    [
        (None, Blameless, "ffmpeg cannot be run"),
        ("exit 127", Blameless, "ffmpeg cannot be run"),  # its libraries are gone
        ("kill -9 $$", Lost, "signal 9"),
        ("exit 1", Refused, "exit status 1"),
    ],
)
async def test_what_ffmpeg_cannot_do_now_is_told_from_what_no_ffmpeg_can(
    tmp_path: Path, script: str | None, error: type[Exception], match: str
) -> None:
    path = str(tmp_path / "removed") if script is None else program(tmp_path, script)
    pool = Workers(1, LIMITS, heif=False, ffmpeg=path)
    with pytest.raises(error, match=match) as raised:
        await pool.run(Job("clip", "video/mp4", 200), photo())
    assert type(raised.value) is error
    await pool.close()


@pytest.mark.parametrize(
    ("module", "job"),
    [
        ("pypdfium2", Job("pdf", "application/pdf", 200)),
        ("pillow_heif", Job("image", "image/heic", 200)),
    ],
)
async def test_a_part_that_is_gone_is_not_the_files_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, job: Job
) -> None:
    (tmp_path / f"{module}.py").write_text("raise ImportError('it is uninstalled')")
    monkeypatch.syspath_prepend(tmp_path)
    pool = Workers(1, LIMITS, heif=True, ffmpeg="")
    with pytest.raises(Blameless, match="cannot be imported"):
        await pool.run(job, sent(b"content"))
    assert (await pool.run(PHOTO, photo())).width == 320
    await pool.close()


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2) is Linux's own")
async def test_a_worker_that_is_killed_takes_its_ffmpeg_with_it(tmp_path: Path) -> None:
    pool = Workers(1, LIMITS, heif=False, ffmpeg=program(tmp_path, "exec sleep 600"))
    job = asyncio.create_task(pool.run(Job("clip", "video/mp4", 200), photo()))
    children = ""
    while not children:
        await asyncio.sleep(0.01)
        assert not job.done()
        children = "".join(
            Path(f"/proc/{pid}/task/{pid}/children").read_text() for pid in pool.pids
        )
    os.kill(pool.pids[0], signal.SIGKILL)  # alone, as the system does that has no memory left
    with pytest.raises(Lost, match="died"):
        await job
    await until_gone([int(child) for child in children.split()])


async def test_killed_in_mid_work_it_is_replaced(pool: Workers) -> None:
    reached, on = asyncio.Event(), asyncio.Event()

    async def halting() -> AsyncIterator[bytes]:
        yield BEGUN
        reached.set()
        await on.wait()
        yield bytes(4_000_000)

    job = asyncio.create_task(pool.run(PHOTO, halting()))
    await reached.wait()
    (pid,) = pool.pids
    os.kill(pid, signal.SIGKILL)
    on.set()
    with pytest.raises(Lost, match="died"):
        await job
    assert (await pool.run(PHOTO, photo())).width == 320
    assert pid not in pool.pids


@pytest.mark.full
async def test_killed_while_it_decodes_it_is_replaced(pool: Workers) -> None:
    noise = io.BytesIO()
    Image.effect_noise((1800, 1800), 90).save(noise, "PNG", compress_level=1)
    job = asyncio.create_task(pool.run(Job("image", "image/png", 1600), sent(noise.getvalue())))
    while not pool.pids:
        await asyncio.sleep(0.001)
    (pid,) = pool.pids
    for _ in range(3000):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        if int(fields[11]) > 15 or job.done():  # ticks of CPU: it is at it
            break
        await asyncio.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(Lost, match="died"):
        await job
    assert (await pool.run(PHOTO, photo())).width == 320


async def test_one_that_died_while_idle_is_not_given_work(pool: Workers) -> None:
    await pool.run(PHOTO, photo())
    pids = pool.pids
    os.kill(pids[0], signal.SIGKILL)
    await until_gone(pids)
    for _ in range(100):  # until the loop has been told
        await asyncio.sleep(0)
    outcomes = [await asyncio.gather(pool.run(PHOTO, photo()), return_exceptions=True)]
    if isinstance(outcomes[0][0], Lost):  # it was told only by the attempt
        await pool.run(PHOTO, photo())
    assert pool.pids
    assert pool.pids != pids


async def test_over_its_time_it_is_killed() -> None:
    pool = make(seconds=0.01, max_pixels=10**9)
    job = asyncio.create_task(pool.run(Job("image", "image/png", 200), large()))
    while not pool.pids:
        await asyncio.sleep(0.001)
    pids = pool.pids
    with pytest.raises(Lost, match="too long"):
        await job
    assert pool.pids == []
    await until_gone(pids)


async def test_one_that_cannot_start_is_not_the_files_fault() -> None:
    pool = make(memory=1 << 20)
    with pytest.raises(Blameless, match="thumbnail_process_memory_limit_bytes"):
        await pool.run(PHOTO, photo())
    assert pool.pids == []


async def test_a_storage_that_takes_for_ever_is_not_the_files_fault(
    pool: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pool.run(PHOTO, photo())
    (pid,) = pool.pids
    monkeypatch.setattr(workers, "STALL_SECONDS", 0.05)
    with pytest.raises(Blameless, match="the storage takes too long"):
        await pool.run(PHOTO, stuck(b"\xff\xd8\xff"))
    assert pool.pids == [pid]  # it has cost nothing
    with pytest.raises(Blameless, match="the storage takes too long"):
        await pool.run(PHOTO, stuck(BEGUN))
    assert pool.pids == []


async def test_one_that_trickles_has_its_time_too(
    pool: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def trickling() -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0.01)
            yield b"\xff"

    monkeypatch.setattr(workers, "TRANSFER_SECONDS", 0.1)
    with pytest.raises(Blameless, match="the storage takes too long"):
        await pool.run(PHOTO, trickling())


@pytest.mark.parametrize("after", [b"\xff\xd8\xff", BEGUN], ids=["at once", "midway"])
async def test_a_storage_that_hangs_takes_nobodys_turn(after: bytes) -> None:
    pool = make(count=1)
    reached = asyncio.Event()
    hanging = asyncio.create_task(pool.run(PHOTO, stuck(after, reached)))
    await reached.wait()
    assert (await pool.run(PHOTO, photo())).width == 320
    assert not hanging.done()
    hanging.cancel()
    await asyncio.wait([hanging])
    await pool.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"[" * 60_000,
        b'{"ok": true}',
        b'{"ok": true, "width": "<b>", "height": 1, "seconds": 1, "peak": 1, "images": []}',
        b'{"ok": true, "width": 1, "height": 1, "seconds": 1, "peak": 1,'
        b' "images": [["image/png", 1, 1, -5]]}',
        b'{"ok": true, "width": 1, "height": 1, "seconds": 1, "peak": 1,'
        b' "images": [["text/html", 1, 1, 0]]}',
    ],
)
async def test_one_that_talks_nonsense_is_lost(
    monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    """As one may that a file has taken over."""
    program = f"""
import struct, sys, time
for said in (b"{{}}", {answer!r}):
    sys.stdout.buffer.write(struct.pack(">I", len(said)) + said + bytes(4))
    sys.stdout.buffer.flush()
sys.stdin.buffer.read()
"""
    monkeypatch.setattr(process, "_PROGRAM", program)
    pool = make(seconds=30)
    with pytest.raises(Lost, match="Broken"):
        await pool.run(PHOTO, photo())
    assert pool.pids == []


async def test_over_its_memory_the_file_is_refused_and_the_next_served() -> None:
    pool = make(memory=90 << 20, max_pixels=10**9)
    with pytest.raises(Refused, match="memory"):
        await pool.run(Job("image", "image/png", 200), large())
    assert (await pool.run(PHOTO, photo())).width == 320
    await pool.close()


async def test_a_storage_that_fails_half_way_is_heard_of_and_costs_one_process(
    pool: Workers,
) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield BEGUN
        raise StorageError("for now")

    with pytest.raises(StorageError, match="for now"):
        await pool.run(PHOTO, failing())
    assert pool.pids == []
    assert (await pool.run(PHOTO, photo())).width == 320


async def test_idle_ones_are_ended(pool: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "IDLE_SECONDS", 0.05)
    await pool.run(PHOTO, photo())
    pids = pool.pids
    await until_gone(pids)
    assert pool.pids == []
    assert (await pool.run(PHOTO, photo())).width == 320


async def test_the_end_leaves_no_process(pool: Workers) -> None:
    await pool.run(PHOTO, photo())

    async def endless() -> AsyncIterator[bytes]:
        yield BEGUN
        await asyncio.Event().wait()

    busy = [asyncio.create_task(pool.run(PHOTO, endless())) for _ in range(2)]
    while len(pool.pids) < 2:
        await asyncio.sleep(0.001)
    pids = pool.pids
    for task in busy:
        task.cancel()
    await asyncio.gather(*busy, return_exceptions=True)
    await pool.close()
    await until_gone(pids)


async def test_what_it_may_is_limited_and_it_knows_no_secret(
    pool: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sys.platform != "linux":
        missing("Linux's /proc")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    await pool.run(PHOTO, photo())
    process = Path(f"/proc/{pool.pids[0]}")
    assert b"hunter2" not in process.joinpath("environ").read_bytes()
    limits = process.joinpath("limits").read_text()
    rows = {line[:25].strip(): line[26:].split()[0] for line in limits.splitlines()[1:]}
    assert int(rows["Max address space"]) == LIMITS.memory
    assert int(rows["Max file size"]) == LIMITS.max_bytes
    assert rows["Max core file size"] == "0"
    assert int(rows["Max cpu time"]) <= LIMITS.seconds + 5
    assert int(rows["Max open files"]) == 64
    # Pillow and nothing of Datasette.
    assert b"datasette/app" not in process.joinpath("maps").read_bytes()


_SERVER = """
import asyncio, sys
from pathlib import Path
from datasette_files.previews.workers import Job, Limits, Workers

async def pieces(content):
    yield content

async def main():
    pool = Workers(1, Limits(1 << 30, 1 << 30, 600, max_pixels=10**9), heif=False, ffmpeg="")
    content = Path(sys.argv[1]).read_bytes()
    await pool.run(Job("image", "image/png", 200), pieces(content))
    print(pool.pids[0], flush=True)
    if sys.argv[2] == "busy":
        while True:
            await pool.run(Job("image", "image/png", 1600), pieces(content))
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("state", [pytest.param("idle", marks=pytest.mark.full), "busy"])
@pytest.mark.full
async def test_a_server_that_is_killed_takes_its_workers_with_it(
    tmp_path: Path, state: str
) -> None:
    image = tmp_path / "large.png"
    Image.effect_noise((1000, 1000), 90).save(image)
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER, str(image), state], stdout=subprocess.PIPE
    )
    assert server.stdout is not None
    pid = int(server.stdout.readline())
    assert alive(pid)
    server.kill()
    server.wait()
    server.stdout.close()
    await until_gone([pid])
