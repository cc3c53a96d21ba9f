"""A local folder that is synchronized with a source: its files, and what the last run left.

Links are not followed, and no path leads out of the folder. Blocking; callers use threads.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import Conflict, FilesError, Invalid
from ..transfer.publishing import system_errors
from .mirroring import Digests, Known, Local

#: In the folder: what the last run left, by server and source.
STATE = ".datasette-files-sync.json"
#: Files that the desktops of others leave behind, and our own.
_LEFT_OUT = {STATE, ".DS_Store", "Thumbs.db", "desktop.ini"}
#: An unfinished download (fetching.py).
_PART = re.compile(r"\..+\.df-[A-Za-z0-9]+\.part", re.DOTALL)
_READ_BYTES = 1024 * 1024


class Folder:
    """One folder, for one server and source."""

    def __init__(self, path: Path, url: str, source: str) -> None:
        self.path = path
        self._key = f"{url} {source}"
        self._read: dict[str, Digests] = {}
        self.known: dict[str, Known] = {}

    def scan(self, fail: Callable[[str, FilesError], None]) -> dict[str, Local]:
        """The regular files below the folder. Raises Invalid if there is no such folder.

        ``fail`` receives each name that is not UTF-8, and each folder that cannot be read.
        """
        if not self.path.is_dir():
            raise Invalid(f"{self.path} is no directory; make it, or correct the path")
        found: dict[str, Local] = {}

        def unreadable(error: OSError) -> None:
            fail(str(error.filename), Invalid(f"The folder cannot be read ({error.strerror})"))

        for directory, folders, names in os.walk(self.path, onerror=unreadable):
            folders.sort()
            for name in names:
                if name in _LEFT_OUT or _PART.fullmatch(name):
                    continue
                file = Path(directory, name)
                with suppress(FileNotFoundError):
                    info = file.lstat()
                    if not stat.S_ISREG(info.st_mode):
                        continue
                    path = file.relative_to(self.path).as_posix()
                    try:
                        path.encode()
                    except UnicodeEncodeError:
                        fail(path, Invalid("The name is not UTF-8; rename the file"))
                        continue
                    found[path] = Local(info.st_size, info.st_mtime_ns)
        return found

    def at(self, path: str) -> Path:
        """The place of a path. Raises Conflict if it would be outside of the folder."""
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or any(part in ("..", STATE) for part in parts):
            raise Conflict("The name would be outside of the folder; rename the file on the server")
        place = self.path
        for part in parts[:-1]:
            place /= part
            if place.is_symlink() or (place.exists() and not place.is_dir()):
                raise Conflict(f"{place} is not a directory; move it away")
        return place / parts[-1]

    def read(self, path: str) -> Digests:
        """The digests of a file's bytes; read once."""
        if path not in self._read:
            sha256, crc32 = hashlib.sha256(), 0
            file = self.at(path)
            with system_errors(file), file.open("rb") as opened:
                while chunk := opened.read(_READ_BYTES):
                    sha256.update(chunk)
                    crc32 = zlib.crc32(chunk, crc32)
            self._read[path] = Digests(sha256.hexdigest(), f"{crc32:08x}")
        return self._read[path]

    def forget_read(self, path: str) -> None:
        """Read the file anew, as it was just written."""
        self._read.pop(path, None)

    def load(self) -> None:
        """Read what the last run left. A broken file counts as none."""
        kept = self._kept().get(self._key, {})
        with suppress(TypeError, AttributeError):
            self.known = {path: Known(**one) for path, one in kept.items()}

    def save(self) -> None:
        """Write what this run leaves, at once or not at all. Raises NoSpace, Invalid."""
        kept = self._kept()
        kept[self._key] = {path: asdict(one) for path, one in sorted(self.known.items())}
        target = self.path / STATE
        new = target.with_suffix(".new")
        with system_errors(target):
            new.write_text(json.dumps(kept, indent=1), "utf-8")
            new.replace(target)

    def _kept(self) -> dict[str, dict[str, dict[str, Any]]]:
        try:
            kept = json.loads((self.path / STATE).read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return kept if isinstance(kept, dict) else {}
