"""Kept totals of everything that counts towards quotas.

``datasette_files_usage`` has one row for each source, kind and actor; the actor is ``''`` for
everybody without an id.

* ``files``: every file in the catalog, under the actor ``''``: the sum of datasette_files_totals.
* ``trash``: files in the trash, by uploader.
* ``arriving``: uploads on their way, by actor: the files and bytes that they have reserved.
"""

from __future__ import annotations

import sqlite_utils

from .registry import migrations, run
from .versions import SUPERSEDED

_TABLE = """CREATE TABLE datasette_files_usage (
    source_id INTEGER NOT NULL,
    kind TEXT NOT NULL,
    actor TEXT NOT NULL,
    files INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (source_id, kind, actor)
) WITHOUT ROWID"""


def triggers(
    kind: str,
    table: str,
    columns: str,
    *,
    actor: str = "ifnull({row}.uploaded_by, '')",
    files: str = "1",
    size: str = "ifnull({row}.size, 0)",
    when: str = "true",
    stays: bool = False,
) -> dict[str, str]:
    """Triggers, by name, that keep a kind in step with the rows of a table that ``when`` holds for.

    ``columns`` are those whose change matters; ``{row}`` stands for the trigger's row. ``stays``:
    a change leaves a row with its source and actor, so that one step adds the difference.
    """
    files_of, size_of = (
        {row: text.replace("{row}", row) for row in ("old", "new")} for text in (files, size)
    )
    added = (f"({files_of['new']})", f"({size_of['new']})")
    taken = (f"-({files_of['old']})", f"-({size_of['old']})")

    def step(row: str, more: tuple[str, str], where: str = "true") -> str:
        # The shelf of superseded versions (versions.py) counts for its source.
        whose = f"{row}.source_id % {SUPERSEDED}, '{kind}', {actor.replace('{row}', row)}"
        return f"""INSERT INTO datasette_files_usage (source_id, kind, actor, files, bytes)
            SELECT {whose}, {more[0]}, {more[1]} WHERE {where} ON CONFLICT DO UPDATE
            SET files = files + excluded.files, bytes = bytes + excluded.bytes;"""

    def trigger(name: str, event: str, condition: str, *steps: str) -> dict[str, str]:
        name = f"datasette_files_usage_{kind}_{name}"
        statement = f"""CREATE TRIGGER {name} AFTER {event} ON {table}
            WHEN {condition} BEGIN {" ".join(steps)} END"""
        return {name: statement}

    old, new = when.replace("{row}", "old"), when.replace("{row}", "new")
    difference = (added[0] + taken[0], added[1] + taken[1])
    changed = (step("old", taken, old), step("new", added, new))
    return {
        **trigger("ai", "INSERT", new, step("new", added)),
        **trigger("ad", "DELETE", old, step("old", taken)),
        **trigger(
            *("au", f"UPDATE OF {columns}", f"{old} OR {new}"),
            *((step("new", difference),) if stays else changed),
        ),
    }


#: IN would fill a table of three texts for each row of a trigger.
_ACTIVE = " OR ".join(f"{{row}}.state = '{one}'" for one in ("prepared", "receiving", "received"))
TRIGGERS = {
    **triggers(
        "files",
        "datasette_files_totals",
        "files, bytes",
        actor="''",
        files="{row}.files",
        size="{row}.bytes",
        stays=True,
    ),
    **triggers("trash", "datasette_files_trash", "source_id, uploaded_by, size"),
    **triggers(
        "arriving",
        "datasette_files_uploads",
        "source_id, actor_id, state, reserved, reserved_files",
        actor="ifnull({row}.actor_id, '')",
        files="{row}.reserved_files",
        size="{row}.reserved",
        when=_ACTIVE,
    ),
}


@migrations(name="0018_quotas")
def quotas(db: sqlite_utils.Database) -> None:
    """Make the totals from what is there, and keep them."""
    run(
        db,
        _TABLE,
        "ALTER TABLE datasette_files_uploads ADD COLUMN reserved_files INTEGER NOT NULL DEFAULT 1",
        # Uploads that go on have reserved nothing until now.
        "UPDATE datasette_files_uploads SET reserved = size WHERE size > reserved",
        f"""INSERT INTO datasette_files_usage
        SELECT source_id % {SUPERSEDED}, 'files', '', sum(files), sum(bytes)
        FROM datasette_files_totals GROUP BY 1""",
        """INSERT INTO datasette_files_usage
        SELECT source_id, 'trash', ifnull(uploaded_by, ''), count(*), sum(ifnull(size, 0))
        FROM datasette_files_trash GROUP BY 1, 3""",
        f"""INSERT INTO datasette_files_usage
        SELECT source_id, 'arriving', ifnull(actor_id, ''), count(*), sum(reserved)
        FROM datasette_files_uploads u WHERE {_ACTIVE.format(row="u")} GROUP BY 1, 3""",
        *TRIGGERS.values(),
    )
