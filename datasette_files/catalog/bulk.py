"""One action on many files: delete, restore, purge, tag, untag, folder, move, share.

Each file is permitted in the transaction that changes it, is done by the use case of its single
action, and is announced by itself. Files that may not be changed are refused by a code, and do not
hold up the others. Up to ``MAX_AT_ONCE`` files are done at once; more are a job (bulk_job.py).

Leaves out which files a selection has (selecting.py).
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from ..db import files as file_rows
from ..db import garbage
from ..db import trash as trash_rows
from ..db.batching import Catalog
from ..db.bulk import DONE, TRASHED
from ..errors import Conflict, FilesError
from ..events import Announcer, UpdateFileEvent
from ..jobs.parallel import to_its_end
from ..models import FileRecord
from ..naming import check_tags
from ..permissions.actions import DELETE, EDIT, MANAGE, SHARE, UPLOAD, Actor, actor_id, refusal
from ..permissions.grants import grant
from ..permissions.sight import Sight, sight
from ..permissions.verdicts import FileRules, file_rules
from ..sources.sources import Source, Sources
from .editing import Changes, Editing
from .lookup import Lookup, absent
from .offers import Action, Rights
from .shares import Shares, Terms
from .trash import Trash, require_deletion

logger = logging.getLogger("datasette_files")

#: Actions on files of the trash.
OF_TRASH = frozenset(("restore", "purge"))
#: Files that one request does before it answers; files in one transaction; moves at one time.
MAX_AT_ONCE = 200
_CHUNK = 100
_MOVES = 4
#: Seconds between two looks whether a claim on a file has ended.
_CLAIM_PAUSE = 2.0
#: Bytes that a change of a file writes, so that large transactions are not joined with others.
_BYTES = 512

#: Runs in a transaction, with the new states by id (db/bulk.py).
Mark = Callable[[sqlite3.Connection, dict[str, str]], None]
_Confirm = Callable[[], Awaitable[Callable[[sqlite3.Connection], None]]]


class Moved(Protocol):
    """The result of a move."""

    @property
    def state(self) -> str: ...
    @property
    def file(self) -> FileRecord: ...


#: Moves a file's bytes from one source to another; transfer/copying.py has it.
Move = Callable[[Source, Source, FileRecord, _Confirm], Awaitable[Moved]]


@dataclass(frozen=True)
class Order:
    """The action on each file, and its options."""

    action: Action
    #: For ``tag`` and ``untag``.
    tags: tuple[str, ...] = ()
    #: For ``folder``.
    folder: str = ""
    #: The slug of the source to move to.
    to: str = ""

    def changes(self, file: FileRecord) -> Changes:
        """The changes of one file's record. Raises Invalid for too many tags."""
        if self.action == "folder":
            return Changes(folder=self.folder)
        if self.action == "tag":
            return Changes(tags=check_tags((*file.tags, *self.tags)))
        return Changes(tags=tuple(tag for tag in file.tags if tag not in self.tags))


def size_of(order: Order) -> int:
    """The number of files that are done together."""
    return _MOVES if order.action == "move" else _CHUNK


@dataclass
class Outcome:
    """The outcome for each file. ``states`` holds every file that was asked for."""

    #: By id: ``done``, ``trashed``, or the code of the refusal.
    states: dict[str, str] = field(default_factory=dict)
    #: The files that were changed, as they are now, or as they were before their deletion.
    changed: list[FileRecord] = field(default_factory=list)
    #: A new link, as ``Shares.share`` gives it.
    share: Any = None

    def add(self, other: Outcome) -> None:
        self.states |= other.states
        self.changed += other.changed

    @property
    def refused(self) -> list[tuple[str, str]]:
        """The refused files, as ``(id, code)``."""
        return [(one, code) for one, code in self.states.items() if code not in (DONE, TRASHED)]

    @property
    def trashed(self) -> list[str]:
        """The ids of files that can be restored."""
        return [one for one, state in self.states.items() if state == TRASHED]


_NEEDED = {"delete": DELETE, "restore": DELETE, "move": DELETE, "purge": MANAGE}


