"""P17: very many small files, by ``datasette files put`` and as a folder dropped on a page.

The rate of ``put``, beside the server and through it, stands against one-shot uploads over 32
connections in the same run, before and after it. The memory of the browser is the sum of its
processes' proportional set sizes (proc(5), ``smaps_rollup``), above that of the page before the
drop. Nobody is connected to the browser while it uploads, as its developer tools would keep every
request and answer in its memory. One file of each lot is too large for its source: both ways have
to end, and to name it.

    uv run python -m benchmarks.many --files 300000
"""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from benchmarks.bench import SMALL, log
from benchmarks.load import OneShot, throughput
from benchmarks.memory import children
from benchmarks.messages import Wire
from tests.support.browser.uploading import Uploading
from tests.support.client import Client
from tests.support.faults.scene import config, source_at
from tests.support.server import Server

_CLIENTS = 32
_EACH_FOLDER = 500
#: Seconds between two looks at the page, at the most.
_LOOK = 30
_LIMIT = 1 << 20
_TOO_LARGE = "too large.bin"
_SOURCES = ("beside", "through", "page", "requests")
#: ``put`` beside the server, through it, and the page.
_WAYS = ("put", "url", "page")
_HEADLINE = "document.querySelector('.upload-headline').textContent"


def _tree(root: Path, number: int) -> None:
    """Make the files, and one that no source takes."""
    chance = random.Random(17)
    content = bytearray(chance.randbytes(SMALL))
    for index in range(number):
        folder = root / f"{index // _EACH_FOLDER:04}"
        if index % _EACH_FOLDER == 0:
            folder.mkdir(parents=True)
        content[:8] = index.to_bytes(8, "big")  # none looks like another
        (folder / f"note {index:06}.bin").write_bytes(content)
    with (root / _TOO_LARGE).open("wb") as file:
        file.truncate(_LIMIT + 1)


def _resident(pids: list[int]) -> int:
    """The proportional set size of processes in bytes; one that has gone counts nothing."""
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
        total += int(found[1]) * 1024 if found else 0
    return total


@dataclass
class _Memory:
    """Bytes of all our Chromium processes: at the beginning, and at the most."""

    before: int
    peak: int


@contextmanager
def _watched() -> Iterator[_Memory]:
    over = threading.Event()
    memory = _Memory(before := _browser(), before)

    def watch() -> None:
        while not over.wait(0.5):
            memory.peak = max(memory.peak, _browser())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    yield memory
    over.set()
    thread.join()


def _browser() -> int:
    return _resident([pid for pid in children(os.getpid()) if _is_browser(pid)])


def _is_browser(pid: int) -> bool:
    try:
        return b"chrom" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
    except (FileNotFoundError, ProcessLookupError):
        return False


@dataclass
class _Run:
    """A server with an empty source for each way, and the files."""

    server: Server
    tree: Path
    number: int

    def requests(self, seconds: float) -> float:
        """Files a second by one request each, as P2 measures it."""
        script = OneShot(Wire(), "requests", os.urandom(SMALL))
        return throughput(("127.0.0.1", self.server.port), script, _CLIENTS, seconds)

    def put(self, slug: str, *more: str) -> float:
        """Files a second. Raises AssertionError unless all but one are there, and that is told."""
        words = ("put", slug, str(self.tree), "--recursive", *more)
        begun = time.perf_counter()
        if more:
            command = [sys.executable, "-m", "datasette", "files", *words]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        else:
            done = self.server.command(*words)
        seconds = time.perf_counter() - begun
        told = done.stderr[-2_000:]
        assert done.returncode != 0, told
        assert _TOO_LARGE in done.stderr, told
        assert len(done.stdout.splitlines()) == self.number, told
        self._judge(slug)
        return self.number / seconds

    def page(self, browser: _Browser) -> tuple[float, _Memory, str]:
        """Files a second by a folder that is dropped, the memory, and the list's last words."""
        with browser.page() as page:
            page.goto(f"{self.server.url}/-/files/upload/page")
            Uploading(page).button("Choose files").wait_for()
        with _watched() as memory:
            with browser.page() as page:
                begun = time.perf_counter()
                Uploading(page).drag([self.tree])
                page.locator(".upload-row").first.wait_for()
            while not _is_over(told := browser.evaluate(_HEADLINE)):
                time.sleep(min(_LOOK, self.number / 1000))
            seconds = time.perf_counter() - begun
        with browser.page() as page:
            page.locator(".upload-row", has_text=_TOO_LARGE).wait_for()
        self._judge("page")
        return self.number / seconds, memory, told

    def _judge(self, slug: str) -> None:
        answer = Client(self.server.url).request("GET", f"/-/files/source/{slug}.json?_size=1")
        assert answer.json()["total"] == self.number, (slug, answer.json()["total"])


