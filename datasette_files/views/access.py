"""The people who may see a file, for its page, as far as the reader may know."""

from __future__ import annotations

from typing import Any

from ..models import FileRecord
from ..permissions import roles
from ..permissions.actions import MANAGE, FileResource, SourceResource
from .http import Call


async def of_file(call: Call, file: FileRecord, browsable: bool) -> dict[str, Any]:
    """The context of ``_access.html``.

    Anybody can find out whether a file is public. Only those who manage its source, or everybody's
    grants, read who else has one.
    """
    datasette, actor, slug = call.datasette, call.actor, file.source_slug
    administers = await roles.may_administer(datasette, actor)
    manages = slug in await call.files.lookup.allowed_sources(actor, MANAGE)
    knows = administers or manages
    return {
        "public": actor is None or await call.files.lookup.sees(None, file),
        "browsable": browsable,
        "knows": knows,
        "holders": await roles.holders(datasette, slug, file.id) if knows else [],
        "file_url": _dialog(call, FileResource.name, slug, file.id) if administers else None,
        "source_url": source_url(call, slug) if knows else None,
        "audit_url": call.url(f"/-/files/audit?file={file.id}") if manages else None,
    }


def source_url(call: Call, slug: str) -> str | None:
    """The address of datasette-acl's dialog for the source; None if it is not installed."""
    return _dialog(call, SourceResource.name, slug) if roles.is_installed() else None


def _dialog(call: Call, *resource: str) -> str:
    return call.url("/-/acl/resource/" + "/".join(resource))
