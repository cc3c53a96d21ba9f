"""The hooks that datasette-files offers to other plugins."""

from __future__ import annotations

from typing import Any

from pluggy import HookspecMarker

hookspec = HookspecMarker("datasette")


@hookspec
def register_files_storage_types(datasette: Any) -> Any:
    """Return a list of ``datasette_files.base.Storage`` subclasses (classes, not instances)."""


@hookspec
def register_thumbnail_generators(datasette: Any) -> Any:
    """Return a list of ``datasette_files.base.ThumbnailGenerator`` instances.

    They are asked in order, plugins' before ours.
    """


@hookspec
def register_import_formats(datasette: Any) -> Any:
    """Return a list of ``datasette_files.base.ImportFormat`` instances: files that become tables.

    They are asked in order, plugins' before ours. Each runs in a process of its own, where its
    class is made without arguments.
    """


@hookspec
def register_text_extractors(datasette: Any) -> Any:
    """Return a list of ``datasette_files.base.TextExtractor`` instances: text to search in files.

    They are asked in order, plugins' before ours.
    """


@hookspec
def file_actions(datasette: Any, actor: Any, file: Any, preview_bytes: Any) -> Any:
    """Return a list of ``{href, label, description}`` for the menu on a file's page, or None.

    ``file`` is the file's record as a dict, ``preview_bytes`` its first 2048 bytes. May be async.
    The storage is asked for them only where a function takes them: leave them out if you can.
    """


@hookspec
def register_files_commands(commands: Any) -> None:
    """Add subcommands of ``datasette files`` by ``@commands.command()``.

    It takes the parameters of ``click.command()``. Each command is an ``async`` function of the
    site and its own arguments.
    """
