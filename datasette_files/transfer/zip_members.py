"""The members of a zip that is kept (db/zips.py), as the archive reads them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

from ..db import zip_texts
from ..db import zips as rows
from ..db.batching import Catalog
from ..db.zips import Zip
from ..protocol.zipfile64 import Data, Entry

#: Members that are read in one step.
_PAGE = 500


class Members:
    """The members of one zip, as the archive reads them."""

    def __init__(self, catalog: Catalog, found: Zip) -> None:
        self._catalog = catalog
        self._number = found.number
        self.totals = found.totals

    async def holding(self, place: int, *, central: bool) -> int:
        return await self._catalog.query(
            lambda conn: rows.holding(conn, self._number, place, central=central)
        )

    async def page(self, start: int) -> list[Entry]:
        return await self._catalog.query(lambda conn: rows.page(conn, self._number, start, _PAGE))

    def text(self, piece: Data) -> AsyncIterator[bytes] | None:
        """The bytes of a piece of a member that is no file; None for a file."""
        return self._text(piece) if piece.member.key.startswith(rows.TEXT) else None

    async def _text(self, piece: Data) -> AsyncIterator[bytes]:
        place = piece.start
        while place < piece.end:
            part, begin = divmod(place, rows.TEXT_CHUNK)
            chunk = await self._catalog.query(
                partial(zip_texts.text, number=self._number, key=piece.member.key, part=part)
            )
            yield chunk[begin : begin + piece.end - place]
            place += len(chunk) - begin
