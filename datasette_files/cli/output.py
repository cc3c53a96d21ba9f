"""How commands tell of files, of progress, and of what failed among many."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from ..db.schema import FILE_COLUMNS
from ..errors import FilesError, Invalid
from ..models import FileRecord
from ..naming import plain

if TYPE_CHECKING:
    from .group import Site

#: The exit status where some files were done and others were not.
IN_PART = 3
#: Failures that are listed one by one in JSON; all are counted.
_LISTED = 1000


def as_json(file: FileRecord) -> dict[str, Any]:
    """Every column of the catalog, and the source's slug."""
    return {
        **{column: getattr(file, column) for column in FILE_COLUMNS},
        "source_slug": file.source_slug,
    }


def as_line(file: FileRecord) -> str:
    """Id, bytes, type, when it was added, and name, by tabs."""
    size = "" if file.size is None else str(file.size)
    name = shown(file.filename)
    return "\t".join((file.id, size, file.type, shown(file.created_at), name))


def shown(text: str) -> str:
    """For a terminal: without what would change how the rest is shown, or that it cannot show."""
    return plain(text.encode("utf-8", "replace").decode())


def count(number: int, size: int | None = None) -> str:
    files = f"{number:,} file{'' if number == 1 else 's'}"
    return files if size is None else f"{files}, {size:,} bytes"


class Failures:
    """What could not be done, each told on standard error at once; the others go on."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._listed: list[dict[str, Any]] = []
        self.count = 0

    def add(self, what: str, error: FilesError) -> None:
        self.count += 1
        if len(self._listed) < _LISTED:
            self._listed.append(
                {"what": what, "code": error.code, "status": error.status, "error": str(error)}
            )
        if not self._site.as_json:
            click.echo(f"Error ({error.code}): {shown(what)}: {shown(str(error))}", err=True)

    @property
    def as_json(self) -> dict[str, Any]:
        """``ok``, how many failed, and the first thousand of them."""
        return {"ok": not self.count, "failed_count": self.count, "failed": self._listed}

    @property
    def status(self) -> int:
        """The command's exit status."""
        return IN_PART if self.count else 0


@contextmanager
def progress(site: Site, size: int, label: str) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, of ``size`` bytes, where a person looks; takes those that pass."""
    if site.as_json or size <= 0 or not sys.stderr.isatty():
        yield lambda passed: None
        return
    with click.progressbar(length=size, label=label, file=sys.stderr) as bar:
        yield bar.update


def ids(given: Iterable[str]) -> list[str]:
    """The ids that a command is about, each once; ``-`` stands for the lines of standard input.

    Raises Invalid for what is not text.
    """
    found: list[str] = []
    for value in given:
        found += (
            sys.stdin.buffer.read().decode("utf-8", "replace").split()
            if value == "-"
            else [text(value, "An id")]
        )
    return list(dict.fromkeys(found))


def text(value: str, what: str) -> str:
    """An argument that SQLite takes. Raises Invalid for bytes that are not UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Invalid(f"{what} is not UTF-8; correct it") from None
    return value
