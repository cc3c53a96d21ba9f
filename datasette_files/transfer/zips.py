"""Zips of selections: chosen once, then fetched from an address that lives for a day.

An archive's bytes are fixed when its files are chosen, so its address gives the same bytes after a
restart, and also if a file was renamed meanwhile. Whoever fetches it must be allowed to see every
file in it at that moment. One that begins with rows of a table (zip_rows.py) is for the actor alone
who made it. A zip may be a bag (zip_bags.py). Leaves out the bytes (zipping.py) and HTTP
(views/zips.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import starmap
from secrets import token_urlsafe
from sqlite3 import Connection
from typing import Any
from weakref import WeakValueDictionary

from ..catalog.links import afresh
from ..catalog.lookup import Lookup
from ..catalog.search import Search, SearchQuery
from ..db import audit, zip_texts
from ..db import files as file_rows
from ..db import partial as partly
from ..db import zips as rows
from ..db.batching import Catalog
from ..db.zips import Zip
from ..errors import Expired, Invalid, NotFound, PermissionDenied
from ..models import FileRecord
from ..permissions.actions import VIEW, Actor, actor_id, refusal
from ..permissions.sight import Sight, sight
from ..protocol.zipfile64 import Data, Totals
from ..sources import reading
from ..sources.sources import Source, Sources
from . import zip_bags
from .checksums import Checksums, Progress
from .zip_batches import Ask, Files
from .zip_drafts import MAX_BAG_FILES, MAX_FILES, BagDraft, Draft
from .zip_members import Members
from .zip_rows import Rows, require_rows
from .zipping import Texts

#: Ids in one selection.
MAX_IDS = 5_000
_LIFETIME_SECONDS = 24 * 3600
#: An actor's newest zips that are kept, and their files in all.
_KEPT_ZIPS, _KEPT_MEMBERS = 100, 1_000_000
#: The same for the bytes of rows.
_KEPT_TEXTS = 256 * 1024 * 1024
#: Seconds for which a right counts while rows or lists are read.
_ASKED_SECONDS = 1.0
#: Files that are chosen in one step.
_STEP = 4_000

_GONE = "A file of this zip was deleted; choose the files again"


@dataclass(frozen=True)
class Made:
    """A new zip; with it the ``(id, code)`` of files that it leaves out, and the files' bytes."""

    zip: Zip
    bytes: int
    refused: list[tuple[str, str]]


