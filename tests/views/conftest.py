"""A client of tus for the source ``docs``; a server whose kernel sends files, and its client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from datasette.app import Datasette

from tests.support import kernel
from tests.support.server import Server
from tests.support.tus import Tus


@pytest.fixture
def tus(datasette: Datasette) -> Tus:
    return Tus(datasette)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Of one module; its log tells what the kernel sent."""
    folder = tmp_path_factory.mktemp("sendfile")
    with Server(folder, kernel.config(folder), plugins=folder / "plugins") as running:
        yield running


@pytest.fixture
def fault(server: Server) -> Iterator[Callable[[str], None]]:
    """Make a fault of the plugin happen until the test ends."""
    made = []

    def make(name: str) -> None:
        made.append(server.folder / name)
        made[-1].touch()

    yield make
    for path in made:
        path.unlink()


@pytest.fixture
def client(server: Server) -> Iterator[kernel.Client]:
    with closing(kernel.Client(server.port)) as made:
        yield made
