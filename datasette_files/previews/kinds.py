"""Which files the built-in generator can picture: by content type, and by what is installed.

Looks for the optional parts without importing them: they are imported in workers alone.
"""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .media_types import DEMUXERS, HEIF_TYPES, IMAGE_TYPES

#: Raised where what is made of the same bytes changes: what failed before is then tried anew.
VERSION = 1


@dataclass(frozen=True)
class Kinds:
    """What this installation can picture."""

    heif: bool
    pdf: bool
    #: The program's path; "" where there is none.
    ffmpeg: str
    #: Versions of the parts, for the fingerprint of a failure.
    versions: str

    def of(self, content_type: str) -> str | None:
        """``image``, ``pdf`` or ``clip``; None for what has no picture here."""
        if content_type in IMAGE_TYPES or (self.heif and content_type in HEIF_TYPES):
            return "image"
        if self.pdf and content_type == "application/pdf":
            return "pdf"
        return "clip" if self.ffmpeg and content_type in DEMUXERS else None


def installed() -> Kinds:
    """Look for the parts. Blocks: looking reads directories."""
    importlib.invalidate_caches()
    parts = {name: _version(name) for name in ("pillow", "pillow-heif", "pypdfium2")}
    heif = importlib.util.find_spec("pillow_heif") is not None
    pdf = importlib.util.find_spec("pypdfium2") is not None
    ffmpeg = shutil.which("ffmpeg") or ""
    return Kinds(heif, pdf, ffmpeg, f"{VERSION} {parts} {_identity(ffmpeg)}")


def _identity(program: str) -> str:
    """What changes when the program is another: asking it for its version would take a process."""
    if not program:
        return ""
    try:
        found = Path(program).stat()
    except OSError:
        return ""
    return f"{program} {found.st_size} {found.st_mtime_ns}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
