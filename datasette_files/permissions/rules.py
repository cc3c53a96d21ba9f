"""The rules of the yaml and of ownership, as SQL.

Datasette combines our rules with every other plugin's: the more specific wins, then a denial wins.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from datasette import actor_matches_allow
from datasette.permissions import PermissionSQL
from datasette.plugins import pm
from datasette.utils import await_me_maybe

from ..config import config_of
from ..errors import ConfigurationError
from .actions import (
    BROWSE,
    DELETE,
    EDIT,
    SHARE,
    SOURCE_ACTIONS,
    VIEW,
    Actor,
    actor_id,
    browse_decided,
    checked_files,
    whole_sources,
)
from .roles import roles_on_sources


async def rules(datasette: Any, actor: Actor, action: str) -> list[PermissionSQL]:
    """Our rules for one actor and action: the yaml's on sources, what implies it, and ownership."""
    if action not in SOURCE_ACTIONS:
        return []
    others = await _others(datasette, actor, action)
    found = [roles_on_sources(rule) for rule in others]
    others += [rule for rule in found if rule is not None]
    found.append(_source_rules(datasette, actor, action, others))
    if action == VIEW and not browse_decided.get():
        found.append(await _browsed(datasette, actor))
    found.append(_ownership(datasette, actor, action, others))
    return [rule for rule in found if rule is not None]


async def _others(datasette: Any, actor: Actor, action: str) -> list[PermissionSQL]:
    """The rules of all plugins but ours and Datasette's own."""
    plugins = {impl.plugin for impl in pm.hook.permission_resources_sql.get_hookimpls()}
    ours_and_core = {
        plugin
        for plugin in plugins
        if getattr(plugin, "__name__", "").partition(".")[0] in ("datasette", "datasette_files")
    }
    if plugins == ours_and_core:
        return []
    hook = pm.subset_hook_caller("permission_resources_sql", remove_plugins=ours_and_core)
    found: list[PermissionSQL] = []
    for result in hook(datasette=datasette, actor=actor, action=action):
        resolved = await await_me_maybe(result)
        given = resolved if isinstance(resolved, list | tuple) else [resolved]
        found += [rule for rule in given if rule is not None and rule.sql is not None]
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


def _source_rules(
    datasette: Any, actor: Actor, action: str, others: list[PermissionSQL]
) -> PermissionSQL | None:
    """The yaml's rules on sources.

    A block that names the actor grants. One that names nobody (``allow: false``) denies, single
    files too, whatever other plugins grant. Any other says only that the action's global block does
    not hold for the actor there: it denies no grant of another plugin.
    """
    selects: list[str] = []
    params: dict[str, Any] = {}
    overall = _allowed_overall(datasette, actor, action)
    given, given_params = _union(others)
    for index, (source, allow) in enumerate(_blocks(datasette, action)):
        named = actor_matches_allow(actor, bool(allow) if allow in (0, 1) else allow)
        if allow is None or not (named or overall or not allow):
            continue
        slug, reason = f":files_source_{index}", f":files_reason_{index}"
        select = (
            f"SELECT {slug} AS parent, NULL AS child, {int(named)} AS allow, {reason} AS reason"
        )
        if not named:
            params |= given_params
        if not (named or allow):
            select += f""" UNION ALL SELECT parent, child, 0, {reason} FROM ({given})
                WHERE parent = {slug} AND child IS NOT NULL AND allow = 1"""
        elif not named:
            select += f""" WHERE NOT EXISTS (SELECT 1 FROM ({given})
                WHERE child IS NULL AND allow = 1 AND (parent = {slug} OR parent IS NULL))"""
        selects.append(select)
        params[slug[1:]] = source
        verb = "allow" if named else "deny"
        params[reason[1:]] = f"config {verb} permissions for {action} on {source}"
    return PermissionSQL(sql=" UNION ALL ".join(selects), params=params) if selects else None


def _allowed_overall(datasette: Any, actor: Actor, action: str) -> bool:
    """Tell whether the action's global block, without its entries for sources, names the actor."""
    block = datasette.config["permissions"].get(action)
    if not isinstance(block, dict):
        return False
    sources = {source for source, _ in _blocks(datasette, action)}
    overall = {key: value for key, value in block.items() if str(key) not in sources}
    return bool(overall) and actor_matches_allow(actor, overall)


def _union(rules: list[PermissionSQL]) -> tuple[str, dict[str, Any]]:
    """The rules as one SELECT of parent, child and allow, and its parameters."""
    selects = ["SELECT NULL AS parent, NULL AS child, NULL AS allow WHERE 0"]
    params: dict[str, Any] = {}
    for rule in rules:
        selects.append(f"SELECT parent, child, allow FROM ({rule.sql})")
        params.update(rule.params or {})
    return " UNION ALL ".join(selects), params


async def _browsed(datasette: Any, actor: Actor) -> PermissionSQL:
    """``files-browse`` on a source implies ``files-view`` on its files.

    A token restricted to ``files-view`` keeps it: the restriction is applied to the result.
    """
    whole = {key: value for key, value in (actor or {}).items() if key != "_r"}
    sql, params = await datasette.allowed_resources_sql(
        action=BROWSE, actor=whole if actor is not None else None
    )
    renamed = {f"files_browse_{name}": value for name, value in params.items()}
    sql = re.sub(r":(\w+)", lambda found: _renamed(found, params), sql)
    return PermissionSQL(
        sql=f"""SELECT parent, NULL AS child, 1 AS allow, 'files-browse on the source' AS reason
            FROM ({sql})""",
        params=renamed,
    )


def _renamed(found: re.Match[str], params: dict[str, Any]) -> str:
    return f":files_browse_{found[1]}" if found[1] in params else found[0]


def _ownership(
    datasette: Any, actor: Actor, action: str, others: list[PermissionSQL]
) -> PermissionSQL | None:
    """Uploaders may edit, delete or share their files, unless their source is explicitly denied.

    ``allow: false`` is a denial, and so is another plugin's; a block that merely does not name the
    actor is none. In the trash, ownership covers only files that the owner deleted: nobody undoes
    another's deletion by ownership.
    """
    config = config_of(datasette)
    enabled = {
        EDIT: config.owners_can_edit,
        DELETE: config.owners_can_delete,
        # The action's resource is a source, so files matter to the check of files alone.
        SHARE: config.owners_can_share and checked_files.get() is not None,
    }.get(action, False)
    owner = actor_id(actor)
    if not enabled or owner is None or whole_sources.get():
        return None
    given, params = _union(others)
    never = [source for source, allow in _blocks(datasette, action) if allow in (0, {})]
    closed = ", ".join(f"'{source}'" for source in never)
    sql = f"""SELECT s.slug AS parent, f.id AS child, 1 AS allow, 'uploaded by the actor' AS reason
        FROM datasette_files f JOIN datasette_files_sources s ON s.id = f.source_id
        WHERE ifnull(f.uploaded_by, '') = :files_owner AND f.uploaded_by IS NOT NULL
        AND s.slug NOT IN ({closed}) AND s.slug NOT IN (SELECT parent FROM ({given})
            WHERE parent IS NOT NULL AND child IS NULL AND allow = 0)"""
    params["files_owner"] = owner
    if (file_ids := checked_files.get()) is not None:
        checked = "f.id IN (SELECT value FROM json_each(:files_checked))"
        sql += f""" AND {checked} UNION ALL
            {sql.replace("datasette_files f", "datasette_files_trash f")}
            AND {checked} AND f.trashed_by = :files_owner"""
        params["files_checked"] = json.dumps(file_ids)
    return PermissionSQL(sql=sql, params=params)
