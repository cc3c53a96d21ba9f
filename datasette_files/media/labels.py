"""Content types in people's words, such as "PNG image" or "Word document". Pure."""

from __future__ import annotations

_NAMES = {
    "application/pdf": "PDF document",
    "application/msword": "Word document",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "Word document",
    "application/vnd.ms-excel": "Excel workbook",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "Excel workbook",
    "application/vnd.ms-powerpoint": "PowerPoint presentation",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": (
        "PowerPoint presentation"
    ),
    "application/vnd.oasis.opendocument.text": "OpenDocument text",
    "application/vnd.oasis.opendocument.spreadsheet": "OpenDocument spreadsheet",
    "application/vnd.oasis.opendocument.presentation": "OpenDocument presentation",
    "application/epub+zip": "EPUB book",
    "application/rtf": "Rich text",
    "text/rtf": "Rich text",
    "text/csv": "CSV table",
    "text/tab-separated-values": "TSV table",
    "application/vnd.apache.parquet": "Parquet table",
    "application/vnd.sqlite3": "SQLite database",
    "application/json": "JSON",
    "application/geo+json": "GeoJSON",
    "application/x-ndjson": "JSON lines",
    "application/zip": "Zip archive",
    "application/gzip": "Gzip archive",
    "application/x-tar": "Tar archive",
    "application/javascript": "JavaScript",
    "text/javascript": "JavaScript",
    "text/html": "Web page",
    "text/css": "Style sheet",
    "text/plain": "Plain text",
    "text/markdown": "Markdown",
    "text/calendar": "Calendar",
    "text/vcard": "Contact",
    "message/rfc822": "Mail",
    "image/jpeg": "JPEG image",
    "image/svg+xml": "SVG drawing",
    "image/tiff": "TIFF image",
    "image/vnd.microsoft.icon": "Icon",
    "audio/mpeg": "MP3 audio",
    "audio/mp4": "M4A audio",
    "audio/x-wav": "WAV audio",
    "video/quicktime": "QuickTime video",
    "video/x-matroska": "Matroska video",
    "video/x-msvideo": "AVI video",
    "application/octet-stream": "Unknown type",
}
#: What a type of these families is called; its subtype stands before, as in "PNG image".
_FAMILY_NAMES = {"image": "image", "video": "video", "audio": "audio"}
#: Characters of a subtype that is a name; longer ones are written as they are.
_MAX_SUBTYPE = 10


def in_words(content_type: str | None) -> str:
    """Return a content type's name; the type itself where it has none."""
    if not content_type:
        return "Unknown type"
    plain = content_type.partition(";")[0].strip().lower()
    if name := _NAMES.get(plain):
        return name
    main, _, subtype = plain.partition("/")
    if main in _FAMILY_NAMES and subtype and len(subtype) <= _MAX_SUBTYPE:
        return f"{subtype.removeprefix('x-').upper()} {_FAMILY_NAMES[main]}"
    return content_type
