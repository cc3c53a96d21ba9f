"""A fault test's view from outside: where a source's bytes are, the catalog's tables.

Holds only looking and waiting; nothing here goes through the server's own code. A source is on
disk, or in a bucket of the S3 that tests/support/moto_server.py finds.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from datasette_files.db import files as file_rows
from datasette_files.models import FileRecord
from datasette_files.naming import new_ulid
from tests.conftest import OPEN, disk_source
from tests.support.client import Unanswered
from tests.support.moto_server import Store, new_prefix, shared_store
from tests.support.server import Server

#: The contract: what expired is gone within this, bytes included. Seconds.
SWEPT_WITHIN = 10.0
#: What a machine that is busy with other tests may add.
SLACK = 10.0


@dataclass(frozen=True)
class Bucket:
    """A folder in a real S3 that is a source's. ``upload`` as the source's configuration has it.

    Where uploads are direct, downloads are redirected; else both come through Datasette.
    """

    store: Store
    prefix: str
    upload: str

    def source(self, **more: Any) -> dict[str, Any]:
        download = "redirect" if self.upload == "direct" else "proxy"
        options = self.store.config(self.prefix, upload=self.upload, download=download)
        return {"storage": "s3", "config": options, **more}

    def held(self) -> set[str]:
        """Objects, those on their way in too, and multipart uploads that nobody has ended."""
        objects = {key.removeprefix(self.prefix) for key in self.store.keys(self.prefix)}
        return objects | {f"parts of {key}" for key in self.store.unfinished(self.prefix)}

    def empty(self) -> None:
        for key in self.store.keys(self.prefix):
            self.store.boto.delete_object(Bucket=self.store.bucket, Key=key)


#: Where a source may be.
Place = Path | Bucket


def place(kind: str, folder: Path) -> Place:
    """A new one: ``disk``, at that folder; ``s3-direct`` or ``s3-proxy``."""
    if kind == "disk":
        return folder
    return Bucket(shared_store(), new_prefix(), kind.removeprefix("s3-"))


def everywhere(*, direct: bool = True) -> pytest.MarkDecorator:
    """The test's ``root`` is of each kind; those on S3 are slow proofs.

    Without ``direct`` for what takes the same way on both kinds of S3.
    """
    on_s3 = ("s3-direct", "s3-proxy") if direct else ("s3-proxy",)
    kinds = [pytest.param(kind, marks=pytest.mark.full) for kind in on_s3]
    return pytest.mark.parametrize("root", ["disk", *kinds], indirect=True)


def source_at(where: Place, **more: Any) -> dict[str, Any]:
    return where.source(**more) if isinstance(where, Bucket) else disk_source(where, **more)


def config(root: Place, **plugin: Any) -> dict[str, Any]:
    """A yaml with one open source ``docs`` at ``root``."""
    plugin = {"sources": {"docs": source_at(root)}, **plugin}
    return {"plugins": {"datasette-files": plugin}, "permissions": OPEN}


def held(where: Place) -> set[str]:
    """Every file, those being received too, by its path in the storage.

    Directories may vanish during the look.
    """
    if isinstance(where, Bucket):
        return where.held()
    return {
        Path(folder, name).relative_to(where).as_posix()
        for folder, _, names in os.walk(where)
        for name in names
    }


def rows(database: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(database, timeout=30)) as connection:
        return connection.execute(sql).fetchall()


def seed(database: Path, root: Path, slug: str, number: int) -> dict[str, str]:
    """Put files on disk and into the catalog, past a server that has stopped: ``{id: sha256}``."""
    made: dict[str, str] = {}
    facts: dict[str, Any] = {"width": None, "height": None, "uploaded_by": None, "metadata": None}
    facts |= {"content_type": "text/plain", "search_text": None, "source_slug": slug}
    with closing(sqlite3.connect(database)) as conn, conn:
        (source_id,) = conn.execute(
            "SELECT id FROM datasette_files_sources WHERE slug = ?", (slug,)
        ).fetchone()
        for index in range(number):
            ulid, content = new_ulid(), f"content {index}".encode()
            path = f"{ulid}/{index}.txt"
            (root / ulid).mkdir(parents=True)
            (root / path).write_bytes(content)
            made[f"df-{ulid}"] = digest = hashlib.sha256(content).hexdigest()
            record = FileRecord(
                id=f"df-{ulid}",
                source_id=source_id,
                path=path,
                filename=f"{index}.txt",
                content_hash=f"sha256:{digest}",
                size=len(content),
                created_at="2026-01-02 03:04:05",
                **facts,
            )
            file_rows.insert(conn, record)
    return made


def catalogued(database: Path) -> dict[str, str]:
    """``{path: content hash}`` of every file in the catalog."""
    return dict(rows(database, "SELECT path, content_hash FROM datasette_files"))


def leftovers(server: Server, root: Place) -> dict[str, Any]:
    """Everything that is neither a file nor the memory of one; empty when all is swept.

    A look that is still to come, at what a client may send by a URL that lives, is none.
    """
    live = rows(
        server.internal,
        """SELECT state, path FROM datasette_files_uploads
        WHERE state NOT IN ('completed', 'expired')""",
    )
    owed = rows(
        server.internal,
        f"""SELECT path FROM datasette_files_garbage
        WHERE done_at IS NULL AND (instructions IS NULL OR not_before <= {time.time()})""",
    )
    stray = held(root) - set(catalogued(server.internal))
    found = {"uploads": live, "garbage": owed, "bytes": sorted(stray)}
    return {name: what for name, what in found.items() if what}


def settle(look: Callable[[], Any], seconds: float = SWEPT_WITHIN + SLACK) -> float:
    """Wait until ``look`` returns nothing; the seconds it took.

    Raises AssertionError with what the last look found.
    """
    begun = time.monotonic()
    while found := look():
        assert time.monotonic() - begun < seconds, found
        time.sleep(0.1)
    return time.monotonic() - begun


def until_killed(server: Server, steps: Sequence[Callable[[], None]], seconds: float) -> None:
    """Take each step again and again, in a thread of its own, until nobody answers.

    The server is killed after so many seconds. Raises AssertionError for what else went wrong.
    """
    failures: list[BaseException] = []

    def work(step: Callable[[], None]) -> None:
        try:
            while True:
                step()
        except Unanswered:
            return
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(step,)) for step in steps]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    server.kill()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert not failures, failures
