"""P10: thumbnails of photographs as phones take them, and P7 beside them.

One 12-megapixel JPEG of about 8 MB, noisy as a photograph is, uploaded again and again. "Ready" is
from the request that completes the upload until an image is served. For the sustained figure the
cached images of all photos are deleted behind the server's back, and all fetched over 8
connections. The limit is Pillow alone, decoding at the least scale, on one core.
"""

from __future__ import annotations

import io
import random
import sqlite3
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path

from benchmarks import transfers
from benchmarks.bench import Bench, log
from benchmarks.client import Address, connect, read_response
from benchmarks.latency import RATE, Tail
from benchmarks.messages import Wire
from benchmarks.report import Against, Figure, Sample, Target
from benchmarks.servers import DatasetteServer

CONNECTIONS = 8
_SIDE = 4032, 3024


def photograph() -> bytes:
    """A 12-megapixel JPEG of about 8 MB: coarse colours under fine noise."""
    from PIL import Image

    source = random.Random(1)
    width, height = _SIDE
    cells = width // 16, height // 16
    coarse = Image.frombytes("RGB", cells, source.randbytes(cells[0] * cells[1] * 3))
    tile = Image.frombytes("RGB", (512, 512), source.randbytes(512 * 512 * 3))
    fine = Image.new("RGB", _SIDE)
    for top in range(0, height, 512):
        for left in range(0, width, 512):
            fine.paste(tile, (left, top))
    out = io.BytesIO()
    Image.blend(coarse.resize(_SIDE), fine, 0.17).save(out, "JPEG", quality=95)
    return out.getvalue()


def upload(address: Address, wire: Wire, content: bytes) -> tuple[str, float]:
    """By prepare, upload and complete: the file's id, and when complete was sent."""
    base, size = "/-/files/upload/bench/-", len(content)
    described = {"filename": "photo.jpg", "content_type": "image/jpeg", "size": size}
    prepare = wire.post_json(f"{base}/prepare", described)
    with connect(address) as sock:
        sock.sendall(prepare)
        token = read_response(sock).expect(prepare).json()["upload_token"]
        fields = {"upload_token": token}
        form = wire.multipart(f"{base}/upload", fields, "photo.jpg", size, "image/jpeg")
        sock.sendall(form.around(content))
        read_response(sock).expect(form.before)
        complete = wire.post_json(f"{base}/complete", {"upload_token": token})
        started = time.perf_counter()
        sock.sendall(complete)
        file_id: str = read_response(sock).expect(complete).json()["file"]["id"]
        return file_id, started


def ready(address: Address, wire: Wire, content: bytes) -> float:
    """Seconds from the request that completes an upload until its thumbnail has been received."""
    file_id, started = upload(address, wire, content)
    _fetch(address, [wire.get(f"/-/files/{file_id}/thumbnail")])
    return time.perf_counter() - started


def sustained(address: Address, requests: Sequence[bytes], internal: Path) -> float:
    """Thumbnails made per second, with none cached at the beginning."""
    _forget(internal)
    started = time.perf_counter()
    shares = [requests[start::CONNECTIONS] for start in range(CONNECTIONS)]
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        list(threads.map(partial(_fetch, address), shares))
    return len(requests) / (time.perf_counter() - started)


def sustained_until(
    address: Address, requests: Sequence[bytes], internal: Path, seconds: float
) -> int:
    """Make thumbnails for so long; returns how many."""
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        sustained(address, requests, internal)
        count += len(requests)
    return count


def _fetch(address: Address, requests: Sequence[bytes]) -> None:
    """Each thumbnail, as an image: an icon is asked for again."""
    with connect(address) as sock:
        for request in requests:
            while True:
                sock.sendall(request)
                if not read_response(sock).expect(request).body.startswith(b"<svg"):
                    break
                time.sleep(0.01)


def _forget(internal: Path) -> None:
    with closing(sqlite3.connect(internal, timeout=30)) as conn, conn:
        conn.execute("DELETE FROM datasette_files_thumbnails")
        with suppress(sqlite3.OperationalError):  # a table of ours alone
            conn.execute("DELETE FROM datasette_files_thumbnail_sizes")


def by_pillow(content: bytes, times: int) -> float:
    """Thumbnails per second by Pillow with `draft` in one process."""
    from PIL import Image

    started = time.perf_counter()
    for _ in range(times):
        image = Image.open(io.BytesIO(content))
        image.draft("RGB", (400, 400))
        image.thumbnail((200, 200))
        image.save(io.BytesIO(), "JPEG")
    return times / (time.perf_counter() - started)


def photos(bench: Bench) -> list[Figure]:
    """P10: ready after an upload, sustained; and P7 while thumbnails are made."""
    content = photograph()
    count = 16 if bench.quick else 32
    log(f"P10: a JPEG of {len(content) / 1e6:.1f} MB")
    with ExitStack() as stack:
        servers = {
            side.label: stack.enter_context(bench.datasette(side))
            for side in (bench.ours, bench.public)
        }
        soon = bench.alternate(
            "P10 ready",
            {
                side: partial(bench.call, ready, server.address, server.wire, content)
                for side, server in servers.items()
            },
        )
        work = {
            side: _photos(server, content, count if side == "ours" else count // 2)
            for side, server in servers.items()
        }
        rates = bench.alternate(
            "P10 sustained",
            {
                **{
                    side: partial(bench.call, sustained, server.address, *work[side])
                    for side, server in servers.items()
                },
                "pillow": partial(bench.call, by_pillow, content, 20),
            },
        )
        tails = {side: _beside(bench, server, *work[side]) for side, server in servers.items()}
    return [
        Figure(
            *("P10", "thumbnail of 12 megapixels, ready after upload", "s", soon["ours"]),
            Target(0.5),
            public=soon["public"],
        ),
        Figure(
            *("P10", "thumbnails of 12 megapixels, sustained", "/s", rates["ours"]),
            Target(2.5, Against.PUBLIC),
            public=rates["public"],
            limit=rates["pillow"],
        ),
        Figure(
            *("P7", "p99 of {id}.json beside thumbnails", "ms"),
            Sample(tuple(tails["ours"].p99), tails["ours"].error),
            Target(100),
            public=Sample(tuple(tails["public"].p99), tails["public"].error),
            note="; ".join(f"{side} {tail.describe()}" for side, tail in tails.items()),
        ),
    ]


def _photos(server: DatasetteServer, content: bytes, count: int) -> tuple[list[bytes], Path]:
    """Requests for the thumbnails of so many photos, all made once; and the internal database."""
    ids = [upload(server.address, server.wire, content)[0] for _ in range(count)]
    requests = [server.wire.get(f"/-/files/{file_id}/thumbnail") for file_id in ids]
    _fetch(server.address, requests)
    return requests, server.folder / "internal.db"


def _beside(bench: Bench, server: DatasetteServer, requests: list[bytes], internal: Path) -> Tail:
    tail, seconds = Tail(), 5.0 if bench.quick else 10.0
    path = requests[0].split()[1].decode().removesuffix("/thumbnail")
    record = server.wire.get(f"{path}.json")
    for _ in range(bench.rounds):
        busy = bench.submit(sustained_until, server.address, requests, internal, seconds)
        tail.add(bench.call(transfers.probe, server.address, record, RATE, seconds))
        tail.transfers += busy.result()
    log(f"P7 {server.name} beside thumbnails: {tail.describe()}")
    return tail
