"""A client written for 0.1a1 sends one multipart POST, and reads the answer documented then."""

from __future__ import annotations

import pytest

from tests.support.client import multipart
from tests.support.fixtures import fixture


async def _post(datasette, content, filename, content_type, **headers):
    kind, body = multipart({}, content, filename, content_type)
    return await datasette.client.post(
        "/-/files/upload/docs", content=body, headers={"Content-Type": kind, **headers}
    )


async def test_one_multipart_post_stores_a_file(datasette):
    content = fixture("photos/phone.jpg").path.read_bytes()
    response = await _post(datasette, content, "photo.jpg", "image/jpeg")
    assert response.status_code == 201
    answer = response.json()
    record = {key: answer[key] for key in ("filename", "content_type", "size", "url")}
    assert record == {
        "filename": "photo.jpg",
        "content_type": "image/jpeg",
        "size": len(content),
        "url": f"/-/files/{answer['file_id']}",
    }
    assert answer["file_id"].startswith("df-")
    download = await datasette.client.get(f"{answer['url']}/download")
    assert download.content == content


@pytest.mark.parametrize("csrf", [{}, {"Cookie": "ds_csrftoken=x"}])
async def test_no_csrf_token_is_asked_of_it(datasette, csrf):
    response = await _post(datasette, b"x", "x.txt", "text/plain", **csrf)
    assert response.status_code == 201, response.text


async def test_a_browser_form_is_sent_to_the_file(datasette):
    response = await _post(datasette, b"x", "x.txt", "text/plain", Accept="text/html")
    assert response.status_code == 303
    page = await datasette.client.get(response.headers["location"])
    assert page.status_code == 200
    assert "x.txt" in page.text
