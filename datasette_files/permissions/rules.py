"""The rules of the yaml and of ownership, as SQL.

Datasette combines our rules with every other plugin's: the more specific wins, then a denial wins.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from datasette.permissions import PermissionSQL
from datasette.plugins import pm
from datasette.utils import actor_matches_allow, await_me_maybe

from ..config import config_of
from ..errors import ConfigurationError
from .actions import (
    DELETE,
    EDIT,
    SHARE,
    SOURCE_ACTIONS,
    Actor,
    actor_id,
    checked_file,
    whole_sources,
)


async def rules(datasette: Any, actor: Actor, action: str) -> list[PermissionSQL]:
    """Our rules for one actor and action: the yaml's on sources, and ownership of files."""
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
    """Raise ConfigurationError for a source's allow block that Datasette cannot read."""
    for action in SOURCE_ACTIONS:
        for source, allow in _blocks(datasette, action):
            if not (allow is None or allow in (0, 1) or isinstance(allow, dict)):
                raise ConfigurationError(
                    f"permissions.{action}.{source}.allow: must be true, false or an allow block,"
                    " such as {id: alice}"
                )


class _SourceBlock(dict[str, Any]):
    """A source's entry in an action's block, made hashable.

    Datasette reads the whole block as an allow block and looks its values up in a set; if the
    source is named like a key of the actor (``id``), a plain dict would raise there.
    """

    __hash__ = object.__hash__  # type: ignore[assignment]


def mark_source_blocks(datasette: Any) -> None:
    """Keep Datasette from reading a source's entry in the permissions as one about the actor."""
    config = datasette.config or {}
    permissions = dict(config.get("permissions") or {})
    for action in SOURCE_ACTIONS:
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
    """Uploaders may edit, delete or share their files, unless their source is explicitly denied.

    ``allow: false`` is a denial, and so is another plugin's; a block that merely does not name the
    actor is none. In the trash, ownership covers only files that the owner deleted: nobody undoes
    another's deletion by ownership.
    """
    config = config_of(datasette)
    enabled = {
        EDIT: config.owners_can_edit,
        DELETE: config.owners_can_delete,
        # The action's resource is a source, so files matter to the check of a single file alone.
        SHARE: config.owners_can_share and checked_file.get() is not None,
    }.get(action, False)
    owner = actor_id(actor)
    if not enabled or owner is None or whole_sources.get():
        return None
    denied_sql, params = await _denials(datasette, actor, action)
    never = [source for source, allow in _blocks(datasette, action) if allow in (0, {})]
    closed = ", ".join(f"'{source}'" for source in never)
    sql = f"""SELECT s.slug AS parent, f.id AS child, 1 AS allow, 'uploaded by the actor' AS reason
        FROM datasette_files f JOIN datasette_files_sources s ON s.id = f.source_id
        WHERE ifnull(f.uploaded_by, '') = :files_owner AND f.uploaded_by IS NOT NULL
        AND s.slug NOT IN ({closed}) AND s.slug NOT IN ({denied_sql})"""
    params["files_owner"] = owner
    if (file_id := checked_file.get()) is not None:
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
