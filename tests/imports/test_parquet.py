"""Parquet files: every type of value, and files that are made to break the reader."""

from __future__ import annotations

import asyncio
import io
import random
from collections.abc import AsyncIterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from datasette.app import Datasette
from pyarrow import parquet

from datasette_files.app import Files
from datasette_files.formats.base import ImportProblem
from datasette_files.formats.parquet import Parquet
from datasette_files.imports import process
from datasette_files.imports.worker import filling
from tests.conftest import MakeDatasette, upload
from tests.support.imports import engine
from tests.support.live import opened, rows

#: pyarrow 25, the last for Python 3.10, cannot read a null among lists of a fixed size back.
_NO_PAIR = None if int(pa.__version__.partition(".")[0]) > 25 else [0, 0]
#: By column: the stored values, and those of the table.
VALUES: dict[str, tuple[Any, list[Any]]] = {
    "whole": (pa.array([1, None, -3], pa.int32()), [1, None, -3]),
    "unsigned": (pa.array([2**64 - 1, 0, 1], pa.uint64()), [str(2**64 - 1), "0", "1"]),
    "real": (pa.array([1.5, float("nan"), None]), [1.5, None, None]),
    "half": (pa.array([1.5, 2, None], pa.float16()), [1.5, 2.0, None]),
    "text": (pa.array(["a", None, "é"]), ["a", None, "é"]),
    "bytes": (pa.array([b"\x00\xff", b"", None]), [b"\x00\xff", b"", None]),
    "truth": (pa.array([True, False, None]), [1, 0, None]),
    "nothing": (pa.nulls(3), [None, None, None]),
    "coded": (pa.array(["x", "y", "x"]).dictionary_encode(), ["x", "y", "x"]),
    "day": (pa.array([-1, None, 2932896], pa.date32()), ["1969-12-31", None, "9999-12-31"]),
    "moment": (
        pa.array([1, -1, 10**9], pa.timestamp("ns")),
        ["1970-01-01 00:00:00.000000001", "1969-12-31 23:59:59.999999999", "1970-01-01 00:00:01"],
    ),
    "instant": (
        pa.array([0, -1500, 2**62], pa.timestamp("ms", "Europe/Berlin")),
        ["1970-01-01 00:00:00+00:00", "1969-12-31 23:59:58.500000+00:00", str(2**62)],
    ),
    "time": (
        pa.array([1, None, 3600 * 10**6], pa.time64("us")),
        ["00:00:00.000001", None, "01:00:00"],
    ),
    "span": (
        pa.array([1, -3661 * 1000, None], pa.duration("ms")),
        ["0:00:00.001000", "-1:01:01", None],
    ),
    "price": (
        pa.array([Decimal("1.10"), None, Decimal("-3.00")], pa.decimal128(10, 2)),
        [1.1, None, -3.0],
    ),
    "count": (pa.array([1, 2, None], pa.decimal128(10, 0)), [1, 2, None]),
    "exact": (
        pa.array([Decimal("1.1"), Decimal("0.0000001"), None], pa.decimal128(38, 10)),
        ["1.1000000000", "0.0000001000", None],
    ),
    "list": (pa.array([[1, 2], None, []]), ["[1, 2]", None, "[]"]),
    "pair": (
        pa.array([[1, 2], _NO_PAIR, [3, 4]], pa.list_(pa.int8(), 2)),
        ["[1, 2]", _NO_PAIR and "[0, 0]", "[3, 4]"],
    ),
    "struct": (
        pa.array([{"a": 1, "b": [b"x"]}, None, {"a": None, "b": [None]}]),
        ['{"a": 1, "b": ["78"]}', None, '{"a": null, "b": [null]}'],
    ),
    "map": (
        pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int32())),
        ['{"k": 1}', None, "{}"],
    ),
    "times": (
        pa.array([[(1, datetime(2020, 1, 2))], None, []], pa.map_(pa.int32(), pa.timestamp("us"))),
        ['[[1, "2020-01-02 00:00:00"]]', None, "[]"],
    ),
    "id": (
        pa.array([bytes(16), None, b"\xff" * 16], pa.uuid()),
        ["00000000-0000-0000-0000-000000000000", None, "ffffffff-ffff-ffff-ffff-ffffffffffff"],
    ),
}


def stored(table: pa.Table, **options: Any) -> bytes:
    out = io.BytesIO()
    parquet.write_table(table, out, **options)
    return out.getvalue()


def kept(folder: Path, content: bytes) -> Path:
    path = folder / "made.parquet"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("options", [{}, {"row_group_size": 2, "compression": "zstd"}])
def test_values_of_every_type(tmp_path: Path, options: dict[str, Any]) -> None:
    table = pa.table({name: array for name, (array, _) in VALUES.items()})
    outcome = engine.read(kept(tmp_path, stored(table, **options)), tmp_path)
    assert outcome["format"] == "parquet"
    made = engine.write(tmp_path, outcome).execute("SELECT * FROM made").fetchall()
    for (name, (_, expected)), values in zip(VALUES.items(), zip(*made, strict=True), strict=True):
        assert list(values) == expected, name


