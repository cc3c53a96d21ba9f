"""Typed access to the sample files of ``fixtures/`` and to the hostile names beside them.

Holds only reading: ``fixtures/make.py`` makes them, ``fixtures/README.md`` tells their purposes.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FIXTURES: Path = Path(__file__).resolve().parents[2] / "fixtures"
"""The folder of the sample files."""


@dataclass(frozen=True)
class Fixture:
    """One committed sample file.

    ``path`` is absolute; ``content_type`` is what the bytes truly are, whatever the name says;
    ``size`` is in bytes; ``sha256`` is in lower-case hex.
    """

    path: Path
    content_type: str
    size: int
    sha256: str
    note: str

    @property
    def name(self) -> str:
        """The path below ``fixtures/``, with ``/``: what :func:`fixture` takes."""
        return self.path.relative_to(FIXTURES).as_posix()


@cache
def _by_name() -> dict[str, Fixture]:
    entries = json.loads((FIXTURES / "manifest.json").read_bytes())
    return {
        entry["path"]: Fixture(**{**entry, "path": FIXTURES.joinpath(entry["path"])})
        for entry in entries
    }


def all_fixtures() -> list[Fixture]:
    """Every sample file, in the manifest's order."""
    return list(_by_name().values())


def fixture(name: str) -> Fixture:
    """The sample file with this path below ``fixtures/``, such as ``photos/phone.jpg``.

    Raises ``KeyError`` for a name that the manifest does not list.
    """
    return _by_name()[name]


def hostile_names() -> list[tuple[str, str]]:
    """Every hostile file name with the reason why it is hostile.

    Some hold a lone surrogate and do not encode to UTF-8; one is empty.
    """
    entries = json.loads((FIXTURES / "names.json").read_bytes())
    return [(entry["name"], entry["why"]) for entry in entries]
