"""SVG icons by type family: one sheet of paper, one colour a family, the type's short name.

Pure: from a content type and a file name to SVG text. The label is escaped here, for it comes from
a person's file name.
"""

from __future__ import annotations

from html import escape

#: Family to colour; readable with white text, and on light and dark pages.
_COLOURS = {
    "image": "#1f7a4d",
    "audio": "#8a4b08",
    "video": "#9b2c5e",
    "text": "#3d5a80",
    "table": "#2b6f77",
    "document": "#b03a2e",
    "archive": "#6b5b1e",
    "code": "#5b4b9a",
    "other": "#5f6670",
}
_TYPES = {
    "application/pdf": "document",
    "application/msword": "document",
    "application/rtf": "document",
    "text/csv": "table",
    "text/tab-separated-values": "table",
    "application/vnd.ms-excel": "table",
    "application/zip": "archive",
    "application/gzip": "archive",
    "application/x-tar": "archive",
    "application/json": "code",
    "application/javascript": "code",
    "text/javascript": "code",
    "text/html": "code",
    "text/css": "code",
}
_PARTS = {
    "wordprocessingml": "document",
    "opendocument.text": "document",
    "spreadsheet": "table",
    "compressed": "archive",
    "xml": "code",
}

_SVG = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 200" width="200" height="200" \
role="img" aria-label="{label} file">
<path d="M46 10h78l40 40v132a8 8 0 0 1-8 8H46a8 8 0 0 1-8-8V18a8 8 0 0 1 8-8z" fill="#fff" \
stroke="{colour}" stroke-width="6"/>
<path d="M124 10v32a8 8 0 0 0 8 8h32" fill="none" stroke="{colour}" stroke-width="6"/>
<rect x="20" y="92" width="160" height="62" rx="8" fill="{colour}"/>
<text x="100" y="136" font-family="system-ui, sans-serif" font-size="{size}" font-weight="700" \
fill="#fff" text-anchor="middle">{label}</text>
</svg>
"""


def family(content_type: str) -> str:
    """The family that decides an icon's colour."""
    if content_type in _TYPES:
        return _TYPES[content_type]
    for part, name in _PARTS.items():
        if part in content_type and not content_type.startswith("image/"):
            return name
    head = content_type.partition("/")[0]
    return head if head in ("image", "audio", "video", "text") else "other"


def icon(content_type: str, filename: str) -> str:
    """An SVG document for a file without a thumbnail."""
    name = family(content_type)
    extension = filename.rpartition(".")[2] if "." in filename else ""
    if not (0 < len(extension) <= 5 and extension.isascii() and extension.isalnum()):
        extension = content_type.rpartition("/")[2].rpartition("-")[2][:5]
    if not (extension.isascii() and extension.isalnum()):
        extension = "file"
    label = escape(extension.upper())
    return _SVG.format(label=label, colour=_COLOURS[name], size=48 if len(label) <= 4 else 38)
