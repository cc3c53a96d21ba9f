"""The jump menu: our pages, the sources, and files by name, of what the actor may see alone."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from datasette import hookimpl
from datasette.app import Datasette
from datasette.permissions import PermissionSQL
from datasette.plugins import pm

from datasette_files.db import search
from datasette_files.permissions.actions import VIEW
from tests.conftest import MakeDatasette, disk_source, upload

ALICE, BOB, VIEWER = ({"id": name} for name in ("alice", "bob", "viewer"))


async def _jump(datasette: Datasette, q: str, actor: dict[str, Any] | None) -> list[dict[str, Any]]:
    answer = await datasette.client.get("/-/jump.json", params={"q": q}, actor=actor)
    assert answer.status_code == 200, answer.text
    matches: list[dict[str, Any]] = answer.json()["matches"]
    return [one for one in matches if "/-/files" in one["url"]]


async def _names(datasette: Datasette, q: str, actor: dict[str, Any] | None) -> list[str]:
    return [one["name"] for one in await _jump(datasette, q, actor) if one["type"] == "file"]


async def test_the_jump_menu_finds_sources_and_files_that_the_actor_may_see(
    make_datasette: MakeDatasette, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasette = await make_datasette(
        sources={
            "docs": disk_source(tmp_path / "docs", label="Office papers"),
            "cellar": disk_source(tmp_path / "cellar"),
        },
        permissions={
            "files-browse": {"docs": {"allow": ALICE}, "cellar": {"allow": BOB}},
            "files-upload": True,
            "files-delete": True,
        },
        settings={"base_url": "/site/"},
    )
    report = await upload(datasette, filename="AnnualReport_2024.txt", content=b"one")
    await upload(datasette, filename="Résumé 100%.txt", content=b"two")
    hidden = await upload(datasette, filename="report-hidden.txt", source="cellar")
    await upload(datasette, filename="words.txt", content=b"annual", content_type="text/plain")

    # Sources by label and slug, and only those that the actor may browse.
    for q in ("office", "docs", ""):
        sources = [one for one in await _jump(datasette, q, ALICE) if one["type"] == "file source"]
        assert [(one["name"], one["url"]) for one in sources] == [
            ("Office papers", "/site/-/files/source/docs")
        ]
    assert "cellar" in str(await _jump(datasette, "cellar", BOB))
    for actor in (ALICE, VIEWER, None):
        assert "cellar" not in str(await _jump(datasette, "cellar", actor))

    # Files by parts of their names, in any spelling, each with the way to it.
    (found,) = (one for one in await _jump(datasette, "report", ALICE) if one["type"] == "file")
    assert (found["name"], found["url"], found["description"]) == (
        *("AnnualReport_2024.txt", f"/site/-/files/{report['id']}"),
        "docs",
    )
    assert await _names(datasette, "resume 100%", ALICE) == ["Résumé 100%.txt"]
    assert await _names(datasette, report["id"].upper(), ALICE) == ["AnnualReport_2024.txt"]
    assert await _names(datasette, "report", BOB) == ["report-hidden.txt"]
    for nothing in ("", "plain", "_", "x" * 600, "no such file", 'a"b', "report NOT x"):
        assert await _names(datasette, nothing, ALICE) == []
    assert await _names(datasette, "report", None) == []

    # A grant on the single file shows it, and nothing else of its source.
    def view_rule(actor: Any, action: str) -> PermissionSQL | None:
        if action != VIEW or actor != VIEWER:
            return None
        sql = "SELECT 'cellar' AS parent, :one AS child, 1 AS allow, 'test' AS reason"
        return PermissionSQL(sql=sql, params={"one": hidden["id"]})

    rule = type("P", (), {"permission_resources_sql": staticmethod(hookimpl(view_rule))})()
    name = pm.register(rule)
    try:
        assert await _names(datasette, "report", VIEWER) == ["report-hidden.txt"]
    finally:
        pm.unregister(name=name)

    # What is deleted is gone; many files are bounded, and the rest is a click away.
    await datasette.client.delete(f"/-/files/{report['id']}")
    assert await _names(datasette, "annual", ALICE) == []
    for number in range(21):
        await upload(datasette, str(number).encode(), f"scan {number}.txt")
    many = await _jump(datasette, "scan", ALICE)
    assert [one["name"] for one in many if one["type"] == "file"] == [
        f"scan {number}.txt" for number in sorted(range(1, 21), key=lambda n: (n > 9, str(n)))
    ]
    assert many[-1]["url"] == "/site/-/files/search?q=scan"

    def interrupted(*_args: Any) -> None:
        raise sqlite3.OperationalError("interrupted")

    monkeypatch.setattr(search, "page", interrupted)
    (slow,) = await _jump(datasette, "scan", ALICE)
    assert (slow["name"], slow["url"]) == ("All files with “scan”", "/site/-/files/search?q=scan")
