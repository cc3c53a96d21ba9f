"""P16: one upload by tus to disk whose client and server are killed together, again and again.

The client knows only the upload's address. After each kill both begin anew. The bytes beyond the
durable offset that had arrived at the server's system, its socket's buffer included, are sent again
and counted. Before it, the same bytes go up in one PUT, with nobody killed. At the end the file on
disk is hashed from outside.

    uv run python -m benchmarks.resuming --size 10737418240
"""

from __future__ import annotations

import argparse
import base64
import fcntl
import hashlib
import multiprocessing
import random
import socket
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.client import connect, read_response
from tests.support.client import Client, expect
from tests.support.faults.scene import config, held, settle, source_at
from tests.support.faults.uploader import BODY, TUS, collection
from tests.support.server import Server

_BLOCK = 1 << 20


def _blocks(start: int, size: int) -> Iterator[bytes]:
    """The file's bytes from ``start``: each block begins with its number, so none looks alike."""
    block = bytearray(random.Random(16).randbytes(_BLOCK))
    for number in range(start // _BLOCK, -(-size // _BLOCK)):
        block[:8] = number.to_bytes(8, "big")
        first = number * _BLOCK
        yield bytes(block[max(start - first, 0) : size - first])


def _waiting(sock: socket.socket) -> int:
    """Bytes that the peer's system has not acknowledged (tcp(7), SIOCOUTQ)."""
    return int.from_bytes(fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)), sys.byteorder)


def _request(port: int, method: str, path: str, start: int, size: int, sent: Any) -> None:
    """Send one request with the bytes from ``start``, and wait for its answer.

    ``sent`` is told how many of the file's bytes have arrived at the server's system.

    Runs in a process of its own, to be killed.
    """
    headers = {**(BODY if method == "PATCH" else {}), "Upload-Offset": start}
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {size - start}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    handed = start
    with connect(("127.0.0.1", port)) as sock:
        sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        for block in _blocks(start, size):
            sock.sendall(block)
            handed += len(block)
            sent.value = handed - _waiting(sock)
        read_response(sock).expect(f"{method} {path}".encode())


@dataclass
class _Run:
    """One server, and what was measured on it."""

    server: Server
    root: Path
    size: int
    #: Bytes that each kill made the client send again.
    resent: list[int] = field(default_factory=list)
    #: Seconds in which a server started and nobody sent.
    starting: float = 0

    def __post_init__(self) -> None:
        self._processes = multiprocessing.get_context("fork")  # which begins at once
        self._sent: Any = self._processes.Value("q", 0, lock=False)

    def _client(self, method: str, path: str, start: int) -> Any:
        self._sent.value = start
        arguments = (self.server.port, method, path, start, self.size, self._sent)
        process = self._processes.Process(target=_request, args=arguments)
        process.start()
        return process

    def whole(self) -> float:
        """Seconds of one PUT of all bytes; the file is deleted after it."""
        begun = time.perf_counter()
        client = self._client("PUT", "/-/files/upload/docs/large.bin", 0)
        client.join()
        taken = time.perf_counter() - begun
        self._delete()
        return taken

    def killed(self, chance: random.Random, least: float, most: float) -> float:
        """Seconds of the upload that is killed after ``least`` to ``most`` seconds each time."""
        client = Client(self.server.url)
        name = base64.b64encode(b"large.bin").decode()
        headers = {"Upload-Length": str(self.size), "Upload-Metadata": f"filename {name}"}
        begun = time.perf_counter()
        path = expect(
            client.request("POST", collection("docs"), b"", {**TUS, **headers}), 201
        ).headers["location"]
        while (offset := self._offset(path)) < self.size:
            process = self._client("PATCH", path, offset)
            process.join(chance.uniform(least, most))
            if process.exitcode is not None:
                continue
            process.kill()
            self.server.kill()
            process.join()
            self._again(path)
        return time.perf_counter() - begun

    def _again(self, path: str) -> None:
        """Start the server, and count what is to be sent again."""
        begun = time.perf_counter()
        self.server.start()
        self.starting += time.perf_counter() - begun
        self.resent.append(int(self._sent.value) - self._offset(path))
        print(f"killed at {self._sent.value >> 20:,} MiB", file=sys.stderr, flush=True)

    def _offset(self, path: str) -> int:
        """The durable offset. Completes an upload that has all its bytes."""
        answer = Client(self.server.url, timeout=600).request("HEAD", path, headers=TUS)
        return int(expect(answer, 200).headers["upload-offset"])

    def judge(self) -> None:
        """The file is whole, by its bytes on disk and by its record. Raises AssertionError."""
        expected = hashlib.sha256()
        for block in _blocks(0, self.size):
            expected.update(block)
        (file,) = Client(self.server.url).all_files("docs")
        settle(lambda: len(held(self.root)) != 1, 60)
        (name,) = held(self.root)
        found = hashlib.sha256()
        with (self.root / name).open("rb") as stored:
            while chunk := stored.read(_BLOCK):
                found.update(chunk)
        assert found.digest() == expected.digest()
        record = expect(Client(self.server.url).request("GET", f"/-/files/{file['id']}.json"), 200)
        assert record.json()["content_hash"] == f"sha256:{expected.hexdigest()}"

    def _delete(self) -> None:
        client = Client(self.server.url)
        for file in list(client.all_files("docs")):
            expect(client.delete(file["id"]), 204)
        settle(lambda: held(self.root), 60)


def measure(folder: Path, size: int, least: float, most: float) -> Iterator[str]:
    """The figures, a line each."""
    root = folder / "docs"
    source = source_at(root, max_file_size=size)
    with Server(folder, config(root, sources={"docs": source})) as server:
        run = _Run(server, root, size)
        whole = run.whole()
        yield f"one PUT: {whole:.1f} s, {size / whole / 1e6:.0f} MB/s"
        killed = run.killed(random.Random(7), least, most)
        run.judge()
    sending, mib = killed - run.starting, [round(one / _BLOCK, 1) for one in run.resent]
    yield f"{len(mib)} kills of client and server, {least:g} to {most:g} s apart"
    yield f"sent again, in MiB a kill: {mib}; at most {max(mib, default=0)}"
    yield f"by tus: {killed:.1f} s, {size / killed / 1e6:.0f} MB/s, {whole / killed:.2f} of the PUT"
    rate = size / sending / 1e6
    yield f"without the servers' starts: {sending:.1f} s, {rate:.0f} MB/s, {whole / sending:.2f}"


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=10 << 30, help="bytes of the file")
    parser.add_argument("--least", type=float, default=5.0, help="seconds between two kills")
    parser.add_argument("--most", type=float, default=20.0)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="resuming-") as folder:
        for line in measure(Path(folder), given.size, given.least, given.most):
            print(line, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
