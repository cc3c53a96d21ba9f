"""A site whose makers of links can lose their rights, and the first steps of its tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from datasette import hookimpl
from datasette.app import Datasette
from datasette.permissions import PermissionSQL
from datasette.plugins import pm

ALICE = {"id": "alice"}
MALLORY = {"id": "mallory"}
#: Alice may browse, upload and share; nobody else may do anything.
PERMISSIONS = {name: {"id": "alice"} for name in ("files-browse", "files-upload", "files-share")}


@dataclass(eq=False)
class Withdrawn:
    """A plugin that denies actions to everybody, from one moment to the next."""

    actions: set[str] = field(default_factory=set)

    @hookimpl
    def permission_resources_sql(self, datasette: Any, actor: Any, action: str) -> Any:
        if action not in self.actions:
            return None
        return PermissionSQL(
            sql="SELECT slug AS parent, NULL AS child, 0 AS allow, 'withdrawn' AS reason"
            " FROM datasette_files_sources"
        )


@contextmanager
def withdrawable() -> Iterator[Withdrawn]:
    plugin = Withdrawn()
    pm.register(plugin, name="withdrawn-for-a-test")
    try:
        yield plugin
    finally:
        pm.unregister(plugin)


async def share(
    datasette: Datasette, *ids: str, actor: dict[str, Any] | None = ALICE, **terms: Any
) -> dict[str, Any]:
    """Make a link; its JSON, with the path of its page as ``path``."""
    body = {"ids": list(ids), **terms}
    answer = await datasette.client.post("/-/files/-/share", json=body, actor=actor)
    return _made(answer, "share")


async def upload_link(
    datasette: Datasette, source: str = "docs", actor: dict[str, Any] | None = ALICE, **terms: Any
) -> dict[str, Any]:
    url = f"/-/files/source/{source}/-/upload-link"
    answer = await datasette.client.post(url, json=terms, actor=actor)
    return _made(answer, "upload_link")


def _made(answer: Any, name: str) -> dict[str, Any]:
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()[name]
    return {**made, "path": made["url"].removeprefix("http://localhost")}


async def send(
    datasette: Datasette, path: str, content: bytes = b"hello", name: str = "a.txt", **more: Any
) -> Any:
    """An upload by a link in three steps; the answer of the first that fails, else the last."""
    client = datasette.client
    declared = {"filename": name, "size": len(content), **more}
    answer = await client.post(f"{path}/-/prepare", json=declared)
    if answer.status_code != 200:
        return answer
    prepared = answer.json()
    answer = await client.post(
        prepared["upload_url"], data=prepared["upload_fields"], files={"file": (name, content)}
    )
    if answer.status_code != 200:
        return answer
    token = {"upload_token": prepared["upload_token"]}
    return await client.post(f"{path}/-/complete", json=token)
