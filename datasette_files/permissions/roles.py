"""Roles of datasette-acl, where it is installed: what they hold, and who has them.

Leaves out how grants are kept and decided, which is datasette-acl's own. It is imported only in
answer to its hook, or while it is a plugin of this process.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from datasette.permissions import PermissionSQL
from datasette.plugins import pm

from .actions import (
    BROWSE,
    DELETE,
    EDIT,
    MANAGE,
    SHARE,
    UPLOAD,
    VIEW,
    Actor,
    FileResource,
    SourceResource,
)

if TYPE_CHECKING:
    from datasette_acl.roles import AclRole

#: datasette-acl's own action: whoever has it may change every grant.
ADMINISTER = "datasette-acl"
#: The parameter by which a rule of datasette-acl names the type of its resources.
_TYPE = "resource_type"
_AUDIENCES = {
    "everyone": "Everyone, signed in or not",
    "authenticated": "Everyone who is signed in",
    "anonymous": "Everyone who is not signed in",
}


@dataclass(frozen=True)
class Holder:
    """A person, a group or everybody, with a role on a file or on its source."""

    name: str
    #: A role's name, or the actions where they are no role's.
    role: str
    on_file: bool


def is_installed() -> bool:
    return any(getattr(plugin, "__name__", "") == "datasette_acl" for plugin in pm.get_plugins())


def acl_roles() -> list[AclRole]:
    """The roles on sources and on files. Requires datasette-acl.

    Whoever has a role that manages may give roles on the same source to others.
    """
    from datasette_acl.roles import AclRole  # noqa: PLC0415 - only its own hook calls this

    source, file = SourceResource.name, FileResource.name
    uploads = [BROWSE, UPLOAD]
    edits = [*uploads, EDIT, DELETE, SHARE]
    return [
        AclRole(source, "Viewer", [BROWSE], 1, description="Can browse and download"),
        AclRole(source, "Contributor", uploads, 2, description="Can also upload"),
        AclRole(source, "Editor", edits, 3, description="Can also edit, delete and share files"),
        AclRole(
            source,
            "Manager",
            [*edits, MANAGE],
            4,
            manage=True,
            description="Can also change settings, and who has which role",
        ),
        AclRole(file, "Viewer", [VIEW], 1, description="Can see and download the file"),
        AclRole(file, "Editor", [VIEW, EDIT, DELETE], 2, description="Can also edit and delete it"),
    ]


def roles_on_sources(rule: PermissionSQL) -> PermissionSQL | None:
    """The same rule for the files of each source on which a role was given; None for others'.

    datasette-acl keeps the actions of a role with the resource that it was given on, and looks for
    an action on files among the grants on files alone.
    """
    params = dict(rule.params or {})
    if params.pop(_TYPE, None) != FileResource.name:
        return None
    given = re.sub(rf":{_TYPE}\b", f":files_{_TYPE}", rule.sql)
    return PermissionSQL(
        sql=f"SELECT parent, child, allow, reason FROM ({given}) WHERE child IS NULL",
        params={**params, f"files_{_TYPE}": SourceResource.name},
    )


async def may_administer(datasette: Any, actor: Actor) -> bool:
    """Tell whether the actor may change who has which role on any source or file."""
    return is_installed() and bool(await datasette.allowed(action=ADMINISTER, actor=actor))


async def holders(datasette: Any, source: str, file_id: str) -> list[Holder]:
    """Everybody with a role on the file or on its source; none without datasette-acl."""
    if not is_installed():
        return []
    from datasette_acl.grants import list_grants  # noqa: PLC0415 - it is installed
    from datasette_acl.roles import role_for_actions, roles_for  # noqa: PLC0415

    found = []
    for kind, child in ((FileResource.name, file_id), (SourceResource.name, None)):
        roles = roles_for(datasette, kind)
        for one in await list_grants(datasette, kind, source, child):
            role = role_for_actions(roles, set(one["actions"]))
            held = ", ".join(one["actions"]) if role is None else role.name
            found.append(Holder(await _name(datasette, one), held, child is not None))
    return found


async def _name(datasette: Any, grant: dict[str, Any]) -> str:
    if grant["principal"] == "group":
        return f"Group {grant['group_name']}"
    if (person := grant["actor_id"]) is None:
        return _AUDIENCES[grant["principal"]]
    known = (await datasette.actors_from_ids([person])).get(person) or {}
    return str(known.get("display_name") or known.get("name") or person)
