"""``datasette files put`` and ``rm``: files into a source, and out of the catalog."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from .. import naming
from ..app import Files
from ..errors import FilesError, Invalid, NoSpace, StorageUnavailable
from ..jobs.parallel import several
from ..media import sniffing
from ..models import FileRecord
from ..permissions.actions import UPLOAD
from ..permissions.grants import administrator
from ..sources.sources import Source
from ..transfer.uploads import Incoming
from . import disk
from .output import Failures, as_json, ids, progress, shown, text
from .selection import by_id

if TYPE_CHECKING:
    from .group import Commands, Site

#: After the name of a file that can be restored.
_IN_TRASH = "\tin the trash"


def register(commands: Commands) -> None:
    """Add the commands to ``datasette files``."""
    commands.command("put", short_help="Upload files, directories or standard input")(_put)
    commands.command("rm", short_help="Delete files")(_rm)


@dataclass(frozen=True)
class _Putting:
    """Where files go, and what is said of each."""

    site: Site
    files: Files
    source: Source
    name: str | None
    content_type: str | None
    uploader: str | None

    async def store(
        self, filename: str, size: int | None, chunks: AsyncIterator[bytes]
    ) -> FileRecord:
        """One file through the engine of every upload. Raises FilesError."""
        name = naming.check_filename(self.name or filename)
        declared = sniffing.declared_type(self.content_type, name)
        incoming = Incoming(name, declared, size)
        grant = administrator(UPLOAD, self.source.slug)
        stored = await self.files.uploads.store(self.source, self.uploader, grant, incoming, chunks)
        await self.files.uploaded(self.source, stored, None, picture=False)
        return stored


@click.argument("slug", metavar="SOURCE")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option("-r", "--recursive", is_flag=True, help="Upload the files below directories")
@click.option("--name", help="The file's name; required for standard input; only for one file")
@click.option("--type", "content_type", help="The content type; by default from name and bytes")
@click.option("--uploaded-by", "uploader", metavar="ACTOR", help="The id of the uploader")
@click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="How many files are uploaded at the same time",
)
async def _put(
    site: Site,
    slug: str,
    paths: tuple[str, ...],
    recursive: bool,
    name: str | None,
    content_type: str | None,
    uploader: str | None,
    jobs: int,
) -> int:
    """Upload each PATH to SOURCE, in bounded memory; - is standard input.

    A PATH may be a pattern. With --recursive all files below directories are uploaded, without
    following links. A file keeps its name, but not its directory: the source's path_template sets
    its path. The source's limits on size and type apply. The output has one line with the id of
    each file. A second run stores all files again.

    \b
    datasette files put docs photos/ --recursive -c datasette.yaml --internal internal.db
    pg_dump shop | datasette files put docs - --name shop.sql -c … --internal …
    """
    files = await site.start(may_make=True)
    source = files.sources.get(slug)
    source.require_up()
    for value, option in ((name, "--name"), (uploader, "--uploaded-by"), (content_type, "--type")):
        text(value or "", option)
    if "-" in paths and (len(paths) > 1 or name is None):
        raise Invalid("Standard input must be the only PATH, and needs --name")
    if name is not None and (len(paths) > 1 or recursive):
        raise Invalid("--name works with one file only; leave it out")
    putting = _Putting(site, files, source, name, content_type, uploader)
    if paths == ("-",):
        stored = await putting.store("", None, disk.read(sys.stdin.buffer))
        site.show({"files": [as_json(stored)], "failed_count": 0, "failed": []}, stored.id)
        return 0
    failures, records = Failures(site), list[dict[str, object]]()
    try:
        await _put_all(putting, paths, recursive, jobs, failures, records)
    except asyncio.CancelledError:
        if site.as_json:  # else each has been told
            site.show({**failures.as_json, "ok": False, "files": records}, "")
        raise
    if site.as_json:
        site.show({**failures.as_json, "files": records}, "")
    return failures.status


async def _put_all(
    putting: _Putting,
    paths: tuple[str, ...],
    recursive: bool,
    jobs: int,
    failures: Failures,
    records: list[dict[str, object]],
) -> None:
    """Upload all that is found, with ``--json`` into ``records``. Stops where none can succeed."""
    silent = [one.size for one in disk.found(paths, recursive, lambda what, error: None)]
    with progress(putting.site, sum(silent), f"{len(silent):,} files") as tell:

        async def one(item: disk.Found) -> tuple[disk.Found, FileRecord | FilesError]:
            try:
                chunks = _telling(disk.chunks(item), tell)
                name = os.fsencode(item.path.name).decode("utf-8", "replace")
                return item, await putting.store(name, item.size, chunks)
            except FilesError as error:
                return item, error

        items = _each(disk.found(paths, recursive, failures.add))
        async with aclosing(several(items, one, jobs)) as outcomes:
            async for item, outcome in outcomes:
                if isinstance(outcome, FilesError):
                    failures.add(str(item.path), outcome)
                    if isinstance(outcome, StorageUnavailable | NoSpace):
                        break
                elif putting.site.as_json:
                    records.append(as_json(outcome))
                else:
                    click.echo(f"{outcome.id}\t{shown(str(item.path))}")


async def _each(items: Iterator[disk.Found]) -> AsyncIterator[disk.Found]:
    for item in items:
        yield item


async def _telling(
    chunks: AsyncIterator[bytes], tell: Callable[[int], None]
) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        tell(len(chunk))
        yield chunk


@click.argument("given", metavar="ID...", nargs=-1, required=True)
async def _rm(site: Site, given: tuple[str, ...]) -> int:
    """Delete files by ID, as the delete button of a file's page does.

    If its source has a trash, a file can be restored for trash_days. Otherwise it cannot be
    restored. An ID of - reads ids from standard input; `datasette files ls` prints the id at the
    beginning of each line.

    \b
    datasette files ls docs --name '*.tmp' … | cut -f1 | datasette files rm - …
    """
    files = await site.start()
    failures, deleted, trashed = Failures(site), list[str](), list[str]()
    async for file in by_id(files, ids(given), failures.add):
        try:
            kept = await files.trash.delete(files.sources.get(file.source_slug), file, None)
        except FilesError as error:
            failures.add(file.id, error)
            continue
        deleted.append(file.id)
        if kept is not None:
            trashed.append(file.id)
        if not site.as_json:
            click.echo(f"{file.id}\t{shown(file.filename)}{'' if kept is None else _IN_TRASH}")
    if site.as_json:
        site.show({**failures.as_json, "deleted": deleted, "trashed": trashed}, "")
    return failures.status
