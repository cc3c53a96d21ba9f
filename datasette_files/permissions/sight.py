"""The files that an actor may see: the one place that decides it, for one file and for lists.

A file is seen with ``files-browse`` on its source, or with ``files-view`` on the file. Both are
decided on the connection that reads the rows. A denial of ``files-view`` does not take away what
``files-browse`` shows. Leaves out the rules (rules.py) and all that changes a file (grants.py).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..db.partial import Part
from ..models import FileRecord
from .actions import BROWSE, VIEW, Actor, browse_decided, refusal
from .grants import Grant, grant
from .verdicts import FileRules, file_rules

#: Files that are asked one by one.
_FEW = 1_000


@dataclass(frozen=True)
class Scope:
    """The files that an actor may see, as of one look-up."""

    #: Slugs of the sources with ``files-browse``: these alone show their label and totals.
    browsable: frozenset[str]
    #: Slugs of the sources of which every file is seen, the browsable ones among them.
    whole: frozenset[str]
    #: By slug, the others of which a part is seen. Its ids may be those of deleted files.
    parts: Mapping[str, Part]


@dataclass(frozen=True)
class Sight:
    """The files that an actor may see, as SQL: decided when it runs, on the internal database."""

    browse: Grant
    #: The rules of ``files-view``.
    view: FileRules = field(default_factory=FileRules)

    def check(self, conn: sqlite3.Connection, file: FileRecord) -> None:
        """Raise PermissionDenied unless the actor may see the file."""
        if not self.among(conn, [(file.source_slug, file.id)]):
            raise refusal(VIEW)

    def among(
        self, conn: sqlite3.Connection, files: Iterable[tuple[str, str]]
    ) -> frozenset[tuple[str, str]]:
        """Those of the files, each ``(slug, id)``, that the actor may see."""
        browsable = self.browse.slugs(conn)
        wanted = frozenset(files)
        seen = frozenset(one for one in wanted if one[0] in browsable)
        return seen | self.view.among(conn, wanted - seen)

    def has_all(self, conn: sqlite3.Connection, slug: str, ids: Collection[str]) -> bool:
        """Tell whether the actor may see all of these files of a source.

        Many are compared with all that the actor sees there, as it takes longer to ask for each.
        """
        if len(ids) <= _FEW:
            return self.among(conn, {(slug, one) for one in ids}) == {(slug, one) for one in ids}
        seen = self.scope(conn, [slug])
        part = seen.parts.get(slug)
        return slug in seen.whole or (part is not None and all(one in part for one in ids))

    def any(self, conn: sqlite3.Connection) -> bool:
        """Tell whether the actor may see any file, or browse a source that may have one."""
        if self.view.restrictions:
            seen = self.scope(conn, self.view.sources)
            return bool(seen.whole or seen.parts)
        # Without the single files, which may be many.
        return bool(self.browse.slugs(conn)) or any(
            self.view.allows_any(conn, slug) for slug in self.view.sources
        )

    def scope(self, conn: sqlite3.Connection, sources: Collection[str]) -> Scope:
        """All that the actor may see in sources, given by slug, for lists."""
        browsable = self.browse.slugs(conn)
        others = self.view.sources.intersection(sources) - browsable
        if not others:
            return Scope(browsable, browsable, {})
        limits = self.view.limits(conn)
        whole, parts = set(browsable), {}
        for slug in others:
            allowed, denied = self.view.single(conn, slug)
            every = self.view.on_source(conn, slug)
            part = Part(denied, only=False) if every else Part(allowed)
            if limits and not limits.whole(slug):
                part = Part(frozenset(one for one in limits.files(slug) if one in part))
                every = False
            if part.ids:
                parts[slug] = part
            elif every:
                whole.add(slug)
        return Scope(browsable, frozenset(whole), parts)


async def sight(datasette: Any, actor: Actor) -> Sight:
    """The files that the actor may see, to be decided in the same look-up as the rows."""
    browse = await grant(datasette, actor, BROWSE)
    # A token may be restricted to files-view, which files-browse on a source then still implies.
    token = browse_decided.set("_r" not in (actor or {}))
    try:
        return Sight(browse, await file_rules(datasette, actor, VIEW))
    finally:
        browse_decided.reset(token)
