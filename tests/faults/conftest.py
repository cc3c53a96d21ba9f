"""Real server processes that are always ended, and small disks."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import missing
from tests.support.faults.proxy import FaultProxy
from tests.support.faults.s3_scene import Scene, s3_sources, site, store_proxy
from tests.support.faults.scene import Bucket, Place, config, place
from tests.support.moto_server import new_prefix, shared_store
from tests.support.server import Server

Serve = Callable[..., Server]


@pytest.fixture
def root(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    """Where the source ``docs`` has its bytes: a folder, or what ``everywhere`` names."""
    where = place(getattr(request, "param", "disk"), tmp_path / "docs")
    yield where
    if isinstance(where, Bucket):
        where.empty()


@pytest.fixture
def serve(tmp_path: Path, root: Place) -> Iterator[Serve]:
    """``serve(**plugin_config)``: a started server on ``tmp_path``; several share a database."""
    servers: list[Server] = []

    def start(plugins: Path | None = None, **plugin: Any) -> Server:
        server = Server(tmp_path, config(root, **plugin), plugins=plugins)
        servers.append(server)
        return server.start()

    yield start
    for server in servers:
        server.__exit__()


@pytest.fixture(scope="module")
def proxy() -> Iterator[FaultProxy]:
    proxy = store_proxy()
    yield proxy
    proxy.refuse_connections()


@pytest.fixture(scope="module")
def _scene(proxy: FaultProxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    prefix = new_prefix()
    sources = s3_sources(proxy, prefix, multipart_threshold_bytes=32 * 1024 * 1024)
    with site(tmp_path_factory.mktemp("s3"), sources) as server:
        yield Scene(server, shared_store(), proxy, prefix)


@pytest.fixture
def scene(_scene: Scene) -> Iterator[Scene]:
    """Empty, and without faults. A server for all, as a start takes seconds."""
    _scene.empty()
    yield _scene
    _scene.proxy.heal()


class Disk:
    """A file system of its own at ``path``, that can be made read-only."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        path.mkdir(exist_ok=True)
        self._mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path))
        self.mounted = True

    def _mount(self, *arguments: str) -> None:
        done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            missing(f"The right to mount a file system ({done.stderr.strip()})")

    def read_only(self, yes: bool) -> None:
        self._mount("-o", "remount,ro" if yes else "remount,rw", str(self.path))

    def fill(self) -> Path:
        """Use up what is free; deleting the file that is returned frees it again."""
        ballast = self.path / "ballast"
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                return ballast

    def unmount(self) -> None:
        """Lazily, as what still holds a file of it should see it vanish."""
        if self.mounted:
            subprocess.run(["umount", "--lazy", str(self.path)], check=True)
            self.mounted = False


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[..., Disk]]:
    """``small_disk(name, size)``; skips the test where mounting is not allowed."""
    if os.geteuid() != 0:
        missing("The right to mount a file system (root's)")
    disks: list[Disk] = []

    def make(name: str, size: int = 1024 * 1024) -> Disk:
        disk = Disk(tmp_path / name, size)
        disks.append(disk)
        return disk

    yield make
    for disk in disks:
        disk.unmount()
