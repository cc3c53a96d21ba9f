"""What a synchronization would do, for every pair of states of the two sides."""

from __future__ import annotations

import pytest

from datasette_files.client.mirroring import Digests, Known, Local, Remote, Sides, down, up

OLD, NEW = Digests("old", "00000001"), Digests("new", "00000002")
KNOWN = {"a": Known("df-1", 3, 10, "old")}


def sides(local: str, remote: str, *, known: bool = True, crc32: str | None = "00000009") -> Sides:
    """``local``: gone, same, touched, changed. ``remote``: gone, same, newer, equal (to local)."""
    mtimes = {"same": 10, "touched": 11, "changed": 12}
    digests = NEW if local == "changed" else OLD
    crc = digests.crc32 if remote == "equal" else crc32
    there = {"same": Remote("df-1", 3, None)}
    return Sides(
        local={} if local == "gone" else {"a": Local(3, mtimes[local])},
        remote={} if remote == "gone" else {"a": there.get(remote, Remote("df-2", 3, crc))},
        known=KNOWN if known else {},
        read=lambda path: digests,
    )


@pytest.mark.parametrize(
    ("local", "remote", "upwards", "downwards"),
    [
        ("same", "same", "same", "same"),
        ("touched", "same", "same", "same"),
        ("changed", "same", "send", "other"),
        ("same", "newer", "other", "fetch"),
        ("touched", "newer", "other", "fetch"),
        ("changed", "newer", "conflict", "conflict"),
        ("changed", "equal", "adopt", "adopt"),
        ("same", "gone", "send", "remove"),
        ("changed", "gone", "send", "other"),
        ("gone", "same", "remove", "fetch"),
        ("gone", "newer", "other", "fetch"),
    ],
)
def test_each_change_of_a_side_has_its_step(local, remote, upwards, downwards):
    assert [step.kind for step in up(sides(local, remote), deletes=True)] == [upwards]
    assert [step.kind for step in down(sides(local, remote), deletes=True)] == [downwards]
    for plan in (up, down):
        assert "remove" not in [step.kind for step in plan(sides(local, remote), deletes=False)]


@pytest.mark.parametrize("plan", [up, down])
def test_what_no_run_has_seen_is_neither_replaced_nor_deleted(plan):
    (step,) = plan(sides("same", "newer", known=False), deletes=True)
    assert step.kind == "conflict"
    (step,) = plan(sides("same", "newer", known=False, crc32=None), deletes=True)
    assert step.kind == "conflict"
    (step,) = plan(sides("same", "equal", known=False), deletes=True)
    assert step.kind == "adopt"
    for local, remote in (("gone", "newer"), ("same", "gone")):
        (step,) = plan(sides(local, remote, known=False), deletes=True)
        assert step.kind in ("send", "fetch", "other")
