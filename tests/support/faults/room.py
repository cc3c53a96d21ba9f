"""Decides whether a recorded history keeps the quotas of its sources.

Two bounds are compared, as a history tells only when a request began and ended. What a source
holds for certain never passes its quota; and a refusal is right if what it may have held, with the
refused file, would. Leaves out the order of operations on one file (histories.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.support.faults.histories import Operation, overlap

#: Requests that put a file into a source, and that may take it out of one.
_IN, _OUT = ("upload", "replace", "move"), ("move", "purge")
_NEVER = float("inf")


class Room:
    """A history, and the quota of each source in bytes."""

    def __init__(self, history: Sequence[Operation], quotas: Mapping[str, int]) -> None:
        self._quotas = quotas
        self._in = [one for one in history if one.kind in _IN]
        self._out: dict[str, list[Operation]] = {}
        for one in history:
            if one.kind in _OUT and one.code == "ok":
                self._out.setdefault(one.file, []).append(one)

    def passed(self) -> list[tuple[str, float, int]]:
        """``(source, moment, bytes)`` of each moment at which a source held too much."""
        changes: dict[str, list[tuple[float, int]]] = {source: [] for source in self._quotas}
        until: dict[tuple[str, str], float] = {}
        for put in sorted(self._in, key=lambda one: one.end or _NEVER):
            if put.code != "ok" or put.end is None:
                continue
            source, size = put.given["source"], put.given["size"]
            left = min((out.begin for out in self._outs(put)), default=_NEVER)
            # A file may be moved to where it is: it counts once.
            begin = max(put.end, until.get((source, _file(put)), 0))
            if left > begin:
                changes[source] += [(begin, size), (left, -size)]
                until[source, _file(put)] = left
        found = []
        for source, steps in changes.items():
            held = 0
            for moment, size in sorted(steps):  # at one moment what leaves comes first
                held += size
                if held > self._quotas[source]:
                    found.append((source, moment, held))
        return found

    def refused_needlessly(self) -> list[Operation]:
        """Requests that were refused for a quota although there was room all the time."""
        return [
            one
            for one in self._in
            if one.code == "quota_exceeded"
            and self._most(one) + one.given["size"] <= self._quotas[one.given["source"]]
        ]

    def _outs(self, put: Operation) -> list[Operation]:
        """Requests that may have taken a file out of the source to which ``put`` brought it."""
        return [
            out
            for out in self._out.get(_file(put), ())
            if (out.end is None or out.end >= put.begin)
            and (out.kind == "purge" or out.given["source"] != put.given["source"])
        ]

    def _most(self, refused: Operation) -> int:
        """The most bytes that a source may have held or reserved while a request was refused."""
        held: dict[str, int] = {}
        reserved = 0
        for one in self._in:
            if one.given["source"] != refused.given["source"] or one is refused:
                continue
            if refused.end is not None and one.begin > refused.end:
                continue
            if one.code == "ok" and _file(one):
                if not self._is_out(one, refused):
                    held[_file(one)] = one.given["size"]
            elif _may_last(one) or overlap(one, refused):
                reserved += one.given["size"]
        return reserved + sum(held.values())

    def _is_out(self, put: Operation, refused: Operation) -> bool:
        """Whether the file had left the source for certain before the refused request."""
        return any(
            out.end is not None
            and out.end < refused.begin
            and put.end is not None
            and out.begin > put.end
            for out in self._outs(put)
        )


def _file(put: Operation) -> str:
    """The id of the file that was put somewhere; empty if it is not known."""
    return put.file if put.kind == "move" else (put.found or "")


def _may_last(put: Operation) -> bool:
    """Whether a reservation may outlive its request.

    So does that of an upload which is refused at its end for another reason: it could be completed
    until it expires.
    """
    return put.end is None or (put.kind != "move" and put.code != "quota_exceeded")
