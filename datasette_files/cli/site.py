"""The site that a command works on, and the registration of commands.

Holds the options that select the site, and the output of an error that ends a command. Leaves out
the group (group.py) and the commands, in the modules beside this one; each calls one use case.

A command acts as the site's administrator and checks no permission: a person who can read the
configuration and write the internal database can make every change without it too.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import json
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from datasette.utils import (
    BadMetadataError,
    StartupError,
    deep_dict_update,
    pairs_to_nested_config,
    parse_metadata,
)

from ..app import Files
from ..db.audit import By, acting
from ..errors import ConfigurationError, FilesError, Invalid, NoSpace
from ..sources.sources import Source
from .output import Printer
from .remote.server import Over, run_over, server_options, wanted_server

#: An ``async`` function of the site and the command's own arguments. It returns the exit status;
#: None means 0.
CommandFunction = Callable[..., Awaitable[int | None]]

#: The options of `datasette serve`, so that a command takes what the server takes.
_SITE_OPTIONS: tuple[Callable[[Callable[..., None]], Callable[..., None]], ...] = (
    click.option(
        "-c",
        "--config",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        envvar="DATASETTE_FILES_CONFIG",
        show_envvar=True,
        help="The server's datasette.yaml or .json",
    ),
    click.option(
        "-s",
        "--setting",
        "settings",
        type=(str, str),
        multiple=True,
        metavar="KEY VALUE",
        help="A nested.key of the configuration and its value",
    ),
    click.option(
        "--internal",
        type=click.Path(dir_okay=False),
        envvar="DATASETTE_FILES_INTERNAL",
        show_envvar=True,
        help="The server's internal database, as in `datasette --internal`",
    ),
    click.option(
        "--plugins-dir",
        type=click.Path(exists=True, file_okay=False),
        help="The server's plugins directory",
    ),
    *server_options,
    click.option("as_json", "--json", is_flag=True, help="Print one JSON object"),
)


@dataclass(frozen=True)
class Site(Printer):
    """The site that a command works on: configured, but not started, without running sources."""

    datasette: Any
    #: The internal database's file; None if the command was given none.
    internal: Path | None = None

    @property
    def config(self) -> dict[str, Any]:
        """The site's whole configuration, as in datasette.yaml."""
        config: dict[str, Any] = self.datasette.config or {}
        return config

    def sources(self) -> list[Source]:
        """Every configured source. Raises StartupError for a wrong configuration."""
        return list(Files.of(self.datasette).sources)

    def source(self, slug: str) -> Source:
        """The source with this slug. Raises NotFound if it is not configured."""
        return Files.of(self.datasette).sources.get(slug)

    async def get_secret(self, name: str) -> str | None:
        """A secret's value, as a storage's ``configure`` receives it; None if it is not set."""
        return await Files.of(self.datasette).secrets.get(name)

    async def start(self, *, may_make: bool = False) -> Files:
        """Start catalog and sources as the server does, without its background work.

        Raises Invalid if the internal database is not given, cannot be opened, or does not exist
        and ``may_make`` is false; StartupError for a wrong configuration.
        """
        if self.internal is None:
            raise Invalid(
                "The internal database is missing; name the server's with --internal, or in"
                " DATASETTE_FILES_INTERNAL, or a running server with --url"
            )
        if not may_make and not self.internal.is_file():
            raise Invalid(f"--internal: {self.internal} does not exist; give the server's file")
        if not self.internal.is_file():
            click.echo(f"Made {self.internal}; give the server the same --internal", err=True)
        try:
            await self.datasette.invoke_startup()
        except sqlite3.DatabaseError as error:
            raise Invalid(f"--internal: {self.internal} cannot be opened ({error})") from error
        return Files.of(self.datasette)


