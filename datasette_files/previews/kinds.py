"""The kinds of files that the built-in generators can draw with the installed packages.

Finds the optional packages without importing them: only workers import them.
"""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import dataclass
from pathlib import Path

from .media_types import DEMUXERS, HEIF_TYPES, IMAGE_TYPES

#: Raise this when the generators change: then files that failed before are tried again.
VERSION = 1


@dataclass(frozen=True)
class Kinds:
    """The kinds of files that this installation can make pictures of."""

    heif: bool
    pdf: bool
    #: The program's path; empty if it is not installed.
    ffmpeg: str
    #: Versions of the packages and of ffmpeg, for the fingerprint of a failure.
    versions: str

    def of(self, content_type: str) -> str | None:
        """Return ``image``, ``pdf`` or ``clip``; None for a type without a generator."""
        if content_type in IMAGE_TYPES or (self.heif and content_type in HEIF_TYPES):
            return "image"
        if self.pdf and content_type == "application/pdf":
            return "pdf"
        return "clip" if self.ffmpeg and content_type in DEMUXERS else None


def installed() -> Kinds:
    """Find the installed parts. Blocks, as it reads directories."""
    importlib.invalidate_caches()
    pillow, heif, pdf = (_identity(_module(name)) for name in ("PIL", "pillow_heif", "pypdfium2"))
    ffmpeg = shutil.which("ffmpeg") or ""
    versions = f"{VERSION} {pillow} {heif} {pdf} {_identity(ffmpeg)}"
    return Kinds(bool(heif), bool(pdf), ffmpeg, versions)


def _module(name: str) -> str:
    """Return the path of a package's first module; "" if it is not installed."""
    found = importlib.util.find_spec(name)
    return (found.origin or "") if found else ""


def _identity(program: str) -> str:
    """Return a file's path, size and time: asking for versions takes long, or a process."""
    if not program:
        return ""
    try:
        found = Path(program).stat()
    except OSError:
        return ""
    return f"{program} {found.st_size} {found.st_mtime_ns}"
