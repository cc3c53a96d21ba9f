"""The last members of a zip that is a bag: what lists and verifies the others.

Manifests, data/files.csv and datapackage.json hold the sha256 of every file. Once all are known,
they are written into the internal database, and the zip is sealed: its bytes are fixed then. The
content is that of any bundle (bag_layout.py). Leaves out the choice of files (zips.py).
"""

from __future__ import annotations

import asyncio
import re
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import IO, Any

from ..db import files as file_rows
from ..db import zip_texts
from ..db import zips as rows
from ..db.batching import Catalog
from ..db.zips import Chosen, Zip
from ..errors import Expired, Invalid, StorageUnavailable
from ..models import FileRecord, parse_time, written
from ..naming import ID_PATTERN
from ..protocol.zipfile64 import Member
from .bag_layout import Layout
from .bag_writing import BagFiles, Written, folder_name
from .bundling import in_thread
from .zip_members import Members

#: Bytes of the lists of one bag, and those that one transaction writes.
_MAX_LISTS, _STEP = 64 * 1024 * 1024, 16 * rows.TEXT_CHUNK
#: Characters of the files left out that bag-info.txt names.
_MAX_NAMED = 32 * 1024
_GONE = "A file of this bundle was deleted; choose the files again"
_ID = re.compile(ID_PATTERN)


def is_open(found: Zip) -> bool:
    """Tell whether a zip is a bag whose last members are to be written."""
    return not found.described.get("bag", {"sealed": True})["sealed"]


async def seal(catalog: Catalog, found: Zip) -> Zip:
    """Write the last members of a bag whose files all have a sha256, and return it as it is then.

    Done once; others that do it meanwhile get the same. Raises Expired if a file is gone, Invalid
    for lists that are too long.
    """
    with TemporaryDirectory(prefix="datasette-files-") as folder:
        work = Path(folder)
        with closing(_Texts(work)) as texts, closing(Layout(texts, work, found.name)) as layout:
            await _list(catalog, found, layout)
            await in_thread(lambda stop: layout.finish(_labels(found.described)))
            await _keep(catalog, found, texts.written)
    return await current(catalog, found)


async def current(catalog: Catalog, found: Zip) -> Zip:
    """The zip as it is now. Raises Expired."""
    now = await catalog.read(lambda conn: rows.get(conn, found.id))
    if now is None:
        raise Expired("The bundle was forgotten meanwhile; choose the files again")
    return now


class _Texts(BagFiles):
    """The last members of a bag, as files in a temporary folder."""

    def __init__(self, work: Path) -> None:
        super().__init__(work)
        self._work = work
        #: By their path in the bag.
        self.written: dict[str, Path] = {}

    @contextmanager
    def opened(self, path: str) -> Iterator[IO[bytes]]:
        place = self._work / f"text-{len(self.written)}"
        self.written[path] = place
        with place.open("xb") as file:
            yield file


async def _list(catalog: Catalog, found: Zip, layout: Layout) -> None:
    """Take up the rows and the files, page by page."""
    held = [Written(*one) for one in found.described["bag"]["rows"]]
    if held:
        layout.hold_rows(*held)
    members, start, folder = Members(catalog, found), 0, f"{folder_name(found.name)}/"
    while page := await members.page(start):
        start = page[-1].start + 1
        placed = [one.member for one in page if not one.member.key.startswith(rows.TEXT)]
        files = await catalog.query(partial(file_rows.by_ids, ids=[one.key for one in placed]))
        await in_thread(partial(_hold, layout, folder, placed, files))
        if layout.length > _MAX_LISTS:
            raise Invalid(
                "The records of these files are too long for a bundle over HTTP; choose fewer, or"
                " run `datasette files bundle` beside the database"
            )


def _hold(
    layout: Layout,
    folder: str,
    placed: list[Member],
    files: Mapping[str, FileRecord],
    stop: object,
) -> None:
    for member in placed:
        file = files.get(member.key)
        if file is None:
            raise Expired(_GONE)
        if file.sha256 is None:
            raise StorageUnavailable(f"The sha256 of {file.id} is not known yet; try again")
        path = member.name.removeprefix(folder)
        layout.hold_file(file, Written(path, member.size, file.sha256))


def _labels(described: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The lines of bag-info.txt on what the bag does not have."""
    for note in described.get("notes", ()):
        yield "Left-Out-Note", note
    if described["left_out_count"]:
        yield "Left-Out-Count", str(described["left_out_count"])
    room = _MAX_NAMED
    for file_id, code in described["left_out"]:
        room -= len(file_id)
        if _ID.fullmatch(file_id) and room > 0:
            yield "Left-Out", f"{file_id} {code}"


async def _keep(catalog: Catalog, found: Zip, texts: Mapping[str, Path]) -> None:
    """Bring the last members into the zip."""
    # Keys of our own, so that another process that does the same writes no chunk of these.
    own, written_at, totals = token_hex(8), written(time.time()), found.totals
    chosen: list[Chosen] = []
    for path, place in texts.items():
        key, crc32, size = f"{rows.TEXT}{own}/{path}", 0, 0
        with place.open("rb") as file:
            part = 0
            while content := await asyncio.to_thread(file.read, _STEP):
                crc32, size = zlib.crc32(content, crc32), size + len(content)
                part = await catalog.write(
                    partial(
                        zip_texts.add_chunks,
                        number=found.number,
                        key=key,
                        first=part,
                        content=content,
                    ),
                    len(content),
                )
        name = f"{folder_name(found.name)}/{path}"
        member = Member(key, name, size, crc32, parse_time(written_at))
        entry, totals = totals.with_member(member)
        chosen.append(Chosen(entry, crc32, written_at))
    described = {**found.described, "bag": {**found.described["bag"], "sealed": True}}
    await catalog.write(lambda conn: rows.seal(conn, found.number, chosen, totals, described))
