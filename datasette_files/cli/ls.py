"""``datasette files ls`` and ``info``: the records of files, and whether the storage has them."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import click

from ..app import Files
from ..db import selection
from ..errors import FilesError
from ..models import FileRecord
from ..sources.reading import metadata
from .output import Output, as_json, as_line, count, ids, shown, text
from .selection import by_id, chosen_by, filters, walk
from .site import Commands, Site

#: Seconds to wait for a storage's answer about one file.
_MAX_WAIT_SECONDS = 10.0


def register(commands: Commands) -> None:
    """Add the commands to ``datasette files``."""
    commands.command("ls", short_help="List the files of a source")(_ls)
    commands.command("info", short_help="Show the record of each file")(_info)


@click.argument("slug", metavar="SOURCE")
@filters
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    help="The largest number of files",
)
@click.option(
    "--after", metavar="PATH", default="", help="Begin after this path, to continue a list"
)
async def _ls(site: Site, slug: str, limit: int, after: str, **filtered: Any) -> None:
    """List the files of SOURCE by their paths in the storage.

    A line has the file's id, bytes, type, time added and name, separated by tabs. If there are more
    files than --limit, the last line shows how to continue.
    """
    files = await site.start()
    chosen, after = chosen_by(files.sources.get(slug), **filtered), text(after, "--after")
    totals = await files.catalog.query(lambda conn: selection.totals(conn, chosen))
    output, listed, following = Output(site), 0, None
    async with aclosing(walk(files, chosen, after)) as walked:
        async for file in walked:
            if listed == limit:
                break
            output.add(as_json(file), as_line(file))
            listed, following = listed + 1, file.path
        else:
            following = None
    site.show({"files": output.results, "total": totals.files, "next": following})
    output.note(count(totals.files, totals.bytes))
    if following is not None:
        output.note(f"There are more: continue with --after {shown(following)!r}")


@click.argument("given", metavar="ID...", nargs=-1, required=True)
async def _info(site: Site, given: tuple[str, ...]) -> int:
    """Show the catalog's record of each file, and whether its storage has the bytes.

    An ID of - reads ids from standard input.
    """
    files = await site.start()
    output = Output(site)
    async for file in by_id(files, ids(given), output.fail):
        record = {**as_json(file), "stored": await _stored(files, file)}
        lines = [
            f"{name}: {'' if value is None else shown(str(value))}".rstrip()
            for name, value in record.items()
        ]
        output.add(record, "\n".join(lines) + "\n")
    return output.end()


async def _stored(files: Files, file: FileRecord) -> str:
    """``yes``, ``no``, the stored size if it is another one, or ``unknown`` and the reason."""
    source = files.sources.get(file.source_slug)
    try:
        found = await asyncio.wait_for(metadata(source, file.path), _MAX_WAIT_SECONDS)
    except FilesError as error:
        return f"unknown: {error}"
    except asyncio.TimeoutError:
        return f"unknown: the storage did not answer within {_MAX_WAIT_SECONDS:g} seconds"
    if found is None:
        return "no"
    same = found.size is None or file.size is None or found.size == file.size
    return "yes" if same else f"with {found.size} bytes"
