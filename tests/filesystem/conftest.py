"""A storage on disk below ``tmp_path``, and the ways to look beneath it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from datasette_files.filesystem import FilesystemStorage


async def no_secrets(name: str) -> None:
    return None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The root's place; not made yet."""
    return tmp_path / "root"


@pytest.fixture
async def storage(folder: Path) -> AsyncIterator[FilesystemStorage]:
    storage = FilesystemStorage()
    await storage.configure({"root": str(folder)}, no_secrets)
    yield storage
    await storage.close()
