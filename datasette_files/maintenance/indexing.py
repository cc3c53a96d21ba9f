"""Indexing: what a storage holds becomes files; what changed, moved or vanished there is followed.

A walk lists the storage page by page, compares each page in SQL, and keeps its place with each
page's changes, so that it goes on after a crash. New files get a type by name and first bytes;
hashing.py reads the rest later. Renames (renaming.py) are decided after the listing, when it is
known what left its path, and last what is missing. An outage is no deletion: a listing that fails
marks nothing, and nor does one that lacks many files. Leaves out when walks are made
(index_round.py).
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial

from .. import naming
from ..base import FileMetadata
from ..config import IndexConfig
from ..db import batching, files, index, renames
from ..db.index import New, Seen, Walk
from ..db.renames import Pending
from ..errors import Conflict, FilesError, Invalid, NotSupported
from ..jobs.parallel import ahead, each, several
from ..media import sniffing
from ..models import written
from ..sources import reading
from ..sources.sources import Source
from ..tables.cache import cache_of
from . import renaming
from .globs import Chosen
from .restoring import with_their_ids

#: Objects in one page of a listing, at most.
PAGE = 4000
#: Seconds that the statements of a page may take, as other writers wait for them and for the
#: commit, which takes half as long. Where that many objects take longer, pages are smaller, in
#: steps that few statements insert (db/rows.py).
_WRITE_SECONDS = 0.16
_STEP = 500
#: A page changes some 10 MiB of the catalog. With SQLite's own 2 MiB most of it would be written
#: and read back within the transaction, 6 of 40 µs of a new file.
_CACHE_KIB = 16 * 1024
#: Objects that are looked at once more, as renamed files or new ones, in one transaction.
_RENAMED = 500
_CONFIRMED = 200
_MAX_CONCURRENT = 4
#: A walk stops if more files than both of these are not there any more.
_FEW_MISSING = 10
_MAX_MISSING = 0.2
#: So large a write shares no transaction with others.
_LARGE = 1 << 30


class TooManyMissing(Conflict):
    """A walk stops, as an outage is likelier than a deletion of this size."""


class Indexer:
    """Walks over the sources of one Datasette."""

    def __init__(self, database: batching.Catalog) -> None:
        self._catalog = database

    async def request(self, source: Source, *, accepts_missing: bool = False) -> Walk:
        """Note that a walk is to be made, or to go on. Raises NotSupported, StorageUnavailable."""
        source.require_up()
        if not source.capabilities.can_list:
            raise NotSupported(f"The source {source.slug!r} cannot list its files")
        return await self._catalog.write(
            lambda conn: index.begin(conn, source.id, time.time(), accepts_missing=accepts_missing)
        )

    async def walk(
        self,
        source: Source,
        *,
        accepts_missing: bool = False,
        restored: bool = False,
        tell: Callable[[Walk], None] = lambda walk: None,
    ) -> Walk:
        """Make a walk, or go on with one. ``tell`` is called after each page.

        ``restored``: new files get the ids that their paths name (restoring.py). The caller keeps
        the lease (index_round.py) meanwhile: a page of a slow storage may take minutes.

        A storage that fails leaves the walk to go on later, with its ``problem``. Raises as
        ``request``, and Conflict if another process goes on with it.
        """
        walk = await self.request(source, accepts_missing=accepts_missing)
        walking = _Walking(self._catalog, source, walk, tell, restored=restored)
        try:
            await walking.run()
        except FilesError as error:
            walk.problem = str(error)
            if isinstance(error, TooManyMissing):
                walk.ended_at = time.time()
            await walking.save()
        return walk


class _Walking:
    def __init__(
        self,
        database: batching.Catalog,
        source: Source,
        walk: Walk,
        tell: Callable[[Walk], None],
        *,
        restored: bool,
    ) -> None:
        self._catalog = database
        self._source = source
        self._walk = walk
        self._tell = tell
        self._restored = restored
        self._place = (walk.phase, walk.cursor)
        self._page_size = PAGE
        config = source.config.index or IndexConfig()
        self._chosen = Chosen(config.include, config.exclude)

    async def run(self) -> None:
        walk = self._walk
        walk.problem = None
        if walk.phase == "list":
            await self._list()
        if walk.phase == "renames":
            await self._rename()
        await self._miss()

    async def save(self, change: Callable[[sqlite3.Connection], None] | None = None) -> None:
        """Apply a change and record where the walk stands, in one transaction."""

        def apply(conn: sqlite3.Connection) -> None:
            with cache_of(conn, _CACHE_KIB):
                if change is not None:
                    change(conn)
                if not index.keep(conn, self._walk, self._place):
                    raise Conflict(f"Another process indexes {self._source.slug!r}; wait for it")

        await self._catalog.write(apply, _LARGE)
        self._place = (self._walk.phase, self._walk.cursor)
        self._tell(self._walk)

    # The listing

    async def _list(self) -> None:
        """List a page while the one before it is compared, and the one before that is written."""
        walk = self._walk
        async with aclosing(self._pages(walk.cursor)) as pages, aclosing(ahead(pages)) as changes:
            async for change, walk.cursor in changes:
                if walk.cursor is None:
                    walk.phase = "renames"
                    for name in self._source.storage.unlisted():
                        walk.fail(name, "its name is not UTF-8; rename it")
                listed = walk.counts.get("listed", 0)
                seconds = await self._timed(change)
                listed = walk.counts.get("listed", 0) - listed
                self._page_size = _next_size(self._page_size, listed, seconds)

    async def _timed(self, change: Callable[[sqlite3.Connection], None]) -> float:
        """Save a change; return the seconds that it took, without those of waiting for others."""
        seconds = 0.0

        def timed(conn: sqlite3.Connection) -> None:
            nonlocal seconds
            begun = time.monotonic()
            change(conn)
            seconds = time.monotonic() - begun

        await self.save(timed)
        return seconds

    async def _pages(
        self, cursor: str | None
    ) -> AsyncGenerator[tuple[Callable[[sqlite3.Connection], None], str | None], None]:
        """Yield the change of each page from the cursor on, and the cursor that follows it."""
        async with aclosing(self._listings(cursor)) as pages, aclosing(ahead(pages)) as listings:
            async for listed, following in listings:
                yield await self._page(listed), following

    async def _listings(
        self, cursor: str | None
    ) -> AsyncGenerator[tuple[list[FileMetadata], str | None], None]:
        """Yield the pages of the listing from the cursor on, each with the next cursor."""
        storage, is_last = self._source.storage, False
        while not is_last:
            with reading.storage_errors(self._source.slug):
                try:
                    listed, following = await storage.list_files("", cursor, self._page_size)
                except Invalid:
                    if cursor is None:
                        raise
                    # The storage does not know the place any more: what was seen counts twice.
                    listed, following = await storage.list_files("", None, self._page_size)
            yield listed, following
            cursor, is_last = following, following is None

    async def _page(self, listed: list[FileMetadata]) -> Callable[[sqlite3.Connection], None]:
        """Compare a page with the catalog. Returns the change to apply."""
        walk, source, part = self._walk, self._source, self._walk.part()

        def compared(conn: sqlite3.Connection) -> tuple[list[Seen], index.Difference, list[str]]:
            seen = [_seen(one) for one in listed]
            found = index.compare(conn, source.id, seen)
            differing = {one.path for one in found.unknown}
            differing.update(one.path for one, _ in (*found.known, *found.suspect))
            unchanged = [one.path for one in seen if one.path not in differing]
            return [one for one in found.unknown if one.path in self._chosen], found, unchanged

        fresh, found, unchanged = await self._catalog.query(compared)
        part.count(listed=len(listed), unchanged=len(unchanged))
        made = await self._records(fresh, part)
        same, replaced = await self._judge(found.suspect, part)
        changed = await self._records([one for one, _ in replaced], part)
        records = {file.path: file.record(source.id, source.slug) for file in changed}

        def change(conn: sqlite3.Connection) -> None:
            now = time.time()
            walk.take(part)
            if unchanged:
                index.mark(conn, walk, unchanged)
            index.see(conn, walk, (*(one for one, _ in found.known), *same))
            back = [one.path for one, is_missing in found.known if is_missing]
            if back := back + [one.path for one in same]:
                index.come_back(conn, source.id, back)
            walk.count(returned=sum(is_missing for _, is_missing in found.known))
            if made:
                self._add(conn, fresh, made)
            for one, old_id in replaced:
                if one.path in records and index.supersede(conn, old_id, records[one.path], now):
                    index.see(conn, walk, [one])
                    walk.count(changed=1)

        return change

    def _add(self, conn: sqlite3.Connection, fresh: list[Seen], made: list[New]) -> None:
        """Add new files, but those that may be known ones at a new path."""
        walk = self._walk
        free = index.free(conn, walk, [file.path for file in made])
        seen = {one.path: one for one in fresh if one.path in free}
        waiting = renaming.waiting(conn, walk, seen)
        added = [file for file in made if file.path in seen and file.path not in waiting]
        self._insert(conn, added)
        index.see(conn, walk, [seen[file.path] for file in added])
        index.see(conn, walk, waiting.values(), is_pending=True)
        walk.count(added=len(added))

    def _insert(self, conn: sqlite3.Connection, added: list[New]) -> None:
        added = with_their_ids(conn, self._source, added) if self._restored else added
        index.add(conn, self._source.id, added)

    async def _records(self, seen: list[Seen], part: Walk) -> list[New]:
        """New files for these objects. Counts those that cannot be files as failed, in ``part``."""
        if not seen:
            return []
        heads = await reading.heads(self._source, [one.path for one in seen], sniffing.HEAD)
        # A page of them would hold the event loop for tens of milliseconds.
        return await asyncio.to_thread(_records, seen, heads, part)

    async def _judge(
        self, suspects: list[tuple[Seen, str]], part: Walk
    ) -> tuple[list[Seen], list[tuple[Seen, str]]]:
        """Divide objects with another mark: those with the same bytes, and those with others."""
        same: list[Seen] = []
        replaced: list[tuple[Seen, str]] = []
        for one, file_id in suspects:
            file = await self._catalog.read(partial(files.get, file_id=file_id))
            if file is None or file.path != one.path:
                continue
            try:
                if file.size == one.size and file.sha256 is not None:
                    found = await reading.content_hash(self._source, file)
                    if found == file.content_hash:
                        same.append(one)
                        continue
            except FilesError as error:
                part.fail(one.path, str(error))
                continue
            replaced.append((one, file_id))
        return same, replaced

    # After the listing

    async def _rename(self) -> None:
        """Decide which objects are known files at a new path; the others become new files."""
        walk, source = self._walk, self._source

        async def look(one: Pending) -> Seen:
            object_ = await reading.metadata(source, one.path)
            if object_ is None:
                return Seen(one.path, one.version, None)
            return Seen(one.path, one.version, object_.size, object_.created_at)

        while found := await self._catalog.query(
            lambda conn: renames.pending(conn, walk, _RENAMED)
        ):
            async with aclosing(several(each(found), look, _MAX_CONCURRENT)) as looked:
                again = [one async for one in looked]
            made = {file.path: file for file in await self._records(again, walk)}
            unmarked = [made[one.path] for one in found if one.path in made and not one.is_marked]
            made |= await renaming.hashed(self._catalog, source, walk, unmarked)

            def change(
                conn: sqlite3.Connection,
                found: list[Pending] = found,
                made: dict[str, New] = made,
            ) -> None:
                added = renaming.rename(conn, walk, found, made)
                self._insert(conn, added)
                index.see(conn, walk, [Seen(one.path, one.version, None) for one in found])
                walk.count(added=len(added))

            await self.save(change)
        walk.phase, walk.cursor = "missing", None
        await self.save()

    async def _miss(self) -> None:
        """Mark the files that the walk did not see, each after one more look at its path."""
        walk = self._walk
        number, all_ = await self._catalog.query(lambda conn: index.unseen(conn, walk))
        if number > max(_FEW_MISSING, _MAX_MISSING * all_) and not walk.accepts_missing:
            raise TooManyMissing(
                f"{number:,} of {all_:,} files are not in the storage; nothing was marked missing."
                " Check that the storage is mounted and complete; if they were deleted, walk again"
                " with --accept-missing"
            )

        async def look(one: tuple[str, str]) -> tuple[str, str] | None:
            return one if await reading.metadata(self._source, one[0]) is None else None

        while True:
            page = await self._catalog.query(lambda conn: index.next_unseen(conn, walk, _CONFIRMED))
            if not page:
                break
            async with aclosing(several(each(page), look, _MAX_CONCURRENT)) as looked:
                absent = [one async for one in looked if one is not None]
            walk.cursor = page[-1][0]

            def change(conn: sqlite3.Connection, absent: list[tuple[str, str]] = absent) -> None:
                walk.count(missing=index.miss(conn, absent, time.time()))

            await self.save(change)
        walk.ended_at = time.time()
        await self.save()


def _next_size(size: int, number: int, seconds: float) -> int:
    """The objects whose write takes ``_WRITE_SECONDS``, where ``number`` took ``seconds``.

    A page that took less, perhaps as it was short, makes the next ones no smaller than ``size``.
    """
    steps = int(number * _WRITE_SECONDS / max(seconds, 0.001)) // _STEP
    fitting = min(PAGE, max(1, steps) * _STEP)
    return fitting if seconds > _WRITE_SECONDS else max(size, fitting)


def _seen(listed: FileMetadata) -> Seen:
    version = listed.metadata.get("version") or f"{renaming.UNMARKED}{listed.created_at}"
    return Seen(listed.path, f"{version} {listed.size}", listed.size, listed.created_at)


def _records(seen: list[Seen], heads: list[bytes | None], part: Walk) -> list[New]:
    """New files of objects with these first bytes; counts in ``part`` those that cannot be."""
    made = []
    for one, head, ulid in zip(seen, heads, naming.new_ulids(len(seen)), strict=True):
        try:
            if head is None:
                raise Invalid("it cannot be read")
            name, folder = renaming.names(one.path)
        except Invalid as error:
            part.fail(one.path, str(error))
            continue
        content_type = sniffing.stored_type(sniffing.declared_type(None, name), head)
        at = one.created_at or written(time.time())
        made.append(
            New(naming.ID_PREFIX + ulid, one.path, name, folder, content_type, one.size, at)
        )
    return made
