"""P9: a CSV of a million rows becomes a table, on both sides, and beside the command line's tools.

`sqlite3 .import` keeps every value as text; `sqlite-utils insert` finds types as an
import does. While ours makes a table, adds to it, and changes another by primary key, a writer, a
reader of the same database and a reader of a file's record ask over and over: the longest that each
waited is how long it was held (P7 too). P18 opens the same CSV as a live table.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench, log
from benchmarks.client import UnexpectedStatusError
from benchmarks.environments import Interpreter
from benchmarks.memory import Growth
from benchmarks.report import Figure, Sample, Target
from benchmarks.servers import DatasetteServer

ROWS, ROWS_QUICK = 1_000_000, 100_000
LIMIT_SECONDS = 600
RUNNING = ("pending", "running")


def million(bench: Bench) -> list[Figure]:
    """The seconds of both sides and the tools, then ours: memory, a late surprise, the others."""
    rows = ROWS_QUICK if bench.quick else ROWS
    plain, surprise, newer = _files(bench, rows)
    growths: dict[str, list[float]] = {"ours": [], "public": []}
    waits: dict[tuple[str, str], list[float]] = {}

    def side(interpreter: Interpreter) -> float:
        # The text of the same file is read for the search beside it, by a process of its own.
        with (
            _server(bench, interpreter) as server,
            Growth(server.pid, named="datasette_files.imports") as watched,
        ):
            seconds = _import(server, plain, rows)
        growths[interpreter.label].append(watched.peak / 2**20)
        return seconds

    seconds = bench.alternate(
        "P9",
        {
            "ours": lambda: side(bench.ours),
            "public": lambda: side(bench.public),
            "limit": lambda: _shell(bench, plain),
            "sqlite-utils": lambda: _sqlite_utils(bench, plain),
            "surprise": lambda: _late(bench, surprise, rows),
            "watched": lambda: _watched(bench, plain, newer, rows, waits),
        },
    )
    tool = seconds["sqlite-utils"].figure
    note = f"sqlite-utils insert: {tool:.1f} s" if tool else ""
    work = f"a CSV of {rows:,} rows"
    grown = {label: Sample(tuple(values)) for label, values in growths.items()}
    figures = [
        Figure(
            *("P9", f"import of {work}", "s", seconds["ours"], Target(5)),
            public=seconds["public"],
            limit=seconds["limit"],
            note=note,
        ),
        Figure("P9", "a surprise in its last row", "s", seconds["surprise"], Target(10)),
        Figure(
            *("P9", "growth, the process included", "MiB", grown["ours"], Target(64)),
            public=grown["public"],
        ),
    ]
    names = {
        "writers": "writers held, longest",
        "readers": "readers held, longest",
        "records": "a file's record meanwhile, p99 (P7)",
    }
    bounds = {"writers": 250, "readers": 600, "records": 100}
    for (mode, who), values in waits.items():
        sample, target = Sample(tuple(values)), Target(bounds[who])
        figures.append(Figure("P9", f"{mode}: {names[who]}", "ms", sample, target))
    return figures


def live(bench: Bench) -> list[Figure]:
    """P18: the same CSV as a live table: seconds to its first page, and the next visits."""
    rows = ROWS_QUICK if bench.quick else ROWS
    plain, *_ = _files(bench, rows)
    visits: list[float] = []

    def opened() -> float:
        with _server(bench, bench.ours) as server:
            return _open(_Client(server), plain, rows, visits)

    def imported() -> float:
        with _server(bench, bench.ours) as server:
            return _import(server, plain, rows)

    seconds = bench.alternate("P18", {"opened": opened, "imported": imported})
    work = f"live table of a CSV of {rows:,} rows"
    target = Target((seconds["imported"].figure or 0) + 1)
    return [
        Figure(
            *("P18", f"{work}: first page", "s", seconds["opened"], target),
            limit=seconds["imported"],
            note="limit: the import",
        ),
        Figure("P18", f"{work}: a later visit", "ms", Sample(tuple(visits)), Target(100)),
    ]


def _open(client: _Client, path: Path, rows: int, visits: list[float]) -> float:
    """Seconds from the request to the table's first page; notes the milliseconds of later ones."""
    file_id = _upload(client, path)
    begun = time.perf_counter()
    job = client.json(f"/-/files/{file_id}/-/open", b"")["job"]["url"]
    while (told := client.json(f"{job}.json"))["status"] in RUNNING:
        time.sleep(0.05)
    if told["error"] or told["rows"] != rows:
        raise UnexpectedStatusError(job, 200, json.dumps(told))
    table = f"{told['url']}/{path.stem}"
    client.read(table)
    seconds = time.perf_counter() - begun
    for _ in range(20):
        again = time.perf_counter()
        client.read(table)
        visits.append((time.perf_counter() - again) * 1000)
    return seconds


