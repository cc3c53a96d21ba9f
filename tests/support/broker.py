"""A credentials broker over real HTTP, whose answers a test decides."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "shared-secret-that-nobody-shows"


def answer(folder: str = "s3://bucket/team-1/", lives: float = 3600, **more: Any) -> dict[str, Any]:
    """The answer of a broker, by the documentation. ``lives`` in seconds."""
    expires = datetime.fromtimestamp(time.time() + lives, timezone.utc)
    return {
        "AccessKeyId": "ASIAEXAMPLE",
        "SecretAccessKey": "secret-access-key-of-the-answer",
        "SessionToken": "session-token-of-the-answer",
        "Expiration": expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "S3Folder": folder,
        **more,
    }


class FakeBroker:
    """``say`` decides what the next requests get: a body, and a status beside it."""

    def __init__(self) -> None:
        self.status = 200
        self.body: bytes = b""
        self.headers: dict[str, str] = {}
        #: What was posted, request by request.
        self.asked: list[str] = []
        #: Cleared, it holds back every answer.
        self.open = threading.Event()
        self.open.set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://user:url-password@127.0.0.1:{self.port}/credentials?token=url-token"

    def say(self, body: Any, status: int = 200, **headers: str) -> None:
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.status, self.headers = status, headers


@contextmanager
def running() -> Iterator[FakeBroker]:
    broker = FakeBroker()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            broker.asked.append(self.rfile.read(length).decode())
            broker.open.wait(30)
            self.send_response(broker.status)
            for name, value in broker.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(broker.body)))
            self.end_headers()
            self.wfile.write(broker.body)

        def log_message(self, *arguments: Any) -> None:
            """Not into the tests' output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    broker.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield broker
    finally:
        broker.open.set()
        server.shutdown()
        thread.join()
        server.server_close()
