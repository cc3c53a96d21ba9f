"""Request bytes, built once before the clock starts.

Holds the HTTP/1.1 messages (RFC 9112) and the multipart bodies (RFC 7578) that the measurements
send. Sending them, and reading answers, is `client.py`'s work.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import quote

BOUNDARY = "benchmarks-7f3d1c9a52e84b06"


@dataclass(frozen=True)
class Wire:
    """The headers of every request of a run: `cookie` is a `Cookie` value, or empty."""

    cookie: str = ""

    def head(self, method: str, path: str, *fields: str) -> bytes:
        """A request head, blank line included; `fields` are whole header lines."""
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *fields]
        if self.cookie:
            lines.append(f"Cookie: {self.cookie}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def get(self, path: str, *fields: str) -> bytes:
        """A whole GET request."""
        return self.head("GET", path, *fields)

    def post_json(self, path: str, payload: object) -> bytes:
        """A whole POST request with a JSON body."""
        body = json.dumps(payload).encode()
        return (
            self.head(
                "POST", path, "Content-Type: application/json", f"Content-Length: {len(body)}"
            )
            + body
        )

    def raw_put(self, source: str, filename: str, size: int) -> Envelope:
        """`PUT /-/files/upload/{source}/{filename}` around `size` bytes."""
        return self.put(f"/-/files/upload/{source}/{quote(filename)}", size)

    def put(self, path: str, size: int) -> Envelope:
        """`PUT {path}` around `size` bytes."""
        return self._around("PUT", path, size)

    def post(self, path: str, size: int) -> Envelope:
        """`POST {path}` around `size` bytes."""
        return self._around("POST", path, size)

    def _around(self, method: str, path: str, size: int) -> Envelope:
        fields = ("Content-Type: application/octet-stream", f"Content-Length: {size}")
        return Envelope(self.head(method, path, *fields), b"")

    def multipart(
        self,
        path: str,
        fields: dict[str, str],
        filename: str,
        size: int,
        content_type: str = "application/octet-stream",
    ) -> Envelope:
        """A POST of a form with `fields` first and one file of `size` bytes last."""
        before = "".join(
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        )
        before += (
            f"--{BOUNDARY}\r\n"
            f'Content-Disposition: form-data; name="file"; filename="{filename}"\r\n'
            f"Content-Type: {content_type}\r\n\r\n"
        )
        after = f"\r\n--{BOUNDARY}--\r\n"
        length = len(before) + size + len(after)
        head = self.head(
            "POST",
            path,
            f"Content-Type: multipart/form-data; boundary={BOUNDARY}",
            f"Content-Length: {length}",
        )
        return Envelope(head + before.encode(), after.encode())


@dataclass(frozen=True)
class Envelope:
    """The bytes to send before and after a file's own bytes."""

    before: bytes
    after: bytes

    def around(self, content: bytes) -> bytes:
        """The whole request as one byte string."""
        return self.before + content + self.after
