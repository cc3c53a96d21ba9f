"""P8 for people who see single files: 10,000 grants of `files-view` over a million files.

The grants are rows of a table in the internal database, which a plugin of four lines hands to
Datasette: what is measured is ours, not how a plugin keeps its grants. Of the sources none may be
browsed, or all but one, which holds the single files.
"""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from benchmarks import catalog
from benchmarks.bench import Bench
from benchmarks.catalog import COMMON, DENIED, READABLE, Catalog
from benchmarks.lists import FILES, FILES_QUICK, PAGE, SEARCHES, page_latencies, walked
from benchmarks.report import Figure
from benchmarks.servers import DatasetteServer

GRANTS = 10_000
BATCH = 100

PLUGIN = """\
from datasette import hookimpl
from datasette.permissions import PermissionSQL


@hookimpl
def permission_resources_sql(datasette, actor, action):
    if action == "files-view" and actor:
        return PermissionSQL(
            sql="SELECT parent, child, 1 AS allow, 'granted' AS reason FROM benchmark_grants"
            " WHERE actor = :actor_id"
        )
"""
TABLE = """
create table benchmark_grants (actor text, parent text, child text,
    primary key (actor, parent, child)) without rowid
"""


@dataclass(frozen=True)
class Scene:
    """The sources that the actor browses; the files granted are of all others."""

    name: str
    browsed: tuple[str, ...]


SCENES = (Scene("10,000 single files", ()), Scene("and four sources", READABLE))


def single(bench: Bench) -> list[Figure]:
    """P8V: the lists and searches of P8 for somebody with single grants, and one file."""
    built = catalog.build(bench, bench.ours, FILES_QUICK if bench.quick else FILES)
    plugins = bench.folder("plugins")
    (plugins / "grants.py").write_text(PLUGIN)
    return [figure for scene in SCENES for figure in _scene(bench, built, plugins, scene)]


def _scene(bench: Bench, built: Catalog, plugins: Path, scene: Scene) -> list[Figure]:
    ids = _grant(built.path, scene)
    server = DatasetteServer(
        bench.ours,
        bench.folder("grants"),
        sources=scene.browsed,
        denied=[slug for slug in (*READABLE, *DENIED) if slug not in scene.browsed],
        signed_in=True,
        internal=built.path,
        plugins=plugins,
    )
    with server:
        urls = _requests(ids) | ({} if scene.browsed else _far_ends(bench, server))
        samples = page_latencies(bench, server, scene.name, urls)
    return [
        Figure("P8V", f"{name}, {scene.name}", "ms", sample, PAGE)
        for name, sample in samples.items()
    ]


def _grant(internal: Path, scene: Scene) -> list[str]:
    """Grant the files, spread evenly over their sources, to the actor; their ids."""
    with closing(sqlite3.connect(internal, isolation_level=None)) as connection:
        connection.execute("drop table if exists benchmark_grants")
        connection.execute(TABLE)
        marks = ", ".join("?" * len(scene.browsed))
        rows = connection.execute(
            f"""select s.slug, f.id from datasette_files f
            join datasette_files_sources s on s.id = f.source_id where s.slug not in ({marks})""",
            scene.browsed,
        ).fetchall()
        chosen = random.Random(17).sample(rows, min(GRANTS, len(rows)))
        connection.execute("begin")
        connection.executemany("insert into benchmark_grants values ('bench', ?, ?)", chosen)
        connection.execute("commit")
    return [file_id for _, file_id in chosen]


def _listed(**query: str) -> str:
    return f"/-/files/search.json?{urlencode(query)}"


def _requests(ids: list[str]) -> dict[str, str]:
    """Name of a table line -> URL."""
    batch = urlencode([("id", one) for one in ids[:BATCH]])
    return {
        "first page of all files": _listed(q=""),
        **{f"search: {name}": _listed(q=words) for name, words in SEARCHES.items()},
        "HTML page of a search": _listed(q=COMMON[0]).replace(".json", ""),
        "one record": f"/-/files/{ids[0]}.json",
        f"batch of {BATCH}": f"/-/files/batch.json?{batch}",
    }


def _far_ends(bench: Bench, server: DatasetteServer) -> dict[str, str]:
    return {
        "deepest page of all files": walked(bench, server, _listed(q="")),
        "deepest page of a search": walked(bench, server, _listed(q=COMMON[0])),
    }
