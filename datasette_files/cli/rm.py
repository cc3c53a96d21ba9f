"""``datasette files rm``: delete files, or move them to the trash."""

from __future__ import annotations

import click

from ..errors import FilesError
from .output import Output, ids, shown
from .selection import by_id
from .site import Commands, Site

#: The end of the line for a file that can be restored.
_IN_TRASH = "\tin the trash"


def register(commands: Commands) -> None:
    """Add the command to ``datasette files``."""
    commands.command("rm", short_help="Delete files")(_rm)


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
    output, trashed = Output(site), list[str]()
    async for file in by_id(files, ids(given), output.fail):
        try:
            kept = await files.trash.delete(files.sources.get(file.source_slug), file, None)
        except FilesError as error:
            output.fail(file.id, error)
            continue
        if kept is not None:
            trashed.append(file.id)
        line = f"{file.id}\t{shown(file.filename)}{'' if kept is None else _IN_TRASH}"
        output.add(file.id, line)
    return output.end("deleted", trashed=trashed)
