"""Indents JSON for reading: each value on a line of its own. Pure.

Works on tokens, without a parser. So numbers and names stay as they are written, and a document
that is cut or invalid is shown too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_PART = re.compile(r'"(?:[^"\\]|\\.)*"?|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)
#: Deeper levels are indented as this one, so that hostile nesting does not make endless lines.
_MAX_INDENTED_DEPTH = 24
_OPENING, _CLOSING = ("{", "["), ("}", "]")


def indented(text: str, max_lines: int) -> tuple[str, bool]:
    """Return ``(indented text, whether lines beyond max_lines were left out)``."""
    shown: list[str] = []
    for line in _lines(text):
        if len(shown) == max_lines:
            return "\n".join(shown), True
        shown.append(line)
    return "\n".join(shown), False


def _lines(text: str) -> Iterator[str]:
    depth, line, before = 0, "", ""
    for match in _PART.finditer(text):
        part = match[0]
        if part in _CLOSING:
            depth = max(0, depth - 1)
        if _breaks(before, part):
            if line.strip():
                yield line
            line = "  " * min(depth, _MAX_INDENTED_DEPTH)
        line += f"{part} " if part == ":" else part
        if part in _OPENING:
            depth += 1
        before = part
    if line.strip():
        yield line


def _breaks(before: str, part: str) -> bool:
    """Tell whether a line ends between two tokens. ``{}`` and ``[]`` stay on one line."""
    if part in _CLOSING:
        return before not in _OPENING
    if before in (",", *_OPENING):
        return True
    # Two values without a comma are two documents, as in NDJSON.
    return before not in ("", ":") and part not in (",", ":")