class _Browser:
    """Chromium with one page, to which one may connect for a moment. Ends as a context manager."""

    def __init__(self, folder: Path, executable: str | None) -> None:
        self._folder = folder
        with sync_playwright() as playwright:
            program = executable or playwright.chromium.executable_path
        words = ("--headless=new", "--no-sandbox", "--remote-debugging-port=0", "about:blank")
        self._process = subprocess.Popen(
            [program, *words, f"--user-data-dir={folder}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> _Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()

    @contextmanager
    def page(self) -> Iterator[Page]:
        """The page."""
        port_file = self._folder / "DevToolsActivePort"
        while not port_file.exists():
            time.sleep(0.1)
        port = port_file.read_text().split()[0]
        with sync_playwright() as playwright:
            browser = playwright.chromium.connect_over_cdp(f"http://127.0.0.1:{port}")
            (page,) = browser.contexts[0].pages
            page.set_default_timeout(120_000)
            yield page

    def evaluate(self, expression: str) -> str:
        with self.page() as page:
            return str(page.evaluate(expression))


def _is_over(headline: str) -> bool:
    return "uploaded" in headline and not headline.startswith("0 ")


def measure(
    folder: Path, number: int, seconds: float, executable: str | None, ways: Collection[str]
) -> Iterator[str]:
    """The figures, a line each."""
    tree = folder / "tree"
    _tree(tree, number)
    log(f"{number:,} files of {SMALL:,} bytes are made")
    sources = {slug: source_at(folder / slug, max_file_size=_LIMIT) for slug in _SOURCES}
    with Server(folder, config(folder, sources=sources)) as server:
        run = _Run(server, tree, number)
        before = run.requests(seconds)
        log(f"one request each: {before:.0f} files/s")
        rates: dict[str, float] = {}
        if "put" in ways:
            rates["put"] = run.put("beside")
            log(f"put: {rates['put']:.0f} files/s")
        if "url" in ways:
            rates["put --url"] = run.put("through", "--url", server.url)
            log(f"put --url: {rates['put --url']:.0f} files/s")
        after = run.requests(seconds)
        if "page" in ways:
            with _Browser(folder / "browser", executable) as browser:
                rates["the page"], memory, told = run.page(browser)
    once = (before + after) / 2
    yield f"one request each, {_CLIENTS} clients: {before:.0f} files/s before, {after:.0f} after"
    for way, rate in rates.items():
        yield f"{way}: {number:,} files, {rate:.0f} files/s, {rate / once:.2f} of it"
    if "page" in ways:
        grown = memory.peak - memory.before >> 20
        yield f"the browser: {memory.before >> 20:,} MiB, and {grown:,} more; it says: {told}"


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=300_000)
    parser.add_argument("--seconds", type=float, default=20.0, help="of one request each")
    parser.add_argument("--ways", nargs="+", choices=_WAYS, default=_WAYS)
    parser.add_argument("--browser", help="the path of Chromium, if Playwright has none of its own")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="many-") as folder:
        figures = measure(Path(folder), given.files, given.seconds, given.browser, given.ways)
        for line in figures:
            print(line, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
