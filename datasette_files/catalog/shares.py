"""Links for people without an account: made, listed, and ended.

A link gives files, or takes files into one source. Leaves out tokens (permissions/shares.py), rows
(db/shares.py) and the use of links (links.py).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from sqlite3 import Connection
from typing import Any, TypeVar

from .. import naming
from ..config import PluginConfig
from ..db import shares as rows
from ..db.batching import Catalog
from ..db.shares import Share
from ..errors import Invalid, NotFound, PermissionDenied
from ..events import Announcer, RevokeShareEvent, ShareFileEvent
from ..models import FileRecord, written
from ..permissions import shares as permission
from ..permissions.actions import MANAGE, SHARE, UPLOAD, Actor, actor_id, refusal
from ..permissions.grants import grant
from ..permissions.shares import absent
from ..sources.sources import Source
from .links import Links
from .lookup import Lookup

_T = TypeVar("_T")

MAX_FILES = 200
MAX_LABEL = 200
#: Bounds of an upload link whose maker names none.
DEFAULT_FILES, DEFAULT_BYTES = 100, 1024 * 1024 * 1024
_DAY = 24 * 3600


@dataclass(frozen=True)
class Terms:
    """The maker's wishes for a link. ``expires_in`` in seconds; None stands for the default."""

    expires_in: int | None = None
    label: str | None = None
    max_downloads: int | None = None
    max_files: int | None = None
    max_bytes: int | None = None


@dataclass(frozen=True)
class Listed:
    """A link for its maker, or for a manager, who sees only the files of managed sources."""

    share: Share
    file_ids: list[str]
    #: The slug of an upload link's source.
    source: str | None
    #: Whether its maker has fewer rights now, so that it shows and takes nothing.
    suspended: bool


def as_json(one: Listed) -> dict[str, Any]:
    """The JSON of an entry of the list of links."""
    share = one.share
    shown = (
        share_json(share, one.file_ids) if share.kind == "files" else upload_json(share, one.source)
    )
    return {
        **shown,
        "made_by": share.maker_id,
        "created_at": written(share.created_at),
        "suspended": one.suspended,
    }


def share_json(share: Share, ids: list[str]) -> dict[str, Any]:
    """The JSON of a share link."""
    return {
        "id": share.id,
        "kind": share.kind,
        "ids": ids,
        "label": share.label,
        "expires_at": written(share.expires_at),
        "max_downloads": share.max_downloads,
        "downloads": share.downloads,
    }


def upload_json(share: Share, slug: str | None) -> dict[str, Any]:
    """The JSON of an upload link. ``slug`` is its source's."""
    return {
        "id": share.id,
        "kind": share.kind,
        "source": slug,
        "label": share.label,
        "expires_at": written(share.expires_at),
        "max_files": share.max_files,
        "max_bytes": share.max_bytes,
        "files": share.files,
        "bytes": share.bytes,
    }


