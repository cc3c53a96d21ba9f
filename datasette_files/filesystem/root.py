"""The root directory, and the one place where a path becomes a file descriptor.

The root itself may be a symbolic link, resolved once at start. Below it every component is opened
relative to its parent and without following links, so no path leaves the root, even if somebody
replaces directories by links meanwhile. Before each use the root must still be the same directory.
If it vanished or was replaced, the source is unavailable until it is back; it is never created
again. Everything here blocks.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ..errors import ConfigurationError, Invalid, NoSpace, StorageError, StorageUnavailable
from . import page_cache

logger = logging.getLogger("datasette_files")

#: The directory of files being received. If it is missing, the root may be an empty mount point.
TEMPORARY = ".datasette-files"

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK, opening a named pipe would wait for its other end.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
# Errors of unlink(2) for a path at which there cannot be a file.
_NO_FILE = (errno.EISDIR, errno.ENAMETOOLONG)
# Errors of rmdir(2) for a directory that is not empty, or a link in its place.
_NOT_EMPTY = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)


class Root:
    """A source's root directory, held open."""

    def __init__(self, configured: str) -> None:
        self._path = Path(os.path.realpath(Path(configured).expanduser()))
        self._lock = threading.Lock()
        self._fd = -1
        self._identity = (0, 0)

    def make(self) -> None:
        """Make the directory if it does not exist, and hold it."""
        try:
            self._path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise ConfigurationError(f"root: {self._path} is not a directory") from None
        except PermissionError as error:
            raise StorageUnavailable(
                f"root: {self._path} cannot be created ({error.strerror}); create it, or let"
                " Datasette's user write to the directory above it"
            ) from error
        self.hold()

    def hold(self) -> None:
        """Hold the existing directory. Raises StorageUnavailable if it cannot be opened."""
        try:
            fd = os.open(self._path, DIRECTORY)
        except OSError as error:
            raise StorageUnavailable(
                f"root: {self._path} cannot be opened ({error.strerror}); correct its permissions"
            ) from error
        try:
            self._make_temporary(fd)
        except BaseException:
            os.close(fd)
            raise
        self._adopt(fd)

    def _make_temporary(self, fd: int) -> None:
        try:
            os.mkdir(TEMPORARY, 0o700, dir_fd=fd)
        except FileExistsError:
            pass
        except OSError as error:
            # A read-only root still serves its files.
            logger.warning("%s takes no uploads: %s", self._path, error.strerror)

    def _adopt(self, fd: int) -> None:
        old, self._fd = self._fd, fd
        info = os.fstat(fd)
        self._identity = (info.st_dev, info.st_ino)
        if old >= 0:
            os.close(old)

    def resume(self) -> None:
        """Hold a directory that was in use before.

        Raises StorageUnavailable while it is missing, or empty like an unmounted directory.
        """
        try:
            empty = not any(self._path.iterdir())
        except OSError as error:
            raise StorageUnavailable(
                f"root: {self._path} cannot be read ({error.strerror}); it was in use before, so"
                " it is not created again: mount or restore it"
            ) from error
        if empty:
            raise StorageUnavailable(
                f"root: {self._path} is empty though it was in use before: mount or restore it"
                f" (or create {TEMPORARY} in it to start with an empty root)"
            )
        self.hold()

    def close(self) -> None:
        with self._lock:  # a thread may be about to copy the descriptor
            fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    @contextmanager
    def held(self) -> Iterator[int]:
        """Yield a descriptor of the root for one operation. Raises StorageUnavailable."""
        with self._lock:
            fd = os.dup(self._current())
        try:
            yield fd
        finally:
            os.close(fd)

    def _current(self) -> int:
        """Return the root's descriptor, after checking that it is still the root.

        Raises StorageUnavailable while the root is missing or something else is in its place.
        """
        if self._fd < 0:
            raise StorageUnavailable("Datasette is stopping; try again in a minute")
        try:
            info = self._path.lstat()
        except OSError as error:
            raise self._lost(error.strerror or "missing") from error
        if (info.st_dev, info.st_ino) != self._identity:
            self._recognise(info)
        return self._fd

    def _recognise(self, info: os.stat_result) -> None:
        """Adopt a remounted root, which has another device number, if it holds our directory."""
        if stat.S_ISLNK(info.st_mode):
            raise self._lost("replaced by a symbolic link")
        try:
            fd = os.open(self._path, DIRECTORY)
        except OSError as error:
            raise self._lost(error.strerror or "replaced") from error
        try:
            os.stat(TEMPORARY, dir_fd=fd, follow_symlinks=False)
        except OSError as error:
            os.close(fd)
            raise self._lost("replaced by another directory") from error
        self._adopt(fd)

    def _lost(self, reason: str) -> StorageUnavailable:
        logger.error("The root %s is unavailable: %s", self._path, reason)
        return StorageUnavailable(
            "The source's directory is unavailable; ask its administrator to restore it, and try"
            " again"
        )

    @contextmanager
    def parent(self, path: str, *, create: bool = False) -> Iterator[tuple[int, str]]:
        """Yield ``(descriptor of the directory of the path, the path's last component)``.

        Raises FileNotFoundError if a component is missing or is a link, and Invalid for a path that
        ``split`` refuses.
        """
        *directories, name = split(path)
        with self.held() as fd, ExitStack() as opened:
            for component in directories:
                fd = _descend(fd, component, create)  # noqa: PLW2901 - one step down
                opened.callback(os.close, fd)
            yield fd, name

    def open(self, path: str) -> tuple[int, os.stat_result]:
        """Open the regular file at ``path``; return its descriptor, to be closed, and its stat."""
        with self.parent(path) as (directory, name):
            return open_file(directory, name)

    def open_cached(self, paths: Sequence[str]) -> list[int | None]:
        """Open the regular files at ``paths``, in order; None where that may wait for a disk.

        Raises Invalid, StorageUnavailable.
        """
        for path in paths:
            split(path)
        with self._lock:  # no copy of the descriptor, as nothing waits
            root = self._current()
            return [page_cache.open_file(root, path) for path in paths]

    @contextmanager
    def temporary(self) -> Iterator[int]:
        """Yield a descriptor of the directory for files being received."""
        with self.held() as root:
            try:
                fd = os.open(TEMPORARY, DIRECTORY, dir_fd=root)
            except FileNotFoundError:
                with suppress(FileExistsError):
                    os.mkdir(TEMPORARY, 0o700, dir_fd=root)
                fd = os.open(TEMPORARY, DIRECTORY, dir_fd=root)
        try:
            yield fd
        finally:
            os.close(fd)

    def flush_directories(self, path: str) -> None:
        """Flush every directory on the way to ``path``, the root included."""
        components = split(path)
        for depth in range(len(components), 0, -1):
            with self.parent("/".join(components[:depth])) as (directory, _):
                os.fsync(directory)

    def unlink(self, *paths: str) -> None:
        """Delete the files at ``paths`` and each directory that becomes empty. May be repeated.

        Returns once all of that is durable: each directory that is left is flushed once.
        """
        changed = {directory for path in paths if (directory := self._remove(path)) is not None}
        for directory in changed:
            # A file in it, which need not exist, so that the root has a path too.
            with suppress(FileNotFoundError), self.parent(f"{directory}x") as (fd, _):
                os.fsync(fd)

    def _remove(self, path: str) -> str | None:
        """Delete as ``unlink`` does. The last changed directory as ``a/b/``, which is not flushed;
        None if there was nothing to delete.
        """
        components = split(path)
        changed = None
        for depth in range(len(components), 0, -1):
            try:
                with self.parent("/".join(components[:depth])) as (directory, name):
                    if depth == len(components):
                        os.unlink(name, dir_fd=directory)
                    else:
                        os.rmdir(name, dir_fd=directory)
                    changed = "".join(f"{part}/" for part in components[: depth - 1])
            except FileNotFoundError:
                continue
            except OSError as error:
                if depth < len(components) and error.errno in _NOT_EMPTY:
                    break
                if depth == len(components) and error.errno in _NO_FILE:
                    break
                raise
        return changed


