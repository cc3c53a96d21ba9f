"""What a client remembers on its own disk, so that a transfer goes on after a kill.

One small JSON file for each transfer, readable by its owner alone, as the addresses of uploads are
secrets. It is deleted when the transfer ends; those of 30 days are swept.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

_OURS = re.compile(r"[0-9a-f]{64}\.(json|[0-9]+)")
_KEPT_SECONDS = 30 * 24 * 3600.0


def default_folder() -> Path:
    """The folder for state of the XDG Base Directory Specification."""
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "datasette-files"


class Memory:
    """The remembered transfers, in one folder. A folder that cannot be written keeps nothing."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or default_folder()

    def of(self, *key: object) -> Entry:
        """The entry about one transfer, which ``key`` names."""
        name = hashlib.sha256(repr(key).encode("utf-8", "surrogateescape")).hexdigest()
        return Entry(self._folder / f"{name}.json")


class Entry:
    """What is remembered about one transfer."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> dict[str, Any]:
        """What was kept, or nothing."""
        try:
            kept = json.loads(self._path.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return kept if isinstance(kept, dict) else {}

    def keep(self, **values: Any) -> None:
        """Keep these values instead of the earlier ones."""
        new = self._path.with_suffix(f".{os.getpid()}")
        # Without the memory a transfer that is killed begins anew; it works all the same.
        with suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _sweep(self._path.parent)
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(values, file)
            new.replace(self._path)

    def forget(self) -> None:
        with suppress(OSError):
            self._path.unlink()


def _sweep(folder: Path) -> None:
    oldest = time.time() - _KEPT_SECONDS
    for entry in folder.iterdir():
        if not _OURS.fullmatch(entry.name):
            continue  # the folder may be one of the caller's
        with suppress(OSError):
            if entry.stat().st_mtime < oldest:
                entry.unlink()
