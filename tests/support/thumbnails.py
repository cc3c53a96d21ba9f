"""A plugin's generator of thumbnails that does as it is told."""

from __future__ import annotations

import asyncio
from typing import Any

from datasette.app import Datasette

from datasette_files.base import ThumbnailGenerator, ThumbnailResult
from tests.conftest import MakeDatasette
from tests.support.storages import registered

PIXEL = b"\x89PNG\r\n\x1a\n pixel"


class Generator(ThumbnailGenerator):
    """Makes the same thumbnail of every ``.dat`` file, or fails as it is told."""

    name = "test"

    def __init__(self, outcome: Any) -> None:
        self.outcome = outcome
        self.calls: list[tuple[Any, ...]] = []

    async def can_generate(self, content_type: str, filename: str) -> bool:
        return filename.endswith(".dat")

    async def generate(
        self,
        file_bytes: bytes,
        content_type: str,
        filename: str,
        max_width: int = 200,
        max_height: int = 200,
    ) -> ThumbnailResult | None:
        self.calls.append((file_bytes, content_type, filename, max_width, max_height))
        if isinstance(self.outcome, Exception):
            raise self.outcome
        if self.outcome == "hang":
            await asyncio.sleep(60)
        result: ThumbnailResult | None = self.outcome
        return result


async def with_generator(
    make_datasette: MakeDatasette, generator: Generator, **plugin: Any
) -> Datasette:
    with registered(register_thumbnail_generators=lambda datasette: [generator]):
        return await make_datasette(**plugin)


async def due(datasette: Datasette) -> None:
    """Let the pause be over after which what failed is tried again."""
    sql = "UPDATE datasette_files_thumbnail_failures SET retry_at = 1 WHERE retry_at IS NOT NULL"
    await datasette.get_internal_database().execute_write(sql)
