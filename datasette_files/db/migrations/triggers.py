"""Triggers that took longer than they need, made anew: of lists, of totals and of media."""

from __future__ import annotations

import sqlite_utils

from . import media, quotas, shelves
from .registry import migrations, run


@migrations(name="0028_triggers")
def triggers(db: sqlite_utils.Database) -> None:
    """Make them anew; what they keep stays the same."""
    for name, statement in {**shelves.TRIGGERS, **quotas.TRIGGERS, **media.TRIGGERS}.items():
        run(db, f"DROP TRIGGER {name}", statement)