def test_lists_of_many_rows_stay_with_their_rows(tmp_path: Path) -> None:
    lists = [[number] * (number % 4) if number % 5 else None for number in range(5000)]
    content = stored(pa.table({"list": lists}), row_group_size=1700)
    outcome = engine.read(kept(tmp_path, content), tmp_path)
    made = engine.write(tmp_path, outcome).execute("SELECT list FROM made").fetchall()
    assert [row[0] for row in made] == [one if one is None else str(one) for one in lists]


def test_what_a_table_cannot_hold_is_named_with_its_row(tmp_path: Path) -> None:
    for content, reason in (
        (stored(pa.table({"a": ["x"] * 1500 + ["a\x00"]})), "Row 1,501, column a: holds a NUL"),
        (stored(pa.table({"a": ["x" * 5_000_000]})), "Row 1, column a: has a value of more than"),
        (stored(pa.table({f"c{n}": [1] for n in range(2001)})), "a table has at most 2,000"),
        (stored(pa.table({"a": [1]}))[:-5], "The Parquet file cannot be read"),
        (b"PAR1", "The Parquet file cannot be read"),
    ):
        with pytest.raises(ImportProblem, match=reason):
            engine.read(kept(tmp_path, content), tmp_path)
        (tmp_path / "rows.db").unlink(missing_ok=True)


async def confined(folder: Path, content: bytes) -> dict[str, Any]:
    """What the confined process makes of a file. Raises ImportFailed."""

    async def pieces() -> AsyncIterator[bytes]:
        yield content

    spec = process.located(Parquet())
    task = {
        **{"work": "open", "options": {}, "sqlite": False, "name": "x", "whole": True},
        **{"format": spec, "formats": [spec], "asked": False, "keeps": True},
        **{"size": len(content), "most": 1 << 30, "max_bytes": 1 << 30},
    }
    folder.mkdir()
    return await process.run(task, pieces, lambda *_: None, folder)


async def test_the_confined_process_reads_one(tmp_path: Path) -> None:
    content = stored(pa.table({"a": list(range(3000)), "day": [date(2024, 1, 2)] * 3000}))
    outcome = await confined(tmp_path / "out", content)
    assert outcome == {"tables": [{"name": "x", "rows": 3000}], "left_out": []}


def test_a_tiny_file_of_many_values_ends_within_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, "_ANY_FILE", 100_000)
    content = stored(pa.table({f"c{n}": pa.nulls(1_000_000) for n in range(10)}))
    assert len(content) < 30_000
    with pytest.raises(ImportProblem, match="times as many as the file"):
        engine.read(kept(tmp_path, content), tmp_path)


@pytest.mark.full
@pytest.mark.timeout(900)
async def test_a_huge_value_and_damaged_files_give_rows_or_a_reason(tmp_path: Path) -> None:
    bomb = stored(pa.table({"a": ["x" * 600_000_000]}), compression="gzip", use_dictionary=False)
    assert len(bomb) < 1_000_000
    with pytest.raises(process.ImportFailed, match=r"memory|more than"):
        await confined(tmp_path / "bomb", bomb)
    del bomb
    table = pa.table({name: array for name, (array, _) in VALUES.items()})
    content, chance = stored(table), random.Random(7)
    outcomes = []
    for number in range(30):
        damaged = bytearray(content)
        for _ in range(chance.choice((1, 3, 20))):
            damaged[chance.randrange(4, len(damaged))] = chance.randrange(256)
        try:
            await asyncio.wait_for(confined(tmp_path / str(number), bytes(damaged)), 400)
        except process.ImportFailed as error:
            assert "unexpectedly" not in str(error)
            assert "see the server's log" not in str(error)
            outcomes.append(False)
        else:
            outcomes.append(True)
    assert {True, False} == set(outcomes)


async def test_it_opens_as_a_live_table(make_datasette: MakeDatasette) -> None:
    datasette = await make_datasette()
    content = stored(pa.table({"name": ["a", "b"], "tags": [["x"], []]}))
    file = await upload(datasette, content, "Übersicht.parquet")
    told = (await datasette.client.get(f"/-/files/{file['id']}/tables.json")).json()
    assert told["tables"] == [{"name": "Übersicht", "columns": ["name", "tags"]}]
    job = await opened(datasette, file)
    assert (job["status"], job["rows"]) == ("finished", 2), job
    assert await rows(datasette, file, "~C3~9Cbersicht") == [
        {"rowid": 1, "name": "a", "tags": '["x"]'},
        {"rowid": 2, "name": "b", "tags": "[]"},
    ]


async def test_without_the_extra_it_says_what_it_takes(
    make_datasette: MakeDatasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasette: Datasette = await make_datasette()
    formats = Files.of(datasette).imports.formats
    file = await upload(datasette, stored(pa.table({"a": [1]})), "a.parquet")
    others = [one for one in formats.registered if one.name != "parquet"]
    monkeypatch.setattr(formats, "registered", others)
    for path in (f"/-/files/import/{file['id']}", f"/-/files/{file['id']}/tables.json"):
        refused = await datasette.client.get(path)
        assert refused.status_code == 415
        assert "datasette-files[parquet]" in refused.text
