"""Every Datasette hook that datasette-files implements; each calls another module."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click
from datasette import hookimpl
from datasette.plugins import pm

from . import hookspecs
from .app import Files
from .base import Storage
from .cli import FilesGroup
from .db import closed
from .db.source_database import SourceDatabase
from .events import EVENTS, DeleteFileEvent
from .filesystem import FilesystemStorage
from .formats import excel, parquet
from .formats.base import ImportFormat
from .formats.delimited import Delimited, TabSeparated
from .formats.jsons import JsonArray, JsonLines
from .permissions import actions, roles, source_tables, staging
from .permissions import rules as permissions
from .sandbox import confinement
from .tables import closing, recovery
from .views import caching, ending, home, imports, jump, live, masking, routes, rows, tables
from .views import staging as staging_views

pm.add_hookspecs(hookspecs)


@hookimpl
def register_routes(datasette: Any) -> Any:
    return [*routes.register(), (staging_views.PATTERN, staging_views.refuse)]


@hookimpl
def asgi_wrapper(datasette: Any) -> Any:
    return lambda app: live.wrap(caching.wrap(app), datasette)


@hookimpl
def register_commands(cli: Any) -> None:
    cli.add_command(FilesGroup())


@hookimpl
def startup(datasette: Any) -> Any:
    # `datasette serve` alone: otherwise, as in tests or another server, the process is not ours.
    context = click.get_current_context(silent=True)
    if context is not None and context.info_name == "serve" and not context.params.get("get"):
        confinement.hide_memory()
    masking.mask_access_logs()
    files = Files.of(datasette)
    datasette.add_background_task(
        ending.limit(files.config.shutdown_grace), name="datasette-files shutdown"
    )
    return files.start


@hookimpl(trylast=True)
def prepare_connection(conn: Any, database: str, datasette: Any) -> None:
    """Roll back a killed import's unfinished writes; close the tables of all imports to SQL."""
    found = datasette.databases.get(database)
    if isinstance(found, SourceDatabase):
        closed.use_our_search(conn)
        return
    if found is not None and found.is_mutable and found.path is not None:
        recovery.roll_back(Path(found.path))
    closing.close(conn)


@hookimpl
def shutdown(datasette: Any) -> Any:
    return Files.of(datasette).stop


@hookimpl
def register_actions(datasette: Any) -> Any:
    return actions.ACTIONS


@hookimpl
def permission_resources_sql(datasette: Any, actor: Any, action: str) -> Any:
    if action in actions.SOURCE_ACTIONS:
        return permissions.rules(datasette, actor, action)

    async def about_tables() -> list[Any]:
        files = Files.of(datasette)
        found = [
            staging.closed(datasette, action, noted=files.has_schema),
            await source_tables.rules(datasette, actor, action),
            await files.live.rules(actor, action),
        ]
        return [rule for rule in found if rule is not None]

    return about_tables()


@hookimpl
def track_event(datasette: Any, event: Any) -> None:
    if isinstance(event, DeleteFileEvent):
        Files.of(datasette).live.wake()


@hookimpl
def register_column_types(datasette: Any) -> Any:
    return Files.of(datasette).columns.types()


@hookimpl
def render_cell(value: Any, table: Any, request: Any, datasette: Any) -> Any:
    """Render the cells of a query's result, whose columns have no types."""
    return Files.of(datasette).columns.query_cell(value, request) if table is None else None


@hookimpl
def register_output_renderer(datasette: Any) -> list[dict[str, Any]]:
    formats = (
        (
            "files",
            tables.rows_with_files,
            "JSON with files",
            "Rows, and the records of files",
        ),
        ("zip", rows.zipped, "Zip", "Rows as CSV, and their files, in one zip"),
        ("bundle", rows.zipped, "Bundle (BagIt)", "Rows and their files in one bag, as a zip"),
        ("gallery", rows.gallery, "Gallery", "The files of the rows as a grid"),
    )
    # Datasette 1.0a41 reads neither label nor description; the export dialog of newer ones does.
    return [
        {
            **{"extension": extension, "render": render, "can_render": tables.offers_files},
            **{"label": label, "description": description},
        }
        for extension, render, label, description in formats
    ]


