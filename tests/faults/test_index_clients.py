"""rclone and the AWS CLI change a source's storage beside the running server, and walks follow.

After each kind of change, ``rclone lsjson`` lists the files that the catalog has, and ``sha256sum
-c`` finds the bytes of each by the manifest, except of those that the catalog calls missing.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from datasette_files.app import Files
from tests.conftest import MakeDatasette
from tests.support.faults.scene import Bucket, Place, config, place, rows, source_at
from tests.support.server import Server
from tests.support.storage_clients import Aws, Rclone, StorageClient

pytestmark = [pytest.mark.full, pytest.mark.timeout(1800)]

FILES = 300
#: Files that come at once; those for moto, which stores few a second, and by the AWS CLI.
MANY, MANY_SLOW = 10_000, 1_000
LARGE = 20 * 1024 * 1024
ODD = (
    "a b.txt",
    "ä & ü=1.txt",
    "100%25.txt",
    "+plus+.txt",
    "-dash.txt",
    "q'\"uote.txt",
    "日本語.txt",
)


def write(folder: Path, names: list[str], chance: random.Random) -> None:
    """Write files that differ in their bytes."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(chance.randbytes(chance.randrange(32, 3000)))


class Site:
    """A server, and what its catalog says."""

    def __init__(self, server: Server, where: Place, rclone: Rclone) -> None:
        self.server = server
        self._where = where
        self._rclone = rclone

    def synced(self, *options: str, status: int = 0) -> dict[str, Any]:
        """Walk over the source by the command; its report."""
        done = self.server.command("sync", "docs", "--json", *options)
        assert done.returncode == status, done.stdout + done.stderr
        report: dict[str, Any] = json.loads(done.stdout)
        return report

    def ids(self) -> dict[str, str]:
        """The id of each file that is not missing, by path."""
        return dict(rows(self.server.internal, f"SELECT path, id {_PRESENT}"))

    def lists_as_rclone(self) -> None:
        listed = dict(rows(self.server.internal, f"SELECT path, size {_PRESENT}"))
        assert listed == self._rclone.listed()

    def agrees(self, folder: Path) -> None:
        """Every file has its sha256; ``folder`` is new, for a copy of the bucket."""
        self.lists_as_rclone()
        manifest = self.server.command("manifest", "docs")
        path = folder.with_suffix(".manifest")
        path.write_text(manifest.stdout)
        if isinstance(self._where, Bucket):
            self._rclone.download(folder)
        checked = subprocess.run(
            ["sha256sum", "-c", str(path)],
            cwd=folder if isinstance(self._where, Bucket) else self._where,
            env={**os.environ, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=False,
        ).stdout.splitlines()
        sound = {line.removesuffix(": OK") for line in checked if line.endswith(": OK")}
        assert sound == set(self.ids())
        missing = "SELECT path FROM datasette_files WHERE missing_since IS NOT NULL"
        lost = {row[0] for row in rows(self.server.internal, f"{missing} AND content_hash != ''")}
        assert {line.rpartition(": FAILED")[0] for line in checked} - {""} == lost


_PRESENT = "FROM datasette_files WHERE missing_since IS NULL"


@pytest.fixture(params=["disk-rclone", "s3-rclone", "s3-aws"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    kind = request.param.partition("-")[0]
    found = place("disk" if kind == "disk" else "s3-proxy", tmp_path / "docs")
    yield found
    if isinstance(found, Bucket):
        found.empty()


@pytest.fixture
def client(where: Place, request: pytest.FixtureRequest) -> StorageClient:
    return Aws(where) if request.node.callspec.params["where"] == "s3-aws" else Rclone(where)


async def test_what_other_programs_change_is_followed(
    where: Place, client: StorageClient, make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    chance = random.Random(20)
    rclone = Rclone(where)
    # Hashes sooner than the server's own rounds do, which take 50 files every 4 seconds.
    hasher = Files.of(await make_datasette({"docs": source_at(where)})).hashing["docs"]
    local = tmp_path / "local"
    names = [f"{number % 6}/{number:03}.bin" for number in range(FILES)]
    write(local, [*names, *(f"odd/{name}" for name in ODD)], chance)
    (local / "large.bin").write_bytes(chance.randbytes(LARGE))

    async def hashed() -> None:
        while rows(server.internal, f"SELECT 1 {_PRESENT} AND content_hash IS NULL"):
            await hasher.once()

    with Server(tmp_path, config(where)) as server:
        site = Site(server, where, rclone)

        def beside(process: subprocess.Popen[bytes]) -> None:
            while process.poll() is None:
                server.beside("sync", "docs").wait(600)
            assert process.returncode == 0

        # Added, while walks run.
        beside(client.begin_upload(local))
        site.synced()
        await hashed()
        site.agrees(tmp_path / "added")
        assert len(site.ids()) == FILES + len(ODD) + 1
        assert site.synced()["unchanged"] == FILES + len(ODD) + 1

        _changed(client, site, local, chance)
        await hashed()
        site.agrees(tmp_path / "changed")
        _moved(client, rclone, site)
        await hashed()
        site.agrees(tmp_path / "moved")

        # Many at once, while walks run.
        slow = isinstance(client, Aws) or (isinstance(where, Bucket) and where.store.is_moto)
        many = MANY_SLOW if slow else MANY
        write(tmp_path / "many", [f"{n % 50:02}/{n:05}.txt" for n in range(many)], chance)
        beside(client.begin_upload(tmp_path / "many", "many"))
        site.synced()
        site.lists_as_rclone()
        before = site.ids()
        assert len(before) > many

        # Many go at once: the walk asks whether that is meant.
        client.delete_folder("many")
        report = site.synced(status=1)
        assert f"{many:,} of {len(before):,} files are not in the storage" in report["problem"]
        assert site.ids() == before
        assert site.synced("--accept-missing")["missing"] == many
        await hashed()
        site.agrees(tmp_path / "left")


def _changed(client: StorageClient, site: Site, local: Path, chance: random.Random) -> None:
    """Files get other bytes, others go; no other file's id changes."""
    before = site.ids()
    changed = [f"0/{number:03}.bin" for number in range(0, FILES, 12)]
    for name in changed[::2]:
        (local / name).write_bytes(chance.randbytes((local / name).stat().st_size))
    write(local, changed[1::2], chance)
    client.upload(local / "0", "0")
    gone = ["1/001.bin", "1/007.bin", f"odd/{ODD[0]}"]
    for name in gone:
        client.delete(name)
    report = site.synced()
    assert (report["changed"], report["missing"]) == (len(changed), len(gone))
    after = site.ids()
    assert set(after) == set(before) - set(gone)
    assert {path for path in after if after[path] != before[path]} == set(changed)


def _moved(client: StorageClient, rclone: Rclone, site: Site) -> None:
    """Moved files keep their ids, alone and with their folder.

    A store may give the copy of an object that was sent in parts another entity tag: rclone moves
    the large one, and its sha256 tells that it is the same.
    """
    before = site.ids()
    moves: list[tuple[str, str, Callable[[str, str], None]]] = [
        ("2/002.bin", "2/elsewhere.bin", client.move),
        (f"odd/{ODD[1]}", f"odd/new {ODD[1]}", client.move),
        ("large.bin", "deep/down/larger.bin", rclone.move),
    ]
    for old, new, move in moves:
        move(old, new)
    client.move_folder("3", "third/one")
    report = site.synced()
    wanted = {old: new for old, new, _ in moves}
    wanted |= {path: f"third/one{path[1:]}" for path in before if path.startswith("3/")}
    assert (report["renamed"], report["missing"]) == (len(wanted), 0)
    assert site.ids() == {wanted.get(path, path): file_id for path, file_id in before.items()}