class Shares:
    """The links of one Datasette."""

    def __init__(
        self,
        datasette: Any,
        database: Catalog,
        config: PluginConfig,
        lookup: Lookup,
        links: Links,
        announcer: Announcer,
    ) -> None:
        self._datasette = datasette
        self._catalog = database
        self._config = config
        self._lookup = lookup
        self._links = links
        self._announcer = announcer

    async def share(
        self, actor: Actor, file_ids: Sequence[str], terms: Terms
    ) -> tuple[Share, list[str], str]:
        """Make a link to files. The link, the files' ids, and its token, which is nowhere else.

        Raises Invalid, NotFound, PermissionDenied.
        """
        ids = list(dict.fromkeys(file_ids))
        if not 1 <= len(ids) <= MAX_FILES:
            raise Invalid(f"{len(ids)} files were named; share 1 to {MAX_FILES} files by one link")
        share, token = self._new(actor, "files", terms)
        shown = {file.id: file for file, _ in await self._lookup.visible_many(actor, ids)}
        for file_id in ids:
            if file_id not in shown:
                await self._lookup.visible(actor, file_id)  # tells why
                raise absent()
        allowed = await self._links.shareable(actor, list(shown.values()))
        if len(allowed) < len(ids):
            raise refusal(SHARE)
        await self._catalog.write(lambda conn: rows.insert(conn, share, ids))
        for file_id in ids:
            await self._announcer.announce(
                ShareFileEvent.of_file(shown[file_id], actor, share.id, share.expires_at)
            )
        return share, ids, token

    async def shareable(
        self, actor: Actor, files: list[FileRecord], enough: int | None = None
    ) -> set[str]:
        """The ids of those files that the actor may share; as ``Links.shareable``."""
        return await self._links.shareable(actor, files, enough)

    async def upload_link(self, actor: Actor, source: Source, terms: Terms) -> tuple[Share, str]:
        """Make a link to upload into a source. The link and its token.

        Raises Invalid, PermissionDenied, NotSupported.
        """
        share, token = self._new(actor, "upload", terms)
        share = replace(
            share,
            source_id=source.id,
            max_files=terms.max_files or DEFAULT_FILES,
            max_bytes=terms.max_bytes or DEFAULT_BYTES,
        )
        needed = [await grant(self._datasette, actor, one, source.slug) for one in (SHARE, UPLOAD)]

        def insert(conn: Connection) -> None:
            for one in needed:
                one.check(conn, source.slug)
            if not source.capabilities.can_upload:
                source.require_uploads()  # tells why not
            rows.insert(conn, share, ())

        await self._catalog.write(insert)
        await self._announcer.announce(
            ShareFileEvent.of_source(source.slug, actor, share.id, share.expires_at)
        )
        return share, token

    def _new(self, actor: Actor, kind: rows.Kind, terms: Terms) -> tuple[Share, str]:
        """A link of these terms without what belongs to its kind. Raises Invalid."""
        maker = actor_id(actor)
        if actor is None or maker is None:
            raise PermissionDenied("Links are made by people who are signed in; sign in first")
        days = self._config.share_max_days
        seconds = terms.expires_in
        if seconds is None:
            seconds = min(self._config.share_default_days, days) * _DAY
        if not 1 <= seconds <= days * _DAY:
            raise Invalid(
                f"expires_in must be a number of seconds from 1 to {days * _DAY}, which are {days}"
                f" day{'' if days == 1 else 's'}"
            )
        label = (terms.label or "").strip()
        if len(label) > MAX_LABEL or not naming.storable(label) or "\x00" in label:
            raise Invalid(f"label must be text of at most {MAX_LABEL} characters")
        for name in ("max_downloads", "max_files", "max_bytes"):
            bound = getattr(terms, name)
            if bound is not None and not 1 <= bound < 2**53:
                raise Invalid(f"{name} must be a whole number from 1")
        token, now = permission.new_token(), time.time()
        share = Share(
            number=None,
            id=f"sh-{naming.new_ulid()}",
            digest=naming.token_digest(token),
            kind=kind,
            source_id=None,
            label=label or None,
            maker=actor,
            maker_id=maker,
            created_at=now,
            expires_at=now + seconds,
            max_downloads=terms.max_downloads,
        )
        return share, token

    async def listed(
        self,
        actor: Actor,
        *,
        file_id: str | None = None,
        source: str | None = None,
        before: int | None = None,
        limit: int = 200,
    ) -> list[Listed]:
        """The actor's own links, and all of managed sources, which have not ended; newest first.

        ``file_id`` and ``source`` (a slug) name the only links that are wanted.
        """
        who = actor_id(actor)
        manage = await grant(self._datasette, actor, MANAGE)

        def look(conn: Connection) -> list[tuple[Share, list[str]]]:
            managed = manage.slugs(conn)
            found = rows.listed(
                conn,
                who,
                managed,
                time.time(),
                file_id=file_id,
                source=source,
                before=before,
                limit=limit,
            )
            return [
                (share, rows.file_ids(conn, share, None if share.maker_id == who else managed))
                for share in found
            ]

        return [await self._listed(*one) for one in await self._catalog.query(look)]

    async def all(self) -> list[Listed]:
        """Every link that has not ended, the newest first, without any permission check."""

        def look(conn: Connection) -> list[tuple[Share, list[str]]]:
            found = rows.listed(conn, None, None, time.time(), limit=-1)
            return [(share, rows.file_ids(conn, share)) for share in found]

        return [await self._listed(*one) for one in await self._catalog.query(look)]

    async def _listed(self, share: Share, ids: list[str]) -> Listed:
        source = self._links.source_of(share)
        slug = None if source is None else source.slug
        return Listed(share, ids, slug, await self._links.is_suspended(share))

    async def revoke(self, actor: Actor, share_id: str) -> None:
        """End a link for good; repeated, it does nothing. Raises NotFound, PermissionDenied.

        Its maker may, and who manages a source that it concerns.
        """
        who = actor_id(actor)
        manage = await grant(self._datasette, actor, MANAGE)

        def check(conn: Connection) -> None:
            share = rows.get(conn, share_id)
            if share is None:
                raise NotFound(f"There is no link {share_id}; look its id up in shares.json")
            own = who is not None and share.maker_id == who
            if not own and not rows.source_slugs(conn, share) & manage.slugs(conn):
                raise PermissionDenied(
                    "Only its maker, and who manages its source (files-manage), may revoke a link;"
                    " ask one of them"
                )

        await self._catalog.read(check)
        await self.end(actor, share_id)

    async def end(self, actor: Actor, share_id: str) -> None:
        """End a link for good, without any permission check. Raises NotFound."""

        def end(conn: Connection) -> tuple[Share | None, bool, list[str], frozenset[str]]:
            share = rows.get(conn, share_id)
            if share is None:
                return None, False, [], frozenset()
            changed = rows.revoke(conn, share_id, actor_id(actor), time.time())
            return share, changed, rows.file_ids(conn, share), rows.source_slugs(conn, share)

        share, changed, ids, slugs = await self._catalog.write(end)
        if share is None:
            raise NotFound(f"There is no link {share_id}; look its id up in shares.json")
        if changed:
            await self._announcer.announce(
                RevokeShareEvent(
                    actor=actor,
                    share_id=share.id,
                    kind=share.kind,
                    file_ids=ids,
                    source_slugs=sorted(slugs),
                )
            )
