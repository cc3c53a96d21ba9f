"""The public release 0.1a3, as a black box: installed beside us, run, filled with files.

Holds the installing (once, by environments.py) and ``Installation``, a folder as that release left
it. Leaves out what ours makes of it: the tests beside this module.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.client import Client, expect
from tests.support.environments import ROOT, python_of
from tests.support.fixtures import fixture
from tests.support.server import Server

#: Where the environment is kept; the default is ignored by git.
CACHE_VARIABLE = "DATASETTE_FILES_PUBLIC_CACHE"
_PACKAGES = ("datasette==1.0a41", "datasette-files==0.1a3")

#: What an administrator put into the yaml, and then another in the same place.
SECRETS = ("hush-first-3f1c9a77", "hush-second-b02d6e41")

GRANTS = dict.fromkeys(
    ("files-browse", "files-upload", "files-edit", "files-delete", "create-table", "insert-row"),
    True,
)
HOSTILE_NAME = 'it\'s "q\u202euoted"; <script>&amp;\n.txt'
CSV = b"id,name,score\n1,Ann,1.5\n2,Bob,2.5\n3,Zo\xc3\xab,\n"


def interpreter() -> str:
    """The Python of an environment that holds the public release; installed at the first call.

    Skips the test where it cannot be had, and fails it under CI.
    """
    cache = Path(os.environ.get(CACHE_VARIABLE) or ROOT / ".dev" / "public")
    return python_of(cache, "0.1a3", *_PACKAGES)


@dataclass(frozen=True)
class Installation:
    """The files that the public release left in ``folder``: internal.db, data.db, docs/, old/."""

    folder: Path
    #: The records that it answered, by their name here, in the order of their making.
    records: dict[str, dict[str, Any]]
    contents: dict[str, bytes]
    #: The thumbnail of ``picture`` as it was served.
    thumbnail: bytes
    thumbnail_type: str
    #: The JSON of its import jobs, as it answered them.
    jobs: dict[str, dict[str, Any]]

    def copied_to(self, folder: Path) -> Installation:
        """The same in another place, to be changed."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return Installation(
            folder, self.records, self.contents, self.thumbnail, self.thumbnail_type, self.jobs
        )


def make(folder: Path) -> Installation:
    """Run the public release twice in ``folder``, as a site would, and have it killed."""
    python = interpreter()
    contents = {
        "table": CSV,
        "picture": fixture("photos/alpha.png").path.read_bytes(),
        "hostile": b"hostile name",
        "noted": b"found by its search text",
        "broken": b"a,b\n1,2\n",
        "long": b"a,b\n" + b"1,2\n" * 500_000,
        "removed": b"in a source that is taken out of the yaml",
    }
    with sqlite3.connect(folder / "data.db") as data:
        data.execute("CREATE TABLE people_before (id INTEGER PRIMARY KEY)")
    data.close()
    with Server(folder, _config(folder, SECRETS[0]), python=python) as server:
        client = Client(server.url)
        records = {"table": client.three_steps("docs", "people.csv", CSV, "text/csv")}
        server.stop()
    with Server(
        folder, _config(folder, SECRETS[1]), python=python, databases=[folder / "data.db"]
    ) as server:
        client = Client(server.url)
        for name, filename, content_type in (
            ("picture", "pic.png", "image/png"),
            ("hostile", HOSTILE_NAME, "text/plain"),
            ("noted", "noted.txt", "text/plain"),
            ("broken", "broken.csv", "text/csv"),
            ("long", "long.csv", "text/csv"),
        ):
            records[name] = client.three_steps("docs", filename, contents[name], content_type)
        records["removed"] = client.three_steps("old", "removed.txt", contents["removed"])
        update = {"update": {"search_text": "Jahresbericht Zürich"}}
        expect(client.post_json(f"{records['noted']['url']}/-/update", update), 200)
        thumbnail = expect(client.request("GET", records["picture"]["thumbnail_url"]), 200)
        jobs = {
            "finished": _import(client, records["table"]["id"], 1, "people"),
            "error": _import(client, records["broken"]["id"], 2, "sqlite_reserved"),
            # Killed in the middle of it.
            "interrupted": _import(client, records["long"]["id"], 3, "long", until="running"),
        }
    _free_pages_with(folder / "internal.db", SECRETS[0])
    return Installation(
        folder, records, contents, thumbnail.body, thumbnail.headers["content-type"], jobs
    )


def _free_pages_with(database: Path, secret: str) -> None:
    """Leave the secret in freed pages, as the public release does on SQLite's default build.

    Some systems' SQLite overwrites what it frees; then the change above left no trace of it.
    """
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA secure_delete = OFF")
    for config in (f'{{"api_token": "{secret * 1000}"}}', None):
        with connection:
            connection.execute("UPDATE datasette_files_sources SET last_sync_token = ?", (config,))
    connection.close()


def _config(folder: Path, secret: str) -> dict[str, Any]:
    docs = {"root": str(folder / "docs"), "api_token": secret}
    sources = {
        "docs": {"storage": "filesystem", "config": docs},
        "old": {"storage": "filesystem", "config": {"root": str(folder / "old")}},
    }
    return {"plugins": {"datasette-files": {"sources": sources}}, "permissions": GRANTS}


def _import(
    client: Client, file_id: str, number: int, table: str, until: str | None = None
) -> dict[str, Any]:
    """Import a file as its form does; the job's JSON at its end, or once its status is this."""
    form = f"table_name={table}&database_name=data".encode()
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    expect(client.request("POST", f"/-/files/import/{file_id}", form, kind), 302)
    path = f"/-/files/import/{file_id}/{number}.json"
    job: dict[str, Any] = {}
    for _ in range(300):
        job = expect(client.request("GET", path), 200).json()
        if job["finished_at"] or job["status"] == until:
            break
        time.sleep(0.02)
    return job
