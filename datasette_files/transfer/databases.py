"""The databases to which the rows of a bundle may return."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasette.database import Database

from ..errors import Invalid


@dataclass
class Databases:
    """The databases that rows may go to, by name. A file that does not exist is made at last."""

    datasette: Any
    paths: dict[str, Path]

    def target(self, name: str) -> Any:
        """Datasette's database of this name, or the only one; None if its file is yet to be made.

        Raises Invalid.
        """
        name, path = self._place(name)
        if not path.exists():
            return None
        return self._opened(name, path)

    def made(self, name: str) -> Any:
        """As ``target``, with the file made if needed: an empty file is an empty database."""
        name, path = self._place(name)
        path.touch()
        return self._opened(name, path)

    def _place(self, name: str) -> tuple[str, Path]:
        if name in self.paths:
            return name, self.paths[name]
        if len(self.paths) == 1:
            ((name, path),) = self.paths.items()
            return name, path
        raise Invalid(f"The bundle has rows of the database {name!r}; name it with --database FILE")

    def _opened(self, name: str, path: Path) -> Any:
        found = self.datasette.databases.get(name)
        if found is None:
            found = self.datasette.add_database(Database(self.datasette, str(path)), name=name)
        return found
