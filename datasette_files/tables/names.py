"""Names in SQL."""

from __future__ import annotations


def quoted(name: str) -> str:
    """A name in double quotes, for SQL."""
    return '"' + name.replace('"', '""') + '"'
