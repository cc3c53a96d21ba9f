"""Where there is nothing to show, a page says what happened and leads on who has the right."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

from datasette_files.app import Files
from tests.conftest import MakeDatasette, disk_source, upload
from tests.views.test_pages import main_of, text_of

DOCS = "/-/files/source/docs"
ADMIN, ALICE, CAROL = {"id": "admin"}, {"id": "alice"}, {"id": "carol"}


def buttons(page: str) -> dict[str, str]:
    """The addresses of the buttons in the place of a list, or beside a warning, by their words."""
    found = re.findall(r'<a class="files-button[^"]*" href="([^"]*)">([^<]*)</a>', main_of(page))
    return {text: unescape(url) for url, text in found}


async def test_every_page_without_files_says_why_and_leads_on(
    make_datasette: MakeDatasette, tmp_path: Any
) -> None:
    datasette = await make_datasette(
        {"docs": disk_source(tmp_path / "docs"), "pictures": disk_source(tmp_path / "pictures")},
        {
            "files-browse": {"id": ["alice", "admin"]},
            "files-upload": {"id": ["alice", "carol"]},
            "files-edit": ALICE,
            "debug-storages": ADMIN,
        },
    )
    # Empty: who may upload has the form.
    assert "Upload the first ones above" in await text_of(datasette, DOCS, actor=ALICE)
    assert "Whoever may upload" in await text_of(datasette, DOCS, actor=ADMIN)

    file = await upload(datasette, b"x", "holiday.txt", actor=ALICE)
    change = {"update": {"folder": "a/b"}}
    await datasette.client.post(f"{file['url']}/-/update", json=change, actor=ALICE)

    # Without a hit, in one source and in all; each button leads to the file.
    missed = await text_of(datasette, f"{DOCS}?q=lidai&content_type=text", actor=ALICE)
    assert "No name contains these letters either" in missed
    assert set(buttons(missed)) >= {"Search without filters", "Search all sources"}
    for path, words in [
        ("/-/files/search?q=holi&source=pictures", "Search all sources"),
        ("/-/files/search?q=holi&content_type=audio", "without filters"),
        (f"{DOCS}?q=holi&content_type=audio", "Search without filters"),
        (f"{DOCS}?content_type=audio", "Show all files"),
        (f"{DOCS}?folder=a", "Show the files of the folders in it"),
        (f"{DOCS}?folder=gone", "Show all files"),
    ]:
        page = await text_of(datasette, path, actor=ALICE)
        assert "files-empty" in page, path
        assert "holiday.txt" in await text_of(datasette, buttons(page)[words], actor=ALICE), path

    # Closed: who may upload is led there, the others are told whom to ask.
    headers = {"Accept": "text/html"}
    closed = await datasette.client.get(DOCS, headers=headers, actor=CAROL)
    assert closed.status_code == 403
    assert "(files-browse)" in closed.text
    assert "<form" in await text_of(datasette, buttons(closed.text)["Upload files"], actor=CAROL)
    assert "holiday" not in closed.text
    nobody = await datasette.client.get(DOCS, headers=headers)
    assert nobody.status_code == 403
    assert "sign in, or ask its administrator" in nobody.text
    assert "/-/files/upload/" not in nobody.text
    program = await datasette.client.get(f"{DOCS}.json", actor=CAROL)
    assert program.json()["code"] == "permission_denied"

    # Down: its files are listed, and the administrator is led to the reason.
    await Files.of(datasette).sources.get("docs").close()
    for actor, offers in [(ALICE, False), (ADMIN, True)]:
        down = await text_of(datasette, f"{DOCS}?folder=a/b", actor=actor)
        assert "Datasette keeps trying to reach it" in down
        assert "holiday.txt" in down
        assert buttons(down)["Try again"] == f"{DOCS}?folder=a/b"
        assert ("See what is wrong" in buttons(down)) is offers
    reason = buttons(down)["See what is wrong"]
    assert "Down:" in await text_of(datasette, reason, actor=ADMIN)
    await Files.of(datasette).sources.get("pictures").close()
    empty = await text_of(datasette, "/-/files/source/pictures", actor=ALICE)
    assert "once the storage is available again" in empty
