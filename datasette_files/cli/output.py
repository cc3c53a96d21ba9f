"""The output of commands: files, progress, and the failures among many files."""

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
    from .site import Site

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


class Output:
    """The results of a command: lines as they come, or with ``--json`` one object at the end.

    A failure is a line on standard error at once, and the command goes on with the others.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        #: For JSON; else empty.
        self.results: list[object] = []
        self._failed: list[dict[str, Any]] = []
        self.failed_count = 0

    def add(self, result: object, line: str) -> None:
        """A result, as JSON and as its line."""
        if self._site.as_json:
            self.results.append(result)
        else:
            click.echo(line)

    def fail(self, what: str, error: FilesError) -> None:
        self.failed_count += 1
        if len(self._failed) < _LISTED:
            self._failed.append(
                {"what": what, "code": error.code, "status": error.status, "error": str(error)}
            )
        self.note(f"Error ({error.code}): {shown(what)}: {shown(str(error))}")

    def note(self, line: str) -> None:
        """A line on standard error; JSON leaves it out."""
        if not self._site.as_json:
            click.echo(line, err=True)

    @property
    def failures(self) -> dict[str, Any]:
        """``ok``, how many failed, and the first thousand of them."""
        return {
            "ok": not self.failed_count,
            "failed_count": self.failed_count,
            "failed": self._failed,
        }

    def end(self, name: str = "files", **more: object) -> int:
        """Print the JSON object, with the results under ``name``. The command's exit status."""
        self._site.show({**self.failures, name: self.results, **more})
        return self.status

    @property
    def status(self) -> int:
        """The command's exit status."""
        return IN_PART if self.failed_count else 0


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
