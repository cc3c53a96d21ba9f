"""Hostile files under the names of images and their like, and what a worker makes of each.

``uv run python -m tests.support.hostile_images`` prints the table of docs/security.md: outcome,
time and peak memory of a fresh worker for each, by the default limits.
"""

from __future__ import annotations

import asyncio
import io
import random
import struct
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from PIL import Image

from datasette_files.previews import kinds
from datasette_files.previews.workers import Job, Limits, Lost, Refused, Workers
from tests.support.fixtures import fixture

LIMITS = Limits(memory=512 << 20, max_bytes=64 << 20, max_pixels=60_000_000, seconds=10)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png(width: int, height: int, *chunks: bytes, colours: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, colours, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + b"".join(chunks) + _chunk(b"IEND", b"")


def _zeros(length: int) -> bytes:
    """Compressed, without ever being whole."""
    packer = zlib.compressobj(9)
    parts = [packer.compress(bytes(1 << 20)) for _ in range(length >> 20)]
    return b"".join([*parts, packer.compress(bytes(length % (1 << 20))), packer.flush()])


def text_bomb() -> bytes:
    """A PNG with a compressed comment of 1 GiB."""
    text = _chunk(b"zTXt", b"Comment\0\0" + _zeros(1 << 30))
    return _png(1, 1, text, _chunk(b"IDAT", zlib.compress(b"\0\0")))


def profile_bomb() -> bytes:
    """A PNG with a colour profile of 1 GiB."""
    profile = _chunk(b"iCCP", b"p\0\0" + _zeros(1 << 30))
    return _png(1, 1, profile, _chunk(b"IDAT", zlib.compress(b"\0\0")))


def all_pixels() -> bytes:
    """As many true pixels with transparency as are allowed: 240 MB once decoded, 240 KB here."""
    data = _chunk(b"IDAT", _zeros(7500 * (1 + 4 * 8000)))
    return _png(8000, 7500, data, colours=6)


def endless_scans() -> bytes:
    """A progressive JPEG of 20 megapixels whose last scan is repeated a thousand times."""
    out = io.BytesIO()
    Image.radial_gradient("L").resize((5000, 4000)).save(out, "JPEG", progressive=True, quality=50)
    content = out.getvalue()
    last = content.rfind(b"\xff\xda")
    return content[:last] + content[last:-2] * 1000 + b"\xff\xd9"


def claims_jpeg() -> bytes:
    """A JPEG whose header claims 65,500 by 65,500 pixels."""
    content = bytearray(fixture("photos/orientation-1.jpg").path.read_bytes())
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = struct.pack(">HH", 65500, 65500)
    return bytes(content)


def circular_tiff() -> bytes:
    """A TIFF whose directory is followed by itself."""
    entries = [(256, 4, 1, 8), (257, 4, 1, 8), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    entries += [(273, 4, 1, 200), (278, 4, 1, 8), (279, 4, 1, 64), (34665, 4, 1, 8)]
    directory = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    body = b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + struct.pack("<I", 8)
    return body.ljust(200, b"\0") + bytes(range(64))


def strips_tiff() -> bytes:
    """A TIFF that says it has four billion strips."""
    entries = [(256, 4, 1, 60000), (257, 4, 1, 900), (258, 3, 1, 8), (259, 3, 1, 5)]
    entries += [(262, 3, 1, 1), (273, 4, 0xFFFFFFFF, 8), (278, 4, 1, 1), (279, 4, 0xFFFFFFFF, 8)]
    directory = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + bytes(64)


def many_frames() -> bytes:
    """A GIF of ten thousand frames on a canvas of 60 million pixels."""
    screen = b"GIF89a" + struct.pack("<HHBBB", 10000, 5900, 0x80, 0, 0) + bytes(6)
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    return screen + frame * 10_000 + b"\x3b"


def garbage(head: bytes) -> Callable[[], bytes]:
    """Noise behind a signature."""
    return lambda: head + random.Random(7).randbytes(200_000)


def of(name: str) -> Callable[[], bytes]:
    return fixture(name).path.read_bytes


def cut(name: str) -> Callable[[], bytes]:
    return lambda: fixture(name).path.read_bytes()[: fixture(name).size * 2 // 3]


def huge_page() -> bytes:
    """A PDF with a page of a thousand kilometres."""
    content = fixture("documents/one-page.pdf").path.read_bytes()
    return content.replace(b"[0 0 595 842]", b"[0 0 3e9 3e9]")


#: Name, content type, bytes, and what comes of it: ``picture``, ``refused`` or ``lost`` (ended).
FILES: list[tuple[str, str, Callable[[], bytes], str]] = [
    ("header claims 2.5 billion pixels", "image/png", of("odd/claims-50000x50000.png"), "refused"),
    ("64 million true pixels", "image/png", of("odd/true-8000x8000.png"), "refused"),
    ("60 million true pixels, RGBA", "image/png", all_pixels, "picture"),
    ("comment of 1 GiB, compressed", "image/png", text_bomb, "refused"),
    ("colour profile of 1 GiB, compressed", "image/png", profile_bomb, "any"),
    ("JPEG that claims 4 billion pixels", "image/jpeg", claims_jpeg, "refused"),
    ("progressive JPEG of 1,000 scans", "image/jpeg", endless_scans, "any"),
    ("half a JPEG", "image/jpeg", of("odd/truncated.jpg"), "picture"),
    ("TIFF directory that follows itself", "image/tiff", circular_tiff, "any"),
    ("TIFF of four billion strips", "image/tiff", strips_tiff, "refused"),
    ("GIF of 10,000 frames, 59 megapixels", "image/gif", many_frames, "picture"),
    ("two thirds of an AVIF", "image/avif", cut("photos/still.avif"), "refused"),
    ("two thirds of a HEIC", "image/heic", cut("photos/still.heic"), "any"),
    ("two thirds of a WebP", "image/webp", cut("photos/still.webp"), "refused"),
    ("noise as PNG", "image/png", garbage(b"\x89PNG\r\n\x1a\n"), "refused"),
    ("noise as JPEG", "image/jpeg", garbage(b"\xff\xd8\xff\xe0"), "refused"),
    ("noise as GIF", "image/gif", garbage(b"GIF89a"), "any"),
    ("noise as TIFF", "image/tiff", garbage(b"II*\0\x08\0\0\0"), "refused"),
    ("HTML as PNG", "image/png", of("odd/html-declared-as.png"), "refused"),
    ("SVG with script as PNG", "image/png", of("documents/hostile.svg"), "refused"),
    ("GIF that is a script", "image/gif", of("odd/gif-js-polyglot.gif"), "picture"),
    ("PNG that is a zip", "image/png", of("odd/png-zip-polyglot.png"), "picture"),
    ("PDF page of 1,000 km", "application/pdf", huge_page, "any"),
    ("noise as PDF", "application/pdf", garbage(b"%PDF-1.7\n"), "refused"),
    ("noise as MP4", "video/mp4", garbage(b"\0\0\0\x20ftypisom"), "refused"),
    ("playlist as MP4", "video/mp4", lambda: b"#EXTM3U\nfile:///etc/passwd\n", "refused"),
]


async def pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 1 << 20):
        yield content[start : start + (1 << 20)]


async def outcome(workers: Workers, content_type: str, content: bytes) -> tuple[str, str]:
    """``picture``, ``refused`` or ``lost``; and what was said of it."""
    kind = kinds.installed().of(content_type)
    if kind is None:
        return "unknown", "no part installed here reads this type"
    try:
        answer = await workers.run(Job(kind, content_type, 200), pieces(content))
    except Refused as error:
        return "refused", str(error)
    except Lost as error:
        return "lost", str(error)
    first = answer.images[0]
    return "picture", f"{first.width} x {first.height}"


def pool(count: int = 1, seconds: float = LIMITS.seconds) -> Workers:
    found = kinds.installed()
    return Workers(count, replace(LIMITS, seconds=seconds), heif=found.heif, ffmpeg=found.ffmpeg)


def _tree(pid: int) -> Iterator[int]:
    """A process and what it started."""
    yield pid
    with suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for child in children:
            yield from _tree(int(child))


async def _watch(workers: Workers, seen: list[int]) -> None:
    """The largest resident set of a worker and its children, in KiB, looked at every 5 ms."""
    while True:
        total = 0
        for pid in [p for worker in workers.pids for p in _tree(worker)]:
            with suppress(OSError, StopIteration, ValueError):
                lines = Path(f"/proc/{pid}/status").read_text().splitlines()
                total += int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
        seen.append(total)
        await asyncio.sleep(0.005)


async def table() -> None:
    print("| file | bytes | outcome | seconds | peak MiB |\n|---|---|---|---|---|")
    for name, content_type, make, _ in FILES:
        content = make()
        workers, seen = pool(), [0]
        await outcome(workers, "image/png", b"")  # so that its start is not counted
        watcher = asyncio.create_task(_watch(workers, seen))
        started = time.perf_counter()
        what, why = await outcome(workers, content_type, content)
        taken = time.perf_counter() - started
        watcher.cancel()
        await workers.close()
        told = " ".join(why.replace("|", "/").split())[:90]
        peak = max(seen) / 1024
        print(f"| {name} | {len(content):,} | {what}: {told} | {taken:.2f} | {peak:.0f} |")


if __name__ == "__main__":
    asyncio.run(table())
