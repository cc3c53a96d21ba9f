"""``kill -9`` at chosen moments of ``datasette files sync`` and ``verify``; two of them at once.

A walk goes on where it stopped, in the server too; no file is taken for missing meanwhile, and none
has two rows. A verification goes on, repairs nothing, and finds each difference once.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.catalog import new_database
from tests.support.faults.scene import config, rows, settle
from tests.support.server import Server

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]

FOLDERS, EACH = 12, 500
FILES = FOLDERS * EACH
#: Small pages, so that a kill comes between two of them.
_PAGES = """
from datasette_files.maintenance import indexing, verify
indexing.PAGE = indexing._CONFIRMED = verify._PAGE = 50
"""


@pytest.fixture
def site(tmp_path: Path) -> Server:
    """A site on disk that is not started."""
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "pages.py").write_text(_PAGES)
    new_database(tmp_path / "internal.db")
    return Server(tmp_path, config(tmp_path / "docs"), plugins=plugins)


def walk(site: Server) -> dict[str, Any]:
    """The latest walk: phase, whether it has ended, and its counts; empty before the first."""
    found = rows(
        site.internal,
        "SELECT phase, ended_at, counts FROM datasette_files_walks ORDER BY id DESC LIMIT 1",
    )
    return {"phase": found[0][0], "ended": found[0][1], **json.loads(found[0][2])} if found else {}


def killed(site: Server, is_time: Callable[[], bool], *command: str) -> None:
    """Run a command, and kill it as soon as it is time; fails if it ends before."""
    process = site.beside(*command)
    while process.poll() is None and not is_time():
        time.sleep(0.001)
    assert process.poll() is None, site.log.read_text()
    process.send_signal(9)
    process.wait(30)


def catalog(site: Server) -> dict[str, tuple[str, bool]]:
    """Each file's id, and whether it is missing, by path. No path has two rows."""
    found = rows(site.internal, "SELECT path, id, missing_since IS NOT NULL FROM datasette_files")
    assert len({row[0] for row in found}) == len(found)
    return {path: (file_id, bool(is_missing)) for path, file_id, is_missing in found}


def lease_is_over(site: Server) -> None:
    """Wait until the lease of the killed process has ended."""
    name = "SELECT 1 FROM datasette_files_leases WHERE name = 'index docs' AND expires_at >"
    settle(lambda: rows(site.internal, f"{name} {time.time()}"), 60)


def test_a_killed_walk_goes_on(site: Server, tmp_path: Path) -> None:
    root = tmp_path / "docs"
    for folder in range(FOLDERS):
        (root / f"{folder:02}").mkdir(parents=True)
        for number in range(EACH):
            (root / f"{folder:02}" / f"{number:03}.txt").write_text(f"{folder} {number}")
    for listed in (EACH, FILES // 2):
        killed(site, lambda listed=listed: walk(site).get("listed", 0) >= listed, "sync", "docs")
        stopped = walk(site)
        assert stopped["added"] == stopped["listed"] == len(catalog(site)) < FILES
        assert not any(is_missing for _, is_missing in catalog(site).values())
        # Another process waits for the lease of the dead one, and says so.
        assert "Another process indexes" in site.command("sync", "docs").stderr
        assert walk(site) == stopped
        lease_is_over(site)
    # Two processes that both want to go on: one does, and the other says why not.
    both = [site.beside("sync", "docs") for _ in range(2)]
    for process in both:
        process.wait(120)
    assert site.log.read_text().count("Another process indexes") == 1
    first = walk(site)
    assert first.pop("ended")
    assert first == {"phase": "missing", "listed": FILES, "added": FILES}
    before = catalog(site)

    (root / "00").rename(root / "moved")
    changed = [f"01/{number:03}.txt" for number in range(0, EACH, 2)]
    gone = [f"02/{number:03}.txt" for number in range(0, EACH, 2)]
    for path in changed:
        (root / path).write_text("changed")
    for path in gone:
        (root / path).unlink()

    def lost() -> set[str]:
        return {path for path, (_, is_missing) in catalog(site).items() if is_missing}

    superseded = {f".versions/{before[path][0]}/{path[3:]}" for path in changed}
    killed(site, lambda: walk(site).get("changed", 0) >= EACH // 5, "sync", "docs")
    assert lost() < superseded
    lease_is_over(site)
    killed(site, lambda: walk(site).get("missing", 0) > 0, "sync", "docs")
    assert superseded < lost() < superseded | set(gone)
    with site:  # the server makes the rest of it, unasked
        settle(lambda: not walk(site)["ended"], 90)
    second = walk(site)
    counts = {
        "renamed": EACH,
        "changed": len(changed),
        "missing": len(gone),
        "listed": second["listed"],
    }
    assert {name: second.get(name) for name in counts} == counts
    assert second["listed"] == FILES - len(gone)
    after = catalog(site)
    assert lost() == superseded | set(gone)
    assert len(after) == FILES + len(changed)
    for path, (file_id, _) in before.items():
        if path in changed:
            assert after[path][0] != file_id
        else:
            assert (
                after[path.replace("00/", "moved/", 1) if path[:3] == "00/" else path][0] == file_id
            )


def test_a_killed_verification_goes_on_and_repairs_nothing(site: Server, tmp_path: Path) -> None:
    chance = random.Random(20)
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    for number in range(400):
        (uploads / f"{number}.bin").write_bytes(chance.randbytes(200_000))
    done = site.command("put", "docs", str(uploads), "--recursive")
    assert done.returncode == 0, done.stderr
    before = rows(site.internal, "SELECT * FROM datasette_files ORDER BY path")
    paths = sorted(catalog(site))
    content = bytearray((tmp_path / "docs" / paths[3]).read_bytes())
    content[7] ^= 1
    (tmp_path / "docs" / paths[3]).write_bytes(content)
    (tmp_path / "docs" / paths[-3]).unlink()
    planted = {(paths[3], "sha256"), (paths[-3], "missing")}

    def reached() -> list[tuple[Any, ...]]:
        return rows(site.internal, "SELECT 1 FROM datasette_files_passes WHERE reached > ''")

    def findings() -> set[tuple[str, str]]:
        return set(rows(site.internal, "SELECT path, kind FROM datasette_files_findings"))

    order = ("verify", "docs", "--data", "--json", "--max-duration")
    killed(site, lambda: bool(reached()), *order, "1h")
    assert findings() == planted, "the list of files was compared first"
    goes_on = site.command(*order, "1h")
    report = json.loads(goes_on.stdout)
    assert (goes_on.returncode, report["complete"]) == (1, False)
    assert 0 < report["bytes_read"] < 399 * 200_000, "what was read is not read again"
    assert [(one["path"], one["kind"]) for one in report["findings"]] == [(paths[-3], "missing")]

    # Two at once look at everything, and agree.
    both = [site.beside("verify", "docs", "--data") for _ in range(2)]
    for process in both:
        process.wait(120)
    assert findings() == planted
    complete = "SELECT is_complete, files FROM datasette_files_passes WHERE is_data ORDER BY id"
    assert rows(site.internal, complete)[-2:] == [(1, 400), (1, 400)]
    assert rows(site.internal, "SELECT * FROM datasette_files ORDER BY path") == before
    assert (tmp_path / "docs" / paths[3]).read_bytes() == content
    assert not (tmp_path / "docs" / paths[-3]).exists()
