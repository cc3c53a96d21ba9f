"""People, routes and the age of a trash, for tests of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datasette.app import Datasette

from datasette_files.app import Files
from tests.conftest import OPEN

ALICE, BOB, CAROL = {"id": "alice"}, {"id": "bob"}, {"id": "carol"}
EVERYTHING = {**OPEN, "files-manage": True, "files-share": True}
RESTORE, PURGE = "/-/files/trash/-/restore", "/-/files/trash/-/purge"
DAY = 24 * 3600


def stored(folder: Path) -> list[bytes]:
    return sorted(path.read_bytes() for path in folder.rglob("*") if path.is_file())


async def trashed(datasette: Datasette, actor: Any = None) -> list[dict[str, Any]]:
    answer = await datasette.client.get("/-/files/trash.json", actor=actor)
    assert answer.status_code == 200
    found: list[dict[str, Any]] = answer.json()["files"]
    return found


async def age(datasette: Datasette, seconds: float) -> None:
    """Let what is in the trash have been there for so much longer."""

    def change(conn: Any) -> None:
        conn.execute(
            """UPDATE datasette_files_trash
            SET trashed_at = trashed_at - :seconds, purge_at = purge_at - :seconds""",
            {"seconds": seconds},
        )

    await Files.of(datasette).catalog.write(change)
