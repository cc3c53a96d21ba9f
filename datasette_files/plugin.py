"""Every Datasette hook that datasette-files implements, a few lines each, calling the rooms."""

from __future__ import annotations

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
from .views import routes

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


@hookimpl(optionalhook=True)
def register_secrets(datasette: Any) -> Any:
    """Tell datasette-secrets which names the storages asked for."""
    from datasette_secrets import Secret  # noqa: PLC0415 - this hook is called only where it is

    return [
        Secret(name=name, description="For a storage of datasette-files")
        for name in Files.of(datasette).secrets.names
    ]


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
def menu_links(datasette: Any, actor: Any, request: Any) -> Any:
    async def inner() -> list[dict[str, str]]:
        if not await datasette.allowed(action=permissions.DEBUG, actor=actor):
            return []
        return [{"href": datasette.urls.path("/-/files/storages"), "label": "File storages"}]

    return inner


@hookimpl
def jump_items_sql(datasette: Any, actor: Any, request: Any) -> Any:
    async def inner() -> list[JumpSQL]:
        items = []
        if await _may_see_files(datasette, actor):
            items.append(
                JumpSQL.menu_item(
                    label="Manage files",
                    url=datasette.urls.path("/-/files"),
                    description="Browse, search and upload files",
                )
            )
        if await datasette.allowed(action=permissions.DEBUG, actor=actor):
            items.append(
                JumpSQL.menu_item(
                    label="File storages",
                    url=datasette.urls.path("/-/files/storages"),
                    description="See what storages hold and how they are",
                    item_type="debug",
                )
            )
        return items

    return inner
