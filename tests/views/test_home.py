"""The section on Datasette's home page."""

from __future__ import annotations

from pathlib import Path

from datasette.app import Datasette

from tests.conftest import MakeDatasette, disk_source, upload
from tests.support.fixtures import fixture
from tests.support.sharing import ALICE


async def _home(datasette: Datasette, actor: dict[str, str] | None = None) -> str:
    answer = await datasette.client.get("/", actor=actor)
    assert answer.status_code == 200
    return answer.text


async def test_the_home_page_shows_what_the_person_may_browse(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    sources = {
        "docs": disk_source(tmp_path / "docs", label="Papers & plans"),
        "own": disk_source(tmp_path / "own", label="Alice's own"),
    }
    permissions = {
        "files-browse": {"docs": {"allow": True}, "own": {"allow": ALICE}},
        "files-upload": True,
    }
    datasette = await make_datasette(sources=sources, permissions=permissions)
    await upload(datasette, b"words", "a.txt", content_type="text/plain")
    picture = fixture("photos/still.webp").path.read_bytes()
    shown = await upload(datasette, picture, "dawn.webp", content_type="image/webp")
    hidden = await upload(
        datasette, picture, "own.webp", source="own", content_type="image/webp", actor=ALICE
    )
    seen = await _home(datasette)
    assert '<a href="/-/files/source/docs">Papers &amp; plans</a> (2)' in seen
    assert f'src="{shown["url"]}/thumbnail" alt="dawn.webp"' in seen
    assert hidden["id"] not in seen
    assert "Alice" not in seen
    hers = await _home(datasette, ALICE)
    assert hidden["id"] in hers
    assert "/-/files/source/own" in hers


async def test_the_home_page_is_silent_by_setting_and_for_who_may_browse_nothing(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    sources = {"docs": disk_source(tmp_path / "docs")}
    silent = await make_datasette(sources=sources, homepage=False)
    assert "files-home" not in await _home(silent)
    closed = await make_datasette(sources=sources, permissions={"files-browse": ALICE})
    assert "files-home" not in await _home(closed)
    assert "files-home" in await _home(closed, ALICE)
