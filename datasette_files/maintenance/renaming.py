"""Renames: which new objects of a walk are known files at another path.

An object is such a file if both have the storage's mark, or if both have the same size and sha256:
where marks are entity tags, a copy may have another one. Objects that may be known files wait for
the end of the listing, when it is known what left its path. Leaves out the listing (indexing.py).
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial

from .. import naming
from ..db import batching, index, renames
from ..db.index import New, Seen, Walk
from ..db.renames import Pending
from ..errors import StorageError
from ..sources import reading
from ..sources.sources import Source

#: Before the mark of a storage that gives none: two such marks tell nothing about a rename.
UNMARKED = "?"
#: Before a mark that is an entity tag (RFC 9110, 8.8.3).
_TAG = '"'


def waiting(conn: sqlite3.Connection, walk: Walk, new: Mapping[str, Seen]) -> dict[str, Seen]:
    """Those of the new objects, by path, that may be known files at another path."""
    marks = {one.version for one in new.values() if not one.version.startswith(UNMARKED)}
    moved = renames.perhaps_moved(conn, walk, marks)
    found = {path: one for path, one in new.items() if one.version in moved}
    tagged = {path: one for path, one in new.items() if one.size and one.version[0] == _TAG}
    # Before the first walk has ended nothing can have left the path where a walk saw it.
    if tagged and not renames.is_first(conn, walk):
        sizes = {one.size for one in tagged.values() if one.size}
        known = renames.of_known_size(conn, walk.source_id, sizes)
        found |= {path: one for path, one in tagged.items() if one.size in known}
    return found


async def hashed(
    catalog: batching.Catalog,
    source: Source,
    walk: Walk,
    new: Sequence[New],
) -> dict[str, New]:
    """Those new files, by path, that have the size of a lost one, with their hashes.

    Only these are read. One that the storage cannot read stays without, and counts as failed.
    Raises StorageUnavailable.
    """
    sizes = {file.size for file in new if file.size}
    lost = await catalog.query(partial(renames.of_lost_size, walk=walk, sizes=sizes))
    found = {}
    for file in (file for file in new if file.size in lost):
        digest = reading.Digest(crc32=True)
        try:
            record = file.record(source.id, source.slug)
            await reading.digest(source, record, digest)
        except StorageError as error:
            walk.fail(file.path, f"it cannot be compared with files that left their paths: {error}")
            continue
        found[file.path] = file._replace(content_hash=digest.content_hash, crc32=digest.crc32)
    return found


def rename(
    conn: sqlite3.Connection, walk: Walk, found: Sequence[Pending], made: Mapping[str, New]
) -> list[New]:
    """Let objects be the known files that they are; return the others, to be added.

    ``made`` are new files of the objects, by path, some with a sha256. Twins are new files.
    """
    free = index.free(conn, walk, made)
    numbers = Counter(file.content_hash for file in made.values())
    added = []
    for one in (one for one in found if one.path in free):
        file, file_id = made[one.path], one.file_id
        if file.content_hash is not None and numbers[file.content_hash] == 1:
            file_id = renames.lost_with_hash(conn, walk, file.content_hash)
        if file_id is None:
            added.append(file)
        else:
            renames.rename(conn, walk.source_id, file_id, one.path, *names(one.path))
            walk.count(renamed=1)
    return added


def names(path: str) -> tuple[str, str]:
    """The catalog's name and folder of an object. Raises Invalid."""
    folder, _, name = path.rpartition("/")
    return naming.check_filename(name), _folder(folder)


#: A listing gives the files of a folder one after the other.
_folder = lru_cache(128)(naming.check_folder)
