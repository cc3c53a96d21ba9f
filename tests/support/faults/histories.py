"""Decides whether a recorded history of operations on files can be explained.

A file and its versions are one register. A history of it is explained if its operations have an
order that agrees with real time (what ended before another began comes first) and in which each
answer is right. The search is Wing and Gong's, in the form of Lowe's "Testing for linearizability"
(2017): the configurations that are possible so far, carried over the operations' ends in turn.

Leaves out making a history (history_clients.py) and quotas, which concern all files (room.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


@dataclass(frozen=True, eq=False)
class Operation:
    """One request, with its begin, end and answer. Times are in seconds of one clock.

    ``given`` is what it asked for, by name; ``found`` what a successful answer told.
    """

    kind: str
    #: The id of the version that it concerns; empty for an upload and a list.
    file: str
    actor: str
    begin: float
    #: None: no answer came, so it may have taken effect at any time since, or never.
    end: float | None
    #: ``ok``, or the code of the refusal; ``ok`` without an answer.
    code: str
    given: dict[str, Any] = field(default_factory=dict)
    found: Any = None


class Version(NamedTuple):
    """One version of a file."""

    #: Empty if its request got no answer: nobody knows it.
    id: str
    sha256: str
    source: str
    tags: frozenset[str] = frozenset()
    #: The share links that show it and are not revoked.
    links: frozenset[str] = frozenset()
    #: ``files``, ``trash`` or ``gone``.
    place: str = "files"
    #: Who deleted or purged it: a repeated deletion by the same succeeds.
    by: str = ""


#: The versions of one file, the oldest first.
State = tuple[Version, ...]


def unexplained(history: Iterable[Operation]) -> Operation | None:
    """The first operation of one file's history that no order explains; None if all are."""
    events = [(one.begin, 0, one) for one in history]
    events += [(one.end, 1, one) for one in history if one.end is not None]
    running: set[Operation] = set()
    # The running operations that have taken effect, and the state then.
    possible: set[tuple[frozenset[Operation], State]] = {(frozenset(), ())}
    for _, is_end, operation in sorted(events, key=lambda event: event[:2]):
        if not is_end:
            running.add(operation)
            continue
        possible = _until(operation, running, possible)
        if not possible:
            return operation
        running.remove(operation)
    return None


def _until(
    operation: Operation,
    running: set[Operation],
    possible: set[tuple[frozenset[Operation], State]],
) -> set[tuple[frozenset[Operation], State]]:
    """The configurations in which the operation, which ends now, has taken effect."""
    seen, todo = set(possible), list(possible)
    done: set[tuple[frozenset[Operation], State]] = set()
    while todo:
        early, state = todo.pop()
        if operation in early:
            done.add((early - {operation}, state))
            continue
        for other in running - early:
            following = after(other, state)
            if following is None:
                continue
            configuration = (early | {other}, following)
            if configuration not in seen:
                seen.add(configuration)
                todo.append(configuration)
    return done


def after(operation: Operation, state: State) -> State | None:
    """The state after an operation; None if its answer is wrong in this state."""
    if operation.kind in ("upload", "list"):
        return _WHOLE[operation.kind](operation, state)
    at = next((at for at, version in enumerate(state) if version.id == operation.file), None)
    if at is None:
        return None
    if operation.code != "ok":
        refused = _REFUSED.get(operation.code)
        return state if refused and refused(operation, state, at) else None
    changed = _STEPS[operation.kind](operation, state, at)
    return changed if changed is None else tuple(changed)


def _upload(operation: Operation, state: State) -> State | None:
    if operation.code != "ok":
        return state if operation.code == "quota_exceeded" else None
    given = operation.given
    tags = frozenset(given.get("tags", ()))
    return (*state, Version(operation.found, given["sha256"], given["source"], tags))


def _list(operation: Operation, state: State) -> State | None:
    """A list has the newest version of each file that is in the source."""
    newest = _newest(state)
    shown = newest is not None and newest.source == operation.given["source"]
    return state if operation.found == ({newest.id} - {""} if newest and shown else set()) else None


def _newest(state: Sequence[Version]) -> Version | None:
    return next((one for one in reversed(state) if one.place == "files"), None)


def _replace(operation: Operation, state: State, at: int) -> list[Version] | None:
    if _newest(state) != state[at]:
        return None
    given = operation.given
    new = Version(operation.found or "", given["sha256"], given["source"], state[at].tags)
    return [*state, new]


