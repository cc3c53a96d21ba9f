"""The server that a command works against, and the options that name it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import click
from click.core import ParameterSource

from ...client import AsyncClient
from ...errors import Invalid
from ..output import Printer

server_options = (
    click.option(
        "--url",
        metavar="URL",
        envvar="DATASETTE_FILES_URL",
        show_envvar=True,
        help="A running server, instead of its files: https://data.example.org/",
    ),
    click.option(
        "--token",
        metavar="TOKEN",
        envvar="DATASETTE_FILES_TOKEN",
        show_envvar=True,
        help="An API token of that server; it decides what the command may do",
    ),
)


@dataclass(frozen=True)
class Remote(Printer):
    """A server, for the actor of a token."""

    client: AsyncClient


#: An ``async`` function of the server and the command's own arguments. It returns the exit status.
Over = Callable[..., Awaitable[int | None]]


def wanted_server(url: str | None) -> str | None:
    """The server's address, or None for a command beside the database.

    What the command line names goes before the environment. Raises Invalid if it names both.
    """
    if not url:
        return None
    context = click.get_current_context()

    def typed(name: str) -> bool:
        return context.get_parameter_source(name) is ParameterSource.COMMANDLINE

    if not (typed("internal") or typed("config")):
        return url
    if typed("url"):
        raise Invalid("Give either --url, or --config and --internal; not both")
    return None


async def run_over(
    function: Over | None, url: str, token: str | None, as_json: bool, arguments: dict[str, Any]
) -> int | None:
    """Run a command against the server. Raises Invalid for one that only works beside it."""
    if function is None:
        raise Invalid(
            "This command works beside the database only; give --config and --internal, not --url"
        )
    async with AsyncClient(url, token) as client:
        return await function(Remote(as_json, client), **arguments)


def refuse(**options: object) -> None:
    """Raise Invalid for an option, by its name, that was given and means nothing to a server."""
    for name, value in options.items():
        if value:
            raise Invalid(
                f"--{name.replace('_', '-')} works beside the database only; leave it out"
            )


def refuse_typed(*names: str) -> None:
    """As ``refuse``, for options that have a value also if nobody gave them one."""
    context = click.get_current_context()
    typed = (context.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in names)
    refuse(**dict(zip(names, typed, strict=True)))
