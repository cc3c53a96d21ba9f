"""P19: the page of a file beside many file columns, and the search for the rows that use the file.

The columns spread over several tables of one database, half of them `file` and half `files`, with
`ROWS` rows each; one row refers to the file. Their types are inserted by plain SQL into Datasette's
own table in the internal database. A latency is the median of `REPEATS` requests on one connection,
and of the rounds. The public release has no file columns.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from statistics import median

from benchmarks.bench import Bench, seed
from benchmarks.client import latencies
from benchmarks.report import Figure, Sample, Target
from benchmarks.servers import DatasetteServer

TABLES = 20
COLUMNS = 10  # of each table
ROWS = 100
REPEATS = 20
PAGE = Target(30)

TYPES = tuple(
    (f"t{table:02d}", f"c{column}", ("file", "files")[column % 2])
    for table in range(TABLES)
    for column in range(COLUMNS)
)


def many_columns(bench: Bench) -> list[Figure]:
    """P19: the file's page at 1 and 200 file columns, and uses.json at 200."""
    database = bench.folder("tables") / "data.db"
    _make_tables(database)
    figures = []
    with bench.datasette(bench.ours, database=database) as server:
        file_id = seed(server, 1)[0]
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("update t00 set c0 = ?, c1 = ? where id = 1", _values(file_id))
            connection.commit()
        page, uses = f"/-/files/{file_id}", f"/-/files/{file_id}/uses.json"
        for types in (TYPES[:1], TYPES):
            _set_types(server, types)
            many = f"{len(types)} file column{'' if len(types) == 1 else 's'}"
            work = f"a file's page beside {many}"
            figures.append(Figure("P19", work, "ms", _latency(bench, server, page, work), PAGE))
        work = f"uses.json beside {many}"
        figures.append(Figure("P19", work, "ms", _latency(bench, server, uses, work)))
    return figures


def _values(file_id: str) -> tuple[str, str]:
    return file_id, json.dumps([file_id])


def _make_tables(path: Path) -> None:
    other = "df-01j5a3b4c5d6e7f8g9h0jkmnpq"
    names = [f"c{column}" for column in range(COLUMNS)]
    row = [_values(other)[column % 2] for column in range(COLUMNS)]
    with closing(sqlite3.connect(path)) as connection:
        for table in sorted({table for table, _, _ in TYPES}):
            connection.execute(f"create table {table} (id integer primary key, {', '.join(names)})")
            connection.executemany(
                f"insert into {table} ({', '.join(names)}) values ({', '.join('?' * COLUMNS)})",
                [row] * ROWS,
            )
        connection.commit()


def _set_types(server: DatasetteServer, types: tuple[tuple[str, str, str], ...]) -> None:
    with closing(sqlite3.connect(server.folder / "internal.db")) as connection:
        connection.executemany(
            """insert or replace into column_types
            (database_name, resource_name, column_name, column_type) values ('data', ?, ?, ?)""",
            types,
        )
        connection.commit()


def _latency(bench: Bench, server: DatasetteServer, path: str, work: str) -> Sample:
    request = server.wire.get(path)

    def turn() -> float:
        return median(bench.call(latencies, server.address, [request], REPEATS)[0]) * 1000

    return bench.alternate(f"P19 {work}, ms", {"ours": turn})["ours"]
