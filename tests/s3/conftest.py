"""A broker, and a configured storage in a folder of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from datasette_files_s3.storage import S3Storage
from tests.support.broker import FakeBroker, running
from tests.support.moto_server import Store, new_prefix, shared_store

MakeStorage = Callable[..., Awaitable[S3Storage]]


async def no_secrets(name: str) -> None:
    return None


@pytest.fixture
def store() -> Store:
    return shared_store()


@pytest.fixture
def broker() -> Iterator[FakeBroker]:
    with running() as broker:
        yield broker


@pytest.fixture
async def make_storage(store: Store) -> AsyncIterator[MakeStorage]:
    """``await make_storage(upload="proxy", …)``; each is closed after the test."""
    made: list[S3Storage] = []

    async def make(**options: Any) -> S3Storage:
        storage = S3Storage()
        made.append(storage)
        prefix = options.pop("prefix", None) or new_prefix()
        await storage.configure(store.config(prefix, **options), no_secrets)
        return storage

    yield make
    for storage in made:
        await storage.close()


@pytest.fixture
async def storage(make_storage: MakeStorage) -> S3Storage:
    return await make_storage()
