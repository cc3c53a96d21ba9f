"""Triggers that took longer than they need, made anew: of lists, of totals and of media."""

from __future__ import annotations

import sqlite_utils

from . import index, media, quotas, shelves
from .registry import migrations, run


@migrations(name="0028_triggers")
def triggers(db: sqlite_utils.Database) -> None:
    """Make them anew; what they keep stays the same."""
    for module in (shelves, quotas, index, media):
        for name, statement in module.TRIGGERS.items():
            run(db, f"DROP TRIGGER {name}", statement)
