"""The rules of one action on files, as SQL: verdicts about many files in one look-up.

Decided on the connection that reads the rows, or that commits a change of them. Leaves out the
rules themselves (rules.py) and how a sight adds ``files-browse`` (sight.py).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from datasette.utils.permissions import (
    SKIP_PERMISSION_CHECKS,
    gather_permission_sql_from_hooks,
)

from ..config import config_of
from .actions import Actor, checked_files

_NO_RULES = "SELECT NULL AS parent, NULL AS child, NULL AS allow WHERE 0"
#: Where Datasette skips the checks of permissions.
_ALL_ALLOWED = "SELECT NULL AS parent, NULL AS child, 1 AS allow"
#: Files that are asked at once whether no rule denies them.
_BATCH = 100


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
class FileRules:
    """One action's rules for an actor, as SQL, which decides when it runs."""

    #: Slugs of the sources in which the rules count: the configured ones.
    sources: frozenset[str] = frozenset()
    #: Each rule as a SELECT of parent, child and allow; the parameters of all.
    each: tuple[str, ...] = ()
    params: dict[str, Any] = field(default_factory=dict)
    #: SELECTs of parent and child: all of them must list a file or its source (tokens).
    restrictions: list[str] = field(default_factory=list)

    @property
    def rules(self) -> str:
        """All rules as one SELECT."""
        return " UNION ALL ".join(self.each) or _NO_RULES

    def among(
        self, conn: sqlite3.Connection, files: Iterable[tuple[str, str]]
    ) -> frozenset[tuple[str, str]]:
        """Those of the files, each ``(slug, id)``, that the rules allow."""
        allowed: set[tuple[str, str]] = set()
        by_source: dict[str, list[str]] = {}
        for slug, file_id in files:
            if slug in self.sources:
                by_source.setdefault(slug, []).append(file_id)
        limits = self.limits(conn) if by_source else None
        for slug, ids in by_source.items():
            source, verdicts = self.on_source(conn, slug), self._on_files(conn, slug, ids)
            allowed |= {
                (slug, file_id)
                for file_id in ids
                if verdicts.get(file_id, source) and (limits is None or limits.allow(slug, file_id))
            }
        return frozenset(allowed)

    def on_source(self, conn: sqlite3.Connection, slug: str) -> bool:
        """Tell whether the action is allowed on the files of a source that no rule names."""
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

    def single(self, conn: sqlite3.Connection, slug: str) -> tuple[frozenset[str], frozenset[str]]:
        """The files of a source that rules about single files allow, and those they deny."""
        # One row for all files: Python takes ten times as long to read a row for each. And each
        # rule by itself, as SQLite takes three times as long to read the rows of a union.
        each = " UNION ALL ".join(
            f"""SELECT json_group_array(child) FILTER (WHERE allow = 1),
                json_group_array(child) FILTER (WHERE allow = 0)
            FROM ({rule}) WHERE parent = :files_slug AND child IS NOT NULL"""
            for rule in self.each or (_NO_RULES,)
        )
        found = conn.execute(each, {**self.params, "files_slug": slug}).fetchall()
        allowed: frozenset[str] = frozenset().union(*(json.loads(row[0]) for row in found))
        denied: frozenset[str] = frozenset().union(*(json.loads(row[1]) for row in found))
        return (allowed - denied if denied else allowed), denied

    def allows_any(self, conn: sqlite3.Connection, slug: str) -> bool:
        """Tell whether the rules allow a file of a source; it may be one that was deleted."""
        if self.on_source(conn, slug):
            return True
        for rule in self.each:
            rows = conn.execute(
                f"""SELECT child FROM ({rule})
                WHERE parent = :files_slug AND child IS NOT NULL AND allow = 1""",
                {**self.params, "files_slug": slug},
            )
            while batch := rows.fetchmany(_BATCH):
                if any(self._on_files(conn, slug, [row[0] for row in batch]).values()):
                    return True
        return False

    def limits(self, conn: sqlite3.Connection) -> Limits | None:
        """The restrictions of the actor's token; None where nothing restricts the actor."""
        if not self.restrictions:
            return None
        each = " INTERSECT ".join(f"SELECT parent, child FROM ({sql})" for sql in self.restrictions)
        rows = conn.execute(each, self.params)
        return Limits(frozenset((row[0], row[1]) for row in rows))


async def file_rules(
    datasette: Any, actor: Actor, action: str, file_ids: Collection[str] | None = None
) -> FileRules:
    """The actor's rules for an action on files, to be decided in the same look-up as the rows.

    With ``file_ids`` the rules of ownership count for these files, in the trash too; without them
    for every file that the actor owns, except for ``files-share``.
    """
    token = checked_files.set(None if file_ids is None else tuple(file_ids))
    try:
        found = await gather_permission_sql_from_hooks(
            datasette=datasette, actor=actor, action=action
        )
    finally:
        checked_files.reset(token)
    sources = frozenset(config_of(datasette).sources)
    if found is SKIP_PERMISSION_CHECKS:
        return FileRules(sources, (_ALL_ALLOWED,))
    # Datasette gives these to rules with parameters of their own, and any rule may use them.
    params = {
        "action": action,
        "actor": None if actor is None else json.dumps(actor),
        "actor_id": (actor or {}).get("id"),
    }
    for rule in found:
        params |= rule.params or {}
    each = tuple(
        # An id is compared byte by byte, whatever the collation of a plugin's column.
        f"SELECT parent, child COLLATE BINARY AS child, allow FROM ({rule.sql}\n)"
        for rule in found
        if rule.sql is not None
    )
    restrictions = [rule.restriction_sql for rule in found if rule.restriction_sql]
    return FileRules(sources, each, params, restrictions)
