"""``datasette files restore`` and ``purge``: files out of the trash, back or for good."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import click

from ..catalog.trash import Changed
from ..errors import FilesError, NotFound
from .output import Output, ids, shown
from .site import Commands, Site


def register(commands: Commands) -> None:
    """Add the commands to ``datasette files``."""
    commands.command("restore", short_help="Restore files from the trash")(_restore)
    commands.command("purge", short_help="Delete files of the trash for good")(_purge)


@click.argument("given", metavar="ID...", nargs=-1, required=True)
async def _restore(site: Site, given: tuple[str, ...]) -> int:
    """Restore files from the trash by ID, with their names, folders and tags.

    An ID of - reads ids from standard input.
    """
    files = await site.start()
    return await _each(site, given, files.trash.restore_by_command, "restored")


@click.argument("given", metavar="ID...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask")
async def _purge(site: Site, given: tuple[str, ...], yes: bool) -> int:
    """Delete files of the trash for good, by ID. Files outside of the trash stay.

    An ID of - reads ids from standard input; that takes --yes.
    """
    wanted = ids(given)
    if not yes:
        count = f"{len(wanted):,} file{'' if len(wanted) == 1 else 's'}"
        click.confirm(f"Delete {count} for good?", abort=True, err=True)
    files = await site.start()
    return await _each(site, wanted, files.trash.purge_by_command, "purged")


async def _each(
    site: Site,
    given: Sequence[str],
    change: Callable[[list[str]], Awaitable[Changed]],
    done: str,
) -> int:
    """Change each file by itself, so that one that fails does not hold the others back."""
    output = Output(site)
    for file_id in ids(given):
        try:
            changed = await change([file_id])
        except NotFound:
            output.fail(file_id, NotFound("The file is not in the trash of a configured source"))
        except FilesError as error:
            output.fail(file_id, error)
        else:
            for file in changed.files:
                output.add(file.id, f"{file.id}\t{shown(file.filename)}")
    return output.end(done)
