"""Commands against a server that keep what it holds elsewhere: bundle, manifest, text."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...errors import Invalid
from ...maintenance.manifest import Entry
from ..output import (
    PARTLY_FAILED,
    ManifestOutput,
    TextOutput,
    count,
    is_file,
    refuse_with_file,
)
from .server import Remote, refuse

if TYPE_CHECKING:
    from ..site import Commands


def register(commands: Commands) -> None:
    """Add the commands to those that work against a server."""
    commands.over_http |= {"bundle": _bundle, "manifest": _manifest, "text": _text}


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


async def _text(remote: Remote, what: str, again: bool, index: bool) -> None:
    if not is_file(what):
        raise Invalid(
            "A server reads the text of its sources by itself, soon after each upload. Name the id"
            " of a file to print its text; `info ID` tells its text_status and text_error. To read"
            " files again, run this beside the database, with --config and --internal"
        )
    refuse_with_file(again=again, index=index)
    output = TextOutput(remote, what)
    async with aclosing(remote.client.text(what)) as pages:  # type: ignore[type-var]
        async for one in pages:
            output.add(one["page"], one["text"])
    output.end()
