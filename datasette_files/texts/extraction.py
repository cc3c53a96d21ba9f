"""Extraction: the text of files, after their upload and again when an extractor improves.

One process at a time, under a lease per source, reads one file after the other, the newest first.
Between files that have been there for long it rests, so that a site that begins to read a million
of them stays as quick as it was.
Pages are written in small transactions. Leaves out which extractor reads a file (kinds.py) and the
confined process (reader.py).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import aclosing
from dataclasses import asdict, dataclass, replace
from sqlite3 import Connection
from typing import TypeVar, get_args

from .. import naming, telemetry
from ..base import TextExtractor
from ..config import PluginConfig
from ..db import texts
from ..db.batching import Catalog
from ..db.texts import Due, Outcome, Status
from ..errors import FilesError
from ..jobs.rounds import Round
from ..models import FileRecord, written
from ..sources import reading
from ..sources.reading import Missing
from ..sources.sources import Source
from .kinds import Kinds, installed
from .reader import MAX_FILE, Gone, NotNow, Reader, storable

logger = logging.getLogger("datasette_files")

_T = TypeVar("_T")

#: Seconds between two searches for files whose text is due.
INTERVAL = 3.0
#: Seconds. A process that dies with the lease delays the others by at most this.
_LEASE_SECONDS = 30.0
#: Files that are looked at together.
_BATCH = 200
#: Seconds after which a file is an old one. After each old file the round rests as long as it
#: worked, and at least the second number of seconds.
_OLD_SECONDS, _REST_SECONDS = 3600.0, 0.1
#: Characters that one transaction writes.
_WRITTEN = 64 * 1024
#: Seconds that a plugin's extractor has for one file.
_PLUGIN_SECONDS = 600.0
_ROW = 16_000


class Texts:
    """The extraction of text in one Datasette: a round for each source."""

    def __init__(self, catalog: Catalog, config: PluginConfig) -> None:
        self._catalog = catalog
        self._config = config
        self._extractors: list[TextExtractor] = []
        #: Files are read one at a time, whatever their source.
        self._turn = asyncio.Semaphore(1)

    def use(self, extractors: list[TextExtractor]) -> None:
        """Ask plugins' extractors too, before ours. To be called once, at start."""
        self._extractors = extractors

    def of(self, source: Source, *, rests: bool = True) -> Extraction:
        """The extraction of one source; ``rests``: between old files."""
        settings = _Settings(
            self._config.text_max_bytes,
            self._config.text_ocr_languages,
            self._extractors,
            self._turn,
            rests,
        )
        return Extraction(self._catalog, source, settings)


@dataclass(frozen=True)
class _Settings:
    max_bytes: int
    languages: list[str]
    extractors: list[TextExtractor]
    turn: asyncio.Semaphore
    rests: bool


