"""The manifest of a source: the sha256 and the path of each file, in the order of paths.

A line has the form that ``sha256sum -c`` reads in the source's root. The command and the HTTP
routes print the same lines. Leaves out the comparison with the storage (verify.py).
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from ..catalog.links import afresh
from ..db import verify as rows
from ..db.batching import Catalog
from ..permissions.grants import Grant
from ..sources.sources import Source

#: Files that are read in one look-up.
_PAGE = 1000
#: The characters that sha256sum escapes in a name (coreutils, "md5sum invocation").
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a manifest."""

    id: str
    #: Relative to the source's root or prefix.
    path: str
    #: In hexadecimal; None: not known yet.
    sha256: str | None


async def page(
    catalog: Catalog, manage: Grant, source: Source, after: str, limit: int
) -> list[Entry]:
    """The first files whose path comes after ``after``; "" begins. Raises PermissionDenied."""

    def look(conn: sqlite3.Connection) -> list[Entry]:
        manage.check(conn, source.slug)
        found = rows.page(conn, source.id, after, limit)
        return [Entry(file.id, file.path, file.sha256) for file in found]

    return await catalog.query(look)


async def pages(
    catalog: Catalog, manage: Grant, source: Source
) -> AsyncGenerator[list[Entry], None]:
    """All files, page by page. The permission is asked again for each page.

    Raises PermissionDenied, also in the middle.
    """
    after, allowed = "", manage
    while found := await page(catalog, allowed, source, after, _PAGE):
        yield found
        after, allowed = found[-1].path, await afresh(allowed.renewed())


async def unhashed(catalog: Catalog, source: Source) -> int:
    """The number of files without a known sha256, which have no line."""
    return await catalog.query(lambda conn: rows.without_sha256(conn, source.id))


def line(sha256: str, path: str) -> str:
    """One line, without its end. A name with escaped characters has a backslash before its line."""
    escaped = "".join(_ESCAPES.get(character, character) for character in path)
    mark = "\\" if escaped != path else ""
    return f"{mark}{sha256}  {escaped}"
