"""Every Datasette hook that datasette-files implements, a few lines each, calling the rooms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datasette import hookimpl
from datasette.jump import JumpSQL
from datasette.plugins import pm

from . import hookspecs, permissions
from .app import Files
from .base import Storage
from .cli import FilesGroup
from .events import EVENTS
from .filesystem import FilesystemStorage
from .formats import excel
from .formats.base import ImportFormat
from .formats.delimited import Delimited, TabSeparated
from .formats.jsons import JsonArray, JsonLines
from .tables import recovery
from .views import imports, routes

pm.add_hookspecs(hookspecs)


@hookimpl
def register_routes(datasette: Any) -> Any:
    return routes.register()


@hookimpl
def register_commands(cli: Any) -> None:
    cli.add_command(FilesGroup())


@hookimpl
def startup(datasette: Any) -> Any:
    return Files.of(datasette).start


@hookimpl
def prepare_connection(conn: Any, database: str, datasette: Any) -> None:
    """Before a user's database is read for the first time: what a killed import was writing."""
    found = datasette.databases.get(database)
    if found is not None and found.is_mutable and found.path is not None:
        recovery.roll_back(Path(found.path))


@hookimpl
def shutdown(datasette: Any) -> Any:
    return Files.of(datasette).stop


@hookimpl
def register_actions(datasette: Any) -> Any:
    return permissions.ACTIONS


@hookimpl
def permission_resources_sql(datasette: Any, actor: Any, action: str) -> Any:
    return permissions.rules(datasette, actor, action)


@hookimpl
def register_events(datasette: Any) -> Any:
    return EVENTS


@hookimpl
def register_files_storage_types(datasette: Any) -> list[type[Storage]]:
    return [FilesystemStorage]


@hookimpl(trylast=True)
def register_import_formats(datasette: Any) -> list[ImportFormat]:
    formats: list[ImportFormat] = [Delimited(), TabSeparated(), JsonArray(), JsonLines()]
    return [*formats, excel.Workbook()] if excel.is_installed() else formats


@hookimpl(optionalhook=True)
def register_secrets(datasette: Any) -> Any:
    """Tell datasette-secrets which names the storages asked for."""
    from datasette_secrets import Secret  # noqa: PLC0415 - this hook is called only where it is

    return [
        Secret(name=name, description="For a storage of datasette-files")
        for name in Files.of(datasette).secrets.names
    ]


@hookimpl
def file_actions(datasette: Any, file: Any) -> Any:
    return imports.action(Files.of(datasette), file)


@hookimpl
def top_table(datasette: Any, request: Any, database: str, table: str) -> Any:
    return imports.origins(datasette, request, database, table)


async def _may_see_files(datasette: Any, actor: Any) -> bool:
    files = Files.of(datasette)
    browse = await files.allowed_sources(actor, permissions.BROWSE)
    return bool(browse or await files.allowed_sources(actor, permissions.UPLOAD))


@hookimpl
def homepage_actions(datasette: Any, actor: Any, request: Any) -> Any:
    async def inner() -> list[dict[str, str]]:
        if not await _may_see_files(datasette, actor):
            return []
        return [
            {
                "href": datasette.urls.path("/-/files"),
                "label": "Manage files",
                "description": "Browse, search and upload files",
            }
        ]

    return inner


@hookimpl
def jump_items_sql(datasette: Any, actor: Any, request: Any) -> Any:
    async def inner() -> list[JumpSQL]:
        if not await _may_see_files(datasette, actor):
            return []
        return [
            JumpSQL.menu_item(
                label="Manage files",
                url=datasette.urls.path("/-/files"),
                description="Browse, search and upload files",
            )
        ]

    return inner
