"""BagIt 1.0 (RFC 8493): the tag files of a bag, as text and back.

Holds the formats, and the rule for safe paths. Leaves out reading and writing of bags (transfer/).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import Invalid

BAGIT = "bagit.txt"
INFO = "bag-info.txt"
MANIFEST = "manifest-sha256.txt"
TAG_MANIFEST = "tagmanifest-sha256.txt"
#: The folder of the payload.
PAYLOAD = "data/"
#: The whole of bagit.txt (RFC 8493, 2.1.1).
DECLARATION = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
#: Bytes of bag-info.txt and of one line of a manifest that are read at most.
MAX_INFO, MAX_LINE = 64 * 1024, 8 * 1024

_OXUM = re.compile(r"([0-9]{1,18})\.([0-9]{1,18})", re.ASCII)
_LINE = re.compile(r"([0-9a-fA-F]{64})[ \t]+(.+)", re.ASCII)
#: The characters that a manifest encodes (RFC 8493, 2.1.3).
_ENCODED = {"%": "%25", "\n": "%0A", "\r": "%0D"}
_DECODED = re.compile("%(25|0A|0D)", re.IGNORECASE)
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\:*?\"<>|]")


@dataclass(frozen=True)
class Oxum:
    """The size of a payload (RFC 8493, 2.2.2)."""

    bytes: int
    files: int

    def __str__(self) -> str:
        return f"{self.bytes}.{self.files}"


def manifest_line(sha256: str, path: str) -> str:
    """A line of a manifest, with its end. ``sha256`` in hexadecimal."""
    encoded = "".join(_ENCODED.get(character, character) for character in path)
    return f"{sha256}  {encoded}\n"


def parse_manifest_line(line: bytes) -> tuple[str, str]:
    """The sha256 and the path of a line. Raises Invalid."""
    try:
        found = _LINE.fullmatch(line.decode().rstrip("\r\n"))
    except UnicodeDecodeError:
        found = None
    if found is None:
        raise Invalid("A manifest has a line that is not `sha256 path`; bundle again")
    path = _DECODED.sub(lambda match: chr(int(match[1], 16)), found[2])
    return found[1].lower(), checked_path(path)


def checked_path(path: str) -> str:
    """Return a path of a bag that is safe on every file system. Raises Invalid for another one.

    The one check that keeps a path of a stranger's bag below the bag's folder.
    """
    parts = path.split("/")
    if _UNSAFE.search(path) or any(part in ("", ".", "..") for part in parts):
        raise Invalid(f"The bag names the path {path!r}, which is not safe; bundle again")
    return path


def info(labels: Iterable[tuple[str, str]]) -> str:
    """bag-info.txt, of labels and values that hold no line breaks."""
    return "".join(f"{label}: {value}\n" for label, value in labels)


def parse_info(content: bytes) -> dict[str, str]:
    """The values of bag-info.txt by label in lower case; a repeated label has its last value."""
    found: dict[str, str] = {}
    label = ""
    try:
        lines = content.decode().splitlines()
    except UnicodeDecodeError:
        raise Invalid(f"{INFO} is not UTF-8; bundle again") from None
    for line in lines:
        if line[:1] in (" ", "\t") and label:
            found[label] += " " + line.strip()
            continue
        label, colon, value = line.partition(":")
        if not colon:
            raise Invalid(f"{INFO} has a line that is not `label: value`; bundle again")
        label = label.strip().lower()
        found[label] = value.strip()
    return found


def parse_oxum(text: str | None) -> Oxum:
    """The value of Payload-Oxum. Raises Invalid."""
    found = _OXUM.fullmatch(text or "")
    if found is None:
        raise Invalid(f"{INFO} has no Payload-Oxum; bundle again")
    return Oxum(int(found[1]), int(found[2]))
