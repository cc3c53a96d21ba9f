"""Links in use, by people without an account: what a token gives at this moment.

Each use asks the permissions of the link's maker anew. If the maker loses a right the link is
suspended, and works again when the right is back. Leaves out the making of links (shares.py) and
their pages (views/links.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Coroutine, Sequence
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from sqlite3 import Connection
from typing import Any, TypeVar

from ..config import PluginConfig
from ..db import shares as rows
from ..db.audit import Action
from ..db.batching import Catalog
from ..db.shares import Share
from ..errors import NotFound
from ..models import FileRecord
from ..permissions import shares as permission
from ..permissions.actions import SHARE, UPLOAD, Actor, actor_id
from ..permissions.grants import file_actions, grant
from ..permissions.shares import LinkGrant, absent
from ..sources.sources import Source, Sources
from .lookup import Lookup

_T = TypeVar("_T")


@dataclass(frozen=True)
class Opened:
    """A share link in use, and those of its files that it shows now: one at least."""

    share: Share
    files: list[tuple[FileRecord, Source]]
    #: Whether the link was made to several files.
    is_several: bool


class Links:
    """The links of one Datasette, as their receivers use them."""

    def __init__(
        self,
        datasette: Any,
        database: Catalog,
        config: PluginConfig,
        sources: Sources,
        lookup: Lookup,
    ) -> None:
        self._datasette = datasette
        self._catalog = database
        self._config = config
        self._sources = sources
        self._lookup = lookup
        self.guessing = permission.Guessing()

    async def open(self, token: str, *file_ids: str, continues: bool = False) -> Opened:
        """The link of a token, with the files that it shows now, or with some of them.

        ``continues``: the request goes on with a counted download, which works also after the last
        one was counted. Raises NotFound, the same for every reason.
        """

        def look(conn: Connection) -> tuple[Share, list[str]]:
            share = permission.find(conn, token, "files")
            if share is None or (share.is_used_up and not continues):
                raise absent()
            return share, rows.file_ids(conn, share)

        share, ids = await self._catalog.read(look)
        wanted = [one for one in ids if not file_ids or one in file_ids]
        shown = await afresh(self._shown(share, wanted))
        if not shown:
            raise absent()
        return Opened(share, shown, len(ids) > 1)

    async def count_download(self, share: Share, action: Action, file_ids: Collection[str]) -> None:
        """Count a download of these files, and record it in the same transaction.

        Raises NotFound if the link has none left.
        """
        counted = await self._catalog.write(
            lambda conn: rows.count_download(conn, share, time.time(), action, file_ids)
        )
        if not counted:
            raise absent()

    async def upload_grant(self, token: str) -> tuple[LinkGrant, Source]:
        """The right to upload that a token gives now, and the source. Raises NotFound."""
        link = await self._catalog.read(lambda conn: permission.find(conn, token, "upload"))
        source = self.source_of(link) if link else None
        if link is None or source is None:
            raise absent()
        right = await self._right(link, source)
        await self._catalog.read(lambda conn: right.check(conn, source.slug))
        return right, source

    async def _right(self, link: Share, source: Source) -> LinkGrant:
        upload = await grant(self._datasette, link.maker, UPLOAD, source.slug)
        share = await grant(self._datasette, link.maker, SHARE, source.slug)
        return LinkGrant(
            action=upload.action,
            sql=upload.sql,
            params=upload.params,
            renew=partial(self._right, link, source),
            link=link,
            share=share,
        )

    async def is_suspended(self, share: Share) -> bool:
        """Tell whether the link shows and takes nothing, because of its maker's rights now."""
        if share.kind == "files":
            ids = await self._catalog.read(lambda conn: rows.file_ids(conn, share))
            found = await self._lookup.visible_many(share.maker, ids)
            return not await self.shareable(share.maker, [file for file, _ in found], 1)
        source = self.source_of(share)
        if source is None:
            return True
        right = await self._right(share, source)
        try:
            await self._catalog.read(lambda conn: right.check(conn, source.slug))
        except NotFound:
            return True
        return False

    async def shareable(
        self, actor: Actor, files: list[FileRecord], enough: int | None = None
    ) -> set[str]:
        """The ids of those files that the actor may share, by the source or as their owner.

        Stops when ``enough`` are found, as each of the owner's files is asked by itself.
        """
        by_source = await grant(self._datasette, actor, SHARE)
        slugs = await self._catalog.read(by_source.slugs)
        allowed = {file.id for file in files if file.source_slug in slugs}
        if self._config.owners_can_share:
            who = actor_id(actor)
            own = [one for one in files if who is not None and one.uploaded_by == who]
            for file in (one for one in own if one.id not in allowed):
                if enough is not None and len(allowed) >= enough:
                    break
                actions = await file_actions(self._datasette, actor, file.source_slug, file.id)
                if SHARE in actions:
                    allowed.add(file.id)
        return allowed

    async def _shown(self, share: Share, ids: Sequence[str]) -> list[tuple[FileRecord, Source]]:
        """Those of the files that the link's maker may view and share now, in their order."""
        found = await self._lookup.visible_many(share.maker, ids)
        allowed = await self.shareable(share.maker, [file for file, _ in found])
        return [(file, source) for file, source in found if file.id in allowed]

    def source_of(self, share: Share) -> Source | None:
        """The source of an upload link; None for a share link, and if it is not configured."""
        return next((one for one in self._sources if one.id == share.source_id), None)


async def afresh(work: Coroutine[Any, Any, _T]) -> _T:
    """Run without Datasette's cache of the request's permissions, which a stream may outlive."""
    return await Context().run(asyncio.ensure_future, work)
