"""Declared content types that mean another one: old, vendors' and wrong names. Pure.

Browsers, operating systems and archives declare them. The type that they mean is the registered
one (IANA, Media Types), or the one that Python's mimetypes gives to the extension. Leaves out types
whose meaning the file's name decides (``sniffing.declared_type``).
"""

from __future__ import annotations

#: ``{type: the names that mean it}``.
_NAMES = {
    "application/octet-stream": "binary/octet-stream application/x-octet-stream application/binary"
    " application/x-binary application/unknown application/x-unknown application/x-download"
    " application/force-download application/x-force-download application/download"
    " unknown/unknown content/unknown",
    "application/pdf": "application/x-pdf application/acrobat application/vnd.pdf"
    " application/x-acrobat text/pdf text/x-pdf",
    "application/zip": "application/x-zip-compressed application/x-zip application/zip-compressed"
    " application/x-compressed-zip application/vnd.zip multipart/x-zip",
    "application/gzip": "application/x-gzip application/x-gunzip application/gzipped"
    " application/gzip-compressed application/x-gzip-compressed gzip/document multipart/x-gzip",
    "application/x-bzip2": "application/bzip2 application/x-bz2 application/x-bzip",
    "application/x-xz": "application/xz",
    "application/zstd": "application/x-zstd application/x-zst application/x-zstandard",
    "application/x-tar": "application/tar application/x-gtar application/x-ustar",
    "application/vnd.rar": "application/x-rar-compressed application/x-rar application/rar",
    "application/x-7z-compressed": "application/x-7z application/7z application/x-7zip",
    "application/vnd.apache.parquet": "application/x-parquet application/parquet",
    "application/json": "application/x-json text/json text/x-json application/vnd.json",
    "application/x-ndjson": "application/ndjson application/jsonl application/x-jsonl"
    " application/jsonlines application/x-jsonlines application/json-lines text/x-ndjson"
    " text/jsonl",
    "text/javascript": "application/x-javascript text/x-javascript",
    "text/csv": "application/csv application/x-csv text/x-csv text/comma-separated-values"
    " text/x-comma-separated-values",
    "text/tab-separated-values": "text/tsv text/x-tsv application/tsv application/x-tsv"
    " text/x-tab-separated-values",
    "text/xml": "text/x-xml",
    "application/xml": "application/x-xml",
    "application/rtf": "application/x-rtf text/x-rtf",
    "application/msword": "application/vnd.msword application/vnd.ms-word application/x-msword"
    " application/doc application/winword application/word",
    "application/vnd.ms-excel": "application/msexcel application/x-msexcel application/x-ms-excel"
    " application/x-excel application/excel application/xls application/x-xls"
    " application/x-dos_ms_excel",
    "application/vnd.ms-powerpoint": "application/mspowerpoint application/x-mspowerpoint"
    " application/powerpoint application/ms-powerpoint",
    "image/jpeg": "image/jpg image/pjpeg image/x-jpeg image/x-jpg image/x-citrix-jpeg image/jpe",
    "image/png": "image/x-png image/x-citrix-png",
    "image/gif": "image/x-gif image/x-citrix-gif",
    "image/tiff": "image/tif image/x-tif image/x-tiff application/tiff application/x-tiff",
    "image/bmp": "image/x-bmp image/x-ms-bmp image/x-windows-bmp image/ms-bmp image/x-bitmap",
    "image/svg+xml": "image/svg image/svg-xml image/x-svg",
    "image/webp": "image/x-webp",
    "image/heic": "image/x-heic",
    "image/vnd.microsoft.icon": "image/ico image/icon application/ico",
    "audio/mpeg": "audio/mp3 audio/x-mp3 audio/mpeg3 audio/x-mpeg audio/x-mpeg-3 audio/mpg"
    " audio/x-mpg audio/mpeg-3 audio/x-mpeg3",
    "audio/mp4": "audio/m4a audio/x-m4a audio/x-mp4 audio/mp4a-latm",
    "audio/aac": "audio/x-aac audio/aacp audio/x-hx-aac-adts",
    "audio/x-wav": "audio/wave audio/vnd.wave audio/x-pn-wav",
    "audio/flac": "audio/x-flac",
    "audio/ogg": "audio/x-ogg audio/x-vorbis+ogg audio/vorbis",
    "audio/x-aiff": "audio/aiff",
    "audio/midi": "audio/x-midi audio/mid audio/x-mid",
    "video/mp4": "video/x-mp4 video/m4v video/mpeg4",
    "video/quicktime": "video/x-quicktime image/mov video/mov video/x-mov",
    "video/x-msvideo": "video/avi video/msvideo video/vnd.avi video/x-avi"
    " application/x-troff-msvideo",
    "video/x-matroska": "video/matroska video/mkv video/x-mkv application/x-matroska",
    "video/webm": "video/x-webm",
    "video/ogg": "video/x-ogg video/x-theora+ogg",
    "video/mpeg": "video/mpg video/x-mpeg video/x-mpg",
    "video/x-ms-wmv": "video/wmv",
    "text/markdown": "text/x-markdown text/x-web-markdown",
    "text/html": "text/x-html",
    "text/calendar": "application/ics",
    "application/yaml": "text/yaml text/x-yaml application/x-yaml text/vnd.yaml",
    "application/sql": "text/x-sql text/sql",
}
_ALIASES = {alias: meant for meant, names in _NAMES.items() for alias in names.split()}


def meant(content_type: str) -> str:
    """The type that a declared one means: itself, unless it is another's alias."""
    return _ALIASES.get(content_type, content_type)
