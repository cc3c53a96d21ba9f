"""The program: reads facts out of pictures, videos and sound, already confined.

facts.py starts it. The first message holds the settings; each other message is a job, followed by
its file, which is kept in the child's folder. It answers ``{"facts": {…}}`` with what is known, or
``{"problem": …}``.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from datetime import datetime
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, BinaryIO

from PIL import ExifTags, Image

from ...media import pillow, sniffing
from ...sandbox import confinement, framing
from ...sandbox.confinement import end_child_with_parent
from ..media_types import DEMUXERS
from . import pictures, xmp

_FILE = Path("file")
_SIDEWAYS = (5, 6, 7, 8)
#: Entries that ffprobe prints.
_ENTRIES = (
    "format=duration:format_tags:stream=codec_type,width,height:stream_disposition=attached_pic"
    ":stream_tags=rotate:stream_side_data=rotation"
)
#: A place as ISO 6709 writes it in decimal degrees: ``+52.5200+013.4050+034.0/``.
_ISO_6709 = re.compile(r"([+-]\d{1,3}(?:\.\d+)?)([+-]\d{1,3}(?:\.\d+)?)")
_OFFSET = re.compile(r"[+-]\d\d:\d\d")
_APPLE = "com.apple.quicktime."
_GIF_XMP = b"\x0bXMP DataXMP"

Facts = dict[str, Any]


def main(source: BinaryIO, sink: BinaryIO) -> None:
    """Work until the other side closes the pipe."""
    settings = framing.read_message(source)
    if settings is None:
        return
    formats = pictures.prepare(heif=settings["heif"], max_pixels=settings["max_pixels"])
    Image.MAX_IMAGE_PIXELS = None  # a header tells the facts of a picture of any size
    while (job := framing.read_message(source)) is not None:
        answer = _answer({**settings, **job, "formats": formats}, source)
        sink.write(framing.packed(answer))
        sink.flush()
        if answer.get("ends"):
            return


def _answer(job: dict[str, Any], source: BinaryIO) -> dict[str, Any]:
    confinement.allow_cpu(confinement.cpu_used() + job["seconds"])
    pieces = framing.read_pieces(source)
    try:
        with _FILE.open("wb") as file:
            for piece in pieces:
                file.write(piece)
        found = _image(job) if job["kind"] == "image" else _clip(job)
    except MemoryError:
        return {"problem": "It takes too much memory to read", "ends": True}
    except framing.Broken:
        raise
    except Exception as error:  # noqa: BLE001 - damaged files fail in every way there is
        problem = f"It is damaged ({type(error).__name__}: {error})"
        if job["kind"] == "image":
            problem = pillow.reason(error, _head(), job["formats"])
        answer: dict[str, Any] = {"problem": problem[:300]}
    else:
        answer = {"facts": {name: one for name, one in found.items() if one is not None}}
    for _ in pieces:
        pass
    return answer


# Pictures


def _head() -> bytes:
    with _FILE.open("rb") as file:
        return file.read(sniffing.HEAD)


def _image(job: dict[str, Any]) -> Facts:
    """The facts in the header of a picture (Exif 2.32, 4.6). Only a PNG's pixels are decoded."""
    with Image.open(_FILE, formats=job["formats"]) as image:
        width, height = image.size
        exif, is_whole = _header(image, job["max_pixels"])
        found = _exif(exif)
        packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
        if not packet and image.format == "GIF":
            packet = _gif_packet()
    if found.pop("orientation", 1) in _SIDEWAYS:
        width, height = height, width
    told = xmp.facts(packet.encode() if isinstance(packet, str) else packet)
    known = {name: value for name, value in found.items() if value is not None}
    if "latitude" in known:
        told = {name: one for name, one in told.items() if name not in ("latitude", "longitude")}
    if not is_whole:
        told["has_place"] = True  # what cannot be read may tell it
    return {**told, **known, "width": width, "height": height}


def _header(image: Image.Image, max_pixels: int) -> tuple[Image.Exif, bool]:
    """The Exif of a picture, and whether it was looked for everywhere.

    A PNG may have Exif and XMP behind its pixels. Where these are too many to decode, or damaged,
    only the facts before them are known.
    """
    is_whole = image.format != "PNG"
    if not is_whole and image.width * image.height <= max_pixels:
        with contextlib.suppress(OSError, SyntaxError, ValueError):
            image.load()
            is_whole = True
    # Not PngImageFile's own, which loads the pixels.
    return Image.Image.getexif(image), is_whole


def _gif_packet() -> bytes:
    """The XMP of a GIF, which may stand behind any of its pictures (XMP, part 3, 1.1.2).

    Pillow finds it before the first alone, unless it decodes all.
    """
    with _FILE.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        at = content.find(_GIF_XMP)
        return content[at : at + xmp.MAX_PACKET] if at >= 0 else b""


