"""The facts in the XMP packet of a picture (ISO 16684-1; XMP Specification, parts 2 and 3).

A few properties are looked for, as attribute or element; the XML is not parsed.
"""

from __future__ import annotations

import re
from datetime import datetime
from html import unescape
from typing import Any

#: Bytes of a packet that are read.
MAX_PACKET = 4 * 1024 * 1024
#: Properties that tell a place, known or not: coordinates, and names of places.
_PLACES = re.compile(
    rb"GPSL|:(?:City|Country|CountryName|CountryCode|State|Location|Sublocation)\b"
)
#: ``52,31.2N`` or ``52,31,12N``: degrees, minutes and perhaps seconds (part 2, GPSCoordinate).
_COORDINATE = re.compile(
    r"(\d{1,3}),(\d{1,2}(?:\.\d{1,12})?)(?:,(\d{1,2}(?:\.\d{1,12})?))?([NSEW])"
)
#: ISO 8601, or as Exif writes it, which some programs copy.
_MOMENT = re.compile(
    r"(\d{4})[-:](\d\d)[-:](\d\d)[T ](\d\d:\d\d(?::\d\d)?)(?:\.\d+)?(Z|[+-]\d\d:\d\d)?"
)
_TIMES = tuple(
    name.encode()
    for name in (
        *("exif:DateTimeOriginal", "photoshop:DateCreated", "xmp:CreateDate"),
        "xap:CreateDate",  # as older programs name it
    )
)


def facts(packet: bytes) -> dict[str, Any]:
    """The facts that the packet tells."""
    packet = packet[:MAX_PACKET]
    found: dict[str, Any] = {}
    if _PLACES.search(packet):
        found["has_place"] = True
    latitude = _degrees(_property(packet, b"exif:GPSLatitude"))
    longitude = _degrees(_property(packet, b"exif:GPSLongitude"))
    if latitude is not None and longitude is not None and (latitude or longitude):
        found |= {"latitude": round(latitude, 7), "longitude": round(longitude, 7)}
    taken = next(filter(None, (_moment(_property(packet, name)) for name in _TIMES)), None)
    make, model = (_property(packet, name) or "" for name in (b"tiff:Make", b"tiff:Model"))
    camera = model if model.lower().startswith(make.lower()) else f"{make} {model}".strip()[:200]
    lens = _property(packet, b"exifEX:LensModel") or _property(packet, b"aux:Lens")
    return found | {
        name: value
        for name, value in (("taken_at", taken), ("camera", camera), ("lens", lens))
        if value
    }


def _property(packet: bytes, name: bytes) -> str | None:
    """The value of a simple property, at most 200 characters of it."""
    written = re.search(re.escape(name) + rb"""(?:\s{0,9}=\s{0,9}["']|>)([^"'<>]{1,800})""", packet)
    if written is None:
        return None
    return " ".join(unescape(written[1].decode("utf-8", "replace")).split())[:200] or None


def _degrees(text: str | None) -> float | None:
    """Decimal degrees, south and west negative; None for what is no coordinate."""
    part = _COORDINATE.fullmatch(text or "")
    if part is None:
        return None
    value = float(part[1]) + float(part[2]) / 60 + float(part[3] or 0) / 3600
    if value > (90 if part[4] in "NS" else 180):
        return None
    return -value if part[4] in "SW" else value


def _moment(text: str | None) -> str | None:
    part = _MOMENT.fullmatch(text or "")
    if part is None:
        return None
    try:
        moment = datetime.fromisoformat(f"{part[1]}-{part[2]}-{part[3]}T{part[4]}")
    except ValueError:
        return None
    return moment.isoformat() + (part[5] or "").replace("Z", "+00:00")
