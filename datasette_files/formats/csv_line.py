"""One row as a line of CSV (RFC 4180), as ``csv.writer`` writes it.

That refuses the character U+0000 on Python 3.10, which a text of SQLite may hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_QUOTED = re.compile(r'[",\r\n]')


def line(values: Iterable[object]) -> str:
    """The line with its end; None is an empty cell."""
    text = ",".join(_cell(value) for value in values)
    return (text or '""') + "\r\n"


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text
