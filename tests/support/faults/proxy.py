"""A proxy in front of a server, such as any S3, that misbehaves as it is told: ``FaultProxy``.

Holds the faults that a store or the network between can have, and a log of what was asked. What a
test expects of the storage stands in the test. Requests pass as they are, ``Host`` included, so
that signatures made for the proxy's address are valid behind it.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

_CHUNK = 64 * 1024
#: Of one connection (RFC 9110, 7.6.1), so not passed on.
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "expect"}
#: Seconds; a stall ends with the proxy, long after any client has given up.
_STALL = 600.0


@dataclass(frozen=True)
class Asked:
    """One request that arrived: its S3 operation, its target, and the fault it met, if any."""

    operation: str
    target: str
    fault: str | None


@dataclass
class Fault:
    """The fate of some requests. ``act`` serves the request that it is given."""

    name: str
    operations: frozenset[str]
    act: Callable[[_Exchange], None]
    #: How many that match pass unharmed before, and how many are harmed.
    skip: int = 0
    times: int = 1
    target: str = ""

    def strikes(self, operation: str, target: str) -> bool:
        """Whether it harms this one, which is counted."""
        matches = not self.operations or operation in self.operations
        if not matches or not re.search(self.target, target) or not self.times:
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return True


def operation_of(method: str, target: str, headers: Any) -> str:
    """The S3 operation of a request, by its name in the API reference."""
    parts = urlsplit(target)
    query = parse_qs(parts.query, keep_blank_values=True)
    of_bucket = parts.path.strip("/").count("/") == 0
    for name, method_of_it, operation in (
        ("uploads", "POST", "CreateMultipartUpload"),
        ("uploads", "GET", "ListMultipartUploads"),
        ("partNumber", "PUT", "UploadPart"),
        ("uploadId", "POST", "CompleteMultipartUpload"),
        ("uploadId", "DELETE", "AbortMultipartUpload"),
        ("uploadId", "GET", "ListParts"),
        ("delete", "POST", "DeleteObjects"),
        ("list-type", "GET", "ListObjectsV2"),
        ("cors", "PUT", "PutBucketCors"),
        ("cors", "GET", "GetBucketCors"),
    ):
        if name in query and method == method_of_it:
            copies = operation == "UploadPart" and "x-amz-copy-source" in headers
            return "UploadPartCopy" if copies else operation
    if method == "PUT" and "x-amz-copy-source" in headers:
        return "CopyObject"
    if method == "POST" and of_bucket:
        return "PostObject"
    return f"{method.capitalize()}{'Bucket' if of_bucket else 'Object'}"


class _Exchange(BaseHTTPRequestHandler):
    """One connection; each request on it is passed on or harmed."""

    protocol_version = "HTTP/1.1"
    server: _Listener

    def setup(self) -> None:
        super().setup()
        self.server.proxy.connections.add(self.connection)

    def finish(self) -> None:
        self.server.proxy.connections.discard(self.connection)
        with suppress(OSError):  # what was still to be sent to who has gone
            super().finish()

    def _serve(self) -> None:
        proxy = self.server.proxy
        operation = operation_of(self.command, self.path, self.headers)
        fault = proxy.meet(operation, self.path)
        try:
            if fault is None:
                self.forward()
            else:
                fault.act(self)
        except (OSError, http.client.HTTPException):
            # The client or the store went away: the other side sees that too.
            self.reset()

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = do_OPTIONS = _serve

    def body(self) -> Iterator[bytes]:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length", 0))
        while left:
            chunk = self.rfile.read1(min(left, _CHUNK))  # type: ignore[attr-defined]
            if not chunk:
                raise ConnectionError("The client went away within its body")
            left -= len(chunk)
            yield chunk

    def forward(
        self,
        after: int | None = None,
        then: Callable[[], None] | None = None,
        body: Iterable[bytes] | None = None,
    ) -> None:
        """Pass request and answer on; ``after`` so many bytes of the answer's body do ``then``.

        ``body`` is that of the request, if it was read before.
        """
        store = self.server.proxy.connection()
        try:
            store.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    store.putheader(name, value)
            chunked = "Transfer-Encoding" in self.headers
            if chunked:
                store.putheader("Transfer-Encoding", "chunked")
            store.endheaders()
            for chunk in self.body() if body is None else body:
                store.send(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
            if chunked:
                store.send(b"0\r\n\r\n")
            self._answer(store.getresponse(), after, then)
        finally:
            store.close()

    def _answer(
        self, answer: http.client.HTTPResponse, after: int | None, then: Callable[[], None] | None
    ) -> None:
        if after is not None and after < 0 and then is not None:
            answer.read()
            then()
            return
        self.send_response_only(answer.status, answer.reason)
        measured = answer.getheader("Content-Length") is not None
        bodiless = self.command == "HEAD" or answer.status in (204, 304)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        if not measured and not bodiless:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        sent = 0
        while chunk := answer.read1(_CHUNK):
            if after is not None and then is not None and sent + len(chunk) > after:
                self.wfile.write(chunk[: after - sent])
                self.wfile.flush()
                then()
                return
            self.wfile.write(chunk)
            sent += len(chunk)

    def refuse(self, status: int, code: str) -> None:
        """Answer an error as S3 words one, without asking the store."""
        for _ in self.body():
            pass
        content = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error><Code>{code}</Code><Message>A fault of the test</Message></Error>"
        ).encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(content)))
        if "Origin" in self.headers:  # a store lets pages read its errors too
            self.send_header("Access-Control-Allow-Origin", self.headers["Origin"])
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def reset(self) -> None:
        """End the connection by a TCP reset."""
        with suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.server.shutdown_request(self.request)

    def stall(self) -> None:
        """Say nothing more until the proxy ends."""
        self.server.proxy.ended.wait(_STALL)
        self.reset()

    def log_message(self, format: str, *args: Any) -> None:
        """The proxy's own log is ``asked``."""


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    proxy: FaultProxy

    def shutdown_request(self, request: Any) -> None:
        # Closed, not shut down: a linger of zero then makes it a reset.
        self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is what many a test is about."""


@dataclass
class FaultProxy:
    """Listens on a port of 127.0.0.1 for the store at ``store``, a host and a port.

    ``tls`` is for a store that is reached by https. The proxy itself speaks plain HTTP.
    """

    store: tuple[str, int]
    tls: ssl.SSLContext | None = None
    asked: list[Asked] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        self.faults: list[Fault] = []
        self.connections: set[socket.socket] = set()
        self.ended = threading.Event()
        self._lock = threading.Lock()
        self._listener: _Listener | None = None
        self.listen()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connection(self) -> http.client.HTTPConnection:
        """A new one to the store."""
        if self.tls is None:
            return http.client.HTTPConnection(*self.store, timeout=_STALL)
        return http.client.HTTPSConnection(*self.store, timeout=_STALL, context=self.tls)

    def listen(self) -> None:
        """Start, and again after ``refuse_connections`` on the same port."""
        self.ended.clear()
        self._listener = _Listener(("127.0.0.1", self.port), _Exchange)
        self._listener.proxy = self
        self.port = self._listener.server_address[1]
        threading.Thread(target=self._listener.serve_forever, args=(0.02,), daemon=True).start()

    def refuse_connections(self) -> None:
        """As a store that is down."""
        self.ended.set()
        if self._listener is not None:
            self._listener.shutdown()
            self._listener.server_close()
            self._listener = None
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def meet(self, operation: str, target: str) -> Fault | None:
        with self._lock:
            fault = next((f for f in self.faults if f.strikes(operation, target)), None)
            self.asked.append(Asked(operation, target, fault.name if fault else None))
            return fault

    def count(self, operation: str) -> int:
        """How many requests of this operation arrived, the harmed ones too."""
        return sum(asked.operation == operation for asked in self.asked)

    def harmed(self) -> int:
        """How many requests met a fault."""
        return sum(asked.fault is not None for asked in self.asked)

    def faults_met(self) -> bool:
        """Whether each fault that was asked for has struck as often as it should."""
        with self._lock:
            return not any(fault.times for fault in self.faults)

    def heal(self) -> None:
        """No more faults."""
        with self._lock:
            self.faults.clear()

    # The faults. Each harms the next ``times`` requests of these operations after ``skip``.

    def answers(self, status: int, code: str, *operations: str, **when: Any) -> None:
        """An error's answer, the store not being asked."""
        self._add(f"{status} {code}", operations, lambda e: e.refuse(status, code), when)

    def resets(self, *operations: str, **when: Any) -> None:
        """A reset after the first bytes of the request's body."""

        def act(exchange: _Exchange) -> None:
            next(exchange.body(), b"")
            exchange.reset()

        self._add("reset", operations, act, when)

    def loses_answers(self, *operations: str, **when: Any) -> None:
        """The store does what was asked, and its answer is lost by a reset."""
        self._add("lost", operations, lambda e: e.forward(-1, e.reset), when)

    def cuts_answers(self, *operations: str, after: int, **when: Any) -> None:
        """A reset after so many bytes of the answer's body."""
        self._add("cut", operations, lambda e: e.forward(after, e.reset), when)

    def doubles(self, *operations: str, **when: Any) -> None:
        """The request arrives twice, as from a proxy that tries again; the second answer counts."""

        def act(exchange: _Exchange) -> None:
            body = list(exchange.body())
            exchange.forward(-1, lambda: None, body)
            exchange.forward(body=body)

        self._add("double", operations, act, when)

    def truncates(self, *operations: str, after: int, **when: Any) -> None:
        """So many bytes of the request's body arrive; then both sides are cut off."""

        def some(exchange: _Exchange) -> Iterator[bytes]:
            left = after
            for chunk in exchange.body():
                yield chunk[:left]
                left -= len(chunk)
                if left <= 0:
                    break
            raise ConnectionError("The rest of the body is lost")

        self._add("truncated", operations, lambda e: e.forward(body=some(e)), when)

    def stalls(self, *operations: str, **when: Any) -> None:
        """Takes the request, and answers nothing."""

        def act(exchange: _Exchange) -> None:
            for _ in exchange.body():
                pass
            exchange.stall()

        self._add("stall", operations, act, when)

    def stalls_answers(self, *operations: str, after: int, **when: Any) -> None:
        """Nothing more comes after so many bytes of the answer's body."""
        self._add("stall", operations, lambda e: e.forward(after, e.stall), when)

    def holds_answers(self, *operations: str, seconds: float, **when: Any) -> None:
        """The store's answer comes, but late."""

        def act(exchange: _Exchange) -> None:
            self.ended.wait(seconds)
            exchange.forward()

        self._add("late", operations, act, when)

    def _add(
        self,
        name: str,
        operations: tuple[str, ...],
        act: Callable[[_Exchange], None],
        when: dict[str, Any],
    ) -> None:
        with self._lock:
            self.faults.append(Fault(name, frozenset(operations), act, **when))
