"""Batches of look-ups and group commits, and what callers get when the database itself fails."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from typing import Any

import pytest

from datasette_files.app import Files
from datasette_files.db import bulk, garbage, leases, uploads, zips
from datasette_files.db.batching import Catalog, translate
from datasette_files.errors import NoSpace, StorageUnavailable
from tests.conftest import upload


@pytest.fixture
async def catalog(datasette: Any) -> Catalog:
    """The catalog of a started Datasette, with a table to write to."""
    found = Files.of(datasette).catalog
    await found.maintain(lambda conn: conn.execute("CREATE TABLE t (v INTEGER UNIQUE)").fetchall())
    return found


def _insert(*values: int) -> Callable[[sqlite3.Connection], int]:
    def insert(conn: sqlite3.Connection) -> int:
        for value in values:
            conn.execute("INSERT INTO t VALUES (?)", (value,))
        return values[0]

    return insert


async def _values(catalog: Catalog) -> list[int]:
    def look(conn: sqlite3.Connection) -> list[int]:
        return [row[0] for row in conn.execute("SELECT v FROM t ORDER BY v")]

    return await catalog.read(look)


async def test_one_failing_write_of_a_group_leaves_the_others(catalog):
    outcomes = await asyncio.gather(
        *(catalog.write(_insert(n, n % 40 + 1000)) for n in range(80)), return_exceptions=True
    )
    # The second half meets values of the first: each of those undoes its own insert alone.
    assert outcomes[:40] == list(range(40))
    assert all(isinstance(outcome, sqlite3.IntegrityError) for outcome in outcomes[40:])
    assert await _values(catalog) == [*range(40), *range(1000, 1040)]


async def test_writes_that_wait_share_a_commit(catalog):
    commits: list[str] = []

    def trace(conn: sqlite3.Connection) -> None:
        conn.set_trace_callback(
            lambda statement: commits.append(statement) if statement == "COMMIT" else None
        )

    await catalog.maintain(trace)
    await asyncio.gather(*(catalog.write(_insert(n)) for n in range(90)))
    await catalog.maintain(lambda conn: conn.set_trace_callback(None))
    assert await _values(catalog) == list(range(90))
    assert 1 <= len(commits) <= 3


async def test_large_writes_share_no_commit_and_small_ones_pass_them(catalog):
    ended: list[str] = []

    async def write(name: str, value: int, size: int) -> None:
        await catalog.write(_insert(value), size)
        ended.append(name)

    await asyncio.gather(
        *(write("large", n, 100 * 1024) for n in range(5)),
        *(write("small", n, 0) for n in range(10, 20)),
    )
    assert ended == ["large", *["small"] * 10, *["large"] * 4]
    assert await _values(catalog) == [*range(5), *range(10, 20)]


async def test_a_cancelled_caller_takes_nothing_from_the_others(catalog):
    tasks = [asyncio.ensure_future(catalog.write(_insert(n))) for n in range(10)]
    await asyncio.sleep(0)
    tasks[3].cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(outcomes[3], asyncio.CancelledError)
    assert outcomes[:3] + outcomes[4:] == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert set(await _values(catalog)) >= {0, 1, 2, 4, 5, 6, 7, 8, 9}


async def test_a_clean_up_at_the_end_of_the_loop_can_still_write(catalog):
    """asyncio.run cancels every task, the one that would have run the batch before it began too."""
    before = asyncio.all_tasks()
    asyncio.create_task(catalog.write(_insert(1)))  # noqa: RUF006 - found below
    while len(tasks := asyncio.all_tasks() - before) < 2:
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert await catalog.write(_insert(2)) == 2


async def test_a_commit_that_fails_reaches_every_caller(catalog):
    def forbid(conn: sqlite3.Connection) -> None:
        conn.execute("PRAGMA foreign_keys = ON")
        conn.execute("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
        conn.execute(
            """CREATE TABLE child (parent INTEGER
            REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)"""
        )

    def orphan(conn: sqlite3.Connection) -> None:
        conn.execute("INSERT INTO child VALUES (1)")

    await catalog.maintain(forbid)
    outcomes = await asyncio.gather(
        *(catalog.write(_insert(n)) for n in range(5)),
        catalog.write(orphan),
        *(catalog.write(_insert(n)) for n in range(5, 10)),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [sqlite3.IntegrityError] * 11
    assert await _values(catalog) == []
    assert await catalog.write(_insert(7)) == 7


@pytest.mark.parametrize("way", ["read", "query"])
async def test_a_look_up_that_begins_a_transaction_keeps_no_later_one_in_the_past(
    catalog, way, caplog
):
    """As an UPDATE of no row does, on the connection that all look-ups of a thread share."""
    ask = getattr(catalog, way)
    for _ in range(8):  # so that each thread's connection has had its turn
        await ask(lambda conn: conn.executemany("UPDATE t SET v = ?", []).rowcount)
    assert "began a transaction" in caplog.text
    await catalog.write(_insert(7))
    for _ in range(8):
        assert await _values(catalog) == [7]


async def test_one_failing_look_up_leaves_the_others(catalog):
    def look(n: int) -> Callable[[sqlite3.Connection], int]:
        return lambda conn: 1 // conn.execute("SELECT ?", (n,)).fetchone()[0]

    outcomes = await asyncio.gather(
        *(catalog.read(look(n)) for n in (1, 0, 1)), return_exceptions=True
    )
    assert outcomes[::2] == [1, 1]
    assert isinstance(outcomes[1], ZeroDivisionError)


def _limit_pages(more: int) -> Callable[[sqlite3.Connection], None]:
    """Let the database grow by so many pages, as a disk with that much space would."""

    def limit(conn: sqlite3.Connection) -> None:
        pages = conn.execute("PRAGMA page_count").fetchone()[0]
        conn.execute(f"PRAGMA max_page_count = {pages + more}").fetchone()

    return limit


def _blob(conn: sqlite3.Connection) -> None:
    conn.execute("INSERT INTO datasette_files_state VALUES ('big', zeroblob(1000000))")


def _blob_with_a_statement_journal(conn: sqlite3.Connection) -> None:
    """A statement that SQLite can undo by itself, where it may undo the whole transaction."""
    conn.execute(
        """INSERT INTO datasette_files_state
        SELECT 'big' || value, zeroblob(1000000) FROM json_each('[1, 2, 3]')"""
    )


@pytest.mark.parametrize("big", [_blob, _blob_with_a_statement_journal])
async def test_a_full_database_reaches_its_writer_as_no_space(catalog, big):
    """Those of its group either succeed or hear of it too; what succeeded is there."""
    await catalog.write(_insert(1000))
    await catalog.maintain(_limit_pages(20))
    outcomes = await asyncio.gather(
        *(catalog.write(_insert(n)) for n in range(3)),
        catalog.write(big),
        *(catalog.write(_insert(n)) for n in range(3, 6)),
        return_exceptions=True,
    )
    assert isinstance(outcomes.pop(3), NoSpace)
    stored = [outcome for outcome in outcomes if not isinstance(outcome, NoSpace)]
    assert all(isinstance(outcome, int) for outcome in stored), outcomes
    assert await _values(catalog) == [*stored, 1000]
    await catalog.maintain(_limit_pages(1000))
    assert await catalog.write(_insert(2000)) == 2000


async def test_a_full_internal_database_answers_507_and_keeps_no_bytes(datasette, tmp_path):
    kept = await upload(datasette, b"kept", "kept.txt")
    await Files.of(datasette).catalog.maintain(_limit_pages(0))
    statuses = set()
    for number in range(60):
        name = f"{'long name ' * 90}{number}.txt"
        response = await datasette.client.put(f"/-/files/upload/docs/{name}", content=b"x")
        statuses.add(response.status_code)
        if response.status_code != 201:
            assert (response.status_code, response.json()["code"]) == (507, "no_space")
    assert 507 in statuses
    assert (await datasette.client.get(kept["download_url"])).content == b"kept"
    await Files.of(datasette).catalog.maintain(_limit_pages(10_000))
    await upload(datasette, b"again", "again.txt")
    await Files.of(datasette).sweeper.sweep()
    page = (await datasette.client.get("/-/files/source/docs.json")).json()
    on_disk = [path for path in (tmp_path / "docs").rglob("*") if path.is_file()]
    assert len(on_disk) == page["total"]


async def test_a_locked_database_reaches_callers_as_unavailable(catalog, tmp_path):
    await catalog.maintain(lambda conn: conn.execute("PRAGMA busy_timeout = 50").fetchall())
    other = sqlite3.connect(tmp_path / "internal.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    outcomes = await asyncio.gather(
        *(catalog.write(_insert(n)) for n in range(3)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [StorageUnavailable] * 3
    other.execute("COMMIT")
    other.close()
    assert await catalog.write(_insert(1)) == 1


_OUTAGES = [
    (13, "database or disk is full", NoSpace),
    (5, "database is locked", StorageUnavailable),
    (517, "database is locked", StorageUnavailable),  # SQLITE_BUSY_SNAPSHOT
    (262, "database table is locked: t", StorageUnavailable),
    (8, "attempt to write a readonly database", StorageUnavailable),
    (1032, "attempt to write a readonly database", StorageUnavailable),
    (778, "disk I/O error", StorageUnavailable),
    (14, "unable to open database file", StorageUnavailable),
]


@pytest.mark.parametrize("with_code", [True, False], ids=["code", "message"])
@pytest.mark.parametrize(("code", "message", "answer"), _OUTAGES)
def test_an_outage_is_told_by_its_code_or_its_message(code, message, answer, with_code):
    error = sqlite3.OperationalError(message)
    if with_code:  # since Python 3.11
        error.sqlite_errorcode = code
    with pytest.raises(answer) as raised:
        translate(error)
    assert message not in str(raised.value)


def test_an_error_that_only_sounds_like_an_outage_stays_itself():
    error = sqlite3.OperationalError("no such column: full_name_locked")
    error.sqlite_errorcode = 1
    translate(error)


@pytest.mark.parametrize("outage", ["locked", "readonly"])
async def test_an_internal_database_that_takes_no_writes_answers_503(datasette, tmp_path, outage):
    kept = await upload(datasette, b"kept", "kept.txt")
    catalog, client = Files.of(datasette).catalog, datasette.client
    other = sqlite3.connect(tmp_path / "internal.db", isolation_level=None)
    if outage == "locked":
        await catalog.maintain(lambda conn: conn.execute("PRAGMA busy_timeout = 10").fetchall())
        other.execute("BEGIN IMMEDIATE")
    else:
        await catalog.maintain(lambda conn: conn.execute("PRAGMA query_only = 1").fetchall())
    form = {"file": ("a.txt", b"new")}
    changes = {"update": {"search_text": "x"}}
    for method, url, sent in (
        ("PUT", "/-/files/upload/docs/a.txt", {"content": b"new"}),
        ("POST", "/-/files/upload/docs", {"files": form, "headers": {"Accept": "text/html"}}),
        ("POST", "/-/files/upload/docs/-/prepare", {"json": {"filename": "a.txt"}}),
        ("POST", f"{kept['url']}/-/update", {"json": changes}),
        ("DELETE", kept["url"], {}),
    ):
        answer = await client.request(method, url, **sent)
        assert answer.status_code == 503, (method, url)
        assert "internal database" in answer.text
        if "headers" not in sent:
            assert answer.json()["code"] == "storage_unavailable"
    assert (await client.get(kept["download_url"])).content == b"kept"
    if outage == "locked":
        other.execute("COMMIT")
    else:
        await catalog.maintain(lambda conn: conn.execute("PRAGMA query_only = 0").fetchall())
    other.close()
    assert len([path for path in (tmp_path / "docs").rglob("*") if path.is_file()]) == 1
    await upload(datasette, b"new", "new.txt")


def test_a_lease_has_one_holder_at_a_time(conn):
    assert leases.acquire(conn, "sweep", "a", now=100, expires_at=110)
    assert not leases.acquire(conn, "sweep", "b", now=105, expires_at=115)
    assert leases.acquire(conn, "other", "b", now=105, expires_at=115)
    assert leases.acquire(conn, "sweep", "a", now=106, expires_at=116)
    assert not leases.acquire(conn, "sweep", "b", now=115, expires_at=125)
    assert leases.acquire(conn, "sweep", "b", now=116, expires_at=126)
    assert not leases.acquire(conn, "sweep", "a", now=117, expires_at=127)


def test_a_lease_of_a_time_before_the_clock_was_set_back_is_stale(conn):
    assert leases.acquire(conn, "sweep", "a", now=1000, expires_at=1010)
    assert not leases.acquire(conn, "sweep", "b", now=990, expires_at=1000)
    assert leases.acquire(conn, "sweep", "b", now=989.9, expires_at=999.9)
    assert not leases.acquire(conn, "sweep", "a", now=991, expires_at=1001)


def test_only_its_holder_gives_a_lease_up(conn):
    assert leases.acquire(conn, "sweep", "a", now=100, expires_at=110)
    leases.give_up(conn, "sweep", "b")
    assert not leases.acquire(conn, "sweep", "b", now=101, expires_at=111)
    leases.give_up(conn, "sweep", "a")
    assert leases.acquire(conn, "sweep", "b", now=102, expires_at=112)


async def test_a_write_larger_than_a_batch_runs_alone(catalog: Catalog) -> None:
    writes = [catalog.write(_insert(value), 1 << 40) for value in (1, 2)]
    assert await asyncio.wait_for(asyncio.gather(*writes), 20) == [1, 2]
    assert await _values(catalog) == [1, 2]


def test_the_id_of_a_note_is_that_of_what_is_to_be_deleted(conn):
    """By it alone ``Sweeper.remove`` ends the note of the bytes that it has deleted."""
    ids = [garbage.add(conn, 1, path) for path in ("a", "b", "c")]
    assert len(set(ids)) == 3
    assert [(one.id, one.path) for one in garbage.due(conn, 1, ["s1"], 9)] == [
        *zip(ids, "abc", strict=True)
    ]
    assert garbage.ensure(conn, 1, "b") == [ids[1]]
    (new,) = garbage.ensure(conn, 1, "d")
    assert new not in ids
    garbage.done(conn, [ids[1], new], now=5)
    assert [one.path for one in garbage.due(conn, 9, ["s1"], 9)] == ["a", "c"]
    garbage.done(conn, [garbage.add(conn, 1, "e", "df-e", "alice")], now=5)
    for before, remembered in ((4, ("s1", "alice")), (5, None)):
        garbage.purge(conn, before)
        assert garbage.deleted_by(conn, "df-e") == remembered


def test_bytes_past_datasette_are_discarded_when_no_more_can_arrive(conn):
    """A URL signed at 500 for 400 s; a request that began by then may last five minutes more."""
    conn.execute(
        """INSERT INTO datasette_files_uploads (id, source_id, file_id, path, filename,
            content_type, state, instructions, created_at, signed_at, expires_at)
        VALUES ('u', 1, 'f', 'p', 'n', 't', 'prepared', '{}', 100, 500, 900)"""
    )
    upload = uploads.get(conn, "u")
    assert upload is not None
    assert uploads.expire(conn, 899, 2000, 9) == 0
    assert uploads.expire(conn, 900, 2000, 9) == 1
    for now, sent in ((1199, []), (1200, [("p", "{}")])):
        due = garbage.due(conn, now, ["s1"], 9)
        assert [(one.path, one.instructions) for one in due] == [("p", None), *sent]
    assert uploads.expire(conn, 1999, 3000, 9) == 0
    assert uploads.expire(conn, 2000, 3000, 9) == 1
    assert conn.execute("SELECT count(*) FROM datasette_files_uploads").fetchone() == (0,)
    assert not uploads.claim(conn, upload, 2000)
    assert len(garbage.due(conn, 1999, ["s1"], 9)) == 2
    assert len(garbage.due(conn, 2000, ["s1"], 9)) == 3


def test_the_files_of_a_bulk_action_are_remembered_for_a_week(conn):
    conn.execute(
        """INSERT INTO datasette_files_jobs (id, kind, actor, options, status, updated_at)
        VALUES (1, ?, 'null', '{}', 'finished', 100)""",
        (bulk.KIND,),
    )
    conn.execute("INSERT INTO datasette_files_bulk VALUES (1, 0, 'df-1', 'done')")
    for now, left in ((100 + bulk.REMEMBERED_SECONDS, 1), (101 + bulk.REMEMBERED_SECONDS, 0)):
        assert not bulk.forget(conn, now)
        assert conn.execute("SELECT count(*) FROM datasette_files_bulk").fetchone() == (left,)


def test_a_zip_is_gone_before_all_its_members_are_forgotten(conn, monkeypatch):
    monkeypatch.setattr(zips, "_FORGOTTEN", 2)
    number = zips.begin(conn, None, "z", "all.zip", 100, 200)
    conn.executemany(
        """INSERT INTO datasette_files_zip_members (zip, start, central, file_id, name, size,
            created_at) VALUES (?, ?, 0, 'df-1', 'a', 0, '')""",
        [(number, start) for start in range(3)],
    )
    zips.finish(conn, number, zips.Totals(3, 3, 3))
    assert zips.get(conn, "z") is not None
    assert zips.forget(conn, number)
    assert zips.get(conn, "z") is None
    assert not zips.forget(conn, number)
    assert conn.execute("SELECT count(*) FROM datasette_files_zips").fetchone() == (0,)


async def test_two_datasettes_on_one_database_sweep_by_turns(make_datasette):
    """The one without the lease leaves what is due alone; when it has it, it sweeps."""
    one, other = await make_datasette(), await make_datasette()
    catalog = Files.of(one).catalog
    await catalog.write(
        lambda conn: leases.acquire(conn, "sweep", "third", time.time(), time.time() + 9)
    )
    for datasette in (one, other):
        prepared = await datasette.client.post(
            "/-/files/upload/docs/-/prepare", json={"filename": "x.txt"}
        )
        assert prepared.status_code == 200
    await catalog.write(
        lambda conn: conn.execute("UPDATE datasette_files_uploads SET expires_at = 1")
    )

    def states(conn: sqlite3.Connection) -> list[str]:
        return [row[0] for row in conn.execute("SELECT state FROM datasette_files_uploads")]

    await Files.of(one).sweeper.sweep()
    assert await catalog.read(states) == ["prepared", "prepared"]
    await catalog.write(lambda conn: leases.give_up(conn, "sweep", "third"))
    await Files.of(other).sweeper.sweep()
    assert await catalog.read(states) == ["expired", "expired"]


async def test_a_write_that_fails_without_company_is_undone_quietly(
    catalog: Catalog, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(conn: sqlite3.Connection) -> None:
        _insert(1, 2)(conn)
        raise NoSpace("no")

    with pytest.raises(NoSpace):
        await catalog.write(fail)
    assert await _values(catalog) == []
    assert await catalog.write(_insert(3)) == 3
    assert await _values(catalog) == [3]
    assert capfd.readouterr().err == "", "Datasette prints what leaves a write"
