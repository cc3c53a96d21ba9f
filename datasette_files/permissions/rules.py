"""Actions, resources, and the SQL of the rules that the yaml and ownership give.

The one place where access is decided: a view or use case asks ``require`` or takes a ``Grant``.
Datasette combines our rules with every other plugin's: the more specific wins, then a denial wins.
Everything is denied until a rule allows it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from datasette.permissions import Action, PermissionSQL, Resource
from datasette.plugins import pm
from datasette.resources import DatabaseResource, TableResource
from datasette.utils import actor_matches_allow, await_me_maybe

from ..config import config_of
from ..errors import ConfigurationError, PermissionDenied

Actor = dict[str, Any] | None

BROWSE = "files-browse"
UPLOAD = "files-upload"
EDIT = "files-edit"
DELETE = "files-delete"
MANAGE = "files-manage"
DEBUG = "debug-storages"

#: What a refusal says, by action.
_VERBS = {
    BROWSE: "browse this source",
    UPLOAD: "upload to this source",
    EDIT: "edit this file",
    DELETE: "delete this file",
    MANAGE: "manage this source",
    DEBUG: "look into the storages",
}

# The file a check is about, so that ownership looks at one row and not at all of the owner's.
_checked_file: ContextVar[str | None] = ContextVar("datasette_files_checked_file", default=None)


# Whether a check is about all files of each source: then none is looked at.
_whole_sources: ContextVar[bool] = ContextVar("datasette_files_whole_sources", default=False)


def _sources_sql(datasette: Any) -> str:
    # Slugs are letters, digits, _ and -, so they need no escaping.
    slugs = config_of(datasette).sources
    if not slugs:
        return "SELECT NULL AS parent, NULL AS child WHERE 0"
    return " UNION ALL ".join(f"SELECT '{slug}' AS parent, NULL AS child" for slug in slugs)


class SourceResource(Resource):  # type: ignore[misc]
    """A configured source; ``parent`` is its slug."""

    name = "files-source"
    parent_class = None

    def __init__(self, source: str) -> None:
        super().__init__(parent=source, child=None)

    @classmethod
    async def resources_sql(cls, datasette: Any, actor: Actor = None) -> str:
        return _sources_sql(datasette)


class FileResource(Resource):  # type: ignore[misc]
    """A file; ``parent`` is its source's slug, ``child`` its id."""

    name = "files-file"
    parent_class = SourceResource

    def __init__(self, source: str, file: str) -> None:
        super().__init__(parent=source, child=file)

    @classmethod
    async def resources_sql(cls, datasette: Any, actor: Actor = None) -> str:
        if _whole_sources.get():
            return _sources_sql(datasette)
        slugs = ", ".join(f"'{slug}'" for slug in config_of(datasette).sources)
        return f"""SELECT s.slug AS parent, f.id AS child FROM datasette_files f
            JOIN datasette_files_sources s ON s.id = f.source_id WHERE s.slug IN ({slugs})"""


ACTIONS = [
    Action(
        name=BROWSE,
        description="Browse, search, view and download files",
        resource_class=SourceResource,
    ),
    Action(name=UPLOAD, description="Upload files to a source", resource_class=SourceResource),
    Action(name=EDIT, description="Edit a file's metadata", resource_class=FileResource),
    Action(name=DELETE, description="Delete a file", resource_class=FileResource),
    Action(
        name=MANAGE,
        description="Change a source's settings, and purge its trash",
        resource_class=SourceResource,
    ),
    Action(name=DEBUG, description="See what storages hold and how they are"),
]
_SOURCE_ACTIONS = (BROWSE, UPLOAD, EDIT, DELETE, MANAGE)


def actor_id(actor: Actor) -> str | None:
    """The actor's id as the catalog keeps it; None for nobody, or an actor without one."""
    value = (actor or {}).get("id")
    return None if value is None else str(value)


async def rules(datasette: Any, actor: Actor, action: str) -> list[PermissionSQL]:
    """Our rules for one actor and action: the yaml's on sources, and ownership of files."""
    if action not in _SOURCE_ACTIONS:
        return []
    verdicts = _source_rules(datasette, actor, action)
    found = []
    if verdicts:
        found.append(_as_sql(verdicts, action))
    if owned := await _ownership(datasette, actor, action):
        found.append(owned)
    return found


def _blocks(datasette: Any, action: str) -> Iterator[tuple[str, Any]]:
    """``(source, allow block)`` of ``permissions: {action: {source: {allow: …}}}``."""
    block = ((datasette.config or {}).get("permissions") or {}).get(action)
    if not isinstance(block, dict):
        return
    sources = config_of(datasette).sources
    for key, value in block.items():
        if str(key) in sources and isinstance(value, dict) and "allow" in value:
            yield str(key), value["allow"]


