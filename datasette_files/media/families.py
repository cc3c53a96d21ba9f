"""Families of content types: what people call a kind of file. Pure.

The one table behind the icons, the type filter of lists and the choice of a preview. A family's key
has no slash, so wherever a content type or a pattern such as ``image/*`` may stand, a key may too.
Leaves out what a pattern means (``types.type_allowed``).
"""

from __future__ import annotations

#: Key to the name that people see, in the order in which a choice offers them.
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
    # Prose, unlike nearly all else that begins with text/x-.
    "text/x-markdown": "text",
    "text/x-web-markdown": "text",
    "text/x-rst": "text",
    "text/x-setext": "text",
    "text/x-log": "text",
    "text/x-vcard": "text",
    "text/x-vcalendar": "text",
}
#: Looked for in this order, where no whole type is known: office types hold ``xml`` too.
_PARTS = {
    "wordprocessingml": "document",
    "presentation": "document",
    "opendocument.text": "document",
    "spreadsheet": "table",
    "compressed": "archive",
    "json": "code",
    "xml": "code",
}
#: Bytes that are characters, though their type does not begin with ``text/``.
_CHARACTERS = frozenset(
    f"application/{name}"
    for name in (
        *("json", "x-ndjson", "javascript", "sql", "yaml", "x-yaml", "xml", "toml"),
        *("x-sh", "x-httpd-php", "typescript"),
    )
)


def family(content_type: str) -> str:
    """The family of a content type, as whoever wrote it; ``other`` for what belongs to none."""
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
    """Whether the bytes are characters that a person can read."""
    return (
        content_type.startswith("text/")
        or content_type in _CHARACTERS
        or content_type.endswith(("+json", "+xml"))
    )
