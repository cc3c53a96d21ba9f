"""``datasette files text``: extract the text of a source's files, or print that of one file."""

from __future__ import annotations

from functools import partial

import click

from ..app import Files
from ..catalog.texts import check_text, page_texts
from ..db import files as file_rows
from ..db import texts
from ..errors import Invalid, NotFound
from .output import TextOutput, count, is_file, refuse_with_file
from .site import Commands, Site

#: Pages that are read in one look-up.
_PAGE = 100
#: The exit status where some files could not be read.
_SOME_FAILED = 3


def register(commands: Commands) -> None:
    """Add the command to ``datasette files``."""
    commands.command("text", short_help="Extract the text of a source, or print that of a file")(
        _text
    )


@click.argument("what", metavar="SOURCE|ID")
@click.option("--again", is_flag=True, help="Read all files again, also those whose text is there")
@click.option("--index", is_flag=True, help="First make the search index of all pages anew")
async def _text(site: Site, what: str, again: bool, index: bool) -> int:
    """Extract the text of the files of SOURCE, as the server does in the background.

    Files that cannot be read are printed with the reason, separated by a tab. The exit status is 3
    if there are any, or if files are left, such as while the server reads them.

    With the ID of a file, print its text; a form feed ends each page. With --url only an ID works,
    as a server reads the text of its sources by itself.
    """
    files = await site.start()
    if is_file(what) and what not in {source.slug for source in files.sources}:
        refuse_with_file(again=again, index=index)
        await _print(site, files, what)
        return 0
    return await _extract(site, files, what, again, index)


async def _print(site: Site, files: Files, file_id: str) -> None:
    found = await files.catalog.query(lambda conn: file_rows.by_ids(conn, [file_id]))
    if file_id not in found:
        raise NotFound(f"There is no file {file_id}; check the id")
    file, output, after = found[file_id], TextOutput(site, file_id), 0
    check_text(file_id, file.text_status or "pending", file.text_error)
    while True:
        page = await files.catalog.query(
            partial(page_texts, file_id=file_id, after=after, limit=_PAGE)
        )
        for number, text in page.texts:
            output.add(number, text)
        if page.next is None:
            break
        after = page.next
    output.end()


async def _extract(site: Site, files: Files, slug: str, again: bool, index: bool) -> int:
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
