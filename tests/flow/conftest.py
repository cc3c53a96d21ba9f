"""The kinds of storage that the flow suite runs on: a new storage joins with one entry."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeDatasette, disk_source
from tests.support.flow.flow import Flow, Kind
from tests.support.flow.s3 import S3_DIRECT, S3_PROXY
from tests.support.storages import (
    BUCKET,
    DirectStorage,
    DocumentedStorage,
    LegacyStorage,
    MemoryStorage,
    SignedStorage,
)

KINDS: dict[str, Kind] = {
    "filesystem": Kind(source=lambda tmp_path: disk_source(tmp_path / "docs")),
    "memory": Kind(source=lambda _: {"storage": "memory"}, types=(MemoryStorage,)),
    "documented": Kind(
        source=lambda _: {"storage": "documented", "config": {"prefix": "uploads/"}},
        types=(DocumentedStorage,),
    ),
    "legacy": Kind(
        source=lambda _: {"storage": "legacy"},
        types=(LegacyStorage,),
        paths=lambda storage: set(storage.contents),
    ),
    "signed": Kind(
        source=lambda _: {"storage": "signed"},
        types=(SignedStorage,),
        fetch=lambda storage, url: storage.serve(url),
    ),
    "direct": Kind(
        source=lambda _: {"storage": "direct"},
        types=(DirectStorage,),
        send=lambda storage, prepared, content: storage.put(prepared["upload_url"], content),
        bucket=lambda: BUCKET,
        fetch=lambda storage, url: storage.serve(url),
        paths=lambda storage: (
            set(storage.objects)
            | {path for path, incoming in storage.incoming.items() if incoming.content is not None}
        ),
    ),
    "s3-direct": S3_DIRECT,
    "s3-proxy": S3_PROXY,
}

MakeFlow = Callable[..., Awaitable[Flow]]


#: What others here have too, so that every run need not have it again.
_COVERED = ("memory", "documented", "legacy", "signed")


#: Where bytes take the same way through Datasette as others': each run has them in test_steps.py.
_SAME_WAY = ("documented", "legacy", "s3-proxy")
_COVERED_KINDS = [KINDS[name] for name in _SAME_WAY]
_WAYS = ("test_steps", "test_samples")
_HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # before the slow proofs are left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        elsewhere = item.path.parent == _HERE and item.path.stem not in _WAYS
        callspec = getattr(item, "callspec", None)
        if elsewhere and callspec is not None and callspec.params.get("kind") in _COVERED_KINDS:
            item.add_marker(pytest.mark.full)


@pytest.fixture(
    params=[
        pytest.param(kind, id=name, marks=[pytest.mark.full] if name in _COVERED else [])
        for name, kind in KINDS.items()
    ]
)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each kind of storage in turn."""
    kind: Kind = request.param
    return kind


@pytest.fixture
def make_flow(
    make_datasette: MakeDatasette,
    register_storages: Callable[..., None],
    kind: Kind,
    tmp_path: Any,
) -> MakeFlow:
    """``await make_flow(max_file_size=…, plugin={…})``: the source with these keys in its yaml."""

    async def make(plugin: dict[str, Any] | None = None, **source: Any) -> Flow:
        if kind.types:
            register_storages(*kind.types)
        datasette = await make_datasette(
            sources={"docs": {**kind.source(tmp_path), **source}}, **(plugin or {})
        )
        return Flow(datasette, kind)

    return make


@pytest.fixture
async def flow(make_flow: MakeFlow) -> Flow:
    """A source of that kind, open to everybody."""
    return await make_flow()