class Bulk:
    """Does one action on many files of one Datasette."""

    def __init__(
        self,
        datasette: Any,
        database: Catalog,
        sources: Sources,
        trash: Trash,
        editing: Editing,
        shares: Shares,
        lookup: Lookup,
        announcer: Announcer,
        move: Move,
    ) -> None:
        self._datasette = datasette
        self._catalog = database
        self._sources = sources
        self._trash = trash
        self._editing = editing
        self._shares = shares
        self._lookup = lookup
        self._announcer = announcer
        self._move = move

    async def do(
        self,
        actor: Actor,
        order: Order,
        ids: Sequence[str],
        mark: Mark = lambda conn, states: None,
        patience: float = 0,
    ) -> Outcome:
        """Do the action for each file, ``size_of`` of them together; ``mark`` is told each state.

        ``patience``: seconds to wait while another process claims a file that is to be moved.
        Raises what ``mark`` raises, and StorageUnavailable and NoSpace of the internal database.
        """
        outcome = Outcome()
        size = size_of(order)
        for start in range(0, len(ids), size):
            some = ids[start : start + size]
            if order.action != "move":
                outcome.add(await self._change(actor, order, some, mark))
                continue
            moves = (self._move_one(actor, order, one, mark, patience) for one in some)
            for result in await asyncio.gather(*moves, return_exceptions=True):
                if isinstance(result, BaseException):
                    raise result
                outcome.add(result)
        return outcome

    async def _change(self, actor: Actor, order: Order, ids: Sequence[str], mark: Mark) -> Outcome:
        rights = await self._rights(actor, order.action, ids)

        def write(conn: sqlite3.Connection) -> Outcome:
            outcome = Outcome()
            mark(conn, {})
            files = _files(conn, order.action, ids)
            allowed = rights.allowed(conn, files.values())
            for file_id in ids:
                conn.execute("SAVEPOINT one_of_many")
                try:
                    step = self._step(conn, order, actor, files.get(file_id), file_id, allowed)
                except FilesError as error:
                    conn.execute("ROLLBACK TO one_of_many")
                    outcome.states[file_id] = error.code
                except sqlite3.IntegrityError as error:
                    # Another file has taken the id, the path or the version meanwhile.
                    logger.warning("%s of %s met another file: %s", order.action, file_id, error)
                    conn.execute("ROLLBACK TO one_of_many")
                    outcome.states[file_id] = Conflict.code
                else:
                    outcome.states[file_id] = step[0]
                    outcome.changed += step[1:]
                conn.execute("RELEASE one_of_many")
            mark(conn, outcome.states)
            return outcome

        async def commit() -> Outcome:
            outcome = await self._catalog.write(write, _BYTES * len(ids))
            await self._after(actor, order, outcome)
            return outcome

        # A server that ends announces what it has committed.
        return await to_its_end(commit())

    async def _rights(self, actor: Actor, action: Action, ids: Sequence[str]) -> Rights:
        needed = _NEEDED.get(action, EDIT)
        manage = await grant(self._datasette, actor, MANAGE) if action in OF_TRASH else None
        if needed == MANAGE:
            return Rights(manage=manage)
        rules: tuple[FileRules | Sight, ...] = (
            await file_rules(self._datasette, actor, needed, ids),
        )
        if action == "move":
            # Who moves a file to a source that they may browse can read it there.
            rules += (await sight(self._datasette, actor),)
        return Rights(rules, manage)

    def _step(
        self,
        conn: sqlite3.Connection,
        order: Order,
        actor: Actor,
        file: FileRecord | None,
        file_id: str,
        allowed: set[str],
    ) -> tuple[Any, ...]:
        """Change one file: its state, then its record if it was changed. Raises FilesError."""
        if file is None:
            if order.action == "delete" and _was_deleted_by(conn, file_id, actor):
                return (DONE,)  # a repeated request
            raise absent(file_id)
        source = self._sources.get(file.source_slug)
        if file.id not in allowed:
            raise refusal(_NEEDED.get(order.action, EDIT))
        if order.action == "delete":
            _, trashed = self._trash.delete_row(conn, source, file, actor)
            return (DONE if trashed is None else TRASHED), file
        if order.action == "restore":
            trash_rows.restore(conn, file.id)
            return DONE, file
        if order.action == "purge":
            require_deletion(source)
            trash_rows.purge(conn, file.id, actor_id(actor))
            return DONE, file
        changed = order.changes(file).apply(conn, file)
        return (DONE,) if changed is file else (DONE, changed)

    async def _after(self, actor: Actor, order: Order, outcome: Outcome) -> None:
        """Delete the bytes of what is gone for good, and announce each change."""
        if order.action == "restore":
            await self._trash.after_restoring(outcome.changed, actor)
        elif order.action in ("delete", "purge"):
            groups: dict[tuple[str, bool], list[FileRecord]] = {}
            for file in outcome.changed:
                kept = outcome.states[file.id] == TRASHED
                groups.setdefault((file.source_slug, kept), []).append(file)
            for (slug, kept), files in groups.items():
                await self._trash.after_deletion(self._sources.get(slug), files, actor, kept)
        else:
            await self._editing.announce(outcome.changed, actor)

    async def _move_one(
        self, actor: Actor, order: Order, file_id: str, mark: Mark, patience: float
    ) -> Outcome:
        """Move one file to another source.

        Needs ``files-delete`` and sight of the file, and ``files-upload`` on the target: before
        its bytes are read, and again in the transaction that switches the file's row to them.
        """
        until = time.monotonic() + patience
        while True:
            try:
                moved = await self._moved(actor, order, file_id, mark)
            except FilesError as error:
                if isinstance(error, Conflict) and time.monotonic() < until:
                    await asyncio.sleep(_CLAIM_PAUSE)
                    continue
                return await self._unmoved(file_id, error.code, mark)
            if moved is None:
                return await self._unmoved(file_id, DONE, mark)
            await self._announcer.announce(UpdateFileEvent.about(moved, actor))
            return Outcome({file_id: DONE}, [moved])

    async def _unmoved(self, file_id: str, state: str, mark: Mark) -> Outcome:
        await self._catalog.write(lambda conn: mark(conn, {file_id: state}))
        return Outcome({file_id: state})

    async def _moved(
        self, actor: Actor, order: Order, file_id: str, mark: Mark
    ) -> FileRecord | None:
        """Move a file and mark it; None if it is in the target already. Raises FilesError."""

        async def confirm(states: dict[str, str]) -> Callable[[sqlite3.Connection], None]:
            rights = await self._rights(actor, "move", [file_id])
            upload = await grant(self._datasette, actor, UPLOAD, order.to)

            def check(conn: sqlite3.Connection) -> None:
                mark(conn, {})
                file = file_rows.get(conn, file_id)
                if file is None:
                    raise absent(file_id)
                if file_id not in rights.allowed(conn, [file]):
                    raise refusal(DELETE)
                upload.check(conn, order.to)
                mark(conn, states)

            return check

        await self._catalog.read(await confirm({}))
        file, source = await self._lookup.existing(file_id)
        if source.slug == order.to:
            return None
        target = self._sources.get(order.to)
        moved = await self._move(source, target, file, partial(confirm, {file_id: DONE}))
        return moved.file if moved.state == "moved" else None

    async def share(self, actor: Actor, ids: Sequence[str], terms: Terms) -> Outcome:
        """Make one link to those of the files that the actor may share. Raises Invalid."""
        found = {file.id: file for file, _ in await self._lookup.visible_many(actor, ids)}
        allowed = await self._shares.shareable(actor, list(found.values()))
        existing = await self._catalog.read(lambda conn: file_rows.by_ids(conn, ids))
        outcome = Outcome()
        for one in ids:
            refused = refusal(SHARE) if one in existing else absent(one)
            outcome.states[one] = DONE if one in allowed else refused.code
        chosen = [one for one in ids if one in allowed]
        if chosen:
            outcome.share = await self._shares.share(actor, chosen, terms)
        return outcome


def _files(conn: sqlite3.Connection, action: Action, ids: Sequence[str]) -> dict[str, FileRecord]:
    """The files that exist, by id."""
    if action not in OF_TRASH:
        return file_rows.by_ids(conn, ids)
    found = (trash_rows.get(conn, file_id) for file_id in ids)
    return {one.file.id: one.file for one in found if one is not None}


def _was_deleted_by(conn: sqlite3.Connection, file_id: str, actor: Actor) -> bool:
    """Tell whether this actor, who has an id, deleted the file recently."""
    who = actor_id(actor)
    if who is None:
        return False
    trashed = trash_rows.get(conn, file_id)
    if trashed is not None:
        return trashed.trashed_by == who
    return (garbage.deleted_by(conn, file_id) or (None, None))[1] == who
