"""``StorageContract``: all checks in one class, and the storage that they get."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import ClassVar

import pytest
import pytest_asyncio

from ..base import Storage, StorageCapabilities
from .appending import AppendChecks
from .helpers import assert_absent
from .listing import ListChecks
from .parts import PartsChecks
from .reading import ReadChecks
from .remote import DirectUploadChecks, SignedUrlChecks
from .writing import DeleteChecks, UploadChecks


class StorageContract(
    UploadChecks,
    AppendChecks,
    DeleteChecks,
    ReadChecks,
    ListChecks,
    SignedUrlChecks,
    DirectUploadChecks,
    PartsChecks,
):
    """Checks all that datasette-files relies on, for one storage. In a test module::

        from datasette_files.testing import StorageContract

        class TestMyStorage(StorageContract):
            async def make_storage(self, tmp_path):
                storage = MyStorage()
                await storage.configure({"bucket": "test"}, get_secret=None)
                return storage

    Runs with pytest and pytest-asyncio, in its strict mode too. Each check has a fresh, empty
    storage; checks of powers that the storage does not declare are skipped. May be overridden:

    * the fixture ``storage``, instead of ``make_storage``, where other fixtures are needed;
    * ``place``, where the storage takes no uploads;
    * ``fetch``, ``send`` and ``send_part``, where signed URLs and direct uploads are not plain
      HTTP; ``size_in_parts``, where a storage takes only larger files in parts.
    """

    pytestmark: ClassVar = [pytest.mark.asyncio]

    async def make_storage(self, tmp_path: Path) -> Storage:
        """A configured storage that holds nothing. It is closed after the check."""
        raise NotImplementedError(
            f"{type(self).__name__} needs make_storage, or a fixture named storage"
        )

    @pytest_asyncio.fixture
    async def storage(self, tmp_path: Path) -> AsyncIterator[Storage]:
        """The storage of each check."""
        storage = await self.make_storage(tmp_path)
        yield storage
        await storage.close()

    async def test_declares_itself(self, storage: Storage) -> None:
        assert isinstance(storage, Storage)
        assert isinstance(storage.storage_type, str)
        assert storage.storage_type
        capabilities = storage.capabilities
        assert isinstance(capabilities, StorageCapabilities)
        assert capabilities.max_file_size is None or capabilities.max_file_size > 0
        assert not (
            capabilities.can_generate_signed_urls and capabilities.requires_proxy_download
        ), "a download is redirected or proxied, not both"

    async def test_new_storage_is_empty(self, storage: Storage) -> None:
        await assert_absent(storage, "nothing/here")

    async def test_leaves_no_task_running(self, storage: Storage) -> None:
        """A call must not leave work behind, which is lost when the process ends."""
        before = asyncio.all_tasks()
        await self.place(storage, "tasks/some.bin", b"some")
        assert await storage.read_file("tasks/some.bin") == b"some"
        assert await storage.read_file_limited("tasks/some.bin", 100) == b"some"
        await asyncio.sleep(0)
        assert asyncio.all_tasks() - before == set()
