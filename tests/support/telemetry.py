"""A workload with an OpenTelemetry SDK, judged by Datasette's own helpers. It ends with 1 if wrong.

Run as a program by ``tests/test_telemetry.py``: a provider stays for its whole process, and would
record the spans of every other test.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from pathlib import Path
from typing import Any

from datasette import telemetry_testing as judge
from datasette.app import Datasette
from datasette.database import Database

from datasette_files.app import Files
from datasette_files.telemetry import METRICS, SCOPE, SPANS
from tests.conftest import disk_source
from tests.support.fixtures import fixture

ACTOR = "alice-the-actor"
NAME = "a-secret-name"
WORDS = "words-of-a-document"
TABLE = "a_secret_table"


async def work(folder: Path) -> tuple[str, list[str]]:
    """Do everything once, well and badly. A link's token, and what else must not be told."""
    actions = ("files-browse", "files-upload", "files-share", "create-table", "insert-row")
    datasette = Datasette(
        internal=str(folder / "internal.db"),
        config={
            "plugins": {"datasette-files": {"sources": {"papers": disk_source(folder / "papers")}}},
            "permissions": {name: {"id": ACTOR} for name in actions},
        },
    )
    await datasette.invoke_startup()
    sqlite3.connect(folder / "data.db").close()
    datasette.add_database(Database(datasette, path=str(folder / "data.db")), name="data")
    actor: Any = {"id": ACTOR}

    async def put(name: str, content: bytes, kind: str) -> str:
        answer = await datasette.client.put(
            f"/-/files/upload/papers/{NAME}{name}",
            content=content,
            headers={"Content-Type": kind},
            actor=actor,
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["file"]["id"])

    picture = await put(".jpg", fixture("photos/phone.jpg").path.read_bytes(), "image/jpeg")
    words = await put(".txt", WORDS.encode() * 20_000, "text/plain")
    table = await put(".csv", b"a,b\n1,2\n", "text/csv")
    broken = await put(".png", fixture("photos/phone.jpg").path.read_bytes()[:100], "image/png")
    for file in (picture, broken):
        await datasette.client.get(f"/-/files/{file}/thumbnail?w=800", actor=actor)
    await datasette.client.get(f"/-/files/{words}/download", actor=actor)
    made = await datasette.client.post("/-/files/-/share", json={"ids": [words]}, actor=actor)
    token = made.json()["share"]["url"].rpartition("/")[2]
    for path in (token, f"{token}/{words}/download", f"{token}/no-such-page"):
        await datasette.client.get(f"/-/files/s/{path}")
    form = {"database_name": "data", "table_name": TABLE}
    url = f"/-/files/import/{table}"
    started = await datasette.client.post(url, data=form, actor=actor)
    while True:
        job = await datasette.client.get(started.headers["location"] + ".json", actor=actor)
        if job.json()["status"] not in ("pending", "running"):
            assert job.json()["status"] == "finished", job.text
            break
        await asyncio.sleep(0.1)
    files = Files.of(datasette)
    await files.texts.of(files.sources.get("papers")).round.once()
    for stored in (folder / "papers").rglob("*.txt"):
        stored.unlink()
    gone = await datasette.client.get(f"/-/files/{words}/download", actor=actor)
    assert gone.status_code in (404, 502), gone.status_code
    await datasette.invoke_shutdown()
    return token, [ACTOR, NAME, WORDS, TABLE, "papers", str(folder), picture, words, table, broken]


def main(folder: Path) -> None:
    exporter, reader = judge.install_span_exporter(), judge.install_metric_reader()
    assert exporter is not None, "opentelemetry-sdk is missing"
    token, secrets = asyncio.run(work(folder))
    spans = exporter.get_finished_spans()
    collector = judge.MetricsCollector(reader)
    collector.collect()
    judge.assert_spans_conform(SPANS, spans, SCOPE)
    judge.assert_spans_covered(SPANS, spans, SCOPE)
    judge.assert_metrics_conform(METRICS, collector, SCOPE)
    judge.assert_metrics_covered(METRICS, collector, SCOPE)
    judge.assert_no_forbidden_values(secrets, spans, collector, SCOPE)
    # Datasette's own spans hold the address of each request.
    judge.assert_no_forbidden_values([token], spans, collector)
    assert any("/-/files/s/***" in str(span.attributes) for span in spans)
    errors = {span.attributes.get("error.type") for span in spans if SCOPE in span.name}
    assert "FileNotFoundError" in errors, errors
    sent = sum(p.value for p in collector.points(METRICS[0], {f"{SCOPE}.direction": "sent"}))
    assert sent >= len(WORDS) * 20_000, sent


if __name__ == "__main__":
    main(Path(sys.argv[1]))
