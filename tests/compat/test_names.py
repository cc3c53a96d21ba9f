"""Names of 0.1a3 that stored tokens and other plugins use."""

from __future__ import annotations

import importlib
import time
from typing import Any

import pytest

from datasette_files.base import UploadInstructions
from datasette_files.permissions.actions import ACTIONS
from tests.conftest import MakeDatasette
from tests.support.storages import MemoryStorage, installed


def test_actions_keep_their_abbreviations() -> None:
    assert {action.name: action.abbr for action in ACTIONS if action.abbr} == {
        "files-browse": "fb",
        "files-upload": "fu",
        "files-edit": "fe",
        "files-delete": "fd",
    }


async def test_a_token_that_names_an_abbreviation_is_restricted_to_it(
    make_datasette: MakeDatasette,
) -> None:
    datasette = await make_datasette(permissions={"files-browse": True, "files-upload": True})
    token = datasette.sign({"a": "alice", "t": int(time.time()), "_r": {"a": ["fb"]}}, "token")
    signed_in = {"Authorization": f"Bearer dstok_{token}"}
    listed = await datasette.client.get("/-/files/source/docs.json", headers=signed_in)
    assert listed.status_code == 200
    refused = await datasette.client.put(
        "/-/files/upload/docs/a.txt", content=b"a", headers=signed_in
    )
    assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")


def test_upload_instructions_take_both_names_of_a_field() -> None:
    ours = UploadInstructions("https://b/", "PUT", {"a": "b"}, {"c": "d"})
    theirs = UploadInstructions(
        upload_url="https://b/",
        upload_method="PUT",
        upload_headers={"a": "b"},
        upload_fields={"c": "d"},
    )
    assert ours == theirs
    for name in ("url", "method", "headers", "fields"):
        assert getattr(ours, f"upload_{name}") == getattr(ours, name)
    assert "https" not in repr(ours)
    with pytest.raises(TypeError, match="url"):
        UploadInstructions()


class Older(MemoryStorage):
    """Its ``prepare_upload`` has the parameters of 0.1a3."""

    storage_type = "older"

    async def prepare_upload(  # type: ignore[override]
        self, filename: str, content_type: str, size: int
    ) -> Any:
        raise AssertionError("it was asked")


async def test_a_prepare_upload_of_0_1a3_is_not_asked(
    make_datasette: MakeDatasette,
) -> None:
    with installed(Older):
        datasette = await make_datasette(sources={"docs": {"storage": "older"}})
        answer = await datasette.client.post(
            "/-/files/upload/docs/-/prepare", json={"filename": "a.txt", "size": 5}
        )
    assert answer.json()["upload_url"].endswith("/-/files/upload/docs/-/upload")


def test_the_s3_distribution_exports_its_storage() -> None:
    module = importlib.import_module("datasette_files_s3")
    assert module.S3Storage.__name__ == "S3Storage"
    with pytest.raises(AttributeError, match="Nonsense"):
        module.Nonsense  # noqa: B018