def check_source_blocks(datasette: Any) -> None:
    """Raises ConfigurationError for a source's allow block that Datasette could not read."""
    for action in _SOURCE_ACTIONS:
        for source, allow in _blocks(datasette, action):
            if not (allow is None or allow in (0, 1) or isinstance(allow, dict)):
                raise ConfigurationError(
                    f"permissions.{action}.{source}.allow: must be true, false or an allow block,"
                    " such as {id: alice}"
                )


class _SourceBlock(dict[str, Any]):
    """A source's entry in an action's block, as a value that a set can be asked for.

    Datasette reads the whole block as an allow block and looks its values up in a set; where the
    source has the name of a key of the actor (``id``), a plain dict would raise there.
    """

    __hash__ = object.__hash__  # type: ignore[assignment]


def mark_source_blocks(datasette: Any) -> None:
    """Have Datasette's own reading of the permissions take no entry of a source for an actor's."""
    config = datasette.config or {}
    permissions = dict(config.get("permissions") or {})
    for action in _SOURCE_ACTIONS:
        marked = {source for source, _ in _blocks(datasette, action)}
        if marked:
            permissions[action] = {
                key: _SourceBlock(value) if str(key) in marked else value
                for key, value in permissions[action].items()
            }
    datasette.config = {**config, "permissions": permissions}


def _source_rules(datasette: Any, actor: Actor, action: str) -> dict[str, bool]:
    return {
        source: actor_matches_allow(actor, bool(allow) if allow in (0, 1) else allow)
        for source, allow in _blocks(datasette, action)
        if allow is not None
    }


def _as_sql(verdicts: dict[str, bool], action: str) -> PermissionSQL:
    selects, params = [], {}
    for index, (source, allowed) in enumerate(verdicts.items()):
        selects.append(
            f"SELECT :files_source_{index} AS parent, NULL AS child,"
            f" {int(allowed)} AS allow, :files_reason_{index} AS reason"
        )
        params[f"files_source_{index}"] = source
        verb = "allow" if allowed else "deny"
        params[f"files_reason_{index}"] = f"config {verb} permissions for {action} on {source}"
    return PermissionSQL(sql=" UNION ALL ".join(selects), params=params)


async def _ownership(datasette: Any, actor: Actor, action: str) -> PermissionSQL | None:
    """Uploaders may edit or delete their files, unless their source is explicitly denied.

    A block that merely does not name the actor is no denial; ``allow: false`` is one, and so is
    another plugin's. Of the trash, where a file that is checked may be, ownership gives them what
    they threw away themselves: it does not undo what somebody else deleted.
    """
    config = config_of(datasette)
    enabled = {EDIT: config.owners_can_edit, DELETE: config.owners_can_delete}.get(action, False)
    owner = actor_id(actor)
    if not enabled or owner is None or _whole_sources.get():
        return None
    denied_sql, params = await _denials(datasette, actor, action)
    never = [source for source, allow in _blocks(datasette, action) if allow in (0, {})]
    closed = ", ".join(f"'{source}'" for source in never)
    sql = f"""SELECT s.slug AS parent, f.id AS child, 1 AS allow, 'uploaded by the actor' AS reason
        FROM datasette_files f JOIN datasette_files_sources s ON s.id = f.source_id
        WHERE ifnull(f.uploaded_by, '') = :files_owner AND f.uploaded_by IS NOT NULL
        AND s.slug NOT IN ({closed}) AND s.slug NOT IN ({denied_sql})"""
    params["files_owner"] = owner
    if (file_id := _checked_file.get()) is not None:
        sql += f""" AND f.id = :files_checked UNION ALL
            {sql.replace("datasette_files f", "datasette_files_trash f")}
            AND f.id = :files_checked AND f.trashed_by = :files_owner"""
        params["files_checked"] = file_id
    return PermissionSQL(sql=sql, params=params)


async def _denials(datasette: Any, actor: Actor, action: str) -> tuple[str, dict[str, Any]]:
    """SQL for the sources that other plugins' rules deny to the actor."""
    ours_and_core = [
        plugin
        for plugin in pm.get_plugins()
        if getattr(plugin, "__name__", "").partition(".")[0] in ("datasette", "datasette_files")
    ]
    hook = pm.subset_hook_caller("permission_resources_sql", remove_plugins=ours_and_core)
    selects = ["SELECT NULL AS parent WHERE 0"]
    params: dict[str, Any] = {}
    for result in hook(datasette=datasette, actor=actor, action=action):
        resolved = await await_me_maybe(result)
        for rule in resolved if isinstance(resolved, list | tuple) else [resolved]:
            if rule is not None and rule.sql is not None:
                selects.append(
                    f"SELECT parent FROM ({rule.sql})"
                    " WHERE parent IS NOT NULL AND child IS NULL AND allow = 0"
                )
                params.update(rule.params or {})
    return " UNION ALL ".join(selects), params


