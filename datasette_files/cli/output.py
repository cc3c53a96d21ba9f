"""The output of commands: results, progress and failures, as text or JSON."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import click

from ..db.migrations import FILE_COLUMNS
from ..errors import FilesError, Invalid
from ..maintenance.manifest import Entry, line
from ..models import FileRecord
from ..naming import ID_PATTERN, plain, storable

#: The exit status if some files failed and the others are done.
PARTLY_FAILED = 3
_DAY_SECONDS = 24 * 3600
#: Failures that JSON lists; all are counted.
_MAX_LISTED_FAILURES = 1000


@dataclass(frozen=True)
class Printer:
    """Where a command's result goes: to a person, or with ``--json`` to a program."""

    as_json: bool

    def show(self, data: dict[str, Any], text: str | None = None) -> None:
        """Print a result: ``data`` with ``--json``, else ``text``, unless that is None."""
        shown = json.dumps({"ok": True, **data}, indent=2) if self.as_json else text
        if shown is not None:
            click.echo(shown)


def as_json(file: FileRecord) -> dict[str, Any]:
    """A file's columns in the catalog, and its source's slug."""
    return {
        **{column: getattr(file, column) for column in FILE_COLUMNS},
        "source_slug": file.source_slug,
    }


def as_line(file: FileRecord) -> str:
    """Id, bytes, type, time added and name, separated by tabs."""
    size = "" if file.size is None else str(file.size)
    name = shown(file.filename)
    return "\t".join((file.id, size, file.type, shown(file.created_at), name))


def link_line(link: dict[str, Any]) -> str:
    """Id, kind, maker, end, downloads or files, and label of a link, separated by tabs."""
    used = link["downloads"] if link["kind"] == "files" else link["files"]
    what = f"{link['kind']}{' (suspended)' if link['suspended'] else ''}"
    cells = (link["id"], what, link["made_by"], link["expires_at"], str(used), link["label"] or "")
    return "\t".join(map(shown, cells))


def seconds_of(days: float | None) -> int | None:
    """Whole seconds of the option ``--days``. Raises Invalid."""
    if days is None:
        return None
    if not 0 < days < 40_000:
        raise Invalid("--days must be a number above 0")
    return max(1, round(days * _DAY_SECONDS))


def shown(text: str) -> str:
    """The text for a terminal: control characters and broken Unicode are replaced."""
    return plain(text.encode("utf-8", "replace").decode())


def finding_line(row: Mapping[str, Any]) -> str:
    """A finding of a verification: kind, id, since, last seen sound, path, separated by tabs."""
    fields = (row[name] or "-" for name in ("kind", "id", "since", "last_sound"))
    return "\t".join((*fields, shown(row["path"])))


def verified(printer: Printer, report: dict[str, Any], *, data: bool) -> int:
    """Show how a verification ended, but for its findings' lines; return the exit status.

    0 for sound, 1 for findings, 2 if the storage could not tell.
    """
    findings, problems = report["findings"], report["problems"]
    printer.show(report)
    if not printer.as_json:
        for problem in problems:
            click.echo(f"Could not tell: {shown(problem)}", err=True)
        read = f", {report['bytes_read']:,} bytes read" if data else ""
        found = f"{len(findings):,} finding{'' if len(findings) == 1 else 's'}"
        rest = "" if report["complete"] else "; not all files were looked at"
        click.echo(f"{count(report['files'])}{read}, {found}{rest}", err=True)
    if findings:
        return 1
    return 2 if problems else 0


def count(number: int, size: int | None = None) -> str:
    files = f"{number:,} file{'' if number == 1 else 's'}"
    return files if size is None else f"{files}, {size:,} bytes"