def _step(
    change: Callable[[Operation, Version], dict[str, Any] | None], place: str = "files"
) -> Callable[[Operation, State, int], list[Version] | None]:
    """A step that changes one version which is in that place; ``change`` gives what changes."""

    def step(operation: Operation, state: State, at: int) -> list[Version] | None:
        changes = change(operation, state[at]) if state[at].place == place else None
        if changes is None:
            return None
        return [*state[:at], state[at]._replace(**changes), *state[at + 1 :]]

    return step


def _delete(operation: Operation, state: State, at: int) -> list[Version] | None:
    if state[at].place != "files":  # repeated
        return list(state) if state[at].by == operation.actor else None
    return _step(lambda one, version: {"place": "trash", "by": one.actor})(operation, state, at)


def _record(operation: Operation, state: State, at: int) -> list[Version] | None:
    version, told = state[at], operation.found
    following = next((one.id for one in state[at + 1 :] if one.place == "files"), None)
    if following == "":
        following = told["superseded_by"] or None  # it has some id
    right = {"source": version.source, "tags": version.tags, "superseded_by": following}
    return list(state) if version.place == "files" and told == right else None


def _reads(operation: Operation, version: Version) -> dict[str, Any] | None:
    return {} if operation.found == version.sha256 else None


def _reads_by_link(operation: Operation, version: Version) -> dict[str, Any] | None:
    return _reads(operation, version) if operation.given["link"] in version.links else None


def _revoke(operation: Operation, state: State, at: int) -> list[Version] | None:
    links = state[at].links - {operation.given["link"]}
    return [*state[:at], state[at]._replace(links=links), *state[at + 1 :]]


_WHOLE: dict[str, Callable[[Operation, State], State | None]] = {"upload": _upload, "list": _list}
_STEPS: dict[str, Callable[[Operation, State, int], list[Version] | None]] = {
    "replace": _replace,
    "delete": _delete,
    "restore": _step(lambda one, version: {"place": "files", "by": ""}, "trash"),
    "purge": _step(lambda one, version: {"place": "gone", "by": one.actor}, "trash"),
    "move": _step(lambda one, version: {"source": one.given["source"]}),
    "tag": _step(lambda one, version: {"tags": version.tags | one.given["tags"]}),
    "untag": _step(lambda one, version: {"tags": version.tags - one.given["tags"]}),
    "set tags": _step(lambda one, version: {"tags": frozenset(one.given["tags"])}),
    "share": _step(lambda one, version: {"links": version.links | {one.found}}),
    "revoke": _revoke,
    "record": _record,
    "download": _step(_reads),
    "download by link": _step(_reads_by_link),
}


def _is_absent(operation: Operation, state: State, at: int) -> bool:
    if operation.kind in ("restore", "purge"):
        return state[at].place != "trash"
    if operation.kind == "download by link":
        return state[at].place != "files" or operation.given["link"] not in state[at].links
    mine = operation.kind == "delete" and state[at].by == operation.actor
    return state[at].place != "files" and not mine


def _is_busy(operation: Operation, state: State, at: int) -> bool:
    """Whether a newer version is there, or another request may be moving the file.

    Which request that is, ``conflicts_alone`` tells.
    """
    if operation.kind == "replace":
        return state[at].place == "files" and _newest(state) != state[at]
    return operation.kind in ("move", "delete") and state[at].place == "files"


def _is_full(operation: Operation, state: State, at: int) -> bool:
    return operation.kind in ("replace", "move") and state[at].place == "files"


#: What each code of a refusal says of the state. Any other code is never right.
_REFUSED: dict[str, Callable[[Operation, State, int], bool]] = {
    "not_found": _is_absent,
    "conflict": _is_busy,
    "quota_exceeded": _is_full,
}


def conflicts_alone(history: Sequence[Operation]) -> list[Operation]:
    """Moves and deletions that met a conflict while no other change of their file ran."""
    moves = [one for one in history if one.kind in ("move", "delete", "restore")]
    return [
        one
        for one in moves
        if one.code == "conflict"
        and not any(
            other is not one and other.file == one.file and overlap(one, other) for other in moves
        )
    ]


def overlap(one: Operation, other: Operation) -> bool:
    """Whether two operations may have run at the same moment."""
    return (one.end is None or other.begin <= one.end) and (
        other.end is None or one.begin <= other.end
    )
