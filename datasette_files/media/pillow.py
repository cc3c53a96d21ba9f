"""The picture formats that the installed Pillow reads, and the reason where it reads a file not.

Only confined programs import this, as it imports Pillow.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from PIL import UnidentifiedImageError, features

from . import labels, sniffing

#: Formats whose codec may be absent, with its name in Pillow.
_CODECS = {"AVIF": "avif", "WEBP": "webp"}
#: Pillow's name of a format, where it is not the end of the content type.
_NAMES = {"image/heic": "HEIF", "image/apng": "PNG", "image/x-ms-bmp": "BMP"}
#: How Pillow says that a file is of a kind of its format that it does not read.
_KIND = re.compile(r"Unsupported|decoder .{1,40} not available")


def readable(formats: Iterable[str]) -> list[str]:
    """Those of the formats, by Pillow's names, whose codec is installed."""
    return [one for one in formats if one not in _CODECS or features.check(_CODECS[one])]


def reason(error: Exception, head: bytes, formats: Collection[str]) -> str:
    """Why a file that begins with ``head`` cannot be read as one of ``formats``.

    ``error`` is Pillow's.
    """
    content_type = sniffing.sniff(head)
    name = labels.in_words(content_type).removesuffix(" image")
    if content_type.startswith("image/"):
        family = content_type.partition("/")[2].removeprefix("x-").upper()
        if _NAMES.get(content_type, family) not in formats:
            return f"This server cannot read {name} pictures"
        if _KIND.match(str(error)):
            return f"This server cannot read this kind of {name} picture: {error}"
    if isinstance(error, UnidentifiedImageError):
        return "It is damaged, or no picture"
    return f"It is damaged ({type(error).__name__}: {error})"
