"""Storages with one fault each, and the checks of the suite that have to see it.

``FAULTS`` names, for each class, the checks that must fail. Not collected with the other tests:
``test_broken_storages.py`` runs the suite on them in a process of its own.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

from datasette_files.base import (
    FileMetadata,
    SentPart,
    StorageCapabilities,
    UploadInstructions,
)
from datasette_files.errors import Invalid
from datasette_files.testing import StorageContract
from tests.support.storages import (
    AppendStorage,
    DirectStorage,
    MemoryStorage,
    PartsStorage,
    SignedStorage,
)

FAULTS: dict[type[MemoryStorage], set[str]] = {}


def fails(*checks: str) -> Any:
    def register(cls: type[MemoryStorage]) -> type[MemoryStorage]:
        FAULTS[cls] = {f"test_{check}" for check in checks}
        return cls

    return register


# Uploads


@fails("upload_round_trip", "uploads_at_once_do_not_mix")
class WrongHash(MemoryStorage):
    async def receive_upload(self, path: str, stream: Any, content_type: str) -> FileMetadata:
        stored = await super().receive_upload(path, stream, content_type)
        stored.content_hash = "sha256:" + "0" * 64
        return stored


@fails("upload_round_trip", "uploads_at_once_do_not_mix")
class HashWithoutItsName(MemoryStorage):
    async def receive_upload(self, path: str, stream: Any, content_type: str) -> FileMetadata:
        stored = await super().receive_upload(path, stream, content_type)
        stored.content_hash = (stored.content_hash or "").removeprefix("sha256:")
        return stored


@fails("upload_round_trip")
class CountsChunksForSize(MemoryStorage):
    async def receive_upload(self, path: str, stream: Any, content_type: str) -> FileMetadata:
        chunks = [chunk async for chunk in stream]

        async def again() -> AsyncIterator[bytes]:
            for chunk in chunks:
                yield chunk

        stored = await super().receive_upload(path, again(), content_type)
        stored.size = len(chunks)
        return stored


@fails("open_local_gives_the_bytes")
class GivesAnotherFile(MemoryStorage):
    async def open_local(self, path: str) -> int | None:
        return os.open(os.devnull, os.O_RDONLY)


@fails("cached_locals_give_the_bytes")
class GivesAnotherFileAtOnce(MemoryStorage):
    def cached_locals(self, paths: Sequence[str]) -> list[int | None]:
        return [None, os.open(os.devnull, os.O_RDONLY)]


@fails("upload_round_trip")
class StopsAtAnEmptyChunk(MemoryStorage):
    async def receive_upload(self, path: str, stream: Any, content_type: str) -> FileMetadata:
        async def until_empty() -> AsyncIterator[bytes]:
            async for chunk in stream:
                if not chunk:
                    return
                yield chunk

        return await super().receive_upload(path, until_empty(), content_type)


class _WritesInPlace(MemoryStorage):
    """Each chunk is visible at once; ``failed`` says what becomes of an error."""

    async def receive_upload(self, path: str, stream: Any, content_type: str) -> FileMetadata:
        self.objects[path] = b""
        try:
            async for chunk in stream:
                self.objects[path] += chunk
        except BaseException as error:
            self.failed(path, error)
        return await self.get_file_metadata(path) or FileMetadata(path, path)

    def failed(self, path: str, error: BaseException) -> None:
        raise error


@fails("stream_that_raises_leaves_nothing", "cancelled_upload_leaves_nothing")
class KeepsPartialObjects(_WritesInPlace):
    pass


@fails("cancelled_upload_leaves_nothing")
class ForgetsCancellation(_WritesInPlace):
    def failed(self, path: str, error: BaseException) -> None:
        if isinstance(error, Exception):
            del self.objects[path]
        raise error


@fails("stream_that_raises_leaves_nothing")
class SwallowsTheStreamsError(_WritesInPlace):
    def failed(self, path: str, error: BaseException) -> None:
        del self.objects[path]
        if not isinstance(error, Exception):
            raise error


@fails("stream_that_raises_leaves_nothing")
class WrapsTheStreamsError(_WritesInPlace):
    def failed(self, path: str, error: BaseException) -> None:
        del self.objects[path]
        if isinstance(error, Exception):
            raise Invalid("The upload failed") from error
        raise error


@fails("cancelled_upload_leaves_nothing")
class SwallowsCancellation(_WritesInPlace):
    def failed(self, path: str, error: BaseException) -> None:
        del self.objects[path]
        if isinstance(error, Exception):
            raise error


@fails("uploads_at_once_do_not_mix")
class SharesABuffer(MemoryStorage):
    def __init__(self) -> None:
        super().__init__()
        self.buffer: list[bytes] = []

    async def receive_upload(self, path: str, stream: Any, content_type: str) -> FileMetadata:
        self.buffer.clear()
        async for chunk in stream:
            self.buffer.append(chunk)

        async def buffered() -> AsyncIterator[bytes]:
            yield b"".join(self.buffer)

        return await super().receive_upload(path, buffered(), content_type)


@fails("upload_to_unusual_paths", "list_everything")
class FlattensPaths(MemoryStorage):
    async def receive_upload(self, path: str, stream: Any, content_type: str) -> FileMetadata:
        ascii_path = path.encode("ascii", "replace").decode()
        return await super().receive_upload(ascii_path, stream, content_type)


@fails("leaves_no_task_running")
class WritesAfterItReturns(MemoryStorage):
    async def receive_upload(self, path: str, stream: Any, content_type: str) -> FileMetadata:
        stored = await super().receive_upload(path, stream, content_type)
        self.flush = asyncio.create_task(asyncio.sleep(60))
        return stored


# Deletion


@fails("delete_may_be_repeated", "delete_files_takes_any_iterable")
class DeleteRaisesWhenRepeated(MemoryStorage):
    async def delete_file(self, path: str) -> None:
        del self.objects[path]


@fails("deleted_file_is_absent", "delete_files_takes_any_iterable")
class DeleteDoesNothing(MemoryStorage):
    async def delete_file(self, path: str) -> None:
        return


@fails("deleted_file_is_absent")
class DeletesByPrefix(MemoryStorage):
    async def delete_file(self, path: str) -> None:
        for found in [found for found in self.objects if found.startswith(path)]:
            del self.objects[found]


@fails("delete_files_takes_any_iterable")
class DeleteFilesNeedsALength(MemoryStorage):
    async def delete_files(self, paths: Iterable[str]) -> None:
        for index in range(len(paths)):  # type: ignore[arg-type]
            await self.delete_file(paths[index])  # type: ignore[index]


# Reading


@fails("reading_a_missing_path_raises", "deleted_file_is_absent", "new_storage_is_empty")
class MissingIsEmpty(MemoryStorage):
    async def read_file(self, path: str) -> bytes:
        return self.objects.get(path, b"")


@fails("reading_a_missing_path_raises")
class MissingIsAKeyError(MemoryStorage):
    async def read_bytes(self, path: str, num_bytes: int = 2048) -> bytes:
        return self.objects[path][:num_bytes]


@fails("streaming_a_missing_path_raises")
class MissingStreamsNothing(MemoryStorage):
    async def stream_range(self, path: str, start: int, end: int) -> AsyncIterator[bytes]:
        if path in self.objects:
            async for chunk in super().stream_range(path, start, end):
                yield chunk


@fails("metadata_of_a_missing_path_is_none", "new_storage_is_empty")
class MetadataOfAnything(MemoryStorage):
    async def get_file_metadata(self, path: str) -> FileMetadata | None:
        return await super().get_file_metadata(path) or FileMetadata(path, path)


@fails("metadata")
class MetadataWithAWrongSize(MemoryStorage):
    async def get_file_metadata(self, path: str) -> FileMetadata | None:
        metadata = await super().get_file_metadata(path)
        if metadata is not None:
            metadata.size = 0
        return metadata


@fails("read_bytes_gives_the_head")
class HeadOffByOne(MemoryStorage):
    async def read_bytes(self, path: str, num_bytes: int = 2048) -> bytes:
        return self.content(path)[: num_bytes - 1 if num_bytes != 2048 else num_bytes]


@fails("read_bytes_gives_2048_when_not_told")
class HeadOfAnotherLength(MemoryStorage):
    async def read_bytes(self, path: str, num_bytes: int = 1024) -> bytes:
        return self.content(path)[:num_bytes]


@fails("read_file_limited")
class LimitCutsOff(MemoryStorage):
    async def read_file_limited(self, path: str, max_bytes: int) -> bytes:
        return self.content(path)[:max_bytes]


@fails("stream_range_is_half_open")
class RangeIncludesItsEnd(MemoryStorage):
    async def stream_range(self, path: str, start: int, end: int) -> AsyncIterator[bytes]:
        async for chunk in super().stream_range(path, start, end + 1):
            yield chunk


@fails("stream_range_is_half_open")
class RangeBeyondTheEndRaises(MemoryStorage):
    async def stream_range(self, path: str, start: int, end: int) -> AsyncIterator[bytes]:
        if end > len(self.content(path)):
            raise Invalid("The range is not within the file")
        async for chunk in super().stream_range(path, start, end):
            yield chunk


@fails("a_stream_may_be_left_early")
class LocksWhileItStreams(MemoryStorage):
    """A stream holds its object until it is read to the end."""

    def __init__(self) -> None:
        super().__init__()
        self.held: set[str] = set()

    def content(self, path: str) -> bytes:
        if path in self.held:
            raise Invalid("The file is in use")
        return super().content(path)

    async def stream_file(self, path: str) -> AsyncIterator[bytes]:
        content = self.content(path)
        self.held.add(path)
        yield content[:65536]
        yield content[65536:]
        self.held.discard(path)


@fails("stream_range_of_an_empty_object")
class EmptyObjectHasNoRange(MemoryStorage):
    async def stream_range(self, path: str, start: int, end: int) -> AsyncIterator[bytes]:
        if not self.content(path):
            raise Invalid("The range is not within the file")
        async for chunk in super().stream_range(path, start, end):
            yield chunk


@fails("stream_file")
class StreamsTheFirstChunkOnly(MemoryStorage):
    async def stream_file(self, path: str) -> AsyncIterator[bytes]:
        yield self.content(path)[:65536]


# Listing


@fails("list_of_nothing")
class CursorToNowhere(MemoryStorage):
    async def list_files(
        self, prefix: str = "", cursor: str | None = None, limit: int = 100
    ) -> tuple[list[FileMetadata], str | None]:
        page, following = await super().list_files(prefix, cursor, limit)
        return page, following if page else "the end"


class _Pages(MemoryStorage):
    """Pages by offset, which objects that come and go disturb."""

    step = 0

    async def list_files(
        self, prefix: str = "", cursor: str | None = None, limit: int = 100
    ) -> tuple[list[FileMetadata], str | None]:
        paths = sorted(path for path in self.objects if path.startswith(prefix))
        start = int(cursor or 0)
        page = [FileMetadata(path, path) for path in paths[start : start + limit]]
        after = start + limit
        return page, str(max(after + self.step, start + 1)) if after < len(paths) else None


@fails(
    "objects_added_during_a_walk_disturb_no_other",
    "objects_removed_during_a_walk_disturb_no_other",
)
class PagesByOffset(_Pages):
    pass


@fails("pages_hold_each_object_once", "pages_of_a_prefix")
class ListSkips(_Pages):
    step = 1


@fails("pages_hold_each_object_once")
class ListRepeats(_Pages):
    step = -1


@fails("pages_hold_each_object_once")
class ListWithoutEnd(MemoryStorage):
    async def list_files(
        self, prefix: str = "", cursor: str | None = None, limit: int = 100
    ) -> tuple[list[FileMetadata], str | None]:
        page, _ = await super().list_files(prefix, None, limit)
        return page, page[-1].path if page else None


@fails("pages_hold_each_object_once")
class ListIgnoresTheLimit(MemoryStorage):
    async def list_files(
        self, prefix: str = "", cursor: str | None = None, limit: int = 100
    ) -> tuple[list[FileMetadata], str | None]:
        return await super().list_files(prefix, cursor, 100)


@fails("list_by_prefix")
class PrefixIsADirectory(MemoryStorage):
    async def list_files(
        self, prefix: str = "", cursor: str | None = None, limit: int = 100
    ) -> tuple[list[FileMetadata], str | None]:
        directory = prefix if prefix.endswith("/") or not prefix else prefix + "/"
        return await super().list_files(directory, cursor, limit)


# Declarations, signed URLs, direct uploads


@fails("declares_itself")
class RedirectsAndProxies(MemoryStorage):
    capabilities = StorageCapabilities(
        can_upload=True,
        can_delete=True,
        can_list=True,
        requires_proxy_download=True,
        can_generate_signed_urls=True,
    )


@fails("signed_download_url_carries_type_and_disposition")
class SignsWithoutDisposition(SignedStorage):
    async def signed_download_url(
        self, path: str, *, filename: str, content_type: str, disposition: str, expires_in: int
    ) -> str:
        return await self.download_url(path, expires_in)


@fails("download_url_serves_the_object")
class SignsAnotherPath(SignedStorage):
    async def download_url(self, path: str, expires_in: int = 300) -> str:
        return await super().download_url(path + "x", expires_in)


@fails(
    "finishing_a_direct_upload_without_bytes_raises",
    "direct_upload_of_other_bytes_is_refused",
)
class FinishesWithoutALook(DirectStorage):
    async def finish_upload(self, path: str, instructions_state: dict[str, Any]) -> FileMetadata:
        incoming = self.incoming.pop(path, None)
        self.objects[path] = (incoming and incoming.content) or b""
        return FileMetadata(path, path, size=len(self.objects[path]))


@fails("deleting_an_unfinished_direct_upload_leaves_nothing")
class DeleteForgetsIncoming(DirectStorage):
    async def delete_file(self, path: str) -> None:
        await MemoryStorage.delete_file(self, path.removeprefix("incoming/"))
        self.objects.pop(path, None)


@fails("direct_upload_of_undeclared_size")
class NeedsADeclaredSize(DirectStorage):
    async def finish_upload(self, path: str, instructions_state: dict[str, Any]) -> FileMetadata:
        if self.incoming[path].declared_size is None:
            raise Invalid("The size has to be declared")
        return await super().finish_upload(path, instructions_state)


@fails("direct_upload_round_trip")
class StateIsNotJson(DirectStorage):
    async def prepare_upload(self, path: str, *args: Any, **kwargs: Any) -> UploadInstructions:
        instructions = await super().prepare_upload(path, *args, **kwargs)
        assert instructions is not None
        instructions.state["later"] = object()
        return instructions


# Uploads that go on


@fails("appended_upload_round_trip", "appending_to_what_is_gone_raises")
class AppendsInSight(AppendStorage):
    async def append_upload(self, path: str, *args: Any) -> dict[str, Any]:
        state = await super().append_upload(path, *args)
        self.objects[path] = self.appended[path]
        return state


@fails("append_drops_what_the_core_did_not_record")
class AppendKeepsTheEnd(AppendStorage):
    async def append_upload(self, path: str, offset: int, *args: Any) -> dict[str, Any]:
        before = self.appended.get(path, b"")
        state = await super().append_upload(path, offset, *args)
        self.appended[path] += before[len(self.appended[path]) :]
        return state


@fails(
    "append_drops_what_the_core_did_not_record",
    "append_drops_whole_parts_that_the_core_did_not_record",
)
class AppendsAtTheEnd(AppendStorage):
    async def append_upload(self, path: str, offset: int, *args: Any) -> dict[str, Any]:
        if len(self.appended.get(path, b"")) < offset:
            raise FileNotFoundError(path)
        return await super().append_upload(path, len(self.appended.get(path, b"")), *args)


@fails(
    "append_whose_stream_raises_keeps_what_was_before",
    "append_that_is_refused_at_its_first_chunk_changes_nothing",
)
class AppendChangesTheError(AppendStorage):
    async def append_upload(self, path: str, offset: int, stream: Any, state: Any) -> Any:
        async def translated() -> AsyncIterator[bytes]:
            try:
                async for chunk in stream:
                    yield chunk
            except Exception as error:
                raise OSError("The stream broke") from error

        return await super().append_upload(path, offset, translated(), state)


@fails("append_that_is_refused_at_its_first_chunk_changes_nothing")
class AppendCutsFirst(AppendStorage):
    async def append_upload(self, path: str, offset: int, *args: Any) -> dict[str, Any]:
        if path in self.appended and path not in self.locked:
            self.appended[path] = self.appended[path][:offset]
        return await super().append_upload(path, offset, *args)


@fails("appends_at_once_do_not_mix")
class AppendLocksNothing(AppendStorage):
    async def append_upload(self, path: str, *args: Any) -> dict[str, Any]:
        self.locked.clear()
        return await super().append_upload(path, *args)


@fails("appended_upload_round_trip")
class FinishesAppendsOnce(AppendStorage):
    async def finish_upload(self, path: str, instructions_state: dict[str, Any]) -> FileMetadata:
        if path not in self.appended:
            raise FileNotFoundError(path)
        return await super().finish_upload(path, instructions_state)


@fails("appending_to_what_is_gone_raises")
class DiscardForgetsAppended(AppendStorage):
    async def discard_upload(self, path: str, instructions_state: dict[str, Any]) -> None:
        return


@fails("discarding_an_appended_upload_leaves_what_is_at_the_path")
class DiscardDeletesTheFile(AppendStorage):
    async def discard_upload(self, path: str, instructions_state: dict[str, Any]) -> None:
        await self.delete_file(path)


# Parts


@fails("direct_upload_without_a_part_is_refused")
class JoinsWhatIsThere(PartsStorage):
    async def finish_upload(self, path: str, instructions_state: dict[str, Any]) -> FileMetadata:
        return await super().finish_upload(path, {**instructions_state, "count": 1})


@fails("discarded_direct_parts_are_gone")
class KeepsDiscardedParts(PartsStorage):
    async def discard_upload(self, path: str, instructions_state: dict[str, Any]) -> None:
        return


@fails("direct_parts_round_trip")
class ListsPartsAsTheyCome(PartsStorage):
    async def list_parts(self, path: str, parts_state: dict[str, Any]) -> list[SentPart]:
        listed = await super().list_parts(path, parts_state)
        return [part for number in self.parts[path] for part in listed if part.number == number]


#: Every check that the suite has.
CHECKS = {name for name in dir(StorageContract) if name.startswith("test_")}


def suite_for(storage_type: type[MemoryStorage]) -> type[StorageContract]:
    """The exported suite on one of these storages: for a broken one, the checks that must fail."""

    class Suite(StorageContract):
        async def make_storage(self, tmp_path: Any) -> MemoryStorage:
            return storage_type()

        async def fetch(self, storage: Any, url: str) -> tuple[dict[str, str], bytes]:
            return storage.serve(url)

        async def send(self, storage: Any, instructions: Any, content: bytes) -> None:
            storage.put(instructions.url, content)

        async def send_part(self, storage: Any, signed: Any, content: bytes) -> None:
            storage.put_part(signed, content)

    for check in CHECKS - FAULTS.get(storage_type, CHECKS):
        setattr(Suite, check, None)  # not collected
    Suite.__name__ = Suite.__qualname__ = f"Test{storage_type.__name__}"
    return Suite


# The sound ones too: what fails on them is a fault of the suite.
globals().update(
    {
        f"Test{cls.__name__}": suite_for(cls)
        for cls in (
            *(*FAULTS, MemoryStorage, SignedStorage, DirectStorage, PartsStorage),
            AppendStorage,
        )
    }
)
