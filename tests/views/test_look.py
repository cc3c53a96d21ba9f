"""How a reader looks at lists: view, files of a page and columns, by the query and the cookie."""

from __future__ import annotations

import re
from typing import Any

from datasette.app import Datasette

from tests.conftest import upload

SOURCE = "/-/files/source/docs"
COOKIE = "datasette_files_look"
DEFAULT = ["Type", "Size", "Uploader", "Added"]


async def _get(datasette: Datasette, url: str, look: str | None = None) -> Any:
    cookies = {} if look is None else {COOKIE: look}
    return await datasette.client.get(url, headers={"Accept": "text/html"}, cookies=cookies)


def _headings(page: str) -> list[str]:
    """The headings of the list beside picture and name."""
    head = page.partition("<thead")[2].partition("</thead>")[0]
    cells = re.findall(r"<th [^>]*>(.*?)</th>", head, re.S)
    texts = [re.sub(r"<span.*?</span>|<[^>]*>", "", cell).strip() for cell in cells]
    return [text for text in texts if text not in ("", "Name")]


async def test_columns_are_chosen_shown_in_one_order_and_kept(datasette: Datasette) -> None:
    file = await upload(datasette, filename="a.txt")
    await datasette.client.post(
        f"{file['url']}/-/update", json={"update": {"folder": "b/c", "tags": list("wxyz")}}
    )
    assert _headings((await _get(datasette, SOURCE)).text) == DEFAULT
    chosen = await _get(datasette, f"{SOURCE}?q=a&_col=name&_col=tags&_col=folder&_col=id")
    assert _headings(chosen.text) == ["Folder", "Tags", "Id"]
    assert f"<code>{file['id']}</code>" in chosen.text
    assert f'href="{SOURCE}?folder=b/c"' in chosen.text
    assert re.findall(r'files-tag files-hue-[0-7]" title="(.)"', chosen.text) == ["w", "x", "y"]
    assert 'title="z">+1' in chosen.text
    # The form keeps what the list is narrowed to; without a size and a time their order is offered.
    assert '<input type="hidden" name="q" value="a">' in chosen.text
    assert "files-order-shown" in chosen.text
    assert f'href="{SOURCE}?q=a&amp;_sort=filename"' in chosen.text
    kept = chosen.cookies[COOKIE]
    assert kept == "list-100-folder.tags.id"
    again = await _get(datasette, SOURCE, kept)
    assert _headings(again.text) == ["Folder", "Tags", "Id"]
    # The other parts of the look leave the columns alone, and no mark at all is a choice.
    grid = await _get(datasette, f"{SOURCE}?view=grid&_size=50", kept)
    assert grid.cookies[COOKIE] == "grid-50-folder.tags.id"
    none = await _get(datasette, f"{SOURCE}?_col=name", kept)
    assert _headings(none.text) == []
    assert none.cookies[COOKIE] == "list-100-"
    assert _headings((await _get(datasette, SOURCE, "list-100-")).text) == []


async def test_a_look_is_checked_and_the_source_is_a_column_of_searches(
    datasette: Datasette,
) -> None:
    await upload(datasette, filename="a.txt")
    look = "list-50-size.source"
    found = await _get(datasette, "/-/files/search?q=a", look)
    assert _headings(found.text) == ["Size", "Source"]
    narrowed = await _get(datasette, SOURCE, look)
    assert _headings(narrowed.text) == ["Size"]
    assert '<input type="hidden" name="_col" value="source">' in narrowed.text
    assert 'value="source" checked' not in narrowed.text
    refused = await _get(datasette, f"{SOURCE}?_col=secret")
    assert refused.status_code == 400
    assert "not secret" in refused.text
    # A cookie that is not ours breaks no page.
    for strange in ("list-7", "list-100-<b>", "grid"):
        assert _headings((await _get(datasette, SOURCE, strange)).text) == DEFAULT
    partly = await _get(datasette, SOURCE, "list-100-type.secret.size")
    assert _headings(partly.text) == ["Type", "Size"]
