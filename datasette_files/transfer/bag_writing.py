"""Writing a bag: a folder or a zip file that appears whole and durable, or not at all.

Everything is written into a temporary folder beside the bag, which a rename then publishes. A
killed process leaves that folder; the next bundle of the same name removes it. Leaves out what goes
into the bag (bundling.py) and the formats (protocol/bagit.py).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ..errors import Invalid
from ..naming import stored_name
from ..protocol import bagit
from .publishing import link_new, sync, system_errors

#: Files in a zip file: its directory is held in memory, by us and by most other programs.
MAX_ZIP_FILES = 50_000
_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Written:
    """A file in the bag. ``size`` in bytes, ``sha256`` in hexadecimal."""

    path: str
    size: int
    sha256: str


class Member:
    """A file of the bag that is being written."""

    def __init__(self, path: str, file: IO[bytes]) -> None:
        self.path = path
        self.size = 0
        self._file = file
        self._sha256 = hashlib.sha256()

    def write(self, chunk: bytes) -> None:
        """Write a chunk. Blocks."""
        self._sha256.update(chunk)
        self.size += len(chunk)
        rest = memoryview(chunk)
        while rest:
            rest = rest[self._file.write(rest) :]

    @property
    def written(self) -> Written:
        return Written(self.path, self.size, self._sha256.hexdigest())


class BagFiles(ABC):
    """The files of a bag, one after the other, and their manifests. Its methods block.

    The manifest waits in ``work``, a temporary folder.
    """

    def __init__(self, work: Path) -> None:
        self._payload = bagit.Oxum(0, 0)
        self._manifest = (work / "manifest").open("w+", encoding="utf-8", newline="")
        self._tags = ""

    @abstractmethod
    def opened(self, path: str) -> AbstractContextManager[IO[bytes]]:
        """A new file of the bag, to be written."""

    @contextmanager
    def member(self, path: str) -> Iterator[Member]:
        """Write one file; only one at a time. It is in the manifest when the block ends."""
        with self.opened(path) as file:
            member = Member(path, file)
            yield member
        self.note(member.written)

    def note(self, written: Written) -> None:
        """Put a file into its manifest."""
        line = bagit.manifest_line(written.sha256, written.path)
        if written.path.startswith(bagit.PAYLOAD):
            self._manifest.write(line)
            before = self._payload
            self._payload = bagit.Oxum(before.bytes + written.size, before.files + 1)
        elif written.path != bagit.TAG_MANIFEST:
            self._tags += line

    def add(self, path: str, content: str | IO[bytes]) -> Written:
        """Write a whole file, from a text or from an open file."""
        with self.member(path) as member:
            if isinstance(content, str):
                member.write(content.encode())
            else:
                while chunk := content.read(_CHUNK_BYTES):
                    member.write(chunk)
        return member.written

    def finish(self, labels: list[tuple[str, str]]) -> None:
        """Write the tag files of BagIt. ``labels`` are added to bag-info.txt."""
        self.add(bagit.BAGIT, bagit.DECLARATION)
        facts = [
            ("Bagging-Date", time.strftime("%Y-%m-%d", time.gmtime())),
            ("Payload-Oxum", str(self._payload)),
        ]
        self.add(bagit.INFO, bagit.info([*labels, *facts]))
        self._manifest.flush()
        with Path(self._manifest.name).open("rb") as manifest:
            self.add(bagit.MANIFEST, manifest)
        self.add(bagit.TAG_MANIFEST, self._tags)

    def close(self) -> None:
        self._manifest.close()


class BagWriter(BagFiles):
    """A bag that is being written into ``work``: a folder, or a zip file."""

    def __init__(self, out: Path, work: Path, zipped: bool) -> None:
        super().__init__(work)
        self._out = out
        self._base = work / "bag"
        self._name = folder_name(out.name)
        self._made: set[Path] = set()
        self._files = 0
        self._zip: zipfile.ZipFile | None = None
        if zipped:
            self._zip = zipfile.ZipFile(self._base, "x", zipfile.ZIP_STORED, allowZip64=True)
        else:
            self._base.mkdir()

    @contextmanager
    def opened(self, path: str) -> Iterator[IO[bytes]]:
        self._files += 1
        if self._zip is not None and self._files > MAX_ZIP_FILES:
            raise Invalid(f"A zip file takes {MAX_ZIP_FILES:,} files; leave out --zip")
        if self._zip is not None:
            info = zipfile.ZipInfo(f"{self._name}/{path}", time.gmtime()[:6])
            info.external_attr = 0o100644 << 16
            with self._zip.open(info, "w", force_zip64=True) as member:
                yield member
            return
        with new_member(self._base, path, self._made) as file:
            yield file

    def publish(self) -> None:
        """Make the bag durable, and give it its name. Raises Conflict if that is taken."""
        self.close()
        if self._zip is None:
            publish_folder(self._base, self._made, self._out)
            return
        sync(self._base)
        link_new(self._base, self._out)
        sync(self._out.parent)

    def close(self) -> None:
        super().close()
        if self._zip is not None:
            self._zip.close()


@contextmanager
def new_member(base: Path, path: str, made: set[Path]) -> Iterator[IO[bytes]]:
    """A new, durable file of a bag in a folder. ``made`` receives the folder that holds it."""
    target = base / path
    target.parent.mkdir(parents=True, exist_ok=True)
    made.add(target.parent)
    with target.open("xb", buffering=0) as file:
        yield file
        os.fsync(file.fileno())


def publish_folder(base: Path, made: set[Path], out: Path) -> None:
    """Make a folder of durable files durable, and give it its name. Raises FileExistsError."""
    for folder in {base, *made}:
        sync(folder)
    if os.path.lexists(out):
        raise FileExistsError
    base.rename(out)
    sync(out.parent)


def folder_name(name: str) -> str:
    """The folder in a zip file that holds the bag of this name."""
    return stored_name(name.removesuffix(".zip"))


@contextmanager
def workspace(out: Path) -> Iterator[Path]:
    """A temporary folder beside ``out``, removed at the end. Raises Conflict if ``out`` exists.

    It is locked, so that only the folders of dead processes are removed.
    """
    with system_errors(out):
        if os.path.lexists(out):
            raise FileExistsError
        prefix = f".{stored_name(out.name)}.bundle-"
        _clear(out.parent, prefix)
        work = Path(tempfile.mkdtemp(prefix=prefix, dir=out.parent))
    try:
        with (work / "lock").open("x") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _clear(parent: Path, prefix: str) -> None:
    """Remove the folders that killed processes left."""
    for left in parent.iterdir():
        if not left.name.startswith(prefix) or left.is_symlink():
            continue
        try:
            with (left / "lock").open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
        except OSError:
            continue  # another bundle's that runs, or one without a lock yet
