"""nginx before a server, with the configurations that docs/ shows."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.server import free_port

_DOCS = Path(__file__).resolve().parents[2] / "docs"

_MAIN = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
{user}
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  {documented}
}}
"""


def find() -> str | None:
    """The program, where it is installed."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def before(upstream: int, root: Path, folder: Path) -> Iterator[int]:
    """Run it before the server at the port ``upstream``; yield its own port.

    ``root`` is the directory of the source ``docs``.
    """
    port = free_port()
    replaced = {
        "listen 80;": f"listen 127.0.0.1:{port};",
        "127.0.0.1:8001": f"127.0.0.1:{upstream}",
        "/data/docs/": f"{root}/",
    }
    with _running(_documented("operations.md", replaced), port, folder):
        yield port


@contextmanager
def passing(upstream: int, folder: Path) -> Iterator[int]:
    """The same with the location that docs/large-files.md shows."""
    port = free_port()
    location = _documented("large-files.md", {"127.0.0.1:8001": f"127.0.0.1:{upstream}"})
    with _running(f"server {{ listen 127.0.0.1:{port}; {location} }}", port, folder):
        yield port


def _documented(page: str, replaced: dict[str, str]) -> str:
    """The one block of a page, with what is another here."""
    (block,) = re.findall(r"^```nginx\n(.*?)^```$", (_DOCS / page).read_text("utf-8"), re.M | re.S)
    for shown, real in replaced.items():
        assert shown in block
        block = block.replace(shown, real)
    return str(block)


@contextmanager
def _running(documented: str, port: int, folder: Path) -> Iterator[None]:
    program = find()
    assert program is not None
    # Started by root, its workers would become a user that cannot read a temporary folder.
    user = "user root;" if os.getuid() == 0 else ""
    folder.mkdir()
    config = folder / "nginx.conf"
    config.write_text(_MAIN.format(folder=folder, user=user, documented=documented))
    process = subprocess.Popen([program, "-c", str(config), "-p", str(folder)])
    try:
        _wait_for(port)
        yield
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
