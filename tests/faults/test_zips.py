"""Zips in the real: programs that unpack them, sizes beyond 32 bits, clients and servers killed."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import subprocess
import sys
import time
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from datasette_files.app import Files
from datasette_files.base import TIME_FORMAT
from datasette_files.db import files as file_rows
from datasette_files.models import FileRecord
from datasette_files.naming import new_ulid
from datasette_files.protocol import zipfile64
from tests.conftest import OPEN, MakeDatasette, disk_source, missing
from tests.support.server import Server

pytestmark = pytest.mark.full

JUDGES = {
    "unzip": ["unzip", "-tqq"],
    "7z": ["7z", "t"],
    "bsdtar": ["bsdtar", "-xOf"],
    "jar": ["jar", "tf"],
    "python": [sys.executable, "-m", "zipfile", "-t"],
}
#: A name in every script that people write most, and names that need care.
SCRIPTS = [
    *("Ελληνικά", "Русский", "العربية", "עברית", "हिन्दी", "বাংলা", "தமிழ்", "ไทย", "ქართული", "አማርኛ"),
    *(
        "日本語",
        "한국어",
        "中文",
        "ខ្មែរ",
        "Հայերեն",
        "😀👩‍👩‍👧",
        "cafe\u0301",
        "café",
        "CON",
        "a:b",
        "x" * 250,
    ),
]


def judged(judge: str, path: Path) -> None:
    command = JUDGES[judge]
    if shutil.which(command[0]) is None:
        missing(command[0])
    done = subprocess.run(
        [*command, str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False
    )
    assert done.returncode == 0, (judge, done.stderr.decode(errors="replace")[-500:])


def stored(root: Path, source_id: int, number: int, name: str, content: bytes) -> FileRecord:
    """A file on disk, and its record."""
    path = f"{number // 1000}/{number}"
    (root / path).parent.mkdir(exist_ok=True)
    (root / path).write_bytes(content)
    return FileRecord(
        id=f"df-{new_ulid()}",
        source_id=source_id,
        path=path,
        filename=name,
        content_type="text/plain",
        content_hash=f"sha256:{hashlib.sha256(content).hexdigest()}",
        size=len(content),
        width=None,
        height=None,
        uploaded_by=None,
        created_at=datetime.now(timezone.utc).strftime(TIME_FORMAT),
        metadata="{}",
        search_text="",
        source_slug="docs",
        folder=f"{number % 7}/{number % 3}" if number % 5 else "",
        crc32=f"{zlib.crc32(content):08x}",
    )


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [1, 300, 70_000])
async def test_programs_accept_the_zip(
    make_datasette: MakeDatasette, tmp_path: Path, count: int
) -> None:
    site = await make_datasette()
    files = Files.of(site)
    source_id = files.sources.get("docs").id
    names = (SCRIPTS[n % len(SCRIPTS)] for n in range(count))
    made = [
        stored(tmp_path / "docs", source_id, n, name, b"%d" % n) for n, name in enumerate(names)
    ]
    await files.catalog.write(lambda conn: [file_rows.insert(conn, one) for one in made])
    answer = (await site.client.post("/-/files/-/selection", json={"source": "docs"})).json()
    assert answer.get("files") == count, answer
    content = (await site.client.get(answer["zip_url"])).content
    out = tmp_path / "out.zip"
    out.write_bytes(content)
    with zipfile.ZipFile(out) as packed:
        found = packed.namelist()
    assert len({name.casefold() for name in found}) == count
    for judge in JUDGES:
        judged(judge, out)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("judge", JUDGES)
def test_programs_accept_a_member_of_more_than_4_gib(tmp_path: Path, judge: str) -> None:
    size, crc = 4 * 2**30 + 5, 0
    for _ in range(size // 2**26):
        crc = zlib.crc32(bytes(2**26), crc)
    crc = zlib.crc32(bytes(size % 2**26), crc)
    moment = datetime(2026, 1, 2, tzinfo=timezone.utc)
    entries, totals = [], zipfile64.Totals()
    for name, length, code in (("large", size, crc), ("after", 3, zlib.crc32(b"end"))):
        member = zipfile64.Member(name, f"{name}.bin", length, code, moment)
        entry, totals = totals.with_member(member)
        entries.append(entry)
    out = tmp_path / "large.zip"
    with out.open("wb") as file:
        for entry in entries:
            for piece in zipfile64.member_pieces(entry, 0, totals.length):
                if isinstance(piece, bytes):
                    file.write(piece)
                elif piece.member.key == "after":
                    file.write(b"end")
                else:
                    file.seek(size, 1)  # sparse
        file.writelines(zipfile64.central_piece(one, totals, 0, totals.length) for one in entries)
        file.write(zipfile64.end_piece(totals, 0, totals.length))
        assert file.tell() == totals.length
    judged(judge, out)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    config = {
        "plugins": {"datasette-files": {"sources": {"docs": disk_source(tmp_path / "docs")}}},
        "permissions": OPEN,
    }
    with Server(tmp_path, config) as started:
        yield started


def _posted(server: Server, body: bytes) -> Any:
    request = urllib.request.Request(
        f"{server.url}/-/files/-/selection",
        data=body,
        headers={"Content-Type": "application/json"},
    )
    return json.loads(urllib.request.urlopen(request, timeout=60).read())


def test_clients_go_on_after_kills_of_both_sides(server: Server, tmp_path: Path) -> None:
    for program in ("curl", "aria2c"):
        if shutil.which(program) is None:
            missing(program)
    chance = random.Random(19)
    for n in range(60):
        request = urllib.request.Request(
            f"{server.url}/-/files/upload/docs/{n}.bin",
            data=chance.randbytes(chance.choice([10, 50_000, 2_000_000])),
            method="PUT",
        )
        urllib.request.urlopen(request, timeout=60).read()
    url = _posted(server, b'{"source": "docs"}')["zip_url"]
    whole = urllib.request.urlopen(server.url + url, timeout=60).read()
    port = server.port
    curled, fetched = tmp_path / "curl.zip", tmp_path / "aria.zip"
    clients = {
        "curl": ["curl", "-sf", "-C", "-", "--limit-rate", "8M", "-o", str(curled)],
        "aria2c": [
            *("aria2c", "-x8", "-s8", "-k1M", "-c", "--max-overall-download-limit=8M"),
            *("--allow-overwrite=false", "--auto-file-renaming=false", "-q"),
            *("--auto-save-interval=1", "-d", str(tmp_path), "-o", fetched.name),
        ],
    }
    for name, command in clients.items():
        for turn in range(40):
            process = subprocess.Popen([*command, server.url + url])
            try:
                process.wait(timeout=chance.uniform(1.2, 2.0) if turn < 6 else 60)
            except subprocess.TimeoutExpired:
                if turn % 2:
                    server.kill()
                    process.wait(timeout=60)
                    server.start(port=port)
                else:
                    process.kill()
                    process.wait()
                continue
            if process.returncode == 0:
                break
            time.sleep(0.1)
        else:
            pytest.fail(f"{name} did not come to an end")
    assert hashlib.sha256(curled.read_bytes()).digest() == hashlib.sha256(whole).digest()
    assert hashlib.sha256(fetched.read_bytes()).digest() == hashlib.sha256(whole).digest()
    judged("unzip", curled)
