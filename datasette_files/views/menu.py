"""The menu of a file's page, to which plugins add entries by the hook ``file_actions``."""

from __future__ import annotations

import logging
from typing import Any

from datasette.plugins import pm
from datasette.utils import await_me_maybe

from ..errors import FilesError
from ..models import FileRecord
from ..permissions.actions import Actor
from ..sources import reading
from ..sources.sources import Source

logger = logging.getLogger("datasette_files")


async def file_actions(
    datasette: Any,
    actor: Actor,
    source: Source,
    file: FileRecord,
    record: dict[str, Any],
    *,
    readable: bool,
) -> list[dict[str, Any]]:
    """The entries of all plugins. If one fails, that is logged, and the page opens without it.

    A plugin that takes ``preview_bytes`` gets the first 2048 bytes; empty while the storage fails,
    and for a file that is known not to be ``readable`` now.
    """
    preview = b""
    if readable and any(
        "preview_bytes" in hook.argnames for hook in pm.hook.file_actions.get_hookimpls()
    ):
        try:
            preview = await reading.head(source, file, 2048)
        except FilesError as error:
            logger.info("No preview of %s: %s", file.id, error)
    actions: list[dict[str, Any]] = []
    try:
        for result in pm.hook.file_actions(
            datasette=datasette, actor=actor, file=record, preview_bytes=preview
        ):
            actions.extend(await await_me_maybe(result) or [])
    except Exception:
        logger.exception("A plugin's file_actions failed")
    return actions