def _files(bench: Bench, rows: int) -> tuple[Path, Path, Path]:
    """The CSV, about 78 bytes a row; one whose last value of a column of floats is text; a newer
    one, in which every tenth row is changed.
    """
    folder = bench.folder("csv")
    plain, surprise, newer = (folder / f"{name}.csv" for name in ("plain", "surprise", "newer"))
    chance = random.Random(9)
    with plain.open("w") as file, newer.open("w") as changed:
        header = "id,name,city,amount,ratio,created,note\n"
        file.write(header)
        changed.write(header)
        for number in range(1, rows + 1):
            row = (
                f"{number},name {chance.randrange(10**6)},city {chance.randrange(500)},"
                f"{chance.randrange(10**7)},{chance.random() * 1000:.4f},"
                f"2026-{chance.randrange(1, 13):02}-{chance.randrange(1, 29):02},"
                f"a note {chance.randrange(10**12)}\n"
            )
            file.write(row)
            changed.write(row if number % 10 else row.replace(",a note ", ",another note "))
    shutil.copy(plain, surprise)
    with surprise.open("a") as file:
        file.write("0,x,x,0,none,x,x\n")
    # Or the first to be measured waits until these are on the disk.
    os.sync()
    return plain, surprise, newer


def _server(bench: Bench, interpreter: Interpreter) -> DatasetteServer:
    database = bench.folder("database") / "data.db"
    conn = sqlite3.connect(database)
    conn.execute("CREATE TABLE other (a)")
    conn.commit()
    conn.close()
    return bench.datasette(interpreter, database=database)


class _Client:
    """A server asked by urllib: an import is long, and a request's cost nothing beside it."""

    def __init__(self, server: DatasetteServer) -> None:
        host, port = server.address
        self._base = f"http://{host}:{port}"
        self._headers = {"Cookie": server.wire.cookie} if server.wire.cookie else {}

    def json(self, path: str, body: bytes | None = None, kind: str = "application/json") -> Any:
        headers = {**self._headers, **({"Content-Type": kind} if body is not None else {})}
        request = urllib.request.Request(self._base + path, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=LIMIT_SECONDS) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            raise UnexpectedStatusError(path, error.code, text) from None

    def read(self, path: str) -> bytes:
        request = urllib.request.Request(self._base + path, headers=self._headers)
        with urllib.request.urlopen(request, timeout=LIMIT_SECONDS) as answer:
            return bytes(answer.read())

    def begin(self, path: str, fields: dict[str, str]) -> str:
        """Send a form; where it leads to."""

        class Stay(urllib.request.HTTPRedirectHandler):
            def redirect_request(self, *arguments: Any) -> None:
                return None

        request = urllib.request.Request(
            self._base + path, urllib.parse.urlencode(fields).encode(), self._headers
        )
        try:
            urllib.request.build_opener(Stay).open(request, timeout=LIMIT_SECONDS).close()
        except urllib.error.HTTPError as answer:
            if answer.code == 302:
                return str(answer.headers["Location"])
            raise UnexpectedStatusError(path, answer.code, "") from None
        raise UnexpectedStatusError(path, 200, "a redirect was expected")


def _upload(client: _Client, path: Path) -> str:
    """By the three steps, which both sides have."""
    url, boundary = "/-/files/upload/bench/-/", "benchmarks-9d1c"
    declared = {"filename": path.name, "content_type": "text/csv", "size": path.stat().st_size}
    token = client.json(f"{url}prepare", json.dumps(declared).encode())["upload_token"]
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="upload_token"\r\n\r\n{token}\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{path.name}"\r\n'
        "Content-Type: text/csv\r\n\r\n"
    )
    body = head.encode() + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    client.json(f"{url}upload", body, f"multipart/form-data; boundary={boundary}")
    done = client.json(f"{url}complete", json.dumps({"upload_token": token}).encode())
    return str(done["file"]["id"])


