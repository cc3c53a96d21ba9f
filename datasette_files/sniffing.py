"""Content types: reading a declared one, and what the first bytes say about it.

The declared type is kept unless the bytes contradict its family, as HTML declared a PNG does; then
the sniffed type is stored, so that nothing is ever served as what it is not. Signatures are
puremagic's; whether bytes are text, and which markup, is by the rules of the WHATWG's MIME
Sniffing standard, as signatures cannot tell.
"""

from __future__ import annotations

import mimetypes
import re

import puremagic

UNKNOWN = "application/octet-stream"
#: How many bytes decide.
HEAD = 4096

_TYPE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Control characters that no text holds (MIME Sniffing, 4, "binary data byte").
_BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
_MARKUP = re.compile(
    rb"\s*(?:<!--.*?-->\s*)*<(?:!doctype html|html|head|script|iframe|h1|div|font|table|a|style"
    rb"|title|b|body|br|p)[\s>/]",
    re.IGNORECASE | re.DOTALL,
)
_SVG = re.compile(rb"\s*(?:<\?xml[^>]*>|<!--.*?-->|<!doctype svg[^>]*>|\s)*<svg[\s>]", re.I | re.S)
_XML = re.compile(rb"\s*<\?xml\s", re.IGNORECASE)

#: Families whose declaration promises a signature: bytes without it are something else.
_SIGNED = ("image", "audio", "video", "font")
#: One family in all but name.
_SAME = ({"audio", "video"}, {"audio", "application"}, {"video", "application"})


def declared_type(value: object, filename: str) -> str:
    """The declared content type's essence in lower case, else one guessed from the name."""
    if isinstance(value, str):
        essence = value.partition(";")[0].strip().lower()
        if len(essence) <= 255 and _TYPE.fullmatch(essence) and essence != UNKNOWN:
            return essence
    return mimetypes.guess_type(filename)[0] or UNKNOWN


def stored_type(declared: str, head: bytes) -> str:
    """The type to store for bytes that begin with ``head`` and are declared ``declared``."""
    if not head or declared == UNKNOWN:
        return sniff(head) if head else declared
    family = declared.partition("/")[0]
    if declared == "image/svg+xml" or declared.endswith(("+xml", "/xml", "/html")):
        return declared if _is_text(head) else sniff(head)
    if family in _SIGNED:
        return _checked(declared, family, sniff(head))
    markup = _markup(head) if _is_text(head) else None
    if declared == "application/pdf" and not head.lstrip()[:5].startswith(b"%PDF-"):
        return markup or sniff(head)
    if family == "text" or declared in ("application/json", "application/x-ndjson"):
        # Text of another kind is still text, and only ever served as such; binary is not.
        return declared if _is_text(head) else sniff(head)
    return markup or declared


def _checked(declared: str, family: str, sniffed: str) -> str:
    found = sniffed.partition("/")[0]
    if sniffed == "image/svg+xml":
        return sniffed  # a document that may hold script, whatever picture it is declared as
    if found == family or {found, family} in _SAME[:1]:
        return declared
    # A type with no signature of its own (raw camera images, odd codecs) is believed.
    return declared if sniffed == UNKNOWN and family not in ("image", "font") else sniffed


def sniff(head: bytes) -> str:
    """The content type that the bytes show, or ``application/octet-stream``."""
    if _is_text(head):
        return _markup(head) or "text/plain"
    try:
        matches = puremagic.magic_string(head)
    except (puremagic.PureError, ValueError):
        return UNKNOWN
    return next((match.mime_type for match in matches if _TYPE.fullmatch(match.mime_type)), UNKNOWN)


def _markup(head: bytes) -> str | None:
    if _MARKUP.match(head):
        return "text/html"
    if _SVG.match(head):
        return "image/svg+xml"
    return "application/xml" if _XML.match(head) else None


def _is_text(head: bytes) -> bool:
    if head[:2] in (b"\xfe\xff", b"\xff\xfe") or head[:3] == b"\xef\xbb\xbf":
        return True
    return not _BINARY.search(head)
