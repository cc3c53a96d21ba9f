"""The schema of the internal database, as migrations. They run in the order of these imports.

A feature's tables, indexes and triggers stand in the module of its name, those of lists in
shelves.py. What a migration leaves behind at the end never changes.
"""

# isort: off
from . import core, additions, verify, search, parts, resuming  # noqa: F401
from . import shares, folders, bulk, zips, versions, quotas, index, texts  # noqa: F401
from . import audit, zip_texts, duplicates, media, live, triggers, deleted  # noqa: F401

# isort: on
from .registry import FILE_COLUMNS, migrations

__all__ = ["FILE_COLUMNS", "migrations"]
