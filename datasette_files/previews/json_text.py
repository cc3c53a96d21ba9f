"""JSON for reading: each value on a line of its own. Pure.

By its tokens alone and without a parser, so that numbers and names stay as they are written, and
the beginning of a document that is cut, or none at all, is shown as far as it goes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_PART = re.compile(r'"(?:[^"\\]|\\.)*"?|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)
#: Deeper levels are not indented further: lines of hostile depth would grow without bound.
_DEEPEST = 24
_OPENING, _CLOSING = ("{", "["), ("}", "]")


def indented(text: str, most: int) -> tuple[str, bool]:
    """At most ``most`` lines, and whether there are more."""
    shown: list[str] = []
    for line in _lines(text):
        if len(shown) == most:
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
            line = "  " * min(depth, _DEEPEST)
        line += f"{part} " if part == ":" else part
        if part in _OPENING:
            depth += 1
        before = part
    if line.strip():
        yield line


def _breaks(before: str, part: str) -> bool:
    """Whether a line ends between the two. An empty object or array stays on its line."""
    if part in _CLOSING:
        return before not in _OPENING
    if before in (",", *_OPENING):
        return True
    # Two values in a row are two documents, as in NDJSON.
    return before not in ("", ":") and part not in (",", ":")
