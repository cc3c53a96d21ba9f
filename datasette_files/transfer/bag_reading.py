"""Reading a stranger's bag, a folder or a zip file, and verifying all of it before any use.

Nothing of a bag is trusted: no path leaves its folder, no link is followed, only regular files are
opened, and every bound is checked before memory or disk is used. Each read checks the sha256
again, so a bag that changes during the work is noticed. Leaves out the contents (unbundling.py).
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import struct
import threading
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

from ..errors import ChecksumMismatch, Invalid, NotFound
from ..protocol import bagit
from ..tables.bag_index import BagIndex
from .bag_writing import MAX_ZIP_FILES

_CHUNK_BYTES = 1024 * 1024
#: Bytes of a zip file's directory, and how much larger than the file its contents may be.
_MAX_DIRECTORY, _MAX_RATIO = 32 * 1024 * 1024, 200
_TOO_MANY = f"The zip file holds more than {MAX_ZIP_FILES:,} files; unzip it first"
#: Folders in folders: ``data/files/{name}`` needs two.
_MAX_DEPTH = 8
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
#: The end of a zip file (APPNOTE 4.3.16), and the largest comment.
_END, _MAX_COMMENT = struct.Struct("<4s4H2LH"), 65_535
#: Bytes of the end and its locator in a zip file over 2 GiB (APPNOTE 4.3.14, 4.3.15).
_END64_LENGTH = 56 + 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Bag(Protocol):
    """The files of a bag. Its methods block."""

    def members(self) -> Iterator[tuple[str, int]]:
        """Path and bytes of each file. Raises Invalid for anything but files and folders."""

    def opened(self, path: str) -> IO[bytes]:
        """Open a file of ``members``. Raises OSError, Invalid."""


@contextmanager
def opened_bag(path: Path) -> Iterator[Bag]:
    """Open a folder or a zip file. Raises NotFound, Invalid."""
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except OSError as error:
        raise NotFound(f"{path} cannot be read ({error.strerror})") from error
    if is_folder:
        descriptor = os.open(path, _FOLDER & ~os.O_NOFOLLOW)
        try:
            yield _FolderBag(descriptor)
        finally:
            os.close(descriptor)
        return
    with _damaged(path.name), path.open("rb") as file:
        _check_directory(file)
        with zipfile.ZipFile(file) as archive:
            yield _ZipBag(archive, file.seek(0, os.SEEK_END))


@contextmanager
def _damaged(name: str) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise Invalid(f"{name} is neither a folder nor a sound zip file ({error})") from error


class _FolderBag:
    def __init__(self, descriptor: int) -> None:
        self._root = descriptor

    def members(self) -> Iterator[tuple[str, int]]:
        yield from self._below(self._root, "", 0)

    def _below(self, folder: int, prefix: str, depth: int) -> Iterator[tuple[str, int]]:
        if depth > _MAX_DEPTH:
            raise Invalid(f"The bag's folder {prefix!r} is too deep")
        folders = []
        with os.scandir(folder) as entries:
            for entry in entries:
                path = prefix + os.fsencode(entry.name).decode("utf-8", "replace")
                info = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(info.st_mode):
                    folders.append((entry.name, bagit.checked_path(path)))
                elif stat.S_ISREG(info.st_mode):
                    yield bagit.checked_path(path), info.st_size
                else:
                    raise Invalid(f"The bag's {path!r} is a link or no file; remove it")
        for name, path in folders:
            descriptor = os.open(name, _FOLDER, dir_fd=folder)
            try:
                yield from self._below(descriptor, path + "/", depth + 1)
            finally:
                os.close(descriptor)

    def opened(self, path: str) -> IO[bytes]:
        *folders, name = path.split("/")
        descriptor = os.dup(self._root)
        try:
            for folder in folders:
                below = os.open(folder, _FOLDER, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            file = os.open(name, _FILE, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise Invalid(f"The bag's {path!r} is no file any more")
        return os.fdopen(file, "rb", buffering=0)


class _ZipBag:
    """A zip file with one folder, which is the bag."""

    def __init__(self, archive: zipfile.ZipFile, size: int) -> None:
        self._archive = archive
        self._size = size
        self._folder = ""
        self._lock = threading.Lock()

    def members(self) -> Iterator[tuple[str, int]]:
        infos = self._archive.infolist()
        packed = sum(info.compress_size for info in infos)
        # Members that share bytes are those of a bomb.
        if packed > self._size or sum(i.file_size for i in infos) > _MAX_RATIO * self._size:
            raise Invalid("The zip file's contents are far larger than the file; it is not used")
        for number, info in enumerate(infos):
            folder, slash, path = info.filename.partition("/")
            if number == 0:
                self._folder = folder
            if not slash or folder != self._folder:
                raise Invalid("The zip file must hold one folder with the bag")
            mode = info.external_attr >> 16
            if info.is_dir():
                continue
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG) or info.flag_bits & _ENCRYPTED:
                raise Invalid(f"The zip file's {path!r} is a link, encrypted, or no file")
            if info.compress_type not in _METHODS:
                raise Invalid(f"The zip file's {path!r} is packed by an unknown method")
            yield bagit.checked_path(path), info.file_size

    def opened(self, path: str) -> IO[bytes]:
        with self._lock:
            file = self._archive.open(f"{self._folder}/{path}")
        return io.BufferedReader(_Member(file, self._lock), _CHUNK_BYTES)


class _Member(io.RawIOBase):
    """A member of a zip file, several of which threads read.

    From Python 3.12 on, zipfile opens a member where another thread has just read (its issue
    127847, mended in later releases), so all wait for each other.
    """

    def __init__(self, file: IO[bytes], lock: threading.Lock) -> None:
        self._file = file
        self._lock = lock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with self._lock:
            read = self._file.read(len(buffer))
        buffer[: len(read)] = read
        return len(read)

    def close(self) -> None:
        self._file.close()
        super().close()


def _check_directory(file: IO[bytes]) -> None:
    """Raise Invalid for a zip file whose directory would take much memory to read.

    zipfile reads the whole directory, and as many members as fit in it, whatever their stated
    number; each begins with its signature.
    """
    size = file.seek(0, os.SEEK_END)
    begin = file.seek(max(0, size - _MAX_COMMENT - _END.size - _END64_LENGTH))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        raise zipfile.BadZipFile("it has no end")
    length, end = _END.unpack_from(tail, at)[5], begin + at
    if tail[:at][-20:].startswith(b"PK\x06\x07"):
        end -= _END64_LENGTH
        (place,) = struct.unpack_from("<Q", tail, at - 12)
        if place != end or at < _END64_LENGTH:
            raise zipfile.BadZipFile("its end is at another place")
        (length,) = struct.unpack_from("<Q", tail, at - _END64_LENGTH + 40)
    if length > min(_MAX_DIRECTORY, end):
        raise Invalid(_TOO_MANY)
    file.seek(end - length)
    if file.read(length).count(b"PK\x01\x02") > MAX_ZIP_FILES:
        raise Invalid(_TOO_MANY)


def read(bag: Bag, path: str, size: int, sha256: str) -> Generator[bytes, None, None]:
    """The bytes of a file of the bag, in chunks. Raises ChecksumMismatch at the end, Invalid."""
    digest, passed = hashlib.sha256(), 0
    try:
        with _damaged(path), bag.opened(path) as file:
            while chunk := file.read(_CHUNK_BYTES):
                passed += len(chunk)
                if passed > size:
                    break
                digest.update(chunk)
                yield chunk
    except OSError as error:
        raise Invalid(f"The bag's {path!r} cannot be read ({error.strerror})") from error
    if passed != size or digest.hexdigest() != sha256:
        raise ChecksumMismatch(
            f"The bag's {path!r} does not have the sha256 of its manifest; take a sound copy"
        )


def small(bag: Bag, index: BagIndex, path: str, most: int) -> bytes:
    """A whole file of the bag, of at most ``most`` bytes. Raises Invalid."""
    found = index.member(path)
    if found is None or found[0] > most:
        fault = "is missing" if found is None else "is too large"
        raise Invalid(f"The bag's {path!r} {fault}; this is not a sound bundle")
    try:
        with _damaged(path), bag.opened(path) as file:
            return file.read(most + 1)[:most]
    except OSError as error:
        raise Invalid(f"The bag's {path!r} cannot be read ({error.strerror})") from error


def verify(bag: Bag, index: BagIndex, stop: Callable[[], None]) -> dict[str, str]:
    """Verify every file of the bag against its manifests; return bag-info.txt by label.

    Fills ``index`` with the files. ``stop`` may raise, to end the work. Raises Invalid and
    ChecksumMismatch.
    """
    info = check(bag, index, stop)
    for page in index.members():
        for path, size, sha256 in page:
            for _ in read(bag, path, size, sha256):
                stop()
    return info


def check(bag: Bag, index: BagIndex, stop: Callable[[], None]) -> dict[str, str]:
    """As ``verify``, without reading the files that the manifests name."""
    for path, size in bag.members():
        stop()
        if not index.add_member(path, size):
            raise Invalid(f"The bag holds {path!r} twice")
    if small(bag, index, bagit.BAGIT, 1024).split() != bagit.DECLARATION.encode().split():
        raise Invalid("The bag is not of BagIt 1.0 in UTF-8")
    info = bagit.parse_info(small(bag, index, bagit.INFO, bagit.MAX_INFO))
    oxum = bagit.parse_oxum(info.get("payload-oxum"))
    if (oxum.bytes, oxum.files) != index.totals(bagit.PAYLOAD):
        raise Invalid("The bag does not have the size of its Payload-Oxum; take a sound copy")
    for manifest in (bagit.TAG_MANIFEST, bagit.MANIFEST):
        _read_manifest(bag, index, manifest)
    if lacking := index.without_sha256(bagit.TAG_MANIFEST):
        raise Invalid(f"The bag's {lacking!r} is in no manifest; remove it, or take a sound copy")
    return info


def _read_manifest(bag: Bag, index: BagIndex, manifest: str) -> None:
    if index.member(manifest) is None:
        raise Invalid(f"The bag has no {manifest}; take a sound copy")
    try:
        with _damaged(manifest), bag.opened(manifest) as raw:
            for line in _lines(raw):
                sha256, path = bagit.parse_manifest_line(line)
                is_payload = path.startswith(bagit.PAYLOAD)
                if is_payload != (manifest == bagit.MANIFEST) or path == bagit.TAG_MANIFEST:
                    raise Invalid(f"{manifest} names {path!r}, which belongs to another manifest")
                if not index.set_sha256(path, sha256):
                    raise Invalid(f"{manifest} names {path!r} twice, or the bag does not have it")
    except OSError as error:
        raise Invalid(f"The bag's {manifest!r} cannot be read ({error.strerror})") from error


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    rest = b""
    while chunk := file.read(_CHUNK_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line for line in lines if line.strip())
        if len(rest) > bagit.MAX_LINE:
            raise Invalid("A manifest of the bag has a line that is too long")
    if rest.strip():
        yield rest
