"""The commands against a running server: ``--url`` and ``--token``.

Each takes the options of its twin beside the database, and calls the public client
(datasette_files.client). Options that a server has no answer for are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import carrying, changing, keeping, mirror, reading

if TYPE_CHECKING:
    from ..site import Commands


def register(commands: Commands) -> None:
    """Add the commands to ``datasette files``."""
    for module in (reading, changing, carrying, keeping, mirror):
        module.register(commands)
