"""Content types that a browser may show from our origin. Everything else is saved."""

from __future__ import annotations

#: Shown by the browser itself; everything else comes as an attachment.
_INLINE_TYPES = frozenset({"application/pdf", "text/plain"})
_INLINE_FAMILIES = ("audio", "video")
#: Images of pixels, which hold no script, in formats that browsers show.
_RASTER_IMAGES = frozenset(
    f"image/{name}"
    for name in (
        *("png", "apng", "jpeg", "gif", "webp", "avif", "bmp"),
        *("x-icon", "vnd.microsoft.icon", "tiff", "heic", "heif"),
    )
)


def shows_inline(content_type: str) -> bool:
    """Tell whether the browser may show a file of this type instead of saving it."""
    family = content_type.partition("/")[0]
    return family in _INLINE_FAMILIES or content_type in _INLINE_TYPES | _RASTER_IMAGES
