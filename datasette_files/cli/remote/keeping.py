"""Commands against a server that keep what it holds elsewhere: bundle, manifest."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...maintenance.manifest import Entry
from ..output import PARTLY_FAILED, ManifestOutput, count
from .server import Remote, refuse

if TYPE_CHECKING:
    from ..site import Commands


def register(commands: Commands) -> None:
    """Add the commands to those that work against a server."""
    commands.over_http |= {"bundle": _bundle, "manifest": _manifest}


async def _bundle(
    remote: Remote,
    out: Path,
    table: str | None,
    slug: str | None,
    zipped: bool,
    databases: dict[str, Any],
) -> int:
    """The status is 3 if the server left out files, such as those that the token may not see."""
    refuse(database=databases)
    if (table is None) == (slug is None):
        raise click.UsageError("Give either --table or --source")
    done = await remote.client.bundle(out, source=slug, table=table, zipped=zipped)
    lines = [f"Bundled {count(done['files'], done['bytes'])} to {out}"]
    if done["left_out"]:
        lines.append(f"{count(done['left_out'])} left out; bag-info.txt in the bundle tells which")
    remote.show({"bag": str(out), **done}, "\n".join(lines))
    return PARTLY_FAILED if done["left_out"] else 0


async def _manifest(remote: Remote, slug: str) -> int:
    output = ManifestOutput(remote)
    async with aclosing(remote.client.manifest(slug)) as entries:  # type: ignore[type-var]
        async for one in entries:
            output.add(Entry(one["id"], one["path"], one["sha256"]))
    return output.end()
