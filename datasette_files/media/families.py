"""Families of content types: kinds of file in people's words. Pure.

The one table behind the icons, the type filter of lists and the choice of a preview. A family's key
has no slash, so wherever a content type or a pattern such as ``image/*`` may stand, a key may too.
Leaves out the meaning of patterns (``types.type_allowed``).
"""

from __future__ import annotations

#: ``{key: name for people}``, in the order of a choice.
FAMILIES = {
    "image": "Images",
    "video": "Video",
    "audio": "Audio",
    "document": "Documents",
    "table": "Tables",
    "text": "Text",
    "code": "Code and data",
    "archive": "Archives",
    "other": "Other",
}

_TYPES = {
    "application/pdf": "document",
    "application/msword": "document",
    "application/rtf": "document",
    "text/rtf": "document",
    "application/epub+zip": "document",
    "application/postscript": "document",
    "text/csv": "table",
    "text/tab-separated-values": "table",
    "application/vnd.ms-excel": "table",
    "application/vnd.apache.parquet": "table",
    "application/zip": "archive",
    "application/gzip": "archive",
    "application/x-tar": "archive",
    "application/x-bzip2": "archive",
    "application/x-xz": "archive",
    "application/zstd": "archive",
    "application/vnd.rar": "archive",
    "application/json": "code",
    "application/x-ndjson": "code",
    "application/geo+json": "code",
    "application/javascript": "code",
    "application/sql": "code",
    "application/yaml": "code",
    "application/x-yaml": "code",
    "application/toml": "code",
    "application/x-sh": "code",
    "application/x-httpd-php": "code",
    "application/typescript": "code",
    "text/javascript": "code",
    "text/html": "code",
    "text/css": "code",
    # Prose, unlike nearly all other types that begin with text/x-.
    "text/x-markdown": "text",
    "text/x-web-markdown": "text",
    "text/x-rst": "text",
    "text/x-setext": "text",
    "text/x-log": "text",
    "text/x-vcard": "text",
    "text/x-vcalendar": "text",
}
#: Parts of unknown types, searched in this order, as office types contain ``xml`` too.
_PARTS = {
    "wordprocessingml": "document",
    "presentation": "document",
    "opendocument.text": "document",
    "spreadsheet": "table",
    "compressed": "archive",
    "json": "code",
    "xml": "code",
}
#: Types of text that do not begin with ``text/``.
_CHARACTERS = frozenset(
    f"application/{name}"
    for name in (
        *("json", "x-ndjson", "javascript", "sql", "yaml", "x-yaml", "xml", "toml"),
        *("x-sh", "x-httpd-php", "typescript"),
    )
)


def family(content_type: str) -> str:
    """The family of a content type in any spelling; ``other`` if it belongs to none."""
    content_type = content_type.partition(";")[0].strip().lower()
    if content_type in _TYPES:
        return _TYPES[content_type]
    head = content_type.partition("/")[0]
    if head in ("image", "audio", "video"):
        return head
    for part, name in _PARTS.items():
        if part in content_type:
            return name
    if content_type.startswith("text/x-"):
        return "code"  # text/x-python, text/x-c and so on
    return "text" if head == "text" else "other"


def is_text(content_type: str) -> bool:
    """Tell whether files of this type are text that a person can read."""
    return (
        content_type.startswith("text/")
        or content_type in _CHARACTERS
        or content_type.endswith(("+json", "+xml"))
    )