@dataclass(frozen=True)
class Grant:
    """The sources on which an actor may do something, as SQL: decided where and when it runs."""

    action: str
    sql: str
    params: dict[str, Any]

    def slugs(self, conn: sqlite3.Connection) -> frozenset[str]:
        """The slugs of the sources; on the internal database's connection."""
        rows = conn.execute(f"SELECT parent FROM ({self.sql})", self.params)
        return frozenset(row[0] for row in rows if row[0] is not None)

    def check(self, conn: sqlite3.Connection, source: str) -> None:
        """Raises PermissionDenied unless the source is among them."""
        if source not in self.slugs(conn):
            raise refusal(self.action)


async def grant(datasette: Any, actor: Actor, action: str, source: str | None = None) -> Grant:
    """What the actor may do, to be decided in the same look-up as the rows it is about.

    ``source`` narrows it to one.
    """
    sql, params = await datasette.allowed_resources_sql(action=action, actor=actor, parent=source)
    return Grant(action, sql, params)


async def grant_on_sources(datasette: Any, actor: Actor, action: str) -> Grant:
    """The sources whose files the actor may all edit (or delete): a rule about them says so.

    Ownership, and other plugins' rules about single files, are not among those.
    """
    token = _whole_sources.set(True)
    try:
        return await grant(datasette, actor, action)
    finally:
        _whole_sources.reset(token)


def administrator(action: str, source: str) -> Grant:
    """For commands, which whoever administers the site runs: the action on a configured source."""
    return Grant(action, "SELECT :files_administered AS parent", {"files_administered": source})


async def require_debug(datasette: Any, actor: Actor) -> None:
    """Raises PermissionDenied unless the actor may look into the storages."""
    if not await datasette.allowed(action=DEBUG, actor=actor):
        raise refusal(DEBUG)


def refusal(action: str) -> PermissionDenied:
    return PermissionDenied(
        f"You do not have permission to {_VERBS[action]} ({action}); sign in, or ask its"
        " administrator"
    )


@contextmanager
def _about(file_id: str) -> Iterator[None]:
    token = _checked_file.set(file_id)
    try:
        yield
    finally:
        _checked_file.reset(token)


async def file_actions(datasette: Any, actor: Actor, source: str, file_id: str) -> set[str]:
    """Which of edit and delete the actor may do to the file."""
    with _about(file_id):
        verdicts = await datasette.allowed_many(
            actions=[EDIT, DELETE], resource=FileResource(source, file_id), actor=actor
        )
    return {action for action, allowed in verdicts.items() if allowed}


async def require_on_file(
    datasette: Any, actor: Actor, action: str, source: str, file_id: str
) -> None:
    """Raises PermissionDenied unless the actor may edit (or delete) the file."""
    if action not in await file_actions(datasette, actor, source, file_id):
        raise refusal(action)


#: What each mode of an import needs in Datasette: on the database, and on the table.
_IMPORT_NEEDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "create": (("create-table", "insert-row"), ()),
    "append": ((), ("insert-row",)),
    "replace": (("create-table", "insert-row"), ("insert-row", "drop-table")),
    "merge": ((), ("insert-row", "update-row")),
    "compare": ((), ("view-table", "insert-row", "update-row")),
}


async def missing_for_import(
    datasette: Any, actor: Actor, database: str, table: str, mode: str, removes: bool = False
) -> list[str]:
    """The actions of Datasette that the actor would need to import, and may not do."""
    on_database, on_table = _IMPORT_NEEDS[mode]
    if removes:
        on_table = (*on_table, "delete-row")
    missing: list[str] = []
    for actions, resource in (
        (on_database, DatabaseResource(database)),
        (on_table, TableResource(database, table)),
    ):
        if actions:
            verdicts = await datasette.allowed_many(
                actions=list(actions), resource=resource, actor=actor
            )
            missing += [name for name in actions if not verdicts[name] and name not in missing]
    return missing


async def may_add_rows(datasette: Any, actor: Actor, database: str) -> bool:
    """Whether there is a table in the database that the actor may add rows to."""
    await datasette.refresh_schemas()  # by which Datasette knows the tables
    page = await datasette.allowed_resources("insert-row", actor, parent=database, limit=1)
    return bool(page.resources)


async def may_view_table(datasette: Any, actor: Actor, database: str, table: str) -> bool:
    """Whether Datasette shows the table to the actor."""
    verdict: bool = await datasette.allowed(
        action="view-table", resource=TableResource(database, table), actor=actor
    )
    return verdict
