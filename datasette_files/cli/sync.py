"""``datasette files sync``: make files of what a source's storage holds, and follow its changes."""

from __future__ import annotations

import click

from ..db.index import Walk
from ..db.uploads import ON_THE_WAY_SECONDS
from ..maintenance.restoring import forget_ended
from .output import shown
from .site import Commands, Site

#: Exit statuses.
_DONE, _STOPPED, _SOME_FAILED = 0, 1, 3
_COUNTS = ("added", "changed", "renamed", "returned", "missing", "unchanged", "failed")


def register(commands: Commands) -> None:
    """Add the command to ``datasette files``."""
    commands.command("sync", short_help="Index what a source's storage holds")(_sync)


@click.argument("slug", metavar="SOURCE")
@click.option(
    "--restored",
    is_flag=True,
    help="After the internal database was restored from a copy: keep what was uploaded since",
)
@click.option(
    "--accept-missing",
    is_flag=True,
    help="Mark files as missing also if these are many; without it the walk then stops",
)
async def _sync(site: Site, slug: str, accept_missing: bool, restored: bool) -> int:
    """Walk over the storage of SOURCE, and bring the catalog in step with it.

    New objects become files, changed ones new versions, moved ones keep their id, and what is gone
    is marked missing. No byte in the storage is changed. A walk that was interrupted goes on.

    If more than a fifth of the files, and more than 10, are gone, the walk stops and marks none.

    With --restored, run before the server starts, objects that the site has stored after its
    internal database was copied become files with the ids that they had, also those that the copy
    takes for unfinished uploads.

    The exit status is 0 when all is done, 1 if the walk stopped or the storage failed, and 3 if
    some objects cannot be files.
    """
    files = await site.start()
    source = files.sources.get(slug)
    source.require_up()
    if restored:
        lifetime = files.config.upload_expiry_seconds + ON_THE_WAY_SECONDS
        await forget_ended(files.catalog, source, lifetime)

    def tell(walk: Walk) -> None:
        if not site.as_json and walk.phase == "list":
            click.echo(f"{walk.counts.get('listed', 0):,} objects listed", err=True)

    walk = await files.indexing[slug].walk(
        accepts_missing=accept_missing, restored=restored, tell=tell
    )
    counts = {name: walk.counts.get(name, 0) for name in _COUNTS}
    site.show(
        {
            "source": slug,
            "complete": walk.problem is None,
            **counts,
            "failures": [{"path": path, "reason": reason} for path, reason in walk.failures],
            "problem": walk.problem,
        },
        ", ".join(f"{number:,} {name}" for name, number in counts.items()),
    )
    if not site.as_json:
        for path, reason in walk.failures:
            click.echo(f"{shown(path)}: {reason}", err=True)
        if walk.problem is not None:
            click.echo(f"Stopped: {walk.problem}", err=True)
    if walk.problem is not None:
        return _STOPPED
    return _SOME_FAILED if counts["failed"] else _DONE
