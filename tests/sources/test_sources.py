"""The life of a source: which ones start; a directory that is away is awaited, not made anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasette.utils import StartupError

from datasette_files.app import Files
from datasette_files.base import Storage, StorageCapabilities
from datasette_files.sources import sources as sources_module
from tests.conftest import MakeDatasette, disk_source, upload
from tests.support.storages import installed
from tests.test_config import start


class HalfStorage(Storage):
    """A plugin that is not finished."""

    storage_type = "half"
    capabilities = StorageCapabilities()


class HalfLegacyStorage(Storage):
    """The same, with its name as a property."""

    @property
    def storage_type(self) -> str:
        return "half"


@pytest.mark.parametrize(
    ("storage", "begins"),
    [
        (HalfStorage, "plugins.datasette-files.sources.docs.config: "),
        (HalfLegacyStorage, "plugins.datasette-files: "),
    ],
)
async def test_storage_without_its_methods_stops_the_start(
    tmp_path: Path, storage: type[Storage], begins: str
) -> None:
    with installed(storage), pytest.raises(StartupError) as stopped:
        await start({"sources": {"docs": {"storage": "half"}}}, tmp_path)
    message = str(stopped.value)
    assert message.startswith(begins)
    assert storage.__name__ in message
    assert "configure" in message
    assert "read_file" in message
    assert len(message.splitlines()) == 1


async def test_name_that_yaml_reads_as_a_number_is_a_name(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    allowed = {2024: {"allow": True}, "docs": {"allow": False}}
    datasette = await make_datasette(
        {2024: disk_source(tmp_path / "2024"), "docs": disk_source(tmp_path / "docs")},
        permissions={"files-browse": allowed, "files-upload": allowed},
    )
    record = await upload(datasette, source="2024")
    assert (await datasette.client.get(record["download_url"])).content == b"hello"
    listed = (await datasette.client.get("/-/files/sources.json")).json()["sources"]
    assert [source["slug"] for source in listed] == ["2024"]


async def test_longest_segment_of_a_template_is_one_that_a_disk_takes(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    template = "x" * 29 + "{ulid}{filename}"
    datasette = await make_datasette(
        {"docs": disk_source(tmp_path / "docs", path_template=template)}
    )
    await upload(datasette, filename="n" * 500)
    (stored,) = [path for path in (tmp_path / "docs").iterdir() if path.is_file()]
    assert len(stored.name) == 255


async def test_template_that_an_actor_turns_to_the_reserved_directory_is_refused(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    root = tmp_path / "docs"
    datasette = await make_datasette({"docs": disk_source(root, path_template=".{actor}/{ulid}")})
    for actor, status in [("datasette-files", 400), ("alice", 201)]:
        answer = await datasette.client.put(
            "/-/files/upload/docs/a.txt", content=b"hello", actor={"id": actor}
        )
        assert answer.status_code == status
    assert list((root / ".datasette-files").iterdir()) == []
    assert len(list((root / ".alice").iterdir())) == 1


@pytest.mark.parametrize(
    "later",
    [
        {"label": "Another name"},
        {"max_file_size": 10},
        {"config": {"max_file_size": 10}},
        {"path_template": "{year}/{ulid}", "allowed_content_types": ["text/*"]},
    ],
    ids=repr,
)
async def test_directory_that_is_away_is_awaited_whatever_else_has_changed(
    make_datasette: MakeDatasette,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    later: dict[str, Any],
) -> None:
    monkeypatch.setattr(sources_module, "RETRY_SECONDS", (0.01, 0.01))
    root, away = tmp_path / "docs", tmp_path / "away"
    datasette = await make_datasette()
    kept = await upload(datasette)
    await datasette.invoke_shutdown()
    root.rename(away)

    changed = {**disk_source(root), **later}
    changed["config"] = {"root": str(root), **later.get("config", {})}
    datasette = await make_datasette({"docs": changed})
    answer = await datasette.client.get(kept["download_url"])
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
    answer = await datasette.client.put("/-/files/upload/docs/a.txt", content=b"new")
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
    assert not root.exists()

    away.rename(root)
    files = Files.of(datasette)
    await files.sources.keep_up(files.sources.get("docs"), files.secrets.get)
    assert (await datasette.client.get(kept["download_url"])).content == b"hello"
    await upload(datasette, filename="new.txt")


async def test_another_directory_is_made_for_a_source_that_moves(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    datasette = await make_datasette()
    await upload(datasette)
    await datasette.invoke_shutdown()
    datasette = await make_datasette({"docs": disk_source(tmp_path / "elsewhere")})
    await upload(datasette)
    assert (tmp_path / "elsewhere").is_dir()
