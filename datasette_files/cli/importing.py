"""``datasette files import``: a file becomes a table of a database, or rows of one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click
from datasette.database import Database

from ..db.imports import IMPORT_MODES, ImportRequest
from ..errors import Invalid
from ..imports.requests import table_name
from .output import Output, shown, text
from .selection import by_id
from .site import Commands, Site


def register(commands: Commands) -> None:
    """Add the command to ``datasette files``."""
    commands.command("import", short_help="Make a table of a file, or add its rows to one")(_import)


@click.argument("file_id", metavar="ID")
@click.option(
    "--database",
    "path",
    metavar="FILE",
    required=True,
    help="The file of the database, as `datasette serve` takes it; with --url its name",
)
@click.option("--table", metavar="NAME", help="The table; by default as the file is called")
@click.option(
    "--mode",
    type=click.Choice(IMPORT_MODES),
    default="create",
    show_default=True,
    help="What to do with the table; compare changes nothing, merge goes by its primary key",
)
@click.option("--key", metavar="COLUMN", help="The primary key of a new table")
@click.option("--removes", is_flag=True, help="A merge removes the rows that are not in the file")
@click.option("--format", "form", metavar="NAME", help="csv, tsv, json, ndjson, excel, …")
@click.option("--encoding", help="Such as utf-8 or windows-1252; detected by default")
@click.option("--delimiter", metavar="CHARACTER", help="Between values; detected by default")
@click.option("--member", metavar="NAME", help="The file of an archive, or the sheet of a workbook")
async def _import(
    site: Site,
    file_id: str,
    path: str,
    table: str | None,
    mode: str,
    key: str | None,
    removes: bool,
    form: str | None,
    **reading: Any,
) -> int:
    """Import the file ID into a table, as its page does. All rows appear at once, or none.

    \b
    datasette files import df-… --database shop.db --table prices --mode merge …
    """
    database_path = Path(path)
    if not await asyncio.to_thread(database_path.is_file):
        raise Invalid(f"--database: {path} does not exist; give the database's file")
    files = await site.start()
    output = Output(site)
    async for file in by_id(files, [text(file_id, "An id")], output.fail):
        name = database_path.stem
        site.datasette.add_database(Database(site.datasette, str(path)), name=name)
        request = ImportRequest(
            database=name,
            table=table or table_name(file.filename),
            mode=mode,
            format=form,
            read={option: value for option, value in reading.items() if value},
            key=key,
            removes=removes,
        )
        job = await files.imports.run_by_command(file, request)
        if job.status != "finished":
            raise Invalid(job.error or f"The import ended: {job.status}")
        counts = {one: job.result.get(one) for one in ("rows", "added", "changed", "removed")}
        told = [f"{count:,} {one}" for one, count in counts.items() if count is not None]
        place = {"database": name, "table": request.table, "mode": mode}
        line = f"{file.id}\t{name}/{shown(request.table)}\t{', '.join(told)}"
        output.add({"id": file.id, **place, **counts}, line)
    return output.end("imports")
