"""The content types of the built-in generators. Pure: imports no imaging package."""

from __future__ import annotations

IMAGE_TYPES = frozenset(
    f"image/{name}"
    for name in (
        *("jpeg", "pjpeg", "jpg", "png", "apng", "gif", "webp", "avif"),
        *("bmp", "x-ms-bmp", "tiff"),
    )
)
#: These need the extra ``heic``.
HEIF_TYPES = frozenset(("image/heic", "image/heif"))
#: ffmpeg's demuxer by content type. With a fixed demuxer, ffmpeg reads no file as a playlist, which
#: could name other files.
DEMUXERS = {
    "video/mp4": "mov",
    "video/quicktime": "mov",
    "video/x-m4v": "mov",
    "video/3gpp": "mov",
    "video/webm": "matroska",
    "video/x-matroska": "matroska",
    "video/ogg": "ogg",
    "video/mpeg": "mpeg",
    "video/x-msvideo": "avi",
    "audio/mpeg": "mp3",
    "audio/mp4": "mov",
    "audio/x-m4a": "mov",
    "audio/ogg": "ogg",
    "audio/flac": "flac",
    "audio/x-flac": "flac",
}
