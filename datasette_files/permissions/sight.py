"""The files that an actor may see: the one place that decides it, for one file and for lists.

A file is seen with ``files-browse`` on its source, or with ``files-view`` on the file. Both are
decided on the connection that reads the rows. A denial of ``files-view`` does not take away what
``files-browse`` shows. Leaves out the rules (rules.py) and all that changes a file (grants.py).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from datasette.utils.actions_sql import build_permission_rules_sql

from ..config import config_of
from ..db.partial import Part
from ..models import FileRecord
from .actions import BROWSE, VIEW, Actor, browse_decided, refusal
from .grants import Grant, grant

_NO_RULES = "SELECT NULL AS parent, NULL AS child, NULL AS allow WHERE 0"


@dataclass(frozen=True)
class Scope:
    """The files that an actor may see, as of one look-up."""

    #: Slugs of the sources with ``files-browse``: these alone show their label and totals.
    browsable: frozenset[str]
    #: Slugs of the sources of which every file is seen, the browsable ones among them.
    whole: frozenset[str]
    #: By slug, the others of which a part is seen. Its ids may be those of deleted files.
    parts: Mapping[str, Part]

    def shows(self, slug: str, file_id: str) -> bool:
        return slug in self.whole or (slug in self.parts and file_id in self.parts[slug])


@dataclass(frozen=True)
class Limits:
    """The ``(slug, id)`` that a token is restricted to; None stands for any."""

    pairs: frozenset[tuple[str | None, str | None]]

    def whole(self, slug: str) -> bool:
        return not self.pairs.isdisjoint({(None, None), (slug, None)})

    def files(self, slug: str) -> frozenset[str]:
        """The single files of the source among them."""
        return frozenset(one for parent, one in self.pairs if one and parent in (slug, None))

    def allow(self, slug: str, file_id: str) -> bool:
        return self.whole(slug) or file_id in self.files(slug)


@dataclass(frozen=True)
class Sight:
    """The files that an actor may see, as SQL: decided when it runs, on the internal database."""

    browse: Grant
    #: Slugs of the sources in which ``files-view`` counts: the configured ones.
    sources: frozenset[str] = frozenset()
    #: The rules of ``files-view``, as a SELECT of parent, child and allow; its parameters.
    rules: str = _NO_RULES
    params: dict[str, Any] = field(default_factory=dict)
    #: SELECTs of parent and child: all of them must list a file or its source (tokens).
    restrictions: list[str] = field(default_factory=list)

    def check(self, conn: sqlite3.Connection, file: FileRecord) -> None:
        """Raise PermissionDenied unless the actor may see the file."""
        if not self.among(conn, [(file.source_slug, file.id)]):
            raise refusal(VIEW)

    def among(
        self, conn: sqlite3.Connection, files: Iterable[tuple[str, str]]
    ) -> frozenset[tuple[str, str]]:
        """Those of the files, each ``(slug, id)``, that the actor may see."""
        browsable = self.browse.slugs(conn)
        seen: set[tuple[str, str]] = set()
        others: dict[str, list[str]] = {}
        for slug, file_id in files:
            if slug in browsable:
                seen.add((slug, file_id))
            elif slug in self.sources:
                others.setdefault(slug, []).append(file_id)
        limits = self._limits(conn) if others else None
        for slug, ids in others.items():
            source, verdicts = self._on_source(conn, slug), self._on_files(conn, slug, ids)
            seen |= {
                (slug, file_id)
                for file_id in ids
                if verdicts.get(file_id, source) and (limits is None or limits.allow(slug, file_id))
            }
        return frozenset(seen)

    def scope(self, conn: sqlite3.Connection, sources: Collection[str]) -> Scope:
        """All that the actor may see in sources, given by slug, for lists."""
        browsable = self.browse.slugs(conn)
        others = self.sources.intersection(sources) - browsable
        if not others:
            return Scope(browsable, browsable, {})
        limits = self._limits(conn)
        whole, parts = set(browsable), {}
        for slug in others:
            allowed, denied = self._single(conn, slug)
            every = self._on_source(conn, slug)
            part = Part(denied, only=False) if every else Part(allowed)
            if limits and not limits.whole(slug):
                part = Part(frozenset(one for one in limits.files(slug) if one in part))
                every = False
            if part.ids:
                parts[slug] = part
            elif every:
                whole.add(slug)
        return Scope(browsable, frozenset(whole), parts)

    def _on_source(self, conn: sqlite3.Connection, slug: str) -> bool:
        """Tell whether ``files-view`` holds for the files of a source that no rule names."""
        row = conn.execute(
            f"""SELECT coalesce(
                (SELECT min(allow) FROM ({self.rules})
                    WHERE parent = :files_slug AND child IS NULL),
                (SELECT min(allow) FROM ({self.rules}) WHERE parent IS NULL AND child IS NULL))""",
            {**self.params, "files_slug": slug},
        ).fetchone()
        return bool(row[0])

    def _on_files(self, conn: sqlite3.Connection, slug: str, ids: list[str]) -> dict[str, bool]:
        """The verdicts of the rules about these files, by id."""
        # A list of values, as SQLite hands a subquery's on to no rule, which then reads every row.
        values = {f"files_id_{number}": file_id for number, file_id in enumerate(ids)}
        rows = conn.execute(
            f"""SELECT child, min(allow) FROM ({self.rules})
            WHERE parent = :files_slug AND child IN ({", ".join(f":{name}" for name in values)})
            GROUP BY child""",
            {**self.params, **values, "files_slug": slug},
        )
        return {row[0]: bool(row[1]) for row in rows if row[1] is not None}

    def _single(self, conn: sqlite3.Connection, slug: str) -> tuple[frozenset[str], frozenset[str]]:
        """The files of a source that rules about single files allow, and those they deny."""
        # One row for all files: Python takes ten times as long to read a row for each.
        allowed, denied = conn.execute(
            f"""SELECT json_group_array(child) FILTER (WHERE allow = 1),
                json_group_array(child) FILTER (WHERE allow = 0)
            FROM ({self.rules}) WHERE parent = :files_slug AND child IS NOT NULL""",
            {**self.params, "files_slug": slug},
        ).fetchone()
        never = frozenset(json.loads(denied))
        return frozenset(json.loads(allowed)) - never, never

    def _limits(self, conn: sqlite3.Connection) -> Limits | None:
        """What a token is restricted to; None where nothing restricts the actor."""
        if not self.restrictions:
            return None
        each = " INTERSECT ".join(f"SELECT parent, child FROM ({sql})" for sql in self.restrictions)
        rows = conn.execute(each, self.params)
        return Limits(frozenset((row[0], row[1]) for row in rows))


async def sight(datasette: Any, actor: Actor) -> Sight:
    """What the actor may see, to be decided in the same look-up as the rows."""
    browse = await grant(datasette, actor, BROWSE)
    # A token may be restricted to files-view, which files-browse on a source then still implies.
    token = browse_decided.set("_r" not in (actor or {}))
    try:
        rules, params, restrictions = await build_permission_rules_sql(datasette, actor, VIEW)
    finally:
        browse_decided.reset(token)
    # Datasette gives these to rules with parameters of their own, and any rule may use them.
    given = {
        "action": VIEW,
        "actor": None if actor is None else json.dumps(actor),
        "actor_id": (actor or {}).get("id"),
    }
    sources = frozenset(config_of(datasette).sources)
    return Sight(browse, sources, rules or _NO_RULES, given | params, restrictions)
