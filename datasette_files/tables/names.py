"""Names in SQL."""

from __future__ import annotations


def quoted(name: str) -> str:
    """A name as SQLite's SQL writes it, whatever it holds."""
    return '"' + name.replace('"', '""') + '"'