def _exif(exif: Image.Exif) -> Facts:
    base, tags = ExifTags.Base, exif.get_ifd(ExifTags.IFD.Exif)
    taken = None
    for time, offset in (
        # TIFF/EP has it in the first directory, as some programs have the lens.
        (
            tags.get(base.DateTimeOriginal) or exif.get(base.DateTimeOriginal),
            tags.get(base.OffsetTimeOriginal),
        ),
        (tags.get(base.DateTimeDigitized), tags.get(base.OffsetTimeDigitized)),
        (exif.get(base.DateTime), tags.get(base.OffsetTime)),
    ):
        taken = taken or _taken(time, offset)
    gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
    place = _place(
        _degrees(gps.get(ExifTags.GPS.GPSLatitude), gps.get(ExifTags.GPS.GPSLatitudeRef)),
        _degrees(gps.get(ExifTags.GPS.GPSLongitude), gps.get(ExifTags.GPS.GPSLongitudeRef)),
    )
    return {
        "taken_at": taken,
        "camera": _camera(exif.get(base.Make), exif.get(base.Model)),
        "lens": _text(tags.get(base.LensModel) or exif.get(base.LensModel)),
        "orientation": exif.get(base.Orientation, 1),
        "has_place": bool(gps) or None,
        **place,
    }


def _taken(time: object, offset: object) -> str | None:
    """``2024:05:06 07:08:09`` as ISO 8601, with its offset from UTC if the camera knew it."""
    try:
        moment = datetime.strptime((_text(time) or "")[:19], "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None
    known = _text(offset) or ""
    return moment.isoformat() + (known if _OFFSET.fullmatch(known) else "")


def _camera(make: object, model: object) -> str | None:
    first, second = _text(make) or "", _text(model) or ""
    if second.lower().startswith(first.lower()):
        return second or None
    return f"{first} {second}".strip()


def _text(value: object) -> str | None:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return None
    return " ".join(value.partition("\x00")[0].split())[:200] or None


def _degrees(parts: Any, reference: object) -> float | None:
    """Degrees, minutes and seconds as decimal degrees, south and west negative."""
    if not isinstance(parts, tuple) or not 1 <= len(parts) <= 3:
        return None
    value = float(sum(float(part) / 60**at for at, part in enumerate(parts)))
    return -value if (_text(reference) or "")[:1].upper() in ("S", "W") else value


def _place(latitude: float | None, longitude: float | None) -> Facts:
    """The place, unless it is none: out of range, not a number, or a camera's zeros."""
    if latitude is None or longitude is None or (latitude, longitude) == (0, 0):
        return {}
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        return {}
    return {"latitude": round(latitude, 7), "longitude": round(longitude, 7), "has_place": True}


# Videos and sound


def _clip(job: dict[str, Any]) -> Facts:
    """The facts in a container, by ffprobe, which reads the file as this one format."""
    command = [
        *(job["ffprobe"], "-v", "error", "-protocol_whitelist", "file,pipe"),
        *("-f", DEMUXERS[job["content_type"]], "-show_entries", _ENTRIES),
        *("-of", "json", "-i", f"./{_FILE}"),
    ]
    done = subprocess.run(  # noqa: S603 - no shell, and our own file name
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=2 * job["seconds"],
        check=True,
        preexec_fn=end_child_with_parent(),
    )
    probed = json.loads(done.stdout)
    container = probed.get("format", {})
    tags = {name.lower(): value for name, value in container.get("tags", {}).items()}
    duration = float(container["duration"]) if "duration" in container else None
    return {
        "duration": round(duration, 3) if duration is not None and 0 < duration < 1e9 else None,
        "taken_at": _moment(tags.get(f"{_APPLE}creationdate") or tags.get("creation_time")),
        "camera": _camera(
            tags.get(f"{_APPLE}make") or tags.get("make"),
            tags.get(f"{_APPLE}model") or tags.get("model"),
        ),
        **_where(tags),
        **_frame(probed.get("streams", [])),
    }


def _where(tags: dict[str, str]) -> Facts:
    known = tags.get(f"{_APPLE}location.iso6709") or tags.get("location")
    if known is None:
        return {"has_place": True if any("location" in name for name in tags) else None}
    found = _ISO_6709.match(known)
    place = _place(float(found[1]), float(found[2])) if found else {}
    return {"has_place": True, **place}


def _moment(text: str | None) -> str | None:
    """A time of a container as ISO 8601 to the second. 1904 is the zero of its clock."""
    try:
        moment = datetime.fromisoformat((text or "").replace("Z", "+00:00"))
    except ValueError:
        try:
            moment = datetime.strptime(text or "", "%Y-%m-%dT%H:%M:%S%z")
        except ValueError:
            return None
    return moment.isoformat(timespec="seconds") if moment.year > 1904 else None


def _frame(streams: list[Facts]) -> Facts:
    """Width and height of the first moving picture, upright."""
    for stream in streams:
        is_cover = stream.get("disposition", {}).get("attached_pic")
        if stream.get("codec_type") != "video" or is_cover or not stream.get("width"):
            continue
        size = int(stream["width"]), int(stream["height"])
        turns = [one.get("rotation") for one in stream.get("side_data_list", [])]
        turn = next((int(one) for one in turns if one is not None), 0)
        width, height = size[::-1] if turn % 180 else size
        return {"width": width, "height": height}
    return {}
