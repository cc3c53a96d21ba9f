"""The options that select files of a source, and the walk through the selected files."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, TypeVar

import click

from ..app import Files
from ..catalog.lookup import absent
from ..db import files as file_rows
from ..db import selection, trash
from ..db.selection import Selection
from ..db.trash import TrashedFile
from ..errors import FilesError, NotFound
from ..models import FileRecord
from ..sources.sources import Source
from .output import text

_Function = TypeVar("_Function", bound=Callable[..., Any])

#: Rows read in one query.
_PAGE_ROWS = 500

_OPTIONS = (
    click.option("--name", metavar="GLOB", help="Names such as '*.jpg'; case matters"),
    click.option(
        "--type",
        "types",
        metavar="TYPE",
        multiple=True,
        help="A type, pattern (image/*) or family (image, document, …); may be repeated",
    ),
    click.option("--prefix", metavar="PATH", help="Paths in the storage that begin with PATH"),
    click.option("--search", metavar="WORDS", help="Files that a search for these words finds"),
)


def filters(function: _Function) -> _Function:
    """Add the options ``name``, ``types``, ``prefix`` and ``search`` to a command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def chosen_by(
    source: Source,
    name: str | None = None,
    types: tuple[str, ...] = (),
    prefix: str | None = None,
    search: str | None = None,
) -> Selection:
    """The selection that the options describe. Raises Invalid."""
    return Selection(
        source_id=source.id,
        name=None if name is None else text(name, "--name"),
        content_types=tuple(text(one, "--type") for one in types),
        prefix=text(prefix or "", "--prefix"),
        search=None if search is None else text(search, "--search"),
    )


async def walk(
    files: Files, chosen: Selection, after: str = ""
) -> AsyncGenerator[FileRecord, None]:
    """Every selected file in the order of paths, also while files leave the source."""
    while True:
        page = await files.catalog.query(
            lambda conn, after=after: selection.page(conn, chosen, after, _PAGE_ROWS)  # type: ignore[misc]
        )
        for file in page:
            yield file
        if len(page) < _PAGE_ROWS:
            return
        after = page[-1].path


async def by_id(
    files: Files, wanted: list[str], fail: Callable[[str, FilesError], None]
) -> AsyncIterator[FileRecord]:
    """The files with these ids. ``fail`` receives each id without a usable file, and the error."""
    for start in range(0, len(wanted), _PAGE_ROWS):
        ids = wanted[start : start + _PAGE_ROWS]
        rows = await files.catalog.query(
            lambda conn, ids=ids: [  # type: ignore[misc]
                file_rows.get(conn, one) or trash.get(conn, one) for one in ids
            ]
        )
        for file_id, file in zip(ids, rows, strict=True):
            if file is None:
                fail(file_id, absent(file_id))
            elif isinstance(file, TrashedFile):
                message = "The file is in the trash; restore it with `datasette files restore`"
                fail(file_id, NotFound(message))
            elif all(source.slug != file.source_slug for source in files.sources):
                slug = file.source_slug
                fail(file_id, NotFound(f"Its source {slug!r} is not configured; configure it"))
            else:
                yield file
