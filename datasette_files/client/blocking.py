"""The blocking client: the asynchronous one on an event loop of its own, in a thread of its own.

So it works too where a loop runs already, such as in a notebook.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, TypeVar

import httpx2 as httpx

from .client import AsyncClient, Progress, _silent
from .keeping import Record

_T = TypeVar("_T")


class Client:
    """The files of one server, for an actor's token. Use it in ``with``; see AsyncClient."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        state: Path | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._client = AsyncClient(url, token, state=state, transport=transport)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="datasette-files client", daemon=True
        )
        self._thread.start()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connections and the thread."""
        if self._loop.is_closed():
            return
        self._wait(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait(self, work: Coroutine[Any, Any, _T]) -> _T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:  # such as Ctrl-C
            future.cancel()
            raise

    def _each(self, records: AsyncIterator[Record]) -> Iterator[Record]:
        async def step() -> Record | None:
            return await anext(records, None)

        while (record := self._wait(step())) is not None:
            yield record

    @property
    def url(self) -> str:
        """The server's address."""
        return self._client.url

    def sources(self) -> list[Record]:
        return self._wait(self._client.sources())

    def files(self, source: str | None = None, **filters: Any) -> Iterator[Record]:
        return self._each(self._client.files(source, **filters))

    def by_path(self, source: str, *, prefix: str = "", after: str = "") -> Iterator[Record]:
        return self._each(self._client.by_path(source, prefix=prefix, after=after))

    def file(self, file_id: str) -> Record:
        return self._wait(self._client.file(file_id))

    def versions(self, file_id: str) -> list[Record]:
        return self._wait(self._client.versions(file_id))

    def usage(self, source: str) -> Record:
        return self._wait(self._client.usage(source))

    def findings(self, source: str) -> tuple[list[Record], list[Record]]:
        return self._wait(self._client.findings(source))

    def verify(
        self,
        source: str,
        *,
        data: bool = False,
        share: str | None = None,
        max_duration: float | None = None,
    ) -> tuple[Record, list[Record]]:
        return self._wait(
            self._client.verify(source, data=data, share=share, max_duration=max_duration)
        )

    def manifest(self, source: str) -> Iterator[Record]:
        return self._each(self._client.manifest(source))

    def put(
        self,
        source: str,
        path: str | Path,
        *,
        name: str | None = None,
        content_type: str | None = None,
        folder: str = "",
        tags: Iterable[str] = (),
        replaces: str | None = None,
        progress: Progress = _silent,
    ) -> Record:
        return self._wait(
            self._client.put(
                *(source, path),
                name=name,
                content_type=content_type,
                folder=folder,
                tags=tags,
                replaces=replaces,
                progress=progress,
            )
        )

    def put_bytes(self, source: str, content: bytes, name: str, **more: Any) -> Record:
        """Upload these bytes as one file; ``more`` as for ``AsyncClient.put_stream``."""

        async def chunks() -> AsyncIterator[bytes]:
            yield content

        return self._wait(self._client.put_stream(source, chunks(), name, **more))

    def copy(self, file_id: str, source: str, *, progress: Progress = _silent) -> Record:
        return self._wait(self._client.copy(file_id, source, progress=progress))

    def get(
        self,
        file_id: str,
        path: str | Path = ".",
        *,
        replace: bool = False,
        progress: Progress = _silent,
    ) -> Path:
        return self._wait(self._client.get(file_id, path, replace=replace, progress=progress))

    def read_into(self, file_id: str, out: BinaryIO) -> None:
        self._wait(self._client.read_into(file_id, out))

    def text(self, file_id: str) -> Iterator[Record]:
        return self._each(self._client.text(file_id))

    def bundle(self, path: str | Path, **what: Any) -> Record:
        """Write a bundle; ``what`` as for ``AsyncClient.bundle``."""
        return self._wait(self._client.bundle(path, **what))

    def update(self, file_id: str, **changes: Any) -> Record | None:
        return self._wait(self._client.update(file_id, **changes))

    def bulk(
        self, action: str, files: Sequence[str] | None = None, *, filters: Any = None, **more: Any
    ) -> Record:
        return self._wait(self._client.bulk(action, files, filters=filters, **more))

    def import_table(
        self, file_id: str, database: str, table: str, *, mode: str = "create", **form: str
    ) -> Record:
        return self._wait(self._client.import_table(file_id, database, table, mode=mode, **form))

    def index(self, source: str, *, accept_missing: bool = False) -> Record:
        return self._wait(self._client.index(source, accept_missing=accept_missing))

    def share(self, files: Sequence[str], **terms: Any) -> Record:
        """Make a link to files; ``terms`` as for ``AsyncClient.share``."""
        return self._wait(self._client.share(files, **terms))

    def shares(self) -> list[Record]:
        return self._wait(self._client.shares())

    def revoke(self, share_id: str) -> None:
        self._wait(self._client.revoke(share_id))
