"""Verification: whether a source's storage holds what the catalog says, and nothing else.

Structure is compared with one listing (or, where the storage does not list, one question a file);
data by reading every byte. Both can look at one share of the paths, and stop at a moment. A pass
reports and never repairs. A finding is confirmed by a second look, as files come and go and
listings lag. Leaves out the display (views/verify.py, cli/verify.py).
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial

from ..base import FileMetadata
from ..db import batching, health, verify
from ..db import files as file_rows
from ..db.verify import WHOLE, Finding, Kind, Pass, Share
from ..errors import ChecksumMismatch, FilesError
from ..jobs.parallel import ahead
from ..models import FileRecord, parse_time
from ..sources import reading
from ..sources.reading import Digest, Missing, metadata, storage_errors
from ..sources.sources import Source
from .numbers import Numbers

#: Objects in one page of a listing, and files in one page of the catalog; files whose paths alone
#: are read.
_PAGE, _FILES = 1000, 5000
#: Second looks at the same time, and files whose bytes are read at the same time.
_MAX_CONCURRENT = 4
#: Findings stored in one transaction.
_BATCH = 500
_STRUCTURE: tuple[Kind, ...] = ("missing", "size", "unknown")


async def _nothing() -> None:
    """Keep no lease."""


@dataclass(frozen=True)
class Order:
    """A task: a source, the share of its paths, and the time to stop."""

    source: Source
    #: Also read the bytes, to compare size and sha256.
    data: bool = False
    #: Compare the catalog with a listing.
    structure: bool = True
    share: Share = WHOLE
    #: Seconds since the epoch; None: until the end.
    deadline: float | None = None

    @property
    def is_over(self) -> bool:
        return self.deadline is not None and time.time() >= self.deadline


@dataclass
class Report:
    """The outcome of a verification. Counts are those of this pass."""

    findings: list[Finding] = field(default_factory=list)
    #: Whether every path of the share was looked at.
    complete: bool = True
    files: int = 0
    #: Bytes read.
    bytes: int = 0
    #: Files whose data was read, but whose sha256 the catalog does not know.
    without_sha256: int = 0
    #: Why the storage could not tell, one line for each failure.
    problems: list[str] = field(default_factory=list)
    _paths: set[tuple[str, Kind]] = field(default_factory=set)

    def add(self, finding: Finding) -> bool:
        """Add a finding; False if another pass has made it too."""
        key = (finding.path, finding.kind)
        if is_new := key not in self._paths:
            self._paths.add(key)
            self.findings.append(finding)
        return is_new


class Verifier:
    """Verifies the sources of one Datasette."""

    def __init__(self, database: batching.Catalog) -> None:
        self._catalog = database

    async def verify(
        self,
        order: Order,
        tell: Callable[[Finding], None] = lambda finding: None,
        keep: Callable[[], Awaitable[None]] = _nothing,
    ) -> Report:
        """Compare storage and catalog. ``tell`` gets each finding; ``keep`` is called often.

        A storage that fails is a problem in the report, not an error.
        """
        report = Report()
        wanted = {False: order.structure, True: order.data}
        for is_data in (one for one, is_wanted in wanted.items() if is_wanted):
            await _Pass(self._catalog, order, report, tell, keep, is_data=is_data).run()
        return report


class _Pass:
    """One pass over one source: its structure, or its data."""

    def __init__(
        self,
        database: batching.Catalog,
        order: Order,
        report: Report,
        tell: Callable[[Finding], None],
        keep: Callable[[], Awaitable[None]],
        *,
        is_data: bool,
    ) -> None:
        self._catalog = database
        self._order = order
        self._source = order.source
        self._report = report
        self._tell = tell
        self._keep = keep
        self._is_data = is_data
        self._is_whole = True
        self._reached: str | None = None
        self._files = self._bytes = 0
        self._found: set[tuple[str, Kind]] = set()
        self._sounds: list[Pass] = []
        self._last_reached: str | None = None

    async def run(self) -> None:
        source, started = self._source, time.time()
        await self._catalog.read(self._look_back)
        pass_id = await self._catalog.write(
            lambda conn: verify.begin(
                conn, source.id, self._order.share, started, is_data=self._is_data
            )
        )
        problem = None
        try:
            source.require_up()
            if self._is_data:
                await self._data(pass_id, started)
            elif source.capabilities.can_list:
                await self._structure(started)
            else:
                await self._each(started)
        except FilesError as error:
            problem, self._is_whole = str(error), False
            self._report.problems.append(problem)
        self._report.complete &= self._is_whole
        self._report.files = max(self._report.files, self._files)
        self._report.bytes += self._bytes
        if self._is_whole:
            await self._settle()
        ended = Pass(
            *(pass_id, self._is_data, self._order.share, started, time.time()),
            *(self._is_whole, self._files, self._bytes),
            *(None if self._is_whole else self._reached, problem),
        )
        await self._catalog.write(lambda conn: verify.end(conn, ended))

    def _look_back(self, conn: sqlite3.Connection) -> None:
        """Find the complete passes that saw what this one looks at, and where the last stopped."""
        data = verify.passes(conn, self._source.id, is_data=True)
        same = (one for one in data if one.share == self._order.share)
        self._last_reached = last.reached if (last := next(same, None)) else None
        if not self._is_data:
            data += verify.passes(conn, self._source.id, is_data=False)
        sound = (one for one in data if one.is_complete)
        self._sounds = sorted(sound, key=lambda one: -one.started_at)

    def _over(self) -> bool:
        """Tell whether time has run out; then the pass is incomplete."""
        self._is_whole &= not self._order.is_over
        return not self._is_whole

    async def _files_of_share(self, after: str = "") -> AsyncIterator[list[FileRecord]]:
        """The catalog's files of the share, page by page, until time runs out."""
        while not self._over():
            page = await self._catalog.query(
                partial(verify.page, source_id=self._source.id, after=after, limit=_PAGE)
            )
            if not page:
                return
            after = page[-1].path
            await self._keep()
            yield [file for file in page if self._order.share.has(file.path)]

    async def _structure(self, started: float) -> None:
        """Compare the catalog with one listing, each page while the next one is listed."""
        source, share, seen = self._source, self._order.share, Numbers()
        async with aclosing(self._listings()) as pages, aclosing(ahead(pages)) as listings:
            async for listed in listings:
                sizes = {file.path: file.size for file in listed if share.has(file.path)}
                numbers, suspects = await self._catalog.query(
                    partial(verify.compared, source_id=source.id, sizes=sizes)
                )
                seen.update(numbers)
                await self._note(suspects, started)
                await self._keep()
                if self._over():
                    return
        after = ""
        while not self._over():
            page = await self._catalog.query(
                partial(verify.numbered, source_id=source.id, after=after, limit=_FILES)
            )
            if not page:
                return
            after = page[-1][0]
            files = [number for path, number in page if share.has(path)]
            self._files += len(files)
            if lacking := seen.without(files):
                suspects = await self._catalog.query(partial(verify.missing, numbers=lacking))
                await self._note(suspects, started)
            await self._keep()

    async def _listings(self) -> AsyncGenerator[list[FileMetadata], None]:
        """The pages of the storage's listing, until time runs out."""
        cursor, more = None, True
        while more and not self._over():
            with storage_errors(self._source.slug):
                listed, cursor = await self._source.storage.list_files("", cursor, _PAGE)
            more = cursor is not None
            yield listed

    async def _each(self, started: float) -> None:
        """Ask the storage about each file, as it does not list them."""
        async for files in self._files_of_share():
            self._files += len(files)
            looks = [Finding(file.id, file.path, "missing") for file in files]
            await self._note(looks, started)

    async def _data(self, pass_id: int, started: float) -> None:
        """Read the bytes of each file. With a deadline, continue where the last pass stopped.

        The place is kept after each page, so that the next pass continues there after a crash too.
        """
        after = (self._last_reached or "") if self._order.deadline else ""
        turns = asyncio.Semaphore(_MAX_CONCURRENT)

        async def read(file: FileRecord) -> Finding | None:
            async with turns:
                if self._order.is_over:
                    return None
                finding = await self._read(file)
                self._reached = max(self._reached or "", file.path)
                return finding

        async for files in self._files_of_share(after):
            found = await asyncio.gather(*(read(file) for file in files))
            await self._note([one for one in found if one is not None], started)
            if self._reached is not None:
                stands = partial(verify.reach, pass_id=pass_id, reached=self._reached)
                await self._catalog.write(partial(stands, files=self._files, size=self._bytes))
        self._is_whole &= not after

    async def _read(self, file: FileRecord) -> Finding | None:
        """Read one file. The finding, or None."""
        self._files += 1
        digest = Digest()
        try:
            await reading.digest(self._source, file, digest, lambda size: self._keep())
            digest.check(file)
        except ChecksumMismatch:
            return Finding(file.id, file.path, "sha256")
        except Missing:
            return Finding(file.id, file.path, "missing")
        except FilesError as error:
            self._report.problems.append(f"{file.id}: {error}")
            self._is_whole = False
            return None
        finally:
            self._bytes += digest.size
        self._report.without_sha256 += file.sha256 is None
        return None

    async def _note(self, suspected: list[Finding], started: float) -> None:
        """Look at each suspect once more; store and report those that are confirmed."""
        turns = asyncio.Semaphore(_MAX_CONCURRENT)

        async def look(finding: Finding) -> Finding | None:
            async with turns:
                return await self._confirmed(finding)

        for start in range(0, len(suspected), _BATCH):
            looks = await asyncio.gather(*map(look, suspected[start : start + _BATCH]))
            if not (found := [one for one in looks if one is not None]):
                continue
            noted = await self._catalog.write(
                partial(verify.note, source_id=self._source.id, found=found, now=started)
            )
            for finding in noted:
                self._found.add((finding.path, finding.kind))
                if self._report.add(finding):
                    self._tell(finding)

    async def _confirmed(self, suspect: Finding) -> Finding | None:
        """The finding as it is now; None if catalog and storage agree about the path."""
        path, file = suspect.path, None
        if suspect.file_id is not None:
            file = await self._catalog.query(partial(file_rows.get, file_id=suspect.file_id))
            if file is None or file.path != path:
                return None  # deleted or moved meanwhile
            suspect = replace(suspect, last_sound=self._last_sound(file))
        if suspect.kind == "sha256":
            return suspect
        object_ = await metadata(self._source, path)
        if file is None:
            used = await self._catalog.query(
                partial(health.in_use, source_id=self._source.id, wanted=[path])
            )
            return None if object_ is None or path in used else suspect
        if object_ is None:
            return replace(suspect, kind="missing")
        if None not in (object_.size, file.size) and object_.size != file.size:
            return replace(suspect, kind="size")
        # Bytes that end early although the storage gives the right size.
        return replace(suspect, kind="sha256") if self._is_data else None

    def _last_sound(self, file: FileRecord) -> float | None:
        """The start of the last pass that saw the file, and found nothing."""
        try:
            made = parse_time(file.created_at).timestamp()
        except ValueError:
            return None
        seen = (one.started_at for one in self._sounds if one.share.has(file.path))
        return next((at for at in seen if at >= made), None)

    async def _settle(self) -> None:
        """Delete the open findings that this pass would have made, and did not."""
        kinds = ("sha256",) if self._is_data else _STRUCTURE
        after = ("", "")
        while True:
            page = await self._catalog.read(
                partial(verify.findings, source_id=self._source.id, after=after, limit=_BATCH)
            )
            if not page:
                return
            after = (page[-1].path, page[-1].kind)
            sound = [
                (one.path, one.kind)
                for one in page
                if one.kind in kinds
                and self._order.share.has(one.path)
                and (one.path, one.kind) not in self._found
            ]
            await self._catalog.write(
                partial(verify.settle, source_id=self._source.id, sound=sound)
            )
