"""A plain HTTP client for real server processes: every way in, and every failure as a value.

Holds no assertion of its own beyond a status that the caller named. One connection a request, so
that threads may share a client. Raw sockets, for requests that lie or break off, are in faults/.
"""

from __future__ import annotations

import http.client
import json
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from tests.support.moto_server import shared_store


class Unanswered(Exception):
    """The server went away before its answer was whole; what it did is not known."""


@dataclass(frozen=True)
class Answer:
    """A whole answer. ``headers`` have lower-case names."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def multipart(
    fields: dict[str, str], content: bytes, filename: str = "file", content_type: str = "text/plain"
) -> tuple[str, bytes]:
    """``(Content-Type, body)`` of a form that ends with the field ``file``."""
    boundary = secrets.token_hex(16)
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    parts.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
        f"Content-Type: {content_type}\r\n\r\n"
    )
    body = "".join(parts).encode() + content + f"\r\n--{boundary}--\r\n".encode()
    return f"multipart/form-data; boundary={boundary}", body


class Client:
    """Talks to the server at ``url``, as one of its files' users."""

    def __init__(self, url: str, timeout: float = 60.0) -> None:
        self._url = urlsplit(url)
        self._timeout = timeout

    def _connection(self) -> http.client.HTTPConnection:
        if self._url.scheme == "http":
            return http.client.HTTPConnection(self._url.netloc, timeout=self._timeout)
        # Only the store that the environment names is reached so.
        tls = shared_store().tls()
        return http.client.HTTPSConnection(self._url.netloc, timeout=self._timeout, context=tls)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Raises Unanswered."""
        connection = self._connection()
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            content = response.read()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, content)
        except (OSError, http.client.HTTPException) as error:
            raise Unanswered(repr(error)) from error
        finally:
            connection.close()

    def post_json(
        self, path: str, value: dict[str, Any], headers: dict[str, str] | None = None
    ) -> Answer:
        headers = {"Content-Type": "application/json", **(headers or {})}
        return self.request("POST", path, json.dumps(value).encode(), headers)

    def prepare(self, source: str, filename: str, **declared: Any) -> Answer:
        path = f"/-/files/upload/{source}/-/prepare"
        return self.post_json(path, {"filename": filename, **declared})

    def send(
        self,
        prepared: dict[str, Any],
        content: bytes,
        content_type: str,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """The second step, to where prepare says: 200 of Datasette's, 204 of most stores'."""
        kind, body = multipart(prepared["upload_fields"], content, content_type=content_type)
        client, path = self.there(prepared["upload_url"])
        return client.request("POST", path, body, {"Content-Type": kind, **(headers or {})})

    def there(self, url: str) -> tuple[Client, str]:
        """The client for the server of a URL, which may be another, and the URL's path there."""
        parts = urlsplit(url)
        if not parts.netloc:
            return self, url
        return Client(url, self._timeout), parts._replace(scheme="", netloc="").geturl()

    def complete(self, source: str, token: str) -> Answer:
        path = f"/-/files/upload/{source}/-/complete"
        return self.post_json(path, {"upload_token": token})

    def three_steps(
        self, source: str, filename: str, content: bytes, content_type: str = "text/plain"
    ) -> dict[str, Any]:
        """Prepare, send, complete; the file's record."""
        answer = self.prepare(source, filename, content_type=content_type, size=len(content))
        prepared = expect(answer, 200).json()
        expect(self.send(prepared, content, content_type), 200, 204)
        record: dict[str, Any] = expect(
            self.complete(source, prepared["upload_token"]), 201
        ).json()["file"]
        return record

    def put(
        self, source: str, filename: str, content: bytes | Iterable[bytes], size: int | None = None
    ) -> dict[str, Any]:
        """One raw PUT; the file's record. Chunked where ``size`` is None and content no bytes."""
        headers = {} if size is None else {"Content-Length": str(size)}
        path = f"/-/files/upload/{source}/{quote(filename, safe='')}"
        record: dict[str, Any] = expect(self.request("PUT", path, content, headers), 201).json()[
            "file"
        ]
        return record

    def download(self, file_id: str) -> Answer:
        """From the store, where Datasette redirects there."""
        answer = self.request("GET", f"/-/files/{file_id}/download")
        if answer.status != 302:
            return answer
        client, path = self.there(answer.headers["location"])
        return client.request("GET", path)

    def delete(self, file_id: str) -> Answer:
        return self.request("DELETE", f"/-/files/{file_id}")

    def all_files(self, source: str) -> Iterator[dict[str, Any]]:
        """Every file that the source lists, page after page."""
        path: str | None = f"/-/files/source/{source}.json?_size=200"
        while path is not None:
            page = expect(self.request("GET", path), 200).json()
            yield from page["files"]
            following = page["next_url"]
            if following is None:
                return
            parts = urlsplit(following)
            path = f"{parts.path}?{parts.query}"


def expect(answer: Answer, *statuses: int) -> Answer:
    """The answer, if it has such a status; else an AssertionError that shows its body."""
    assert answer.status in statuses, (answer.status, answer.body[:2000])
    return answer
