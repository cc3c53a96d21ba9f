"""Datasette on a store behind a proxy: what R5's tests look at, and a broker that can misbehave."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.conftest import OPEN
from tests.support.client import Client, expect
from tests.support.faults.proxy import FaultProxy
from tests.support.faults.scene import rows
from tests.support.moto_server import Store, shared_store
from tests.support.server import Server

#: More than one part, and more than what is hashed at once.
LARGE = b"sixteen bytes it" * (1024 * 1024 + 3)

#: What may pass, as a change to the proxy, by its name; each hits one operation.
PASSING: dict[str, Callable[[FaultProxy, str], Any]] = {
    "500": lambda proxy, op: proxy.answers(500, "InternalError", op),
    "503 twice": lambda proxy, op: proxy.answers(503, "SlowDown", op, times=2),
    "reset": lambda proxy, op: proxy.resets(op),
    "lost": lambda proxy, op: proxy.loses_answers(op),
    "double": lambda proxy, op: proxy.doubles(op),
    "truncated": lambda proxy, op: proxy.truncates(op, after=5),
    "late": lambda proxy, op: proxy.holds_answers(op, seconds=2),
}
#: What lasts: the status and the code that a client is given.
LASTING: dict[str, tuple[Callable[[FaultProxy, str], Any], int, str]] = {
    "503": (
        lambda proxy, op: proxy.answers(503, "SlowDown", op, times=100),
        503,
        "storage_unavailable",
    ),
    "reset": (lambda proxy, op: proxy.resets(op, times=100), 503, "storage_unavailable"),
    "denied": (
        lambda proxy, op: proxy.answers(403, "AccessDenied", op, times=100),
        502,
        "storage_error",
    ),
    "expired": (
        lambda proxy, op: proxy.answers(403, "ExpiredToken", op, times=100),
        503,
        "storage_unavailable",
    ),
}


def store_proxy() -> FaultProxy:
    """A proxy before the store of these tests."""
    store = shared_store()
    host, _, port = urlsplit(store.endpoint).netloc.partition(":")
    return FaultProxy((host, int(port)), store.tls())


def s3_sources(proxy: FaultProxy, prefix: str, **more: Any) -> dict[str, Any]:
    """``direct`` and ``proxied``, behind the proxy."""

    def source(name: str, upload: str) -> dict[str, Any]:
        given = {"endpoint_url": proxy.url, "upload": upload, "download": "proxy", **more}
        config = shared_store().config(f"{prefix}{name}", **given)
        # Nobody but the tests' clients reads an object.
        return {"storage": "s3", "config": config, "text": False}

    return {"direct": source("direct", "direct"), "proxied": source("proxied", "proxy")}


def site(
    folder: Path, sources: dict[str, Any], plugins: Path | None = None, **plugin: Any
) -> Server:
    """A server, not started, with these sources open to everybody."""
    plugin = {"sources": sources, "thumbnail_eager": False, **plugin}
    config = {"plugins": {"datasette-files": plugin}, "permissions": OPEN}
    return Server(folder, config, plugins=plugins)


@dataclass
class Scene:
    """One server and the proxy before its store. Each source has a prefix named after it.

    Browsers send to ``direct`` past Datasette; ``proxied`` takes bytes through it. Downloads of
    both come through Datasette.
    """

    server: Server
    store: Store
    proxy: FaultProxy
    prefix: str

    @property
    def client(self) -> Client:
        return Client(self.server.url, timeout=300)

    def prepared(self, content: bytes) -> dict[str, Any]:
        """A direct upload whose bytes have arrived, with the proxy's faults out of the way."""
        answer = self.client.prepare(
            "direct", "a.bin", content_type="application/octet-stream", size=len(content)
        )
        prepared: dict[str, Any] = expect(answer, 200).json()
        expect(self.client.send(prepared, content, ""), 200, 204)
        return prepared

    def keys(self) -> set[str]:
        """Every key, asked of the store itself, without its source's prefix."""
        return {key.split("/", 2)[2] for key in self.store.keys(self.prefix)}

    def catalogued(self) -> set[str]:
        return {row[0] for row in rows(self.server.internal, "SELECT path FROM datasette_files")}

    def differences(self) -> dict[str, Any]:
        """Objects beside the catalog's files, and files of the catalog without bytes."""
        found = {
            "left": sorted(self.keys() - self.catalogued()),
            "lost": sorted(self.catalogued() - self.keys()),
            "parts": self.store.unfinished(self.prefix),
        }
        return {name: what for name, what in found.items() if what}

    def empty(self) -> None:
        """Delete every file, and what the tests before have left elsewhere."""
        self.proxy.heal()
        for source in ("direct", "proxied"):
            for file in list(self.client.all_files(source)):
                expect(self.client.delete(file["id"]), 204)
        for key in self.store.keys(self.prefix):  # of uploads that have yet to expire
            self.store.boto.delete_object(Bucket=self.store.bucket, Key=key)
        self.proxy.asked.clear()


@dataclass
class BrokerServer:
    """A credentials broker. ``answer`` is what it says: a dict, or bytes that make no sense."""

    store: Store
    prefix: str
    #: Seconds that what it gives lives.
    lives: float = 3600
    status: int = 200
    rubbish: bytes | None = None
    delay: float = 0
    asked: list[bytes] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        self._listener: ThreadingHTTPServer | None = None
        self.listen()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/s3-credentials"

    def answer(self) -> bytes:
        expires = datetime.fromtimestamp(time.time() + self.lives, timezone.utc)
        given = {
            "AccessKeyId": self.store.key,
            "SecretAccessKey": self.store.secret,
            "Expiration": expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "S3Folder": f"s3://{self.store.bucket}/{self.prefix}",
        }
        if self.store.is_moto:  # any other knows which tokens it gave out
            given["SessionToken"] = f"token-{len(self.asked)}"
        return json.dumps(given).encode()

    def listen(self) -> None:
        """Start, and again after ``stop`` on the same port."""
        broker = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                broker.asked.append(self.rfile.read(int(self.headers["Content-Length"])))
                time.sleep(broker.delay)
                body = broker.answer() if broker.rubbish is None else broker.rubbish
                self.send_response(broker.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """The tests look at ``asked``."""

        self._listener = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._listener.daemon_threads = True
        self.port = self._listener.server_address[1]
        threading.Thread(target=self._listener.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        if self._listener is not None:
            self._listener.shutdown()
            self._listener.server_close()
            self._listener = None
