"""``datasette files get``: download files to this machine, or one to standard output."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click

from ..errors import Conflict, FilesError, Invalid
from ..models import FileRecord
from ..naming import stored_name
from ..sources.reading import whole
from ..sources.sources import Source
from .disk import new_file, write_all
from .output import Output, ids, progress, shown
from .selection import by_id
from .site import Commands, Site


def register(commands: Commands) -> None:
    """Add the command to ``datasette files``."""
    commands.command("get", short_help="Download files, or one to standard output")(_get)


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
    wanted, results = ids(given), Output(site)
    folder = Path(output)
    is_folder = await asyncio.to_thread(folder.is_dir)
    if output == "-" and (len(wanted) != 1 or site.as_json):
        raise Invalid(
            "Standard output takes one file only, without --json; give --output a directory"
        )
    if len(wanted) != 1 and not is_folder:
        raise Invalid(f"--output: {output} must be a directory, because there are several files")
    written: set[Path] = set()
    async for file in by_id(files, wanted, results.fail):
        source = files.sources.get(file.source_slug)
        try:
            await files.audit.downloaded("download", file, continued=False)
            if output == "-":
                await _to_stdout(source, file)
                continue
            path = folder / stored_name(file.filename) if is_folder else folder
            if path in written:
                raise Conflict(f"{path} holds another of these files; download this one alone")
            await _to_file(site, source, file, path, force)
        except FilesError as error:
            results.fail(file.id, error)
            continue
        written.add(path)
        results.add({"id": file.id, "path": str(path), "size": file.size}, shown(str(path)))
    return results.end()


async def _to_file(site: Site, source: Source, file: FileRecord, path: Path, force: bool) -> None:
    with progress(site, file.size or 0, file.id) as tell:
        async with new_file(path, force) as write:
            async for chunk in whole(source, file):
                await write(chunk)
                tell(len(chunk))


async def _to_stdout(source: Source, file: FileRecord) -> None:
    stdout = sys.stdout.buffer
    async for chunk in whole(source, file):
        await asyncio.to_thread(write_all, stdout, chunk)
    await asyncio.to_thread(stdout.flush)
