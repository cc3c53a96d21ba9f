"""``datasette files put``: upload local files or standard input into a source."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

import click

from .. import naming
from ..app import Files
from ..errors import NoSpace, StorageUnavailable
from ..media import sniffing
from ..models import FileRecord
from ..permissions.actions import UPLOAD
from ..permissions.grants import administrator
from ..sources.sources import Source
from ..transfer.authority import Authority
from ..transfer.continuing import LocalFile, can_continue
from ..transfer.incoming import Incoming
from . import disk
from .output import Output, as_json, shown, text
from .putting import AT_ONCE, LARGE_AT_ONCE, put_found
from .site import Commands, Site


def register(commands: Commands) -> None:
    """Add the commands to ``datasette files``."""
    commands.command("put", short_help="Upload files, directories or standard input")(_put)


@dataclass(frozen=True)
class _Putting:
    """The target of the uploads, and the options that apply to each file."""

    site: Site
    files: Files
    source: Source
    name: str | None
    content_type: str | None
    uploader: str | None

    def incoming(self, filename: str, size: int | None) -> Incoming:
        """The file to upload, as the options describe it. Raises Invalid."""
        name = naming.check_filename(self.name or filename)
        return Incoming(name, sniffing.declared_type(self.content_type, name), size)

    async def stream(self, incoming: Incoming, chunks: AsyncIterator[bytes]) -> FileRecord:
        """Upload a stream in one pass, as a request would. Raises FilesError."""
        grant = administrator(UPLOAD, self.source.slug)
        stored = await self.files.uploads.store(self.source, self.uploader, grant, incoming, chunks)
        await self.files.uploaded(self.source, stored, None, picture=False)
        return stored

    async def file(
        self, item: disk.Found, tell: Callable[[int], None], output: Output
    ) -> FileRecord:
        """Upload a file, or the rest of a large one that was interrupted. Raises FilesError.

        ``tell`` is told the bytes of each step.
        """
        filename = os.fsencode(item.path.name).decode("utf-8", "replace")
        incoming = self.incoming(filename, item.size)

        def read(start: int) -> AsyncGenerator[bytes, None]:
            return _telling(disk.chunks(item, start), tell)

        def goes_on(offset: int) -> None:
            tell(offset)
            output.note(f"{shown(str(item.path))}: goes on at byte {offset:,} of {item.size:,}")

        if not can_continue(self.source, item.size):
            return await self.stream(incoming, read(0))
        authority = Authority(self.uploader, administrator(UPLOAD, self.source.slug))
        file = LocalFile(incoming, item.version, read)
        stored = await self.files.continuing.store(self.source, authority, file, goes_on)
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
    help=f"How many files are uploaded at the same time; by default {AT_ONCE}, of which"
    f" {LARGE_AT_ONCE} may have more than 8 MiB",
)
async def _put(
    site: Site,
    slug: str,
    paths: tuple[str, ...],
    recursive: bool,
    name: str | None,
    content_type: str | None,
    uploader: str | None,
    jobs: int | None,
) -> int:
    """Upload each PATH to SOURCE, in bounded memory; - is standard input.

    A PATH may be a pattern. With --recursive all files below directories are uploaded, without
    following links. A file keeps its name, but not its directory: the source's path_template sets
    its path. The source's limits on size and type apply. The output has one line with the id of
    each file. A second run stores all files again; a file of more than 8 MiB, during which an
    earlier run was killed, goes on where that run stopped.

    \b
    datasette files put docs photos/ --recursive -c datasette.yaml --internal internal.db
    pg_dump shop | datasette files put docs - --name shop.sql -c … --internal …
    """
    files = await site.start(may_make=True)
    source = files.sources.get(slug)
    source.require_up()
    for value, option in ((name, "--name"), (uploader, "--uploaded-by"), (content_type, "--type")):
        text(value or "", option)
    disk.check_name(paths, name, recursive=recursive)
    putting = _Putting(site, files, source, name, content_type, uploader)
    output = Output(site)
    if paths == ("-",):
        stored = await putting.stream(putting.incoming("", None), disk.read(sys.stdin.buffer))
        output.add(as_json(stored), stored.id)
        return output.end()

    async def put(item: disk.Found, tell: Callable[[int], None]) -> dict[str, Any]:
        return as_json(await putting.file(item, tell, output))

    found = partial(disk.found, paths, recursive)
    try:
        await put_found(site, found, jobs, output, put, (StorageUnavailable, NoSpace))
    except asyncio.CancelledError:
        output.end(ok=False)
        raise
    return output.end()


async def _telling(
    chunks: AsyncGenerator[bytes, None], tell: Callable[[int], None]
) -> AsyncGenerator[bytes, None]:
    async with aclosing(chunks):
        async for chunk in chunks:
            tell(len(chunk))
            yield chunk
