"""Mail (RFC 5322, MIME): its headers, its texts, and the names of what is attached."""

from __future__ import annotations

import email
from email._policybase import Compat32
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from pathlib import Path

from .markup import MAX_HTML, decoded, text_of_html
from .pages import Pages, Unreadable

#: Bytes of a mail, and its parts.
_MAX_MAIL = 64 * 1024 * 1024
_MAX_PARTS = 1_000
_MAX_HEADER = 2_000
#: Characters of a header of which parameters are read: at a cost that grows by their square.
_MAX_PARAMETERS = 8_000
_HEADERS = ("Subject", "From", "To", "Cc", "Date")


class _Policy(Compat32):
    """Cuts headers. The newer policies parse all at a cost that grows by the square."""

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        name, value = super().header_source_parse(sourcelines)
        return name, value[:_MAX_PARAMETERS]


def mail(path: Path, pages: Pages) -> None:
    """The headers that people read, then the parts, as one text."""
    with path.open("rb") as file:
        content = file.read(_MAX_MAIL + 1)
    if len(content) > _MAX_MAIL:
        raise Unreadable(f"It has more than {_MAX_MAIL:,} bytes")
    message = email.message_from_bytes(content, policy=_Policy())
    if not message.keys():
        raise Unreadable("It is no mail: it has no headers")
    found = [f"{name}: {text}" for name in _HEADERS if (text := _header(message, name))]
    attached: list[str] = []
    for number, part in enumerate(message.walk()):
        if number >= _MAX_PARTS:
            pages.lack(f"Only its first {_MAX_PARTS:,} parts are searched")
            break
        name = _name(part)
        if name:
            attached.append(name)
        elif not part.is_multipart():
            found.append(_text(part))
    found += [f"Attached: {name}" for name in attached]
    pages.add_all("\n\n".join(found))


def _header(message: Message, name: str) -> str:
    return _named(str(message.get(name, ""))[:_MAX_HEADER])


def _name(part: Message) -> str | None:
    """The name of an attachment, decoded; None for a part without one."""
    try:
        name = part.get_filename()
    except (ValueError, LookupError, TypeError):
        return "unnamed"
    return _named(name[:_MAX_HEADER]) if name else None


def _named(name: str) -> str:
    """Decode a header's encoded words (RFC 2047)."""
    try:
        parts = decode_header(name)
    except (HeaderParseError, ValueError):
        return name
    return "".join(
        _in(text, charset) if isinstance(text, bytes) else text for text, charset in parts
    )


def _text(part: Message) -> str:
    kind = part.get_content_type()
    if kind not in ("text/plain", "text/html"):
        return ""
    content = part.get_payload(decode=True)
    if not isinstance(content, bytes):
        return ""
    if kind == "text/html":
        return text_of_html(content[:MAX_HTML])
    return _in(content, part.get_content_charset())


def _in(content: bytes, charset: str | None) -> str:
    """Bytes in a declared encoding, which may be wrong or unknown."""
    try:
        return content.decode(charset or "utf-8")
    except (LookupError, ValueError):
        return decoded(content)
