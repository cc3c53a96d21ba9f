"""The `Content-Disposition` field of a download (RFC 6266, RFC 8187).

The one place where a stored file's name enters a response header, always as one line of printable
ASCII. Left out: reading the field in an upload (`part_headers.py`).
"""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import quote

MAX_NAME_BYTES = 255
"""Longest file name sent, in bytes of UTF-8 before percent-encoding; the limit of file systems."""

MAX_EXTENSION_BYTES = 32
"""Longest extension kept, dot included, when a name is shortened."""

_NOT_PLAIN = re.compile(r"[^A-Za-z0-9._-]+")
_LETTER_OR_DIGIT = re.compile(r"[A-Za-z0-9]")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATES = re.compile(r"[\ud800-\udfff]")

# The attr-chars of RFC 8187 section 3.2.1 beside letters, digits and `-._~`, which
# urllib.parse.quote always keeps.
_ATTR_CHARS = "!#$&+^`|"


def content_disposition(kind: Literal["attachment", "inline"], filename: str) -> str:
    """Return the value of `Content-Disposition` that names a download `filename`.

    `filename="…"` is for old clients: letters, digits, dots, dashes and underscores, each other run
    of characters one dash, no dash or dot at its beginning, and `file` where no letter or digit
    remains of the name before its extension. `filename*` is the name itself,
    percent-encoded UTF-8, in which control characters become dashes and lone surrogates U+FFFD. A
    name over `MAX_NAME_BYTES` loses the end of its stem and keeps its extension.
    """
    name = _SURROGATES.sub("\ufffd", _CONTROLS.sub("-", filename))
    name = _shorten(name)
    plain = _NOT_PLAIN.sub("-", name)
    stem, _, extension = plain.rpartition(".")
    if stem and not _LETTER_OR_DIGIT.search(stem) and _LETTER_OR_DIGIT.search(extension):
        plain = f"file.{extension}"
    plain = plain.lstrip("-.")
    if not _LETTER_OR_DIGIT.search(plain):
        plain = "file"
    encoded = quote(name or "file", safe=_ATTR_CHARS)
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{encoded}"


def _shorten(name: str) -> str:
    """Cut `name` to `MAX_NAME_BYTES` of UTF-8 between two characters, before its extension."""
    raw = name.encode()
    if len(raw) <= MAX_NAME_BYTES:
        return name
    stem, dot, suffix = name.rpartition(".")
    extension = (dot + suffix).encode()
    if not stem or len(extension) > MAX_EXTENSION_BYTES:
        return _cut(raw, MAX_NAME_BYTES)
    return _cut(stem.encode(), MAX_NAME_BYTES - len(extension)) + dot + suffix


def _cut(raw: bytes, limit: int) -> str:
    # The only invalid bytes are those of a character that the limit cuts in two.
    return raw[:limit].decode(errors="ignore")