class Commands:
    """The argument of ``register_files_commands``: it collects the commands by name."""

    def __init__(self) -> None:
        self.by_name: dict[str, click.Command] = {}
        #: The same commands against a server (``--url``), by name.
        self.over_http: dict[str, Over] = {}

    def command(
        self, name: str | None = None, *, error_status: int = 1, **more: Any
    ) -> Callable[[CommandFunction], click.Command]:
        """Add an ``async`` function as ``click.command`` does; its first argument is a Site.

        The options that select the site, and ``--json``, are added. FilesError, ConfigurationError
        and StartupError end the command with one line and ``error_status``.
        """

        def add(function: CommandFunction) -> click.Command:
            callback: Callable[..., None] = _on_a_site(function, self.over_http, error_status)
            for option in reversed(_SITE_OPTIONS):
                callback = option(callback)
            # Click keeps a function's options here in reverse order: its own are shown before ours.
            vars(callback)["__click_params__"].extend(vars(function).get("__click_params__", ()))
            command = click.command(name, click.Command, **more)(callback)
            if command.name is None or command.name in self.by_name:
                raise click.ClickException(
                    f"Two plugins define the command `datasette files {command.name}`;"
                    " uninstall one of them"
                )
            self.by_name[command.name] = command
            return command

        return add


def _on_a_site(
    function: CommandFunction, over_http: Mapping[str, Over], error_status: int
) -> Callable[..., None]:
    """The callback that click calls: it builds the site, and runs ``function`` on it.

    With ``--url`` it runs the command of the same name in ``over_http`` instead.
    """

    @functools.wraps(function)
    def run(
        config: Path | None,
        settings: tuple[tuple[str, str], ...],
        internal: str | None,
        plugins_dir: str | None,
        url: str | None,
        token: str | None,
        as_json: bool,
        **arguments: Any,
    ) -> None:
        async def on_site() -> int | None:
            if (server := wanted_server(url)) is not None:
                name = click.get_current_context().info_name or ""
                return await run_over(over_http.get(name), server, token, as_json, arguments)
            datasette = _datasette(config, settings, internal, plugins_dir)
            try:
                site = Site(as_json, datasette, Path(internal) if internal else None)
                with acting(By("command")):
                    return await function(site, **arguments)
            finally:
                await datasette.invoke_shutdown()

        try:
            status = asyncio.run(on_site())
        except FilesError as error:
            _fail(error, as_json, error_status)
        except (ConfigurationError, StartupError) as error:
            _fail(Invalid(str(error)), as_json, error_status)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            full = NoSpace("The disk of standard output is full; free some space")
            _fail(full, as_json=False, status=error_status)
        else:
            click.get_current_context().exit(status or 0)

    vars(run).pop("__click_params__", None)  # wraps copied the function's own list
    return run


def _datasette(
    config: Path | None,
    settings: tuple[tuple[str, str], ...],
    internal: str | None,
    plugins_dir: str | None,
) -> Any:
    """The server's Datasette without its databases. Raises ConfigurationError, StartupError."""
    from datasette.app import Datasette  # noqa: PLC0415 - it imports this module

    try:
        merged = parse_metadata(config.read_text("utf-8")) if config else None
    except (BadMetadataError, OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"--config: {config} cannot be read as YAML or JSON") from error
    merged = {} if merged is None else merged
    if not isinstance(merged, dict):
        raise ConfigurationError("--config: must contain a mapping, as datasette.yaml does")
    deep_dict_update(merged, pairs_to_nested_config(settings))
    return Datasette(config=merged, internal=internal, plugins_dir=plugins_dir)


def _fail(error: FilesError, as_json: bool, status: int) -> None:
    """End the command: print one line, or the body that the HTTP API would return."""
    if as_json:
        body = {
            "ok": False,
            "error": error.messages[0],
            "errors": error.messages,
            "status": error.status,
            "code": error.code,
        }
        click.echo(json.dumps(body, indent=2))
    else:
        click.echo(f"Error ({error.code}): {'; '.join(error.messages)}", err=True)
    click.get_current_context().exit(status)
