"""Zips whose large files the kernel sends, from a real server; a transfer alone."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from datasette_files.errors import StorageError
from datasette_files.transfer.downloads import LocalRange
from datasette_files.views import kernel
from datasette_files.views.pace import Pace
from tests.support.kernel import (
    CONTENT,
    MIB,
    SIZE,
    Client,
    eventually,
    kernels,
    path_of,
    reader,
    rest_of,
    stored,
    unpacked,
    zipped,
)
from tests.support.server import Server

LARGE = 5 * MIB + 5
#: Small files are read beside the headers.
SIZES = [LARGE, 10, 300_000, MIB, 0, 260_000, MIB]


@pytest.fixture
def contents() -> list[bytes]:
    return [CONTENT[:size] for size in SIZES]


@pytest.fixture
def url(client: Client, contents: list[bytes]) -> str:
    """That of a zip of these contents."""
    return zipped(client, *[stored(client, content) for content in contents])


def whole(*sizes: int) -> list[tuple[int, int, int]]:
    return [(0, size, size) for size in sizes]


@pytest.mark.full
def test_zips_and_ranges_of_them_share_one_connection(
    server: Server, client: Client, contents: list[bytes], url: str
) -> None:
    port, before = client.local_port, len(kernels(server.log))
    status, body, headers = client.ask("GET", url)
    assert (status, headers["content-length"]) == (200, str(len(body)))
    assert unpacked(body) == contents
    assert client.ask("HEAD", url)[2]["content-length"] == str(len(body))
    eventually(lambda: kernels(server.log)[before:] == whole(LARGE, 300_000, MIB, MIB))
    for start in (5, 2 * MIB, LARGE + 200, LARGE + MIB, len(body) - 2 * MIB, len(body) - 50):
        status, part, _ = client.ask("GET", url, Range=f"bytes={start}-")
        assert (status, part == body[start:]) == (206, True), start
    several = client.ask("GET", url, Range=f"bytes=0-{MIB},{2 * MIB}-{LARGE + MIB}")[1]
    assert body[: MIB + 1] in several
    assert body[2 * MIB : LARGE + MIB + 1] in several
    assert client.local_port == port


@pytest.mark.full
def test_a_zip_that_a_plugin_changes_passes_through_it(
    server: Server, client: Client, url: str
) -> None:
    before = len(kernels(server.log))
    changed = client.ask("GET", f"{url}?wrapped")[1]
    assert len(kernels(server.log)) == before
    assert changed == client.ask("GET", url)[1].upper()


@pytest.mark.full
@pytest.mark.parametrize("name", ["cold", "unsupported"])
def test_files_that_are_not_in_memory_or_cannot_be_sent_are_read(
    server: Server,
    client: Client,
    fault: Callable[[str], None],
    contents: list[bytes],
    url: str,
    name: str,
) -> None:
    port, before = client.local_port, len(kernels(server.log))
    fault(name)
    assert unpacked(client.ask("GET", url)[1]) == contents
    assert client.local_port == port
    eventually(lambda: len(kernels(server.log)) == before + 4)
    (start, reached, end), *others = kernels(server.log)[before:]
    assert (start, end, others) == (0, LARGE, whole(300_000, MIB, MIB))
    assert 2 * MIB <= reached < LARGE if name == "unsupported" else reached == LARGE


@pytest.mark.full
@pytest.mark.parametrize("number", [0, 1])
def test_a_file_that_is_cut_meanwhile_ends_the_zip(
    server: Server, client: Client, number: int
) -> None:
    files = [stored(client) for _ in range(3)]
    with reader(server, zipped(client, *files)) as slow:
        os.truncate(path_of(server, files[number]), SIZE - MIB)
        assert number * SIZE - MIB < rest_of(slow) < (number + 1) * SIZE - MIB // 2
    assert f"bytes of {SIZE:,}" in server.log.read_text()


@pytest.mark.full
@pytest.mark.parametrize("harm", ["cut", "missing", "link"])
def test_a_harmed_first_file_is_an_error_before_any_header(
    server: Server, client: Client, harm: str
) -> None:
    files = [stored(client, CONTENT[:MIB]) for _ in range(2)]
    path = path_of(server, files[0])
    if harm == "cut":
        os.truncate(path, MIB - 1)
    else:
        path.rename(path.with_name("elsewhere"))
    if harm == "link":
        path.symlink_to(path.with_name("elsewhere"))
    assert client.ask("GET", zipped(client, *files))[0] == 502


@pytest.mark.full
def test_a_longer_file_is_read_as_far_as_the_catalog_says(server: Server, client: Client) -> None:
    files = [stored(client, CONTENT[:MIB]) for _ in range(3)]
    with path_of(server, files[1]).open("ab") as file:
        file.write(b"more")
    before = len(kernels(server.log))
    assert unpacked(client.ask("GET", zipped(client, *files))[1]) == [CONTENT[:MIB]] * 3
    eventually(lambda: kernels(server.log)[before:] == whole(MIB, MIB))


@pytest.mark.full
def test_clients_that_stall_or_leave_leave_nothing_open(server: Server, client: Client) -> None:
    url = zipped(client, *[stored(client) for _ in range(3)])
    open_files = server.open_files
    for _ in range(3):
        reader(server, url).close()
    eventually(lambda: server.open_files <= open_files)
    assert unpacked(client.ask("GET", url)[1]) == [CONTENT] * 3
    with reader(server, url) as stalled:
        assert server.open_files > open_files
        eventually(lambda: "A client took fewer than" in server.log.read_text())
        eventually(lambda: server.open_files <= open_files)
        assert rest_of(stalled) < SIZE
    assert "Traceback" not in server.log.read_text()


class _Transport:
    """As much of asyncio's transport as a transfer needs."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def get_extra_info(self, name: str) -> Any:
        return self._connection

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0


@pytest.fixture
def transport() -> Iterator[Any]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        yield _Transport(ours)


@pytest.fixture
def ranges(tmp_path: Path) -> Iterator[Iterator[LocalRange]]:
    """Ranges without end, each of a file of 700,000 bytes behind 100 bytes."""
    path = tmp_path / "file"
    path.write_bytes(bytes(700_000))
    descriptor = os.open(path, os.O_RDONLY)

    def endless() -> Iterator[LocalRange]:
        while True:
            yield LocalRange(descriptor, 0, 700_000, is_whole=True, before=bytes(100))

    yield endless()
    os.close(descriptor)


async def test_a_turn_of_many_files_is_bounded(
    transport: Any, ranges: Iterator[LocalRange], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "_is_in_memory", lambda *piece: True)
    monkeypatch.setattr(kernel, "_send", lambda to, file, position, count: count)
    monkeypatch.setattr(kernel, "_send_bytes", lambda to, content: len(content))
    with kernel.Transfer(transport, ranges, Pace(60, 1)) as transfer:
        assert transfer.sent == 2 * MIB


async def test_an_error_of_the_next_file_is_raised(transport: Any) -> None:
    def failing() -> Iterator[LocalRange]:
        raise StorageError("The disk is gone")
        yield

    with kernel.Transfer(transport, failing(), Pace(60, 1)) as transfer:
        with pytest.raises(StorageError):
            await transfer.ended
        assert transfer.sent == 0
