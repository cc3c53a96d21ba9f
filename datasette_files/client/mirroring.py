"""What a synchronization of a local folder and a source would do. Pure: it reads and sends nothing.

Paths are relative, with ``/`` between their parts; a source's file stands at its folder and name.
``Known`` is a file as the last synchronization left it on both sides. A side has changed since then
if it differs from it; what changed on both sides is a conflict, and stays as it is on both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

#: ``send`` and ``fetch`` replace what is there; ``adopt`` only remembers that both are the same;
#: ``other`` was changed on the side that is not written, and is left.
Kind = Literal["send", "fetch", "remove", "adopt", "same", "other", "conflict"]


@dataclass(frozen=True)
class Local:
    """A file of the folder: bytes, and nanoseconds of its last change."""

    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Remote:
    """The newest file at a path of the source."""

    id: str
    size: int | None
    crc32: str | None


@dataclass(frozen=True)
class Known:
    """A file that was the same on both sides."""

    id: str
    size: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True)
class Digests:
    """The digests of a local file's bytes, in hexadecimal."""

    sha256: str
    crc32: str


@dataclass(frozen=True)
class Step:
    """What is to be done at a path. ``remote`` is the file there now, if there is one."""

    kind: Kind
    path: str
    remote: Remote | None = None


@dataclass(frozen=True)
class Sides:
    """Both sides and the last synchronization. ``read`` gives a local file's digests."""

    local: Mapping[str, Local]
    remote: Mapping[str, Remote]
    known: Mapping[str, Known]
    read: Callable[[str], Digests]

    def local_changed(self, path: str) -> bool:
        """Whether the folder's file differs from the known one. Reads it only if its time does."""
        local, known = self.local[path], self.known.get(path)
        if known is None:
            return True
        if (local.size, local.mtime_ns) == (known.size, known.mtime_ns):
            return False
        return local.size != known.size or self.read(path).sha256 != known.sha256

    def remote_changed(self, path: str) -> bool:
        known = self.known.get(path)
        return known is None or known.id != self.remote[path].id

    def equal(self, path: str) -> bool:
        """Whether both have the same bytes, by size and CRC-32. False where that is not known."""
        local, remote = self.local[path], self.remote[path]
        if local.size != remote.size or remote.crc32 is None:
            return False
        return self.read(path).crc32 == remote.crc32


def up(sides: Sides, *, deletes: bool) -> Iterator[Step]:
    """The steps that bring a source in step with a folder, in the order of the paths."""
    for path in sorted(sides.local):
        remote = sides.remote.get(path)
        if remote is None:
            yield Step("send", path)
            continue
        changed = sides.local_changed(path)
        if not sides.remote_changed(path):
            yield Step("send" if changed else "same", path, remote)
        elif sides.equal(path):
            yield Step("adopt", path, remote)
        else:
            yield Step("conflict" if changed else "other", path, remote)
    for path in sorted(sides.remote.keys() - sides.local.keys()):
        known = not sides.remote_changed(path)
        yield Step("remove" if deletes and known else "other", path, sides.remote[path])


def down(sides: Sides, *, deletes: bool) -> Iterator[Step]:
    """The steps that bring a folder in step with a source, in the order of the paths."""
    for path in sorted(sides.remote):
        remote = sides.remote[path]
        if path not in sides.local:
            yield Step("fetch", path, remote)
            continue
        changed = sides.local_changed(path)
        if not sides.remote_changed(path):
            yield Step("other" if changed else "same", path, remote)
        elif sides.equal(path):
            yield Step("adopt", path, remote)
        else:
            yield Step("conflict" if changed else "fetch", path, remote)
    for path in sorted(sides.local.keys() - sides.remote.keys()):
        known = path in sides.known and not sides.local_changed(path)
        yield Step("remove" if deletes and known else "other", path)
