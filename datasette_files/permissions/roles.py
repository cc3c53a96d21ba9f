"""Roles of datasette-acl, where it is installed: what they hold, and who has them.

Leaves out how a grant is kept and decided, which is datasette-acl's. It is imported only where its
own hook or its presence calls for it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from datasette.permissions import PermissionSQL

from .actions import (
    BROWSE,
    DELETE,
    EDIT,
    MANAGE,
    UPLOAD,
    VIEW,
    FileResource,
    SourceResource,
)

if TYPE_CHECKING:
    from datasette_acl.roles import AclRole

#: The parameter by which a rule of datasette-acl names the type of its resources.
_TYPE = "resource_type"


def acl_roles() -> list[AclRole]:
    """The roles on sources and on files. Requires datasette-acl.

    Whoever has a role that manages may give roles on the same source to others.
    """
    from datasette_acl.roles import AclRole  # noqa: PLC0415 - only it asks for its roles

    source, file = SourceResource.name, FileResource.name
    uploads = [BROWSE, UPLOAD]
    edits = [*uploads, EDIT, DELETE]
    return [
        AclRole(source, "Viewer", [BROWSE], 1, description="Can browse and download"),
        AclRole(source, "Contributor", uploads, 2, description="Can also upload"),
        AclRole(source, "Editor", edits, 3, description="Can also edit and delete files"),
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
    """The same rule for the files of each source on which the role was given; None for others.

    datasette-acl keeps a role's actions with the resource that it was given on, and looks for an
    action on files only among grants on single files.
    """
    params = dict(rule.params or {})
    if params.pop(_TYPE, None) != FileResource.name:
        return None
    given = re.sub(rf":{_TYPE}\b", f":files_{_TYPE}", rule.sql)
    return PermissionSQL(
        sql=f"SELECT parent, child, allow, reason FROM ({given}) WHERE child IS NULL",
        params={**params, f"files_{_TYPE}": SourceResource.name},
    )
