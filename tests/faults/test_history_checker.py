"""The checkers of recorded histories find what is wrong in planted ones, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.support.faults.histories import Operation, conflicts_alone, unexplained
from tests.support.faults.room import Room


def op(kind: str, begin: float, end: float | None, code: str = "ok", **more: Any) -> Operation:
    """An operation of alice on the version ``v1``."""
    found, file = more.pop("found", None), more.pop("file", "v1")
    actor = more.pop("actor", "alice")
    given: dict[str, Any] = {"source": "a", "sha256": "s1", "size": 10, **more}
    file = "" if kind in ("upload", "list") else file
    return Operation(kind, file, actor, begin, end, code, given, found)


UPLOAD = op("upload", 0, 1, found="v1")
SHARE = op("share", 2, 3, found="l1")
NOBODY = {"source": "a", "tags": frozenset(), "superseded_by": None}


def _by_link(begin: float, end: float, code: str = "ok") -> Operation:
    return op("download by link", begin, end, code, link="l1", found="s1")


EXPLAINED: dict[str, Sequence[Operation]] = {
    "read after upload": [UPLOAD, op("download", 2, 3, found="s1")],
    "read beside a deletion": [
        *(UPLOAD, op("delete", 2, 5), op("download", 3, 4, found="s1")),
        op("download", 3, 6, "not_found"),
    ],
    "deleted twice by one": [UPLOAD, op("delete", 2, 3), op("delete", 4, 5)],
    "deleted by another": [
        *(UPLOAD, op("delete", 2, 3), op("delete", 4, 5, "not_found", actor="bob")),
    ],
    "restored": [
        *(UPLOAD, op("delete", 2, 3), op("restore", 4, 5), op("restore", 6, 7, "not_found")),
        op("record", 8, 9, found=NOBODY),
    ],
    "purged": [
        *(UPLOAD, op("delete", 2, 3), op("purge", 4, 5), op("download", 6, 7, "not_found")),
    ],
    "one of two replacements": [
        *(UPLOAD, op("replace", 2, 6, sha256="s2", found="v2")),
        *(op("replace", 3, 5, "conflict", sha256="s3"), op("download", 7, 8, found="s1")),
        op("download", 7, 8, file="v2", found="s2"),
        op("record", 7, 8, found={**NOBODY, "superseded_by": "v2"}),
        op("list", 7, 8, found={"v2"}),
    ],
    "the older version is the newest again": [
        *(UPLOAD, op("replace", 2, 3, sha256="s2", found="v2"), op("delete", 4, 5, file="v2")),
        *(op("list", 6, 7, found={"v1"}), op("replace", 8, 9, sha256="s3", found="v3")),
        *(op("restore", 10, 11, file="v2"), op("list", 12, 13, found={"v3"})),
        op("record", 12, 13, found={**NOBODY, "superseded_by": "v2"}),
        op("record", 12, 13, file="v2", found={**NOBODY, "superseded_by": "v3"}),
    ],
    "moved": [
        *(UPLOAD, op("move", 2, 5, source="b"), op("list", 3, 4, found={"v1"})),
        op("list", 3, 4, source="b", found={"v1"}),
        op("list", 6, 7, found=set()),
        op("record", 6, 7, found={**NOBODY, "source": "b"}),
    ],
    "tags of two": [
        *(UPLOAD, op("tag", 2, 4, tags={"x"}), op("tag", 3, 5, tags={"y"})),
        *(op("untag", 6, 7, tags={"x"}), op("record", 8, 9, found={**NOBODY, "tags": {"y"}})),
    ],
    "read beside a revocation": [
        *(UPLOAD, SHARE, op("revoke", 4, 7, link="l1"), _by_link(5, 6), _by_link(8, 9, "not_found"))
    ],
    "a link in the trash": [
        *(UPLOAD, SHARE, op("delete", 4, 5), _by_link(6, 7, "not_found"), op("restore", 8, 9)),
        _by_link(10, 11),
    ],
    "without an answer, done": [
        *(UPLOAD, op("delete", 2, None), op("download", 9, 10, "not_found")),
    ],
    "without an answer, done late": [
        *(UPLOAD, op("delete", 2, None), op("download", 5, 6, found="s1")),
        op("download", 9, 10, "not_found"),
    ],
    "a new version without an answer": [
        *(UPLOAD, op("replace", 2, None, sha256="s2")),
        op("replace", 4, 5, "conflict", sha256="s3"),
    ],
}
NOT_EXPLAINED: dict[str, Sequence[Operation]] = {
    "a lost file": [UPLOAD, op("download", 2, 3, "not_found")],
    "other bytes under an id": [UPLOAD, op("download", 2, 3, found="s2")],
    "the bytes of the next version": [
        *(UPLOAD, op("replace", 2, 3, sha256="s2", found="v2"), op("download", 4, 5, found="s2")),
    ],
    "back and forth": [  # found, then not, while one deletion runs, then found again
        *(UPLOAD, op("delete", 2, 9), op("download", 3, 4, "not_found")),
        op("download", 5, 6, found="s1"),
    ],
    "a deletion that was undone": [
        *(UPLOAD, op("delete", 2, 3), op("download", 4, 5, found="s1")),
    ],
    "a deletion by nobody": [
        *(UPLOAD, op("delete", 2, 3), op("delete", 4, 5, actor="bob")),
    ],
    "restored twice": [
        *(UPLOAD, op("delete", 2, 3), op("restore", 4, 8), op("restore", 5, 7)),
    ],
    "purged and back": [
        *(UPLOAD, op("delete", 2, 3), op("purge", 4, 5), op("restore", 6, 7)),
    ],
    "two next versions": [
        *(UPLOAD, op("replace", 2, 5, sha256="s2", found="v2")),
        op("replace", 3, 6, sha256="s3", found="v3"),
    ],
    "a conflict without a newer version": [UPLOAD, op("replace", 2, 3, "conflict")],
    "in two sources": [
        *(UPLOAD, op("move", 2, 3, source="b"), op("list", 4, 5, found={"v1"})),
    ],
    "a superseded version listed": [
        *(UPLOAD, op("replace", 2, 3, sha256="s2", found="v2"), op("list", 4, 5, found={"v1"})),
    ],
    "a lost tag": [
        *(UPLOAD, op("tag", 2, 4, tags={"x"}), op("tag", 3, 5, tags={"y"})),
        op("record", 6, 7, found={**NOBODY, "tags": {"y"}}),
    ],
    "a tag of the past": [
        *(UPLOAD, op("set tags", 2, 3, tags={"x"}), op("record", 4, 5, found=NOBODY)),
    ],
    "read after the revocation": [
        *(UPLOAD, SHARE, op("revoke", 4, 5, link="l1"), _by_link(6, 7)),
    ],
    "read by a link of a deleted file": [UPLOAD, SHARE, op("delete", 4, 5), _by_link(6, 7)],
    "an unknown version": [UPLOAD, op("download", 2, 3, file="v9", found="s1")],
    "a failure": [UPLOAD, op("delete", 2, 3, "storage_error")],
    "without an answer, undone": [
        *(UPLOAD, op("delete", 2, None), op("download", 3, 4, "not_found")),
        op("download", 5, 6, found="s1"),
    ],
}


@pytest.mark.parametrize("name", EXPLAINED)
def test_a_history_that_an_order_explains(name: str) -> None:
    assert unexplained(EXPLAINED[name]) is None


@pytest.mark.parametrize("name", NOT_EXPLAINED)
def test_a_history_that_no_order_explains(name: str) -> None:
    history = NOT_EXPLAINED[name]
    found = unexplained(history)
    assert found is not None
    assert found in history[-2:]


def test_a_conflict_needs_another_change_beside_it() -> None:
    alone = op("move", 4, 5, "conflict", source="b")
    beside = [op("move", 2, 4.5, source="b"), op("move", 2, 4.5, source="b", file="v2")]
    assert conflicts_alone([UPLOAD, alone]) == [alone]
    assert conflicts_alone([UPLOAD, alone, beside[1]]) == [alone]
    assert conflicts_alone([UPLOAD, alone, beside[0]]) == []


def test_a_source_over_its_quota_is_found() -> None:
    other = op("upload", 2, 3, found="v2", size=6)
    assert Room([UPLOAD, other], {"a": 16}).passed() == []
    assert Room([UPLOAD, other], {"a": 15}).passed() == [("a", 3, 16)]
    moved = op("move", 1.5, 2.5, source="b")
    assert Room([UPLOAD, moved, other], {"a": 15, "b": 10}).passed() == []
    assert Room([UPLOAD, moved, other], {"a": 15, "b": 9}).passed() == [("b", 2.5, 10)]
    assert Room([UPLOAD, op("move", 2, 3), op("move", 4, 5)], {"a": 10}).passed() == []
    # What is in the trash counts until it is purged, perhaps by a request without an answer.
    assert Room([UPLOAD, op("delete", 1, 2), other], {"a": 15}).passed() == [("a", 3, 16)]
    assert Room([UPLOAD, op("purge", 1.5, None), other], {"a": 15}).passed() == []


def test_a_refusal_is_right_if_the_room_may_have_been_taken() -> None:
    refused = op("upload", 4, 5, "quota_exceeded", size=6)

    def needless(*others: Operation) -> bool:
        return refused in Room([*others, refused], {"a": 15, "b": 15}).refused_needlessly()

    assert needless()
    assert not needless(UPLOAD)
    assert needless(UPLOAD, op("purge", 2, 3))
    assert not needless(UPLOAD, op("purge", 2, 4.5))
    assert not needless(UPLOAD, op("purge", 2, None))
    assert needless(UPLOAD, op("move", 2, 3, source="b"))
    assert not needless(UPLOAD, op("move", 2, 3, source="b"), op("move", 3.5, 6))
    # Uploads that end otherwise reserve meanwhile, or until they expire.
    assert not needless(op("upload", 4.5, 6, "quota_exceeded"))
    assert needless(op("upload", 2, 3, "quota_exceeded"))
    assert not needless(op("replace", 2, 3, "conflict"))
    assert not needless(op("upload", 2, None))
    assert needless(op("upload", 6, 7, found="v2"))