def open_file(directory: int, name: str) -> tuple[int, os.stat_result]:
    """As ``Root.open``, of a name in a directory."""
    try:
        fd = os.open(name, _READ, dir_fd=directory)
    except OSError as error:
        if error.errno in (*_MISSING, errno.ENXIO):
            raise FileNotFoundError(name) from None
        raise
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode):
        os.close(fd)
        raise FileNotFoundError(name)
    return fd, info


def split(path: str) -> list[str]:
    """Split a storage path into components. Raises Invalid if it could leave the root."""
    components = path.split("/")
    if "\x00" in path or any(component in ("", ".", "..") for component in components):
        raise Invalid(f"{path!r} is not a path within a source")
    if components[0] == TEMPORARY:
        raise Invalid(f"{TEMPORARY} is reserved")
    return components


def _descend(fd: int, component: str, create: bool) -> int:
    try:
        return os.open(component, DIRECTORY, dir_fd=fd)
    except OSError as error:
        if error.errno not in _MISSING:
            raise
        if not create or error.errno != errno.ENOENT:
            raise FileNotFoundError(component) from None
    with suppress(FileExistsError):
        os.mkdir(component, dir_fd=fd)
    return os.open(component, DIRECTORY, dir_fd=fd)


@contextmanager
def storage_errors() -> Iterator[None]:
    """Translate the system's errors into FilesError. FileNotFoundError is raised unchanged."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise NoSpace("The source's disk is full; ask its administrator for space") from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise StorageUnavailable(
                "The source's directory is not writable; ask its administrator to correct that"
            ) from error
        if error.errno in (errno.ENAMETOOLONG, errno.EILSEQ):
            raise Invalid("The disk does not accept this file name; rename the file") from error
        logger.exception("A disk operation failed")
        raise StorageError("The source's disk failed; ask its administrator") from error
