"""Checks of ``list_files``: prefixes, pages, and objects that come and go during a walk."""

from __future__ import annotations

from ..base import FileMetadata, Storage
from .helpers import Part, list_all, needs

_OBJECTS = (
    "list/a",
    "list/a-b/1",
    "list/ab/1",
    "list/ab/2",
    "list/ab/deep/er/1",
    "list/b",
    "list/B",
    "list/ü/日本",
    "other/a",
)


class ListChecks(Part):
    """Every object that exists throughout a walk is listed exactly once."""

    async def _place_all(self, storage: Storage, paths: tuple[str, ...] = _OBJECTS) -> None:
        needs(storage, "can_list")
        for path in paths:
            await self.place(storage, path, path.encode())

    async def test_list_of_nothing(self, storage: Storage) -> None:
        needs(storage, "can_list")
        files, cursor = await storage.list_files()
        assert list(files) == []
        assert cursor is None

    async def test_list_everything(self, storage: Storage) -> None:
        await self._place_all(storage)
        files = await list_all(storage)
        assert sorted(file.path for file in files) == sorted(_OBJECTS)
        for file in files:
            assert isinstance(file, FileMetadata)
            assert file.filename
            assert file.size in (None, len(file.path.encode()))

    async def test_list_by_prefix(self, storage: Storage) -> None:
        await self._place_all(storage)
        for prefix in ("list/", "list/a", "list/ab/", "list/ab/de", "list/ü", "other/a", "none"):
            listed = sorted(file.path for file in await list_all(storage, prefix))
            assert listed == sorted(path for path in _OBJECTS if path.startswith(prefix)), prefix

    async def test_pages_hold_each_object_once(self, storage: Storage) -> None:
        await self._place_all(storage)
        for limit in (1, 2, 3, len(_OBJECTS), len(_OBJECTS) + 1):
            listed = [file.path for file in await list_all(storage, limit=limit)]
            assert sorted(listed) == sorted(_OBJECTS), f"with a limit of {limit}"

    async def test_pages_of_a_prefix(self, storage: Storage) -> None:
        await self._place_all(storage)
        listed = [file.path for file in await list_all(storage, "list/a", limit=2)]
        assert sorted(listed) == sorted(path for path in _OBJECTS if path.startswith("list/a"))

    async def test_objects_added_during_a_walk_disturb_no_other(self, storage: Storage) -> None:
        await self._place_all(storage)
        listed: list[str] = []
        cursor: str | None = None
        for step in range(100):
            page, cursor = await storage.list_files("", cursor, 2)
            listed.extend(file.path for file in page)
            if cursor is None:
                break
            if step < 5:
                # Before, between and after the objects listed.
                for path in (f"aa{step}", f"list/ab/{step}5", f"zz{step}"):
                    await self.place(storage, path, b"new")
        assert cursor is None, "the walk has no end"
        assert len(listed) == len(set(listed)), "something is listed twice"
        assert set(_OBJECTS) <= set(listed)

    async def test_objects_removed_during_a_walk_disturb_no_other(self, storage: Storage) -> None:
        needs(storage, "can_delete")
        paths = tuple(f"walk/{n:02}" for n in range(20))
        await self._place_all(storage, paths)
        first, cursor = await storage.list_files("", None, 5)
        listed = [file.path for file in first]
        ahead = [path for path in paths if path not in listed]
        # The very object that the first page ended with, another seen one, and one not seen yet.
        removed = {listed[-1], listed[0], ahead[0]}
        for path in removed:
            await storage.delete_file(path)
        while cursor is not None:
            page, cursor = await storage.list_files("", cursor, 5)
            listed.extend(file.path for file in page)
            assert len(listed) <= len(paths), "something is listed twice"
        assert len(listed) == len(set(listed)), "something is listed twice"
        assert set(paths) - removed <= set(listed)
