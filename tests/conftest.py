"""Fixtures for every test: a Datasette in this process, with sources below ``tmp_path``.

``--full`` runs the slow proofs too. Real server processes are in ``tests/support/server.py``.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jinja2
import pytest
from datasette import handle_exception
from datasette.app import Datasette
from hypothesis import settings
from jinja2.bccache import Bucket

from datasette_files.app import Files
from tests.support.catalog import new_database
from tests.support.storages import installed

# No deadlines: the time of one example says nothing on a busy machine.
settings.register_profile("datasette-files", deadline=None)
settings.load_profile("datasette-files")

MakeDatasette = Callable[..., Awaitable[Datasette]]

#: Everybody may do everything.
OPEN = dict.fromkeys(("files-browse", "files-upload", "files-edit", "files-delete"), True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run the slow proofs too")


def pytest_configure(config: pytest.Config) -> None:
    # What came by the environment, such as coverage, is this run's; a test's own pytest has none.
    # The process that only hands out tests keeps it, as its workers have yet to start by it.
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        os.environ.pop("PYTEST_ADDOPTS", None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--full"):
        return
    skip = pytest.mark.skip(reason="a slow proof: run with --full")
    for item in items:
        if item.get_closest_marker("full"):
            item.add_marker(skip)


def missing(what: str) -> None:
    """A real part of a test is not here: skipped with its reason, but a failure under CI=true."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing, and CI has to have it")
    pytest.skip(f"{what} is missing")


class _Templates(jinja2.BytecodeCache):
    """The templates that this process has compiled: half of the time of a page's first request."""

    def __init__(self) -> None:
        self._compiled: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._compiled:
            bucket.bytecode_from_string(self._compiled[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._compiled[bucket.key] = bucket.bytecode_to_string()


_TEMPLATES = _Templates()


@pytest.fixture(autouse=True)
def _plain_tracebacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Datasette prints every error with all local variables, which takes seconds, if it can."""
    monkeypatch.setattr(handle_exception, "rich", None)


@pytest.fixture(autouse=True)
def _probe_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe of the kernel is for servers: a test would end before it, and leave its process.

    So are the rounds that read the text and the facts of every upload.
    """
    monkeypatch.setattr("datasette_files.app._PROBE_DELAY", 3600.0)
    monkeypatch.setattr("datasette_files.texts.extraction.INTERVAL", 3600.0)
    monkeypatch.setattr("datasette_files.previews.facts.INTERVAL", 3600.0)


@pytest.fixture
async def make_datasette(tmp_path: Path) -> AsyncIterator[MakeDatasette]:
    """``await make_datasette(sources=…, permissions=…, **plugin_config)``: a started Datasette.

    The default source is ``docs``, on disk in ``tmp_path / "docs"``, open to everybody. The
    internal database is a file, so that another Datasette can be started on it. It has its tables
    already.
    """
    made: list[Datasette] = []

    async def make(
        sources: dict[str, Any] | None = None,
        permissions: dict[str, Any] | None = None,
        internal: str = "internal.db",
        settings: dict[str, Any] | None = None,
        memory: bool = True,
        databases: Sequence[Path] = (),
        immutables: Sequence[Path] = (),
        config: dict[str, Any] | None = None,
        **plugin: Any,
    ) -> Datasette:
        new_database(tmp_path / internal)
        if sources is None:
            sources = {"docs": disk_source(tmp_path / "docs")}
        datasette = Datasette(
            [str(path) for path in databases],
            immutables=[str(path) for path in immutables],
            memory=memory,
            internal=str(tmp_path / internal),
            settings=settings or {},
            config={
                "plugins": {"datasette-files": {"sources": sources, **plugin}},
                "permissions": OPEN if permissions is None else permissions,
                **(config or {}),
            },
        )
        made.append(datasette)
        datasette._jinja_env.bytecode_cache = _TEMPLATES
        await datasette.invoke_startup()
        return datasette

    yield make
    for datasette in made:
        await datasette.invoke_shutdown()


@pytest.fixture
def register_storages() -> Iterator[Callable[..., None]]:
    """``register_storages(MemoryStorage, …)``: as an installed plugin does, for this test.

    To be called before the Datasette is made.
    """
    with ExitStack() as stack:
        yield lambda *types: stack.enter_context(installed(*types))


@pytest.fixture
async def datasette(make_datasette: MakeDatasette) -> Datasette:
    """One open source ``docs`` on disk."""
    return await make_datasette()


@pytest.fixture
def files(datasette: Datasette) -> Files:
    return Files.of(datasette)


def disk_source(root: Path, **more: Any) -> dict[str, Any]:
    return {"storage": "filesystem", "config": {"root": str(root)}, **more}


async def upload(
    datasette: Datasette,
    content: bytes = b"hello",
    filename: str = "hello.txt",
    *,
    source: str = "docs",
    content_type: str | None = None,
    actor: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Upload by one PUT; the file's record as the answer gives it."""
    response = await datasette.client.put(
        f"/-/files/upload/{source}/{filename}",
        content=content,
        headers={"Content-Type": content_type} if content_type else {},
        actor=actor,
    )
    assert response.status_code == 201, response.text
    record: dict[str, Any] = response.json()["file"]
    return record
