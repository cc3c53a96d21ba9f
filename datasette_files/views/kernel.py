"""Local files that the kernel sends to the socket of a connection (sendfile(2)).

They go to a duplicate of the socket's descriptor, and not through ``loop.sendfile``:

* ``loop.sendfile`` takes the transport's descriptor out of the loop. A transport that closes
  meanwhile leaves a descriptor that may already be another connection's.
* It sends a gigabyte without a turn for other requests while the client keeps up, and blocks the
  loop on each page that is not in memory.
* It does not tell how far it came, by which a slow client is told from one that has stalled.
* uvloop does not have it.

Files of a zip go one after the other, each behind its header in the same packet: for a file of one
megabyte, a task or a message through the server takes as long as the kernel does for the file.
Leaves out when this may be done, and what the server is told of it (sendfile.py).
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from functools import partial

from ..transfer.downloads import LocalRange
from .pace import Pace

#: Bytes for one download in one turn of the event loop; nginx has the same limit.
_TURN = 2 * 1024 * 1024
#: Bytes that the kernel should read ahead of a piece that is not in memory.
_READ_AHEAD = 4 * 1024 * 1024
_NOWAIT = getattr(os, "RWF_NOWAIT", 0)
#: Linux alone: where the page cache cannot be asked, a sent page might block the event loop.
IS_AVAILABLE = _NOWAIT != 0


class Transfer:
    """Ranges on their way to the socket of a transport. Use as a context manager."""

    def __init__(
        self, transport: asyncio.Transport, ranges: Iterator[LocalRange], pace: Pace
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._ranges = ranges
        self._pace = pace
        #: The range that is being sent; None before the first and after the last one.
        self._local: LocalRange | None = None
        #: Whether a thread reads the next piece from the disk.
        self._reads = False
        #: Bytes that the socket took.
        self.sent = 0
        #: Done when all is sent, or when the kernel sends no more. Has the error of ``ranges``.
        self.ended: asyncio.Future[None] = self._loop.create_future()

    def __enter__(self) -> Transfer:
        duplicate = os.dup(self._transport.get_extra_info("socket").fileno())
        self._socket = socket.socket(fileno=duplicate)
        self._wait()
        self._go_on()  # not a turn later, which on a busy machine is milliseconds
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.cancel()
        self._loop.remove_writer(self._socket.fileno())
        self._socket.close()

    def _wait(self) -> None:
        self._pace.waits()
        self._loop.add_writer(self._socket.fileno(), self._go_on)

    def _go_on(self) -> None:
        """Send as much as one turn may. Runs in each turn in which the client takes more."""
        if self._transport.is_closing():
            self._end()
        elif not self._transport.get_write_buffer_size():
            self._try(self._turn)
        # else the headers, or the answer before: the transport sends them first

    def _try(self, step: Callable[[], None]) -> None:
        """Take a step in a callback of the loop; an error ends the transfer."""
        try:
            step()
        except OSError:
            self._end()
        except Exception as error:  # noqa: BLE001 - raised by who waits for the end
            self._end(error)

    def _turn(self) -> None:
        before = self.sent
        try:
            while (local := self._current()) and self.sent < before + _TURN:
                if not self._piece(local, before + _TURN - self.sent):
                    break
        finally:
            self._pace.took(self.sent - before)
        if not self.ended.done() and not self._reads:
            self._pace.waits()

    def _current(self) -> LocalRange | None:
        """The range to send from; after the last one, None, and the transfer has ended."""
        local = self._local
        if local is None or (not local.before and local.position == local.end):
            local = self._local = next(self._ranges, None)
            if local is None:
                self._end()
        return local

    def _piece(self, local: LocalRange, most: int) -> bool:
        """Send a piece of a range. Tell whether the socket may take another one now."""
        if local.before:
            size = min(most, len(local.before))
            sent = _send_bytes(self._socket, local.before[:size])
            if sent:
                local.before = local.before[sent:]
        else:
            size = min(most, local.end - local.position)
            if not _is_in_memory(local.descriptor, local.position, size):
                self._send_from_disk(local, size)
                return False
            sent = _send(self._socket.fileno(), local.descriptor, local.position, size)
            local.position += sent or 0
        self._took(sent)
        return sent == size

    def _send_from_disk(self, local: LocalRange, size: int) -> None:
        self._loop.remove_writer(self._socket.fileno())
        # Duplicates, as a download that ends does not wait for the thread.
        pair = os.dup(self._socket.fileno()), os.dup(local.descriptor)
        job = self._loop.run_in_executor(None, _send_from_disk, *pair, local.position, size)
        job.add_done_callback(partial(self._sent_from_disk, local))
        self._reads = True

    def _sent_from_disk(self, local: LocalRange, job: asyncio.Future[int | None]) -> None:
        self._reads = False
        if job.cancelled() or job.exception() is not None:
            self._end()
        elif not self.ended.done():
            sent = job.result()
            local.position += sent or 0
            self._pace.took(sent or 0)
            self._took(sent)
            self._try(self._go_on_from_memory)

    def _go_on_from_memory(self) -> None:
        if not self.ended.done() and self._current():
            self._wait()

    def _took(self, sent: int | None) -> None:
        self.sent += sent or 0
        if sent == 0:
            self._end()

    def _end(self, error: Exception | None = None) -> None:
        self._pace.took(0)
        if self.ended.done():
            return
        self._loop.remove_writer(self._socket.fileno())
        if error is None:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(error)


def _is_in_memory(file: int, position: int, count: int) -> bool:
    """Tell whether the first and the last byte are in the page cache, as probably are all."""
    try:
        for place in (position, position + count - 1):
            os.preadv(file, [bytearray(1)], place, _NOWAIT)
    except OSError:
        return False  # not in memory; or the file system cannot tell
    return True


def _send(connection: int, file: int, position: int, count: int) -> int | None:
    """Return the number of bytes that the socket took; None: none now; 0: the file ends here."""
    try:
        return os.sendfile(connection, file, position, count)
    except BlockingIOError:
        return None


def _send_bytes(connection: socket.socket, content: bytes) -> int | None:
    """Send bytes that those of a file follow, in a packet with them. Return as ``_send``."""
    try:
        return connection.send(content, socket.MSG_MORE)
    except BlockingIOError:
        return None


def _send_from_disk(connection: int, file: int, position: int, count: int) -> int | None:
    """Do as ``_send``, and close both descriptors. Runs in a thread."""
    try:
        os.posix_fadvise(file, position, _READ_AHEAD, os.POSIX_FADV_WILLNEED)
        return _send(connection, file, position, count)
    finally:
        os.close(connection)
        os.close(file)
