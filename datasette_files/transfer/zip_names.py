"""Names of files in a zip: each different from the others in any case, and safe on Windows."""

from __future__ import annotations

import re
import unicodedata

from ..naming import plain

_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f]')
#: Names that Windows reserves, with any extension.
_RESERVED = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[\d¹²³])(?:\.|$)", re.IGNORECASE
)
_MAX_NAME_BYTES = 240


class Names:
    """The names of one zip, given one by one."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        #: The last number that a name got.
        self._numbers: dict[str, int] = {}
        #: The name of each folder.
        self._folders = {"": ""}
        self._taken_by_folders: set[str] = set()

    def add(self, folder: str, filename: str) -> str:
        """The name of a file, with its folders, to which no other name is equal."""
        above = self._folder(folder)
        name = safe(filename)
        stem, dot, extension = name.rpartition(".")
        if not stem:
            stem, dot, extension = name, "", ""
        path, key = above + name, _key(above + name)
        while _key(path) in self._files or _key(path) in self._taken_by_folders:
            self._numbers[key] = self._numbers.get(key, 1) + 1
            path = f"{above}{stem} ({self._numbers[key]}){dot}{extension}"
        self._files.add(_key(path))
        return path

    def _folder(self, folder: str) -> str:
        """The folder's name, which ends with a slash; no file has it."""
        if folder in self._folders:
            return self._folders[folder]
        above, _, name = folder.rpartition("/")
        base = self._folder(above) + safe(name)
        path, number = base, 1
        while _key(path) in self._files:
            number += 1
            path = f"{base} ({number})"
        self._taken_by_folders.add(_key(path))
        self._folders[folder] = f"{path}/"
        return f"{path}/"


def _key(path: str) -> str:
    """The same for names that some file system takes for one."""
    return path.casefold() if path.isascii() else unicodedata.normalize("NFC", path).casefold()


def safe(name: str) -> str:
    """A name that any file system takes: at most ``_MAX_NAME_BYTES`` of UTF-8, extension kept."""
    name = _UNSAFE.sub("_", plain(name)).strip(" ").rstrip(". ") or "file"
    if _RESERVED.match(name):
        name = f"_{name}"
    if len(name.encode()) <= _MAX_NAME_BYTES:
        return name
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension.encode()) > 20:
        stem, dot, extension = name, "", ""
    end = dot + extension
    return stem.encode()[: _MAX_NAME_BYTES - len(end.encode())].decode(errors="ignore") + end
