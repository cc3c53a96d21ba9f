"""``datasette files bundle`` and ``unbundle``: a table or a source as one bag, and back."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from datasette.database import Database

from ..app import Files
from ..db import selection
from ..db.selection import Selection
from ..errors import FilesError, Invalid, NoSpace, NotFound, StorageUnavailable
from ..jobs.parallel import several
from ..transfer.bundling import TableOrder
from ..transfer.databases import Databases
from ..transfer.unbundling import Unbundling
from .output import Output, count, progress
from .site import Commands, Site

_JOBS = 4


def _databases(
    ctx: click.Context, param: click.Parameter, values: tuple[Path, ...]
) -> dict[str, Path]:
    """The files by the names that Datasette gives them."""
    found = {path.stem: path for path in values}
    if len(found) < len(values):
        raise click.BadParameter("two files have the same name", ctx, param)
    return found


def _slugs(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    pairs = [value.partition("=") for value in values]
    if not all(old and new for old, _, new in pairs):
        raise click.BadParameter("write OLD=NEW, the slugs of two sources", ctx, param)
    return {old: new for old, _, new in pairs}


def register(commands: Commands) -> None:
    """Add the commands to ``datasette files``."""
    commands.command("bundle", short_help="Write a table or a source, with its files, as one bag")(
        _bundle
    )
    commands.command("unbundle", short_help="Verify a bundle, and bring it back")(_unbundle)


@click.argument("out", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--table", metavar="DATABASE/TABLE", help="The rows of a table, and their files")
@click.option("--source", "slug", metavar="SLUG", help="All files of a source")
@click.option("--zip", "zipped", is_flag=True, help="Write one zip file, not a folder")
@click.option(
    "--database",
    "databases",
    metavar="FILE",
    multiple=True,
    callback=_databases,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The file of a database, as `datasette serve` takes it; may be repeated",
)
async def _bundle(
    site: Site,
    out: Path,
    table: str | None,
    slug: str | None,
    zipped: bool,
    databases: dict[str, Path],
) -> None:
    """Write a table with its files, or the files of a source, to OUT, a folder or a zip file.

    The bundle is a bag (BagIt 1.0) and a Data Package: rows as CSV, files under their names, and a
    sha256 for each. Every file is compared with the catalog's sha256 on the way. OUT must not
    exist; it appears when it is complete. With --url a running server sends the
    bundle, which goes on where it broke.

    \b
    datasette files bundle backup --table shop/products --database shop.db \\
        -c datasette.yaml --internal internal.db
    """
    if (table is None) == (slug is None):
        raise click.UsageError("Give either --table or --source")
    files = await site.start()
    if slug is not None:
        source = files.sources.get(slug)
        source.require_up()
        what: TableOrder | int = source.id
        size = await _source_size(files, source.id)
    else:
        what, size = _table(site, table or "", databases), 0
    with progress(site, size, str(out)) as tell:
        done = await files.bundler.bundle(out, what, zipped=zipped, tell=tell)
    lines = [f"Bundled {count(done.files, done.bytes)} to {out}"]
    if done.rows is not None:
        lines.append(f"{done.rows:,} rows")
    if done.absent:
        lines.append(f"{done.absent:,} ids in the rows belong to no file; they stay in the rows")
    site.show({"bag": str(out), **asdict(done)}, "\n".join(lines))


def _table(site: Site, table: str, databases: dict[str, Path]) -> TableOrder:
    name, slash, table = table.partition("/")
    if not slash or not table:
        raise Invalid("--table must be DATABASE/TABLE, such as shop/products")
    path = databases.get(name)
    if path is None:
        raise NotFound(f"There is no database {name!r}; name its file with --database {name}.db")
    database = site.datasette.add_database(Database(site.datasette, str(path)), name=name)
    return TableOrder(database, table)


async def _source_size(files: Files, source_id: int) -> int:
    totals = await files.catalog.query(lambda conn: selection.totals(conn, Selection(source_id)))
    return totals.bytes


@click.argument("bag", metavar="BAG", type=click.Path(path_type=Path))
@click.option(
    "--database",
    "databases",
    metavar="FILE",
    multiple=True,
    callback=_databases,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file of a database for the rows; made if it does not exist; may be repeated",
)
@click.option(
    "--source",
    "slugs",
    metavar="OLD=NEW",
    multiple=True,
    callback=_slugs,
    help="Store the files of the source OLD in the source NEW; may be repeated",
)
async def _unbundle(
    site: Site, bag: Path, databases: dict[str, Path], slugs: dict[str, str]
) -> int:
    """Verify BAG, a bundle as a folder or a zip file, then bring its files and rows back.

    Nothing is written before the whole bag is verified, and sources, limits and primary keys are
    known to allow it. Files keep their ids. If another file has an id, the file gets a new one,
    which the rows then hold. The rows are added last, all or none. After an interruption, run the
    command again: it does the rest.

    \b
    datasette files unbundle backup --database shop.db -c datasette.yaml --internal internal.db
    """
    files = await site.start(may_make=True)
    output = Output(site)
    async with files.unbundler.opened(bag, Databases(site.datasette, databases)) as unbundling:
        await unbundling.check(slugs)
        await _store_all(unbundling, output)
        if not output.failed_count:
            await unbundling.rows()
        done = unbundling.unbundled
    rows = None if done.rows is None else asdict(done.rows)
    result: dict[str, Any] = {
        **output.failures,
        "stored": asdict(done.stored),
        "present": asdict(done.present),
        "renamed": done.renamed,
        "database": done.database,
        "table": done.table,
        "rows": rows,
    }
    lines = [f"Stored {count(done.stored.files, done.stored.bytes)}"]
    if done.present.files:
        lines.append(f"Already there: {count(done.present.files, done.present.bytes)}")
    if done.renamed:
        lines.append(f"{count(done.renamed)} with a new id, as another file has the old one")
    if done.rows is not None:
        there = f", {done.rows.present:,} were there" if done.rows.present else ""
        lines.append(f"Added {done.rows.added:,} rows to {done.database}/{done.table}{there}")
    if output.failed_count:
        lines.append(f"{count(output.failed_count)} failed, so no row was added; run this again")
    site.show(result, "\n".join(lines))
    return output.status


async def _store_all(unbundling: Unbundling, output: Output) -> None:
    """Store the files. Stops when a storage is down or full."""

    async def one(row: dict[str, Any]) -> tuple[str, FilesError | None]:
        try:
            await unbundling.store(row)
        except FilesError as error:
            return row["id"], error
        return row["id"], None

    async with aclosing(several(unbundling.files(), one, _JOBS)) as outcomes:
        async for file_id, error in outcomes:
            if error is not None:
                output.fail(file_id, error)
                if isinstance(error, StorageUnavailable | NoSpace):
                    return