class Extraction:
    """Extracts the text of one source's files."""

    def __init__(self, catalog: Catalog, source: Source, settings: _Settings) -> None:
        self._catalog = catalog
        self._source = source
        self._settings = settings
        self._kinds: Kinds | None = None
        self._reader: Reader | None = None
        self.round = Round(
            *(catalog, f"text {source.slug}", self._pass),
            interval=INTERVAL,
            lease_seconds=_LEASE_SECONDS,
            first_after=INTERVAL,
        )

    async def again(self) -> None:
        """Queue all files of the source again."""
        for status in get_args(Status):
            await self._requeue(status)

    async def _pass(self) -> None:
        """Read every file that is due, unless another process has the lease."""
        if not self._source.config.text:
            return
        if self._kinds is None:
            kinds = await asyncio.to_thread(installed, self._settings.languages)
            if not await self._renew(kinds):
                return
            self._kinds = kinds
        try:
            while self._source.down is None and await self._catalog.read(self._is_due):
                if not await self._catalog.write(self.round.hold):
                    return
                # Read again under the lease: another process may have read the files meanwhile.
                if not await self._batch(self._kinds, await self._catalog.read(self._due)):
                    return
        finally:
            if self._reader is not None:
                await self._reader.close()
                self._reader = None

    def _is_due(self, conn: Connection) -> bool:
        return bool(texts.due(conn, self._source.id, time.time(), 1))

    def _due(self, conn: Connection) -> list[Due]:
        return texts.due(conn, self._source.id, time.time(), _BATCH)

    async def _renew(self, kinds: Kinds) -> bool:
        """Queue the files that today's extractors may read better than those of the last start.

        False while another process has the lease.
        """
        versions = kinds.versions
        for one in self._settings.extractors:
            versions[one.name] = f"{one.version} of a plugin"
        before = await self._catalog.read(lambda conn: texts.rules(conn, self._source.id))
        if before == versions:
            return True
        if not await self._catalog.write(self.round.hold):
            return False
        now = {f"{name} {version}" for name, version in versions.items()}
        made = await self._catalog.query(lambda conn: texts.made_by(conn, self._source.id))
        for status in ("none", "failed"):
            await self._requeue(status)
        if old := [one for one in made if one not in now]:
            await self._requeue("done", old)
        await self._catalog.write(lambda conn: texts.set_rules(conn, self._source.id, versions))
        return True

    async def _requeue(self, status: Status, extractors: list[str] | None = None) -> None:
        after: int | None = -1
        while after is not None:
            last = after
            after = await self._catalog.write(
                lambda conn, last=last: texts.requeue(  # type: ignore[misc]
                    conn, self._source.id, status, last, extractors
                )
            )
            await self.round.keep()

    async def _batch(self, kinds: Kinds, due: list[Due]) -> bool:
        """Read these files. False where the storage fails: it is tried again later."""
        chosen = [(one, await self._extractor(kinds, one)) for one in due]
        if without := [one.seq for one, found in chosen if found is None]:
            await self._catalog.write(lambda conn: texts.settle_none(conn, without))
        for one, found in chosen:
            if found is not None:
                await self.round.keep()
                async with self._settings.turn:
                    begun = time.monotonic()
                    if not await self._read(kinds, one, found):
                        return False
                await self._rest(one.file, time.monotonic() - begun)
        return True

    async def _rest(self, file: FileRecord, worked: float) -> None:
        is_old = file.created_at < written(time.time() - _OLD_SECONDS)
        if not (is_old and self._settings.rests):
            return
        until = time.monotonic() + max(worked, _REST_SECONDS)
        while (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, _LEASE_SECONDS / 6))
            await self.round.keep()

    async def _extractor(self, kinds: Kinds, one: Due) -> TextExtractor | str | None:
        """The plugin's extractor or the built-in one's name."""
        for extractor in self._settings.extractors:
            try:
                if await extractor.can_extract(one.file.type, one.file.filename):
                    return extractor
            except Exception:
                logger.exception("The text extractor %r failed", extractor.name)
        return kinds.of(one.file.type, one.file.filename)

    async def _read(self, kinds: Kinds, one: Due, found: TextExtractor | str) -> bool:
        claimed = naming.new_ulid()
        if not await self._catalog.write(lambda conn: texts.claim(conn, one, claimed)):
            return True
        while await self._catalog.write(lambda conn: texts.remove_some(conn, one.seq, claimed)):
            await self.round.keep()
        writing = _Writing(self._catalog, self.round, one, claimed)
        try:
            outcome = await self._outcome(kinds, one, found, writing)
        except Gone:
            return True
        except (FilesError, NotNow) as error:
            reason = storable(str(error))
            if isinstance(error, Missing):  # reading.py has logged it
                outcome = Outcome("failed", reason)
            else:
                logger.warning("The text of %s cannot be read yet: %s", one.file.id, error)
                await self._catalog.write(
                    lambda conn: texts.postpone(conn, one.seq, claimed, time.time(), reason)
                )
                return False
        await self._catalog.write(lambda conn: texts.finish(conn, one.seq, claimed, outcome))
        return True

    @telemetry.spanned(telemetry.EXTRACTION)
    async def _outcome(
        self, kinds: Kinds, one: Due, found: TextExtractor | str, writing: _Writing
    ) -> Outcome:
        if not isinstance(found, str):
            outcome = await self._by_plugin(one, found, writing)
            if outcome is not None:
                return outcome
            own = kinds.of(one.file.type, one.file.filename)
            if own is None:
                return Outcome("none", "It holds no text")
            found = own
        made_by = f"{found} {kinds.versions[found]}"
        is_plain = found == "text"
        if (one.file.size or 0) > MAX_FILE and not is_plain:
            return Outcome("failed", f"It has more than {MAX_FILE:,} bytes", made_by)
        # An encoding takes at most four bytes for a character that UTF-8 writes in one.
        end = 4 * self._settings.max_bytes if is_plain else None
        if self._reader is None:
            self._reader = Reader(kinds, self._settings.max_bytes)
        async with aclosing(reading.stream(self._source, one.file, 0, end)) as content:
            # The first bytes before all else: no process is begun for a file that is missing.
            first = await anext(content, b"")
            reading_it = self._reader.read(found, _bounded(first, content), writing.take)
            outcome = await _keeping(self.round, reading_it)
        return replace(outcome, extractor=made_by)

    async def _by_plugin(
        self, one: Due, extractor: TextExtractor, writing: _Writing
    ) -> Outcome | None:
        """The outcome of a plugin's extractor; None if it finds no text."""
        made_by = f"{extractor.name} {extractor.version} of a plugin"
        try:
            work = asyncio.wait_for(extractor.extract(asdict(one.file)), _PLUGIN_SECONDS)
            pages = await _keeping(self.round, work)
        except ValueError as error:
            return Outcome("failed", storable(str(error)), made_by)
        except Exception:
            logger.exception("The text extractor %r failed", extractor.name)
            return Outcome("failed", f"Its extractor {extractor.name} failed", made_by)
        if pages is None:
            return None
        left, lacks = self._settings.max_bytes, None
        for number, text in enumerate(pages, start=1):
            content = str(text).encode("utf-8", "replace")
            kept = storable_text(content[:left].decode("utf-8", "ignore"))
            left -= len(content)
            rows = [(number, kept[at : at + _ROW]) for at in range(0, len(kept), _ROW)]
            if rows and not await writing.take(rows):
                raise Gone
            if left < 0:
                lacks = (
                    f"Only the first {self._settings.max_bytes:,} bytes of its text are searched"
                )
                break
        status: Status = "done" if writing.count else "none"
        return Outcome(status, lacks, made_by, len(pages))


