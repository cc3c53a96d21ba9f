"""Actions, their resources, and the refusals."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from datasette.permissions import Action, Resource

from ..config import config_of
from ..errors import PermissionDenied

Actor = dict[str, Any] | None
BROWSE = "files-browse"
VIEW = "files-view"
UPLOAD = "files-upload"
EDIT = "files-edit"
DELETE = "files-delete"
MANAGE = "files-manage"
SHARE = "files-share"
DEBUG = "debug-storages"
#: The words of a refusal, by action.
_VERBS = {
    BROWSE: "browse this source",
    VIEW: "see this file",
    UPLOAD: "upload to this source",
    EDIT: "edit this file",
    DELETE: "delete this file",
    MANAGE: "manage this source",
    SHARE: "share from this source",
    DEBUG: "look into the storages",
}
# The files of a check, so that ownership reads their rows and not all rows of the owner.
checked_files: ContextVar[tuple[str, ...] | None] = ContextVar(
    "datasette_files_checked_files", default=None
)
# Whether whoever asks for the rules of files-view decides files-browse itself.
browse_decided: ContextVar[bool] = ContextVar("datasette_files_browse_decided", default=False)
# Whether a check is about all files of each source; then no single file is read.
whole_sources: ContextVar[bool] = ContextVar("datasette_files_whole_sources", default=False)


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
        if whole_sources.get():
            return _sources_sql(datasette)
        slugs = ", ".join(f"'{slug}'" for slug in config_of(datasette).sources)
        return f"""SELECT s.slug AS parent, f.id AS child FROM datasette_files f
            JOIN datasette_files_sources s ON s.id = f.source_id WHERE s.slug IN ({slugs})"""


#: ``abbr`` is as in 0.1a3: tokens that it stored name actions so.
ACTIONS = [
    Action(
        name=BROWSE,
        abbr="fb",
        description="Browse, search, view and download files",
        resource_class=SourceResource,
    ),
    Action(
        name=VIEW,
        description="See one file: its page, record, thumbnail and bytes",
        resource_class=FileResource,
    ),
    Action(
        name=UPLOAD,
        abbr="fu",
        description="Upload files to a source",
        resource_class=SourceResource,
    ),
    Action(name=EDIT, abbr="fe", description="Edit a file's metadata", resource_class=FileResource),
    Action(name=DELETE, abbr="fd", description="Delete a file", resource_class=FileResource),
    Action(
        name=MANAGE,
        description="Change a source's settings, and purge its trash",
        resource_class=SourceResource,
    ),
    Action(
        name=SHARE,
        description="Make links to files for people without an account",
        resource_class=SourceResource,
    ),
    Action(name=DEBUG, description="See what storages hold and how they are"),
]
#: Actions that the yaml grants on all sources or on one.
SOURCE_ACTIONS = (BROWSE, VIEW, UPLOAD, EDIT, DELETE, MANAGE, SHARE)


def actor_id(actor: Actor) -> str | None:
    """The actor's id as the catalog stores it; None without an actor or an id."""
    value = (actor or {}).get("id")
    return None if value is None else str(value)


def refusal(action: str) -> PermissionDenied:
    return PermissionDenied(
        f"You do not have permission to {_VERBS[action]} ({action}); sign in, or ask its"
        " administrator"
    )
