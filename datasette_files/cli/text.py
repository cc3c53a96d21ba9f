"""``datasette files text``: extract the text of a source's files now, or once more."""

from __future__ import annotations

import click

from ..db import texts
from ..errors import Invalid
from .output import count
from .site import Commands, Site

#: The exit status where some files could not be read.
_SOME_FAILED = 3


def register(commands: Commands) -> None:
    """Add the command to ``datasette files``."""
    commands.command("text", short_help="Extract the text of a source's files for the search")(
        _text
    )


@click.argument("slug", metavar="SOURCE")
@click.option("--again", is_flag=True, help="Read all files again, also those whose text is there")
@click.option("--index", is_flag=True, help="First make the search index of all pages anew")
async def _text(site: Site, slug: str, again: bool, index: bool) -> int:
    """Extract the text of the files of SOURCE, as the server does in the background.

    Files that cannot be read are printed with the reason, separated by a tab. The exit status is 3
    if there are any, or if files are left, such as while the server reads them.
    """
    files = await site.start()
    source = files.sources.get(slug)
    if not source.config.text:
        raise Invalid(f"{slug} has `text: false` in the configuration; remove it there")
    if index:
        await files.catalog.maintain(texts.remake_index)
    extraction = files.texts.of(source, rests=False)
    if again:
        await extraction.again()
    await extraction.round.once()
    failed, counts = await files.catalog.query(lambda conn: texts.summary(conn, source.id))
    read, left = counts.get("done", 0), counts.get("pending", 0)
    lines = [f"{file_id}\t{reason}" for file_id, reason in failed]
    if not site.as_json:
        click.echo(f"{count(read)} with text, {len(failed):,} failed, {left:,} left", err=True)
    listed = [{"id": file_id, "error": reason} for file_id, reason in failed]
    result = {"source": slug, "done": read, "left": left, "failed": listed}
    site.show(result, "\n".join(lines) or None)
    return _SOME_FAILED if failed or left else 0
