"""Names in SQL."""

from __future__ import annotations


def quoted(name: str) -> str:
    """Return a name in double quotes, for SQL."""
    return '"' + name.replace('"', '""') + '"'