@hookimpl
def extra_css_urls(datasette: Any, database: Any, table: Any, request: Any) -> Any:
    return _on_pages_with_files(
        ("schemes.css", "file-cells.css"), datasette, request, (database, table)
    )


@hookimpl
def extra_js_urls(datasette: Any, database: Any, table: Any, request: Any) -> Any:
    return _on_pages_with_files(
        ("file-cells.js", "file-field.js"), datasette, request, (database, table)
    )


async def _on_pages_with_files(
    names: tuple[str, ...], datasette: Any, request: Any, shown: tuple[str | None, str | None]
) -> list[dict[str, Any]]:
    """The addresses of these static files; none if Datasette's page shows no file column."""
    if not await Files.of(datasette).columns.on_page(request, *shown):
        return []
    folder = "/-/static-plugins/datasette_files"
    return [{"url": f"{folder}/{name}", "module": name.endswith(".js")} for name in names]


@hookimpl
def register_events(datasette: Any) -> Any:
    return EVENTS


@hookimpl
def register_files_storage_types(datasette: Any) -> list[type[Storage]]:
    return [FilesystemStorage]


@hookimpl(trylast=True)
def register_import_formats(datasette: Any) -> list[ImportFormat]:
    formats: list[ImportFormat] = [Delimited(), TabSeparated(), JsonArray(), JsonLines()]
    if excel.is_installed():
        formats.append(excel.Workbook())
    if parquet.is_installed():
        formats.append(parquet.Parquet())
    return formats


@hookimpl(optionalhook=True)
def register_secrets(datasette: Any) -> Any:
    """Register the names of the secrets that the storages use with datasette-secrets."""
    from datasette_secrets import Secret  # noqa: PLC0415 - only it calls this hook

    return [
        Secret(name=name, description="For a storage of datasette-files")
        for name in Files.of(datasette).secrets.names
    ]


@hookimpl(optionalhook=True)
def datasette_acl_roles(datasette: Any) -> Any:
    """Register the roles on sources and files with datasette-acl."""
    return roles.acl_roles()


@hookimpl(optionalhook=True)
def register_mcp_tools(datasette: Any, mcp: Any) -> None:
    """Register the tools that search and read files with datasette-mcp."""
    from .views import mcp_tools  # noqa: PLC0415 - only it calls this hook, and brings the SDK

    mcp_tools.register(datasette, mcp)


@hookimpl
def file_actions(datasette: Any, actor: Any, file: Any) -> Any:
    # A function: a coroutine that nobody awaits, as another plugin fails before it, is a warning.
    return partial(imports.action, Files.of(datasette), actor, file)


@hookimpl
def top_table(datasette: Any, request: Any, database: str, table: str) -> Any:
    return imports.origins(datasette, request, database, table)


@hookimpl
def top_homepage(datasette: Any, request: Any) -> Any:
    return home.section(datasette, request)


@hookimpl
def homepage_actions(datasette: Any, actor: Any, request: Any) -> Any:
    async def inner() -> list[dict[str, str]]:
        if not await jump.sees_files(datasette, actor):
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
def menu_links(datasette: Any, actor: Any, request: Any) -> Any:
    async def inner() -> list[dict[str, str]]:
        links = []
        if await jump.sees_files(datasette, actor):
            links.append({"href": datasette.urls.path("/-/files"), "label": "Files"})
        if await datasette.allowed(action=actions.DEBUG, actor=actor):
            href = datasette.urls.path("/-/files/storages")
            links.append({"href": href, "label": "File storages"})
        return links

    return inner


@hookimpl
def jump_items_sql(datasette: Any, actor: Any, request: Any) -> Any:
    return partial(jump.items, datasette, actor, request)
