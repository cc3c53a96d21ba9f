"""The schema of the internal database, as migrations. They run in the order of these imports.

A feature's tables, indexes and triggers stand in the module of its name; a migration that was
released never changes.
"""

from . import core, additions, verify, search, parts, resuming, shares, folders, quotas, index  # noqa: F401, I001 - in order
from .registry import FILE_COLUMNS, migrations

__all__ = ["FILE_COLUMNS", "migrations"]