class _Writing:
    """Writes the pages of one file, few at a time, so that other writers wait little."""

    def __init__(self, catalog: Catalog, round_: Round, one: Due, claimed: str) -> None:
        self._catalog, self._round = catalog, round_
        self._one, self._claimed = one, claimed
        self.count = 0

    async def take(self, pages: list[tuple[int, str]]) -> bool:
        """Write some pages. False where the file is gone."""
        batch: list[tuple[int, str]] = []
        size = 0
        for number, page in enumerate(pages):
            batch.append(page)
            size += len(page[1])
            if size >= _WRITTEN or number == len(pages) - 1:
                if not await self._write(batch, size):
                    return False
                batch, size = [], 0
        return True

    async def _write(self, batch: list[tuple[int, str]], size: int) -> bool:
        first = self.count

        def write(conn: Connection) -> bool:
            return texts.add(conn, self._one, self._claimed, first, batch)

        self.count += len(batch)
        written = await self._catalog.write(write, size)
        await self._round.keep()
        return written


def storable_text(text: str) -> str:
    """A plugin's text without what SQLite or a snippet cannot hold."""
    return text.replace("\x00", "").replace("\x01", "").replace("\x02", "")


async def _bounded(first: bytes, content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same pieces. Ends after MAX_FILE bytes, where the catalog did not know the size."""
    yield first
    left = MAX_FILE - len(first)
    async for piece in content:
        yield piece[:left]
        left -= len(piece)
        if left <= 0:
            return


async def _keeping(round_: Round, work: Awaitable[_T]) -> _T:
    """Wait for work that takes long, and keep the lease meanwhile."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            await asyncio.wait([task], timeout=_LEASE_SECONDS / 6)
            await round_.keep()
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
