"""The first rows of a file as a table, before it is imported. Made by the import's process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

from ..config import PluginConfig
from ..errors import TimedOut
from ..formats.base import ImportFormat
from ..formats.packed import OLE, ZIP
from ..jobs.places import NoPlace, Places
from ..models import FileRecord
from ..sources import reading
from ..sources.sources import Source
from . import folders, process

#: Bytes that a preview reads, and the largest file whose format needs all of it for a preview.
_HEAD_BYTES = 256 * 1024
_MAX_WHOLE_BYTES = 64 * 1024 * 1024
#: Previews made at the same time.
_MAX_CONCURRENT = 2
#: Seconds that one waits for its turn.
_PLACE_SECONDS = 60.0
_TOO_LARGE = "The file is too large for a preview; it can be imported all the same"


@dataclass(frozen=True)
class Preview:
    """The first rows of a file as a table. ``problem`` is the reason if rows are missing."""

    format: str
    columns: list[str] = field(default_factory=list)
    #: The columns' types, guessed from these rows only.
    types: list[str] = field(default_factory=list)
    rows: list[list[str | None]] = field(default_factory=list)
    found: dict[str, Any] = field(default_factory=dict)
    members: list[str] = field(default_factory=list)
    #: Numbers of the columns whose names are too long to be shown whole.
    cut_names: list[int] = field(default_factory=list)
    problem: str | None = None
    #: Whether the file may be imported although the preview failed.
    readable: bool = False


class Unseen(Exception):
    """The file has no preview. ``readable``: it may be imported all the same."""

    def __init__(self, message: str, *, readable: bool) -> None:
        super().__init__(message)
        self.readable = readable


class Previews:
    """Makes the previews of one Datasette, a few at a time."""

    def __init__(self, config: PluginConfig) -> None:
        self._config = config
        self._places = Places(_MAX_CONCURRENT)

    async def make(
        self,
        source: Source,
        file: FileRecord,
        chosen: ImportFormat,
        read: dict[str, Any],
        known: Iterable[ImportFormat],
        asked: bool,
        client: str,
    ) -> Preview:
        """Make a preview. ``known``: the formats of members. ``asked``: a person chose the format.

        ``client`` has a share of the places, and waits in turn for one.

        Raises TimedOut, StorageError, StorageUnavailable.
        """
        task = {
            **{"work": "preview", "options": read},
            **process.formats(chosen, known, asked),
        }
        try:
            return Preview(**await self.look(source, file, task, chosen.seeks, client))
        except Unseen as error:
            return Preview(chosen.name, problem=str(error), readable=error.readable)

    async def look(
        self, source: Source, file: FileRecord, task: dict[str, Any], whole: bool, client: str
    ) -> dict[str, Any]:
        """Let the process do a task on the head of a file, or on the ``whole`` file if it must.

        Raises Unseen, and as ``make``.
        """
        head = await reading.head(source, file, _HEAD_BYTES)
        whole = whole or head.startswith((ZIP, OLE))
        if whole and (file.size or 0) > _MAX_WHOLE_BYTES:
            raise Unseen(_TOO_LARGE, readable=True)

        async def content() -> AsyncIterator[bytes]:
            if not whole:
                yield head
                return
            async for chunk in reading.stream(source, file):
                yield chunk

        task = {
            **task,
            "cut": not whole and (file.size is None or file.size > len(head)),
            "max_bytes": self._config.import_max_bytes,
        }
        await asyncio.to_thread(folders.place)
        try:
            async with self._places.held(client, _PLACE_SECONDS):
                return await asyncio.wait_for(
                    process.run(task, content, lambda *_: None), process.PREVIEW_SECONDS
                )
        except NoPlace:
            raise TimedOut(
                "Too many previews are under way; end some of yours, or try again in a minute"
            ) from None
        except process.ImportFailed as error:
            # If only the head was read, the cut may be the problem.
            raise Unseen(str(error), readable=bool(task["cut"])) from None
        except asyncio.TimeoutError:
            if whole:
                raise Unseen(_TOO_LARGE, readable=True) from None
            raise TimedOut("The preview took too long; try again in a minute") from None