class Output:
    """The results of a command: a line for each at once, or with ``--json`` one object at the end.

    A failure is a line on standard error; the command continues with the other files.
    """

    def __init__(self, site: Printer) -> None:
        self._site = site
        #: The results for ``--json``; without it empty.
        self.results: list[object] = []
        self._failed: list[dict[str, Any]] = []
        self.failed_count = 0

    def add(self, result: object, line: str) -> None:
        """Report a result, as JSON or as its line."""
        if self._site.as_json:
            self.results.append(result)
        else:
            click.echo(line)

    def fail(self, what: str, error: FilesError) -> None:
        """Report a failure. ``what`` names the file: its id or its path."""
        self.failed_count += 1
        if len(self._failed) < _MAX_LISTED_FAILURES:
            self._failed.append(
                {"what": what, "code": error.code, "status": error.status, "error": str(error)}
            )
        self.note(f"Error ({error.code}): {shown(what)}: {shown(str(error))}")

    def note(self, line: str) -> None:
        """Print a line on standard error, unless the output is JSON."""
        if not self._site.as_json:
            click.echo(line, err=True)

    @property
    def failures(self) -> dict[str, Any]:
        """``ok``, the number of failures, and the first thousand of them."""
        return {
            "ok": not self.failed_count,
            "failed_count": self.failed_count,
            "failed": self._failed,
        }

    def end(self, name: str = "files", **more: object) -> int:
        """Print the JSON object, with the results as ``name``. Return the command's exit status."""
        self._site.show({**self.failures, name: self.results, **more})
        return self.status

    @property
    def status(self) -> int:
        """The command's exit status."""
        return PARTLY_FAILED if self.failed_count else 0


class TextOutput:
    """The text of one file: its pages, each ended by a form feed, or one object."""

    def __init__(self, site: Printer, file_id: str) -> None:
        self._site = site
        self._file_id = file_id
        self._pages: list[dict[str, Any]] = []

    def add(self, page: int, text: str) -> None:
        if self._site.as_json:
            self._pages.append({"page": page, "text": text})
        else:
            click.echo(f"{text}\n\f", nl=False)

    def end(self) -> None:
        """Print the JSON object, if that is wanted."""
        self._site.show({"id": self._file_id, "texts": self._pages})


class ManifestOutput:
    """The lines of a manifest; files without a sha256 go to standard error, and are status 1."""

    def __init__(self, site: Printer) -> None:
        self._site = site
        self._listed: list[dict[str, Any]] = []
        self._status = 0

    def add(self, entry: Entry) -> None:
        if entry.sha256 is None:
            self._status = 1
            click.echo(f"{entry.id}\tno sha256 yet\t{shown(entry.path)}", err=True)
        elif self._site.as_json:
            self._listed.append(asdict(entry))
        else:
            click.echo(line(entry.sha256, entry.path))

    def end(self) -> int:
        """Print the JSON object, if that is wanted. Return the exit status."""
        self._site.show({"files": self._listed})
        return self._status


@contextmanager
def progress(site: Printer, size: int, label: str) -> Iterator[Callable[[int], None]]:
    """A progress bar of ``size`` bytes, if standard error is a terminal.

    The context's value takes the number of bytes of each step.
    """
    if site.as_json or size <= 0 or not sys.stderr.isatty():
        yield lambda passed: None
        return
    with click.progressbar(length=size, label=label, file=sys.stderr) as bar:
        yield bar.update


def ids(given: Iterable[str]) -> list[str]:
    """The given ids, each once; ``-`` reads ids from standard input. Raises Invalid."""
    found: list[str] = []
    for value in given:
        found += (
            sys.stdin.buffer.read().decode("utf-8", "replace").split()
            if value == "-"
            else [text(value, "An id")]
        )
    return list(dict.fromkeys(found))


def is_file(what: str) -> bool:
    """Tell whether an argument is the id of a file. A source may have such a name too."""
    return re.fullmatch(ID_PATTERN, what) is not None


def refuse_with_file(**options: bool) -> None:
    """Raise Invalid for an option, by its name, that belongs to a source."""
    for name, is_given in options.items():
        if is_given:
            raise Invalid(f"--{name} works with a source, not with a file; leave it out")


def text(value: str, what: str) -> str:
    """An argument that SQLite can store. Raises Invalid for bytes that are not UTF-8."""
    if not storable(value):
        raise Invalid(f"{what} is not UTF-8; correct it")
    return value
