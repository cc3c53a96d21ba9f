"""The S3 storage as a kind of the flow suite: bytes past Datasette, and through it.

Clients speak plain HTTP to the store, as browsers do: it knows nothing of our SDK.
"""

from __future__ import annotations

import urllib.request
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from datasette_files.testing.remote import multipart
from tests.support.flow.flow import Kind
from tests.support.moto_server import Store, new_prefix, shared_store


def source(_: Path, **options: Any) -> dict[str, Any]:
    """A source in a folder of its own."""
    return {"storage": "s3", "config": shared_store().config(new_prefix(), **options)}


def request(store: Store, *arguments: Any, **more: Any) -> Any:
    """One HTTP request to the store. Raises HTTPError for a 4xx or 5xx."""
    asked = urllib.request.Request(*arguments, **more)
    return urllib.request.urlopen(asked, timeout=30, context=store.tls())


def send(storage: Any, prepared: dict[str, Any], content: bytes) -> None:
    """Post the form that prepare answered with. Where the store refuses, completing will tell."""
    kind, body = multipart(prepared["upload_fields"], content)
    headers = {"Content-Type": kind}
    try:
        with request(
            shared_store(), prepared["upload_url"], data=body, headers=headers
        ) as response:
            assert response.status in (200, 201, 204)
    except HTTPError as refused:
        assert 400 <= refused.code < 500, refused
        refused.close()


def fetch(storage: Any, url: str) -> tuple[dict[str, str], bytes]:
    with request(shared_store(), url) as response:
        return {name.lower(): value for name, value in response.headers.items()}, response.read()


def paths(storage: Any) -> set[str]:
    """Every key of the source, what is on its way in too."""
    prefix = storage.connection.config.prefix
    return {key.removeprefix(prefix) for key in shared_store().keys(prefix)}


S3_DIRECT = Kind(
    source=source, send=send, bucket=lambda: shared_store().endpoint, fetch=fetch, paths=paths
)
S3_PROXY = Kind(
    source=lambda tmp_path: source(tmp_path, upload="proxy", download="proxy"), paths=paths
)