def _import(
    server: DatasetteServer, path: Path, rows: int, file_id: str | None = None, **fields: str
) -> float:
    """Seconds from the form to the job's end; all rows have to be there."""
    client = _Client(server)
    file_id = file_id or _upload(client, path)
    begun = time.perf_counter()
    form = {"database_name": "data", "table_name": "made", **fields}
    url = client.begin(f"/-/files/import/{file_id}", form)
    while (job := client.json(f"{url}.json"))["status"] in RUNNING:
        if time.perf_counter() - begun > LIMIT_SECONDS:
            raise UnexpectedStatusError(url, 200, f"not over after {LIMIT_SECONDS} s")
        time.sleep(0.05)
    seconds = time.perf_counter() - begun
    if job["error"] or job["row_count"] != rows:
        raise UnexpectedStatusError(url, 200, json.dumps(job))
    return seconds


def _late(bench: Bench, path: Path, rows: int) -> float:
    with _server(bench, bench.ours) as server:
        return _import(server, path, rows + 1)


def _watched(
    bench: Bench, plain: Path, newer: Path, rows: int, waits: dict[tuple[str, str], list[float]]
) -> float:
    """Imports of three modes while others ask; the seconds of the first."""
    with _server(bench, bench.ours) as server:
        client = _Client(server)
        ids = {path: _upload(client, path) for path in (plain, newer)}
        seconds = _asked(server, plain, rows, ids[plain], waits)
        _asked(server, plain, rows, ids[plain], waits, mode="append")
        keyed = {"table_name": "keyed", "primary_key": "id"}
        _import(server, plain, rows, ids[plain], **keyed)
        _asked(server, newer, rows, ids[newer], waits, mode="merge", **keyed)
    return seconds


def _asked(
    server: DatasetteServer,
    path: Path,
    rows: int,
    file_id: str,
    waits: dict[tuple[str, str], list[float]],
    **fields: str,
) -> float:
    """An import while others ask; notes in milliseconds how long each kind waited."""
    client, mode = _Client(server), fields.get("mode", "create")
    asks: dict[str, Callable[[], Any]] = {
        "writers": lambda: client.json("/data/other/-/insert", b'{"row": {"a": 1}}'),
        "readers": lambda: client.json("/data/other.json?_size=1"),
        "records": lambda: client.json(f"/-/files/{file_id}.json"),
    }
    over = threading.Event()
    seen: dict[str, list[float]] = {name: [] for name in asks}

    def ask(name: str) -> None:
        while not over.is_set():
            begun = time.perf_counter()
            asks[name]()
            seen[name].append((time.perf_counter() - begun) * 1000)
            time.sleep(0.01)

    threads = [threading.Thread(target=ask, args=(name,)) for name in asks]
    for thread in threads:
        thread.start()
    try:
        seconds = _import(server, path, rows, file_id, **fields)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    for name, values in seen.items():
        values.sort()
        # The last hundredth of a record's answers; of the others, the one that waited longest.
        value = values[int(len(values) * 0.99)] if name == "records" else values[-1]
        waits.setdefault((mode, name), []).append(value)
    log(
        f"P9, {mode} in {seconds:.1f} s, others waited at most:"
        f" { {name: round(values[-1]) for name, values in seen.items()} } ms"
    )
    return seconds


def _shell(bench: Bench, path: Path) -> float:
    """`sqlite3 .import`, where there is a shell; else nothing."""
    shell = shutil.which("sqlite3")
    if shell is None:
        raise UnexpectedStatusError("sqlite3", 0, "not installed")
    database = bench.folder("shell") / "data.db"
    begun = time.perf_counter()
    subprocess.run([shell, str(database), "-csv", f".import {path} made"], check=True)
    return time.perf_counter() - begun


def _sqlite_utils(bench: Bench, path: Path) -> float:
    database = bench.folder("sqlite-utils") / "data.db"
    command = [sys.executable, "-m", "sqlite_utils", "insert", str(database), "made", str(path)]
    begun = time.perf_counter()
    subprocess.run([*command, "--csv", "--silent"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun
