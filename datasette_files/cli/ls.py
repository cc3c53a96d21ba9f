"""``datasette files ls``, ``info`` and ``get``: what is there, and its bytes."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..app import Files
from ..db import selection
from ..errors import Conflict, FilesError, Invalid
from ..models import FileRecord
from ..naming import stored_name
from ..sources.reading import metadata, whole
from ..sources.sources import Source
from .disk import NewFile, write_all
from .output import Failures, as_json, as_line, count, ids, progress, shown, text
from .selection import by_id, chosen_by, filters, walk

if TYPE_CHECKING:
    from .group import Commands, Site

#: Seconds that a storage has to say whether it holds a file.
_PATIENCE = 10.0


def register(commands: Commands) -> None:
    """Add the commands to ``datasette files``."""
    commands.command("ls", short_help="List the files of a source")(_ls)
    commands.command("info", short_help="Show the record of each file")(_info)
    commands.command("get", short_help="Download files, or one to standard output")(_get)


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
    found: list[FileRecord] = []
    async with aclosing(walk(files, chosen, after)) as walked:
        async for file in walked:
            if len(found) == limit:
                break
            found.append(file)
            if not site.as_json:
                click.echo(as_line(file))
        else:
            limit = len(found) + 1
    following = found[-1].path if len(found) == limit else None
    if site.as_json:
        listed = [as_json(file) for file in found]
        site.show({"files": listed, "total": totals.files, "next": following}, "")
    else:
        click.echo(count(totals.files, totals.bytes), err=True)
        if following is not None:
            click.echo(f"There are more: continue with --after {shown(following)!r}", err=True)


@click.argument("given", metavar="ID...", nargs=-1, required=True)
async def _info(site: Site, given: tuple[str, ...]) -> int:
    """Show the catalog's record of each file, and whether its storage has the bytes.

    An ID of - reads ids from standard input.
    """
    files = await site.start()
    failures = Failures(site)
    records = []
    async for file in by_id(files, ids(given), failures.add):
        stored = await _stored(files, file)
        record = {**as_json(file), "stored": stored}
        records.append(record)
        if not site.as_json:
            lines = [f"{name}: {shown(str(value))}" for name, value in record.items()]
            click.echo("\n".join(lines) + "\n")
    if site.as_json:
        site.show({**failures.as_json, "files": records}, "")
    return failures.status


async def _stored(files: Files, file: FileRecord) -> str:
    """``yes``, ``no``, or what is wrong with it or its storage."""
    source = files.sources.get(file.source_slug)
    try:
        found = await asyncio.wait_for(metadata(source, file.path), _PATIENCE)
    except FilesError as error:
        return f"unknown: {error}"
    except asyncio.TimeoutError:
        return f"unknown: the storage did not answer within {_PATIENCE:g} seconds"
    if found is None:
        return "no"
    same = found.size is None or file.size is None or found.size == file.size
    return "yes" if same else f"with {found.size} bytes"


@click.argument("given", metavar="ID...", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    metavar="PATH",
    default=".",
    help="A file, a directory, or - for standard output; by default the current directory",
)
@click.option("--force", is_flag=True, help="Replace existing files")
async def _get(site: Site, given: tuple[str, ...], output: str, force: bool) -> int:
    """Download files by ID.

    In a directory a file gets its uploaded name, with _ in place of unsafe characters. It appears
    whole or not at all, after its size and sha256 match the catalog. Standard output receives bytes
    before they are verified: check the exit status. If a storage breaks off, the rest is requested.
    An ID of - reads ids from standard input.
    """
    files = await site.start()
    wanted, failures = ids(given), Failures(site)
    folder = Path(output)
    is_folder = await asyncio.to_thread(folder.is_dir)
    if output == "-" and (len(wanted) != 1 or site.as_json):
        raise Invalid("Standard output takes one file, and no --json")
    if len(wanted) != 1 and not is_folder:
        raise Invalid(f"--output: {output} must be a directory, because there are several files")
    written: list[dict[str, Any]] = []
    async for file in by_id(files, wanted, failures.add):
        source = files.sources.get(file.source_slug)
        try:
            if output == "-":
                await _to_stdout(source, file)
                continue
            path = folder / stored_name(file.filename) if is_folder else folder
            if path in (one["path"] for one in written):
                raise Conflict(f"{path} holds another of these files; download this one alone")
            await _to_file(site, source, file, path, force)
        except FilesError as error:
            failures.add(file.id, error)
            continue
        written.append({"id": file.id, "path": path, "size": file.size})
        if not site.as_json:
            click.echo(shown(str(path)))
    if site.as_json:
        listed = [{**one, "path": str(one["path"])} for one in written]
        site.show({**failures.as_json, "files": listed}, "")
    return failures.status


async def _to_file(site: Site, source: Source, file: FileRecord, path: Path, force: bool) -> None:
    with progress(site, file.size or 0, file.id) as tell:
        async with NewFile(path, force) as new:
            async for chunk in whole(source, file):
                await new.write(chunk)
                tell(len(chunk))
            await new.finish()


async def _to_stdout(source: Source, file: FileRecord) -> None:
    stdout = sys.stdout.buffer
    async for chunk in whole(source, file):
        await asyncio.to_thread(write_all, stdout, chunk)
    await asyncio.to_thread(stdout.flush)
