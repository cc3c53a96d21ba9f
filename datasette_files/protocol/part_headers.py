"""The header fields that describe a form: its boundary, and the name and file name of each part.

Follows RFC 7578 (form data), RFC 2046 section 5.1.1 (boundaries) and RFC 8187 (`filename*`), and
the escapes that browsers write (WHATWG HTML, "multipart form data"). Left out: the body, which
`multipart.py` reads; checking a file name, which is returned as the client sent it, paths and
control characters included.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

MAX_BOUNDARY_LENGTH = 70
"""Longest boundary, in characters (RFC 2046 section 5.1.1)."""

_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]*[0-9A-Za-z'()+_,\-./:=?]")

_PARAMETER = re.compile(
    r"""
    (?:[ \t]*;)+ [ \t]*
    (?P<name> [!#$%&'*+\-.^_`|~0-9A-Za-z]+ ) [ \t]* = [ \t]*
    (?:
        "(?P<quoted> (?: [^"\\] | \\. )* )" (?= [ \t]* (?:;|$) )
        # Browsers do not escape a backslash: here one stands last, right before the closing quote.
      | "(?P<raw> [^"]* )" (?= [ \t]* (?:;|$) )
      | (?P<token> [^";]* )
    )
    """,
    re.VERBOSE,
)
_END_OF_PARAMETERS = re.compile(r"[ \t;]*")
_QUOTED_PAIR = re.compile(r'\\(["\\])')
_BROWSER_ESCAPE = re.compile("%(22|0D|0A)", re.IGNORECASE)
_EXTENDED_VALUE = re.compile(r"(?P<charset>[^']*)'[^']*'(?P<text>(?:[^%]|%[0-9A-Fa-f]{2})*)")
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class MultipartError(Exception):
    """A multipart body, or the header field that announces it, is malformed or beyond a limit."""


def parse_boundary(content_type: str | None) -> bytes:
    """Return the boundary in the `Content-Type` of a form.

    Raises `MultipartError` when it is not `multipart/form-data` or has no valid boundary.
    """
    media_type, parameters = _split_parameters(content_type or "")
    if media_type != "multipart/form-data":
        raise MultipartError("the body is not multipart/form-data")
    boundary = parameters.get("boundary")
    if not boundary:
        raise MultipartError("multipart/form-data has no boundary")
    if len(boundary) > MAX_BOUNDARY_LENGTH:
        raise MultipartError(f"the boundary is longer than {MAX_BOUNDARY_LENGTH} characters")
    if not _BOUNDARY.fullmatch(boundary):
        raise MultipartError("the boundary has a character that no boundary may have")
    return boundary.encode("ascii")


def decode_header_value(raw: bytes) -> str:
    """Return a header value as text: UTF-8 as browsers send it, else ISO 8859-1.

    Raises `MultipartError` for control characters other than a tab.
    """
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    if _CONTROLS.search(text):
        raise MultipartError("a part's header has a control character")
    return text.strip(" \t")


def parse_part_headers(headers: Mapping[str, str]) -> tuple[str, str | None]:
    """Return the field name and the file name of a part; no file name makes it a plain field.

    `headers` has lower-case names. A part without a name has the name "". A file name in
    `filename*` wins over one in `filename`, as RFC 6266 section 4.3 has it, unless it cannot be
    decoded.

    Raises `MultipartError` when `Content-Disposition` is missing, malformed or not `form-data`, and
    for a transfer encoding that would have to be undone (deprecated by RFC 7578 section 4.7).
    """
    disposition, parameters = _split_parameters(headers.get("content-disposition", ""))
    if disposition != "form-data":
        raise MultipartError("a part's Content-Disposition is not form-data")
    encoding = headers.get("content-transfer-encoding", "binary").lower()
    if encoding not in {"binary", "8bit", "7bit"}:
        raise MultipartError("a part has a Content-Transfer-Encoding, which forms do not allow")
    name = _undo_browser_escapes(parameters.get("name", ""))
    filename = _decode_extended(parameters.get("filename*"))
    if filename is None and "filename" in parameters:
        filename = _undo_browser_escapes(parameters["filename"])
    if filename is None and "filename*" in parameters:
        raise MultipartError("a part's filename* is malformed")
    return name, filename


def _split_parameters(text: str) -> tuple[str, dict[str, str]]:
    """Split `value; name=text; name="text"`; value and names come back in lower case."""
    value = text.partition(";")[0]
    parameters: dict[str, str] = {}
    position = len(value)
    while match := _PARAMETER.match(text, position):
        name = match["name"].lower()
        if name in parameters:
            # Another reader could choose the other one, which an attacker could use.
            raise MultipartError("a header has the same parameter twice")
        if match["quoted"] is not None:
            parameters[name] = _QUOTED_PAIR.sub(r"\1", match["quoted"])
        elif match["raw"] is not None:
            parameters[name] = match["raw"]
        else:
            parameters[name] = match["token"].rstrip(" \t")
        position = match.end()
    if not _END_OF_PARAMETERS.fullmatch(text, position):
        raise MultipartError("a header has malformed parameters")
    return value.strip(" \t").lower(), parameters


def _undo_browser_escapes(text: str) -> str:
    """Undo the escapes of browsers; any other percent sign stands for itself (WHATWG HTML)."""
    return _BROWSER_ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)


def _decode_extended(text: str | None) -> str | None:
    """Decode `charset'language'percent-encoded` (RFC 8187 section 3.2); None if malformed."""
    match = _EXTENDED_VALUE.fullmatch(text) if text is not None else None
    if match is None or match["charset"].lower() not in {"utf-8", "iso-8859-1"}:
        return None
    try:
        return unquote_to_bytes(match["text"]).decode(match["charset"])
    except UnicodeDecodeError:
        return None
