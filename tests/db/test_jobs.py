"""The steps of a job's row: who takes it, for how long, and how it ends."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import Any

import pytest

from datasette_files.db import jobs
from datasette_files.errors import Conflict


def _add(conn: sqlite3.Connection, actor: str | None = "a", kind: str = "count") -> int:
    who = None if actor is None else {"id": actor, "_r": {"a": ["x"]}}
    return jobs.add(
        conn, kind=kind, actor=who, actor_id=actor, options={"o": 1}, notes={"n": 1, "m": 2}
    )


def _claim(conn: sqlite3.Connection, now: float = 100, limit: int = 1, **more: Any) -> int | None:
    values = {"holder": "h", "length": 8, **more}
    job = jobs.claim(conn, "count", "begins", now=now, limit=limit, **values)
    return None if job is None else job.id


def _lease(conn: sqlite3.Connection, job_id: int = 1) -> tuple[Any, ...]:
    row = conn.execute(
        "SELECT lease_until, unclean FROM datasette_files_jobs WHERE id = ?", (job_id,)
    ).fetchone()
    return tuple(row)


def _got(conn: sqlite3.Connection, job_id: int = 1) -> jobs.Job:
    job = jobs.get(conn, job_id)
    assert job is not None
    return job


def test_a_job_is_got_by_its_id_and_kind(conn):
    assert [_add(conn), _add(conn, None)] == [1, 2]
    waiting = _got(conn)
    assert (waiting.actor, waiting.actor_id) == ({"id": "a", "_r": {"a": ["x"]}}, "a")
    assert (waiting.options, waiting.notes) == ({"o": 1}, {"n": 1, "m": 2})
    assert (waiting.status, waiting.cancel, waiting.phase) == ("pending", False, None)
    assert (_got(conn, 2).actor, _got(conn, 2).actor_id) == (None, None)
    assert jobs.get(conn, 1, "count") == waiting
    assert jobs.get(conn, 1, "other") is None
    assert jobs.get(conn, 3) is None


def test_a_claimed_job_is_held_for_the_length_of_its_lease(conn):
    _add(conn)
    assert _claim(conn) == 1
    job = _got(conn)
    assert (job.status, job.holder, job.phase) == ("running", "h", "begins")
    assert (job.begun_at, job.updated_at) == (100, 100)
    assert _lease(conn) == (108, 1)
    assert jobs.take_over(conn, ["count"], holder="i", now=107.9, length=8) is None
    taken = jobs.take_over(conn, ["count"], holder="i", now=108, length=8)
    assert taken == replace(job, holder="i")
    assert _lease(conn) == (116, 1)


def test_jobs_are_taken_in_their_order_while_there_are_places(conn):
    for _ in range(4):
        _add(conn)
    _add(conn, kind="other")
    assert [_claim(conn, limit=2) for _ in range(3)] == [1, 2, None]
    assert [_claim(conn, now=now, limit=2) for now in (92, 107.9)] == [None, None]
    assert _claim(conn, now=108, limit=2) == 3, "a lease that is over takes no place"
    assert _claim(conn, now=83.9, limit=1) == 4, "nor does one of a time that is yet to come"
    assert _claim(conn, limit=9) is None
    assert jobs.claim(conn, "other", "p", holder="h", now=100, length=8, limit=1) is not None


def test_a_named_job_is_taken_before_older_ones(conn):
    for _ in range(3):
        _add(conn)
    assert _claim(conn, limit=9, job_id=2) == 2
    assert _claim(conn, limit=9, job_id=2) is None, "it does not wait any more"
    assert _claim(conn, limit=9) == 1


@pytest.mark.parametrize("busy", ["a", None])
def test_an_actor_leaves_as_many_places_as_its_jobs_take(conn, busy):
    """All anonymous users count as one actor."""
    for actor in (busy, busy, busy, "b"):
        _add(conn, actor)
    assert [_claim(conn, limit=4, shared=True) for _ in range(4)] == [1, 2, 4, None]
    assert _claim(conn, limit=4) == 3


def test_a_lease_of_a_process_that_is_gone_ends_at_once(conn):
    for _ in range(4):
        _add(conn)
    for number, holder in ((1, "gone"), (2, "alive"), (3, "gone")):
        assert _claim(conn, limit=9, holder=holder, job_id=number) == number
    jobs.end(conn, 3, "finished")
    jobs.cleaned(conn, 3)
    asked: list[str] = []

    def is_gone(holder: str) -> bool:
        asked.append(holder)
        return holder == "gone"

    jobs.release_dead(conn, 108, is_gone)
    assert asked == []
    jobs.release_dead(conn, 107.9, is_gone)
    assert sorted(asked) == ["alive", "gone"]
    assert [_lease(conn, number)[0] for number in (1, 2, 3)] == [0, 108, 108]


def test_what_is_still_to_be_cleaned_up_is_taken_over_when_it_is_due(conn):
    _add(conn)
    _claim(conn)
    assert jobs.end(conn, 1, "error", "broken")
    assert jobs.any_active(conn)
    jobs.cleaned(conn, 1, look_again_at=500)
    assert _lease(conn) == (500, 1)
    values: dict[str, Any] = {"holder": "i", "length": 8}
    assert jobs.take_over(conn, ["count"], now=499, **values) is None
    assert jobs.take_over(conn, ["other"], now=500, **values) is None
    taken = jobs.take_over(conn, ["other", "count"], now=500, **values)
    assert taken is not None
    assert taken.status == "error"
    jobs.cleaned(conn, 1)
    assert _lease(conn) == (508, 0)
    assert not jobs.any_active(conn)
    assert jobs.take_over(conn, ["count"], now=900, **values) is None


def test_of_jobs_whose_processes_died_the_first_is_taken_over_first(conn):
    for number, now in ((1, 120), (2, 100)):
        _add(conn)
        assert _claim(conn, now, limit=9) == number
    values: dict[str, Any] = {"holder": "i", "now": 200, "length": 8}
    taken = [jobs.take_over(conn, ["count"], **values) for _ in range(3)]
    assert [one and one.id for one in taken] == [2, 1, None]


def test_whoever_holds_the_job_renews_it_and_hears_of_a_cancel(conn):
    _add(conn)
    _claim(conn)
    job = _got(conn)

    def renew(held: jobs.Job, **progress: int) -> bool | None:
        return jobs.renew(conn, held, now=104, length=8, phase="reads", progress=progress)

    assert renew(job, rows=3, bytes=5) is False
    assert renew(job, rows=4) is False
    now = _got(conn)
    assert (now.updated_at, now.phase, now.progress) == (104, "reads", {"rows": 4, "bytes": 5})
    assert _lease(conn) == (112, 1)
    assert renew(replace(job, holder="i"), rows=9) is None
    assert jobs.stands(conn, job) is True
    assert jobs.stands(conn, replace(job, holder="i")) is None
    assert jobs.stands(conn, replace(job, id=9)) is None
    assert jobs.cancel(conn, 1) == "running"
    assert renew(job) is True
    assert jobs.stands(conn, job) is False
    assert not jobs.commits(conn, job, {"r": 1})
    assert not jobs.again(conn, job)
    assert jobs.end(conn, 1, "cancelled")
    assert (renew(job), jobs.stands(conn, job)) == (None, None)
    assert _got(conn).progress == {"rows": 4, "bytes": 5}


def test_notes_are_added_replaced_and_removed(conn):
    _add(conn)
    _add(conn)
    jobs.note(conn, 1, n=None, m=3, k="x")
    assert _got(conn).notes == {"m": 3, "k": "x"}
    assert _got(conn, 2).notes == {"n": 1, "m": 2}


def test_an_interrupted_job_waits_again(conn):
    _add(conn)
    assert not jobs.again(conn, _got(conn)), "it waits already"
    _claim(conn)
    assert jobs.again(conn, _got(conn))
    assert (_got(conn).status, _got(conn).holder, _lease(conn)) == ("pending", None, (0, 0))
    assert _claim(conn) == 1


def test_the_last_transaction_is_begun_by_whoever_holds_the_job(conn):
    _add(conn)
    job = _got(conn)
    assert not jobs.commits(conn, job, {"r": 1})
    _claim(conn)
    assert not jobs.commits(conn, job, {"r": 1}), "as nobody held it"
    assert jobs.commits(conn, _got(conn), {"r": 1})
    assert (_got(conn).notes["committing"], _got(conn).result) == (1, {"r": 1})


def test_a_job_ends_once_and_forgets_its_actor_but_for_the_id(conn):
    _add(conn)
    _add(conn)
    _claim(conn)
    jobs.commits(conn, _got(conn), {"r": 1})
    assert jobs.end(conn, 1, "error", "broken", progress={"rows": 2})
    job = _got(conn)
    assert (job.status, job.error, job.actor, job.actor_id) == ("error", "broken", None, "a")
    assert (job.result, job.progress) == ({"r": 1}, {"rows": 2})
    assert not jobs.end(conn, 1, "finished", result={"r": 2})
    assert _got(conn) == job
    assert jobs.end(conn, 2, "finished", result={"r": 2})
    assert _got(conn, 2).result == {"r": 2}


def test_a_pending_job_that_is_cancelled_is_over_at_once(conn):
    _add(conn)
    assert jobs.any_active(conn)
    assert jobs.cancel(conn, 1) == "pending"
    assert (_got(conn).status, _got(conn).cancel) == ("cancelled", True)
    assert not jobs.any_active(conn)
    assert jobs.cancel(conn, 1) is None
    assert jobs.cancel(conn, 2) is None


def test_only_so_many_jobs_of_a_kind_and_of_an_actor_wait(conn, monkeypatch):
    monkeypatch.setattr(jobs, "MAX_WAITING", 4)
    monkeypatch.setattr(jobs, "MAX_WAITING_OF_ACTOR", 2)
    _add(conn)
    _claim(conn)
    for actor in ("a", "a", None, None):
        _add(conn, actor)
    for actor, words in (
        ("a", "2 counts of yours"),
        (None, "2 counts of yours"),
        ("b", "4 counts"),
    ):
        with pytest.raises(Conflict, match=words):
            _add(conn, actor)
    _add(conn, "a", "other")
    _claim(conn, limit=2)
    _add(conn, "b")
    with pytest.raises(Conflict, match="4 counts"):
        _add(conn, "a")
