"""``datasette files …``: the group, with our commands and those of plugins.

Plugins add commands by the hook ``register_files_commands`` (hookspecs.py). Leaves out the options
that all commands share (site.py).
"""

from __future__ import annotations

import click
from datasette.plugins import pm

from . import bundle, copy, get, importing, ls, put, remote, rm, share, sync, text, trash, verify
from .site import Commands, Site

_HELP = """Administer the files of a site (datasette-files).

Give each command the server's configuration and internal database. It may run beside the server.
It acts as an administrator: no permission is checked.

\b
datasette files ls my-files -c datasette.yaml --internal internal.db

Instead of these options the variables DATASETTE_FILES_CONFIG and DATASETTE_FILES_INTERNAL may name
both files.

Many commands work against a running server too: with --url and --token, or DATASETTE_FILES_URL and
DATASETTE_FILES_TOKEN. They then may do what the token's actor may do.

The exit status is 0 for success, 1 for an error, 2 for wrong arguments or options, and 3 if some
files failed and the others are done.
"""


class FilesGroup(click.Group):
    """``datasette files``. It gathers its commands when it runs, so that Datasette's other commands
    load no plugin for it."""

    def __init__(self) -> None:
        super().__init__("files", help=_HELP)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_gather())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return _gather().get(cmd_name)


def _gather() -> dict[str, click.Command]:
    commands = Commands()
    _own(commands)
    for module in (ls, get, put, rm, trash, importing, copy, share, sync, text, verify, bundle):
        module.register(commands)
    remote.register(commands)
    pm.hook.register_files_commands(commands=commands)
    return commands.by_name


def _own(commands: Commands) -> None:
    @commands.command(short_help="List the configured sources")
    async def sources(site: Site) -> None:
        """List the configured sources: name, storage and label."""
        listed = [
            {"slug": source.slug, "label": source.label, "storage_type": source.config.storage}
            for source in site.sources()
        ]
        lines = [f"{one['slug']}\t{one['storage_type']}\t{one['label']}" for one in listed]
        site.show({"sources": listed}, "\n".join(lines) or "No source is configured")