class Zips:
    """The zips of one Datasette's selections."""

    def __init__(
        self,
        datasette: Any,
        database: Catalog,
        sources: Sources,
        lookup: Lookup,
        search: Search,
        checksums: Checksums,
        *,
        is_audited: bool = False,
    ) -> None:
        self._datasette = datasette
        self._catalog = database
        self._sources = sources
        self._lookup = lookup
        self._search = search
        self._checksums = checksums
        #: Whether the audit has the files of each zip.
        self._is_audited = is_audited
        #: By the actor's id, the turn to choose.
        self._turns: WeakValueDictionary[str | None, asyncio.Lock] = WeakValueDictionary()

    async def of_ids(
        self, actor: Actor, ids: list[str], name: str, *, is_bag: bool = False
    ) -> Made:
        """A zip of those of the files that the actor may see, in their order.

        Raises Invalid for no id and for too many; NotFound or PermissionDenied if it would be
        empty.
        """
        ids = list(dict.fromkeys(ids))
        if not 1 <= len(ids) <= MAX_IDS:
            raise Invalid(f"{len(ids):,} files were chosen; choose 1 to {MAX_IDS:,}, or a query")
        found, refused = await self._seen(actor, ids)
        if not found:
            hidden = any(code == PermissionDenied.code for _, code in refused)
            raise refusal(VIEW) if hidden else NotFound("No such file exists; choose others")

        async def pages() -> AsyncIterator[list[FileRecord]]:
            for start in range(0, len(found), _STEP):
                yield found[start : start + _STEP]

        return await self._make(actor, pages(), name, refused, is_bag=is_bag)

    async def of_rows(self, actor: Actor, of: Rows, ids: list[str], name: str) -> Made:
        """A zip of rows, with those of the files in them that the actor may see.

        It is a bag if the rows have a schema.
        """
        refused: list[tuple[str, str]] = []

        async def pages() -> AsyncIterator[list[FileRecord]]:
            for start in range(0, len(ids), _STEP):
                found, others = await self._seen(actor, ids[start : start + _STEP])
                refused.extend(others)
                yield found

        is_bag = of.schema is not None
        return await self._make(actor, pages(), name, refused, of, is_bag=is_bag)

    async def _seen(
        self, actor: Actor, ids: list[str]
    ) -> tuple[list[FileRecord], list[tuple[str, str]]]:
        """Those of the files that the actor may see, and the ``(id, code)`` of the others."""
        found = [file for file, _ in await self._lookup.visible_many(actor, ids)]
        seen = {file.id for file in found}
        others = [one for one in ids if one not in seen]
        there = await self._catalog.read(lambda conn: file_rows.by_ids(conn, others))
        codes = {True: PermissionDenied.code, False: NotFound.code}
        return found, [(one, codes[one in there]) for one in others]

    async def of_query(
        self, actor: Actor, query: SearchQuery, name: str, *, is_bag: bool = False
    ) -> Made:
        """A zip of all files that match now and that the actor may see, the newest first.

        Raises NotFound if there are none, Invalid for too many, TimedOut.
        """
        seen = await sight(self._datasette, actor)
        most = MAX_BAG_FILES if is_bag else MAX_FILES
        found = await self._search.seqs(seen, query, most)
        if found is None:
            raise _too_many(most)

        async def pages() -> AsyncIterator[list[FileRecord]]:
            for start in range(0, len(found), _STEP):
                some = found[start : start + _STEP]
                files = await self._catalog.query(partial(partly.records, seqs=some))
                yield [files[seq] for seq in some if seq in files]

        return await self._make(actor, pages(), name, [], is_bag=is_bag)

    async def _make(
        self,
        actor: Actor,
        pages: AsyncIterator[list[FileRecord]],
        name: str,
        refused: list[tuple[str, str]],
        of: Rows | None = None,
        *,
        is_bag: bool = False,
    ) -> Made:
        """Choose the files; then forget the oldest zips of an actor who has too many.

        One at a time for each actor, so that nobody fills the database.
        """
        who = actor_id(actor)
        async with self._turns.setdefault(who, asyncio.Lock()):
            now, zip_id = time.time(), token_urlsafe(24)
            made = Zip(0, zip_id, name, now + _LIFETIME_SECONDS, Totals(), who)
            number = await self._catalog.write(
                lambda conn: rows.begin(conn, who, zip_id, name, now, made.expires_at)
            )
            try:
                draft = (
                    BagDraft.named(name, number=number, zip_id=zip_id, rows=of, refused=refused)
                    if is_bag
                    else Draft(number, zip_id, of, refused=refused)
                )
                await self._choose(draft, pages)
            except BaseException:
                await asyncio.shield(self._forget(number))
                raise
            await self._make_room(who)
        made = replace(made, number=number, totals=draft.totals, described=draft.described)
        return Made(made, draft.size, draft.refused)

    async def _make_room(self, who: str | None) -> None:
        while await self._catalog.write(
            lambda conn: rows.make_room(
                conn, who, time.time(), _KEPT_ZIPS, _KEPT_MEMBERS, _KEPT_TEXTS
            )
        ):
            pass

    async def _add_text(self, draft: Draft, name: str, content: bytes) -> None:
        chosen = draft.place_text(name, content, time.time())
        await self._catalog.write(
            lambda conn: zip_texts.add_text(conn, draft.number, chosen, content), len(content)
        )

    async def _choose(self, draft: Draft, pages: AsyncIterator[list[FileRecord]]) -> None:
        """Record these files as members, and what of the rows is none. Raises Invalid, NotFound."""
        number = draft.number
        for text in draft.first_texts:
            await self._add_text(draft, *text)
        async for found in pages:
            sized = await self._sized(draft, found)
            if draft.totals.files + len(sized) > draft.most:
                raise _too_many(draft.most)

            def add(conn: Connection, sized: list[tuple[FileRecord, int]] = sized) -> None:
                rows.add(conn, number, starmap(draft.place, sized))
                if self._is_audited:
                    audit.of_ids(conn, "zip", [file.id for file, _ in sized])

            await self._catalog.write(add)
        if not draft.totals.files:
            raise NotFound("No file that you may see matches; choose others")
        for text in draft.last_texts:
            await self._add_text(draft, *text)
        await self._catalog.write(
            lambda conn: rows.finish(conn, number, draft.totals, draft.described)
        )

    async def _sized(self, draft: Draft, found: list[FileRecord]) -> list[tuple[FileRecord, int]]:
        """The files with their sizes, less those whose bytes are missing.

        Raises NotFound for a file without a known size; of rows, it is left out too.
        """
        sized = []
        for file in found:
            try:
                if file.missing_since is not None:
                    raise NotFound(f"The bytes of {file.id} are missing; leave it out")
                sized.append((file, await self._size(file)))
            except NotFound as error:
                if draft.rows is None and file.missing_since is None:
                    raise
                draft.refused.append((file.id, error.code))
        return sized

    async def _forget(self, number: int) -> None:
        while await self._catalog.write(lambda conn: rows.forget(conn, number)):
            pass

    async def _size(self, file: FileRecord) -> int:
        """The file's size, from the storage where another tool left it out of the catalog."""
        if file.size is not None:
            return file.size
        found = await reading.metadata(self._sources.get(file.source_slug), file.path)
        if found is None or found.size is None:
            raise NotFound(f"The size of {file.id} is not known; leave it out")
        return found.size

    async def open(self, actor: Actor, zip_id: str) -> Zip:
        """The zip, of which the actor may see every file now.

        Raises NotFound, PermissionDenied; Expired after its time, and if a file is gone.
        """
        seen = await sight(self._datasette, actor)

        def look(conn: Connection) -> tuple[Zip, dict[int, int]]:
            found = rows.get(conn, zip_id)
            if found is None:
                raise NotFound("There is no such zip; choose the files again")
            if found.expires_at <= time.time():
                raise Expired("The address of a zip lives for a day; choose the files again")
            return found, self._check(conn, seen, found)

        found, sources = await self._catalog.query(look)
        if origin := found.described.get("origin"):
            if found.actor_id != actor_id(actor):
                raise refusal(VIEW)
            await require_rows(self._datasette, actor, origin)
        if sources:
            await self._catalog.write(lambda conn: rows.note_whole(conn, found.number, sources))
        return found

    def _check(self, conn: Connection, seen: Sight, found: Zip) -> dict[int, int]:
        """Check every member, or only their sources while none of those has lost a file.

        Return what is to be noted of the sources, if every member was found.
        """
        configured = {source.slug for source in self._sources}
        browsable = seen.browse.slugs(conn)
        whole = rows.whole(conn, found.number)
        if whole is not None and whole <= configured:
            if whole <= browsable:
                return {}
            if len(whole) == 1:
                (slug,) = whole
                if not seen.has_all(conn, slug, rows.file_ids(conn, found.number)):
                    raise refusal(VIEW)
                return {}
        left = rows.departures(conn)
        counts = rows.by_source(conn, found.number)
        for slug in configured.intersection(filter(None, counts)) - browsable:
            if not seen.has_all(conn, slug, rows.ids_in(conn, found.number, slug)):
                raise refusal(VIEW)
        if not configured.issuperset(counts):
            raise Expired(_GONE)
        if whole is not None:
            return {}
        return {source.id: left[source.id] for source in self._sources if source.slug in counts}

    async def ready(self, actor: Actor, found: Zip) -> Zip | Progress:
        """Read the members whose digests are not known; return the zip once its bytes are fixed.

        Raises as ``Checksums.learn`` and ``zip_bags.seal``.
        """
        is_open = zip_bags.is_open(found)
        if is_open or await self._unread(found):
            await self._catalog.write(lambda conn: rows.learn(conn, found.number))
            unread = await (self._unhashed(found) if is_open else self._unread(found))
            if unread:
                progress = await self._checksums.learn(f"zip {found.id}", unread, self.ask(actor))
                if progress is not None:
                    return progress
                await self._catalog.write(lambda conn: rows.learn(conn, found.number))
        return await self._sealed(found) if is_open else found

    async def _sealed(self, found: Zip) -> Zip:
        async with self._turns.setdefault(found.actor_id, asyncio.Lock()):
            now = await zip_bags.current(self._catalog, found)
            if zip_bags.is_open(now):
                now = await zip_bags.seal(self._catalog, now)
                await self._make_room(now.actor_id)
        return now

    async def _unread(self, found: Zip) -> list[str]:
        return await self._catalog.read(lambda conn: rows.unread(conn, found.number))

    async def _unhashed(self, found: Zip) -> list[str]:
        return await self._catalog.query(lambda conn: rows.unhashed(conn, found.number))

    def ask(self, actor: Actor) -> Ask:
        """Find files that the actor may see, by the permissions of the moment."""

        async def ask(ids: list[str]) -> Files:
            found = await afresh(self._lookup.visible_many(actor, ids))
            if len(found) < len(ids):
                raise refusal(VIEW)
            return {file.id: (file, source) for file, source in found}

        return ask

    def texts(self, actor: Actor, found: Zip) -> Texts:
        """Read members that are no files; the actor's right to the zip is asked again meanwhile."""
        members, asked_at = self.directory(found), time.monotonic()

        async def allowed(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
            nonlocal asked_at
            async for chunk in chunks:
                if time.monotonic() - asked_at > _ASKED_SECONDS:
                    await afresh(self.open(actor, found.id))
                    asked_at = time.monotonic()
                yield chunk

        def text(piece: Data) -> AsyncIterator[bytes] | None:
            chunks = members.text(piece)
            return None if chunks is None else allowed(chunks)

        return text

    def directory(self, found: Zip) -> Members:
        return Members(self._catalog, found)

    async def by_source(self, found: Zip) -> dict[int, int]:
        """The number of the zip's files by the id of their source."""
        counts = await self._catalog.query(lambda conn: rows.by_source(conn, found.number))
        return {self._sources.get(slug).id: files for slug, files in counts.items() if slug}

    async def sources(self, found: Zip) -> list[Source]:
        """The sources of the files of an open zip, in the order of their slugs."""
        slugs = await self._catalog.read(lambda conn: rows.noted_sources(conn, found.number))
        return [self._sources.get(slug) for slug in slugs]


def _too_many(most: int) -> Invalid:
    return Invalid(f"More than {most:,} files match; choose fewer")
