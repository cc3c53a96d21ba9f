"""The kinds of files that the built-in generators can draw with the installed packages.

Finds the optional packages without importing them: only workers import them.
"""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
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
    parts = {name: _version(name) for name in ("pillow", "pillow-heif", "pypdfium2")}
    heif = importlib.util.find_spec("pillow_heif") is not None
    pdf = importlib.util.find_spec("pypdfium2") is not None
    ffmpeg = shutil.which("ffmpeg") or ""
    return Kinds(heif, pdf, ffmpeg, f"{VERSION} {parts} {_identity(ffmpeg)}")


def _identity(program: str) -> str:
    """Return a program's path, size and time; its version would take a process."""
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
