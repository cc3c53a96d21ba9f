"""Content types: reading a declared one, and checking it against the first bytes.

The declared type is kept unless the bytes contradict its family, as HTML declared as PNG does; then
the sniffed type is stored, so that no file is served under a false type. Signatures are
puremagic's; text and markup are recognised by the WHATWG's MIME Sniffing standard, as signatures
cannot do that.
"""

from __future__ import annotations

import mimetypes
import re
from functools import lru_cache

import puremagic

from . import tiff
from .aliases import meant
from .types import essence

UNKNOWN = "application/octet-stream"
#: Bytes at the beginning that decide.
HEAD = 4096

# Control characters that no text holds (MIME Sniffing, 4, "binary data byte").
_BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
# A comment ends at the first "-->", or hostile bytes would match in exponentially many ways.
_MARKUP = re.compile(
    rb"\s*(?:<!--(?:(?!-->).)*-->\s*)*"
    rb"<(?:!doctype html|html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p)"
    rb"[\s>/]",
    re.IGNORECASE | re.DOTALL,
)
_SVG = re.compile(
    rb"(?:<\?xml[^>]*>|<!--(?:(?!-->).)*-->|<!doctype svg[^>]*>|\s)*<svg[\s>]", re.I | re.S
)
_XML = re.compile(rb"\s*<\?xml\s", re.IGNORECASE)

#: Families of which (nearly) every type has a signature.
_SIGNED = ("image", "audio", "video", "font")
#: Pictures that are sent without their place (stripping.py, tiff.py). The bytes decide which of
#: them a file is, as the place is left out by the rules of its type.
_STRIPPED = ("image/jpeg", "image/png", "image/webp", "image/gif", tiff.TYPE)
#: Containers, which hold audio or video.
_CONTAINERS = ("application/ogg", "application/mp4")
#: Types by mimetypes' name of a compression.
_COMPRESSED = {
    "gzip": "application/gzip",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
    "compress": "application/x-compress",
}
#: Types outside of ``text/`` that are text.
_TEXTS = ("application/json", "application/x-ndjson", "application/javascript")
#: Where Excel is installed, browsers on Windows declare its type for these.
_EXCEL, _DELIMITED = "application/vnd.ms-excel", (".csv", ".tsv", ".tab", ".txt")
_PARQUET = "application/vnd.apache.parquet"
#: A PDF's header may come after a byte order mark or space (ISO 32000-1, 7.5.2; Annex H, 13).
_PDF = re.compile(rb"(?:\xef\xbb\xbf)?[\t\n\f\r ]*%PDF-")
#: Among bytes that are no text it may begin anywhere here (Annex H, 13), as printers' jobs have it.
_PDF_REACH = 1024
#: The signatures of the types that most uploads have (MIME Sniffing, 6): no search is needed.
_SIGNATURES: dict[str, bytes | tuple[bytes, ...]] = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
    "image/gif": b"GIF8",
    tiff.TYPE: tiff.SIGNATURES,
    "application/pdf": b"%PDF-",
    "application/zip": b"PK\x03\x04",
    "application/gzip": b"\x1f\x8b\x08",
}
#: Its box (ISO 15444-1, I.5.1), which puremagic takes for a JPEG.
_JPEG_2000 = b"\x00\x00\x00\x0cjP  "
#: ISO base media files whose brand says they are images; puremagic takes some of them for video.
_IMAGE_BRANDS = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heif",
}
#: Offsets of puremagic's signatures, and their first two bytes. Most files match none, which this
#: finds out a hundred times faster than trying each signature.
_BEGINNINGS: dict[int, set[bytes]] = {}
for _known in puremagic.magic_header_array:
    _BEGINNINGS.setdefault(_known.offset, set()).add(_known.byte_match[:2])


def _guessed_type(filename: str) -> tuple[str | None, str | None]:
    """As ``mimetypes.guess_type``, by the last two suffixes: of these there are few."""
    return _of_suffixes("x." + ".".join(filename.lstrip(".").rsplit(".", 2)[1:]))


# A guess takes longer than all else that makes a file of an object in a storage.
@lru_cache(1024)
def _of_suffixes(name: str) -> tuple[str | None, str | None]:
    return mimetypes.guess_type(name)


def declared_type(value: object, filename: str) -> str:
    """The type that a declared one means, in lower case, else one guessed from the name."""
    declared = meant((essence(value) if isinstance(value, str) else None) or UNKNOWN)
    guessed, encoding = _guessed_type(filename)
    is_delimited = declared == _EXCEL and filename.lower().endswith(_DELIMITED)
    # Some programs send the pattern of their file dialog, such as image/*.
    if declared != UNKNOWN and "*" not in declared and not is_delimited:
        return declared
    if guessed is None and filename.lower().endswith(".parquet"):
        return _PARQUET  # which mimetypes does not know
    # x.tar.gz holds a tar archive, but its bytes are gzip's.
    return (_COMPRESSED.get(encoding, UNKNOWN) if encoding else guessed) or UNKNOWN


def stored_type(declared: str, head: bytes) -> str:
    """The type to store for bytes that begin with ``head`` and are declared ``declared``."""
    if not head or head.startswith(_SIGNATURES.get(declared, b"\xff" * 9)):
        return declared
    if declared == UNKNOWN:
        return sniff(head)
    family = declared.partition("/")[0]
    markup = declared == "image/svg+xml" or declared.endswith(("xml", "/html"))
    if markup or family == "text" or declared in _TEXTS:
        # Text of any kind is safe under a text type; binary data is not text.
        return declared if _is_text(head) else sniff(head)
    if family in _SIGNED:
        return _checked(declared, family, sniff(head))
    is_text = _is_text(head)
    found = _markup(head) if is_text else None
    if declared == "application/pdf" and (is_text or b"%PDF-" not in head[:_PDF_REACH]):
        return found or sniff(head)
    return found or declared


def _checked(declared: str, family: str, sniffed: str) -> str:
    found = sniffed.partition("/")[0]
    if sniffed == "image/svg+xml":
        return sniffed  # a document that may hold script, whatever picture it is declared as
    if found == family and declared in _STRIPPED:
        return sniffed
    if found == family or {found, family} == {"audio", "video"}:
        return declared
    if sniffed in _CONTAINERS and family in ("audio", "video"):
        return declared
    # A type with no signature of its own (raw camera images, odd codecs) is believed.
    return declared if sniffed == UNKNOWN and family not in ("image", "font") else sniffed


def sniff(head: bytes) -> str:
    """The content type that the bytes show, or ``application/octet-stream``."""
    if _PDF.match(head):
        return "application/pdf"
    if _is_text(head):
        return _markup(head) or "text/plain"
    if head.startswith(_JPEG_2000):
        return "image/jp2"
    if head[4:8] == b"ftyp" and head[8:12] in _IMAGE_BRANDS:
        return _IMAGE_BRANDS[head[8:12]]
    found = _by_signature(head)
    # BigTIFF, and raw camera images after TIFF: puremagic lacks one of them, and takes some others
    # for files that Windows calls Thumbs.db.
    return tiff.TYPE if found == UNKNOWN and head.startswith(tiff.SIGNATURES) else found


def _by_signature(head: bytes) -> str:
    if not any(
        head[offset : offset + 2] in beginnings or head[offset : offset + 1] in beginnings
        for offset, beginnings in _BEGINNINGS.items()
    ):
        return UNKNOWN
    try:
        matches = puremagic.magic_string(head)
    except (puremagic.PureError, ValueError):
        return UNKNOWN
    return next((meant(one.mime_type) for one in matches if essence(one.mime_type)), UNKNOWN)


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
