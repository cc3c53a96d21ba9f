"""The whole route table, and the wrapper that turns a route's handlers into a Datasette view.

The wrapper is the one place that chooses a handler by method, turns errors into answers, and reads
what is left of a body. Tests and docs read ``ROUTES``.
"""

from __future__ import annotations

import inspect
import json
import logging
import re
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from datasette.utils.asgi import Request, Response

from ..app import Files
from ..db.audit import By, acting
from ..errors import FilesError, NotFound, NotSupported, StorageUnavailable
from ..naming import ID_PATTERN
from . import (
    audit,
    bulk,
    cors,
    files,
    imports,
    indexing,
    links,
    lists,
    live,
    manifest,
    masking,
    one_request,
    parts,
    settings,
    shares,
    sources,
    storages,
    tables,
    texts,
    trash,
    tus,
    uploads,
    usage,
    verify,
    version_rows,
    versions,
    zips,
)
from .body import Body
from .http import Call, empty, failure

logger = logging.getLogger("datasette_files")

Handler = Callable[[Call], Awaitable["Response | None"]]

_SOURCE = r"(?P<source>[A-Za-z0-9_][A-Za-z0-9_-]*)"
_FILE = f"(?P<file_id>{ID_PATTERN})"
_JOB = r"(?P<job>[0-9]+)"


@dataclass(frozen=True)
class Route:
    """A path, in the form of the docs, and a handler for each method. GET answers HEAD too."""

    path: str
    methods: Mapping[str, Handler]
    #: Whether it renders a page, so that its errors are pages.
    page: bool = False
    #: Whether it belongs to a link, for people without an account (views/links.py).
    link: bool = False

    @property
    def pattern(self) -> str:
        """The path as a regular expression, anchored by Datasette at its start."""
        pattern = self.path.replace(".", r"\.")
        parts = {"{source}": _SOURCE, "{file_id}": _FILE, "{job}": _JOB}
        parts["{upload}"] = r"(?P<upload>[A-Za-z0-9_]{1,100})"
        parts["{filename}"] = r"(?P<filename>[^/]+)"
        parts["{token}"] = r"(?P<token>[^/]+)"
        parts["{selection}"] = r"(?P<selection>[A-Za-z0-9_-]{1,100})"
        parts["{share_id}"] = r"(?P<share_id>[A-Za-z0-9-]{1,100})"
        for name, part in parts.items():
            pattern = pattern.replace(name, part)
        return f"{pattern}$"


ROUTES = (
    Route("/-/files", {"GET": sources.index}, page=True),
    Route("/-/files/sources.json", {"GET": sources.sources_json}),
    Route("/-/files/batch.json", {"GET": lists.batch}),
    Route("/-/files/search", {"GET": lists.search_page}, page=True),
    Route("/-/files/search.json", {"GET": lists.search_json}),
    Route("/-/files/source/{source}", {"GET": lists.source_page}, page=True),
    Route("/-/files/source/{source}.json", {"GET": lists.source_json}),
    Route("/-/files/source/{source}/-/upload-link", {"POST": shares.make_upload_link}),
    Route("/-/files/source/{source}/settings", {"GET": settings.settings_page}, page=True),
    Route("/-/files/source/{source}/settings.json", {"GET": settings.settings_json}),
    Route("/-/files/source/{source}/settings/-/update", {"POST": settings.update}),
    Route("/-/files/source/{source}/settings/-/reset", {"POST": settings.reset}),
    Route("/-/files/source/{source}/index", {"GET": indexing.index_page}, page=True),
    Route("/-/files/source/{source}/index.json", {"GET": indexing.index_json}),
    Route("/-/files/source/{source}/index/-/start", {"POST": indexing.start}),
    Route("/-/files/source/{source}/usage", {"GET": usage.usage_page}, page=True),
    Route("/-/files/source/{source}/usage.json", {"GET": usage.usage_json}),
    Route("/-/files/source/{source}/verify", {"GET": verify.verify_page}, page=True),
    Route("/-/files/source/{source}/verify.json", {"GET": verify.verify_json}),
    Route("/-/files/source/{source}/verify/-/start", {"POST": verify.start}),
    Route("/-/files/source/{source}/verify/{job}.json", {"GET": verify.job_json}),
    Route("/-/files/source/{source}/manifest.txt", {"GET": manifest.manifest_txt}),
    Route("/-/files/source/{source}/manifest.json", {"GET": manifest.manifest_json}),
    Route("/-/files/audit", {"GET": audit.audit_page}, page=True),
    Route("/-/files/audit.json", {"GET": audit.audit_json}),
    Route("/-/files/audit.csv", {"GET": audit.audit_csv}),
    Route("/-/files/trash", {"GET": trash.trash_page}, page=True),
    Route("/-/files/trash.json", {"GET": trash.trash_json}),
    Route("/-/files/trash/{file_id}/thumbnail", {"GET": trash.thumbnail}),
    Route("/-/files/trash/-/restore", {"POST": trash.restore}),
    Route("/-/files/trash/-/purge", {"POST": trash.purge}),
    Route("/-/files/storages", {"GET": storages.storages_page}, page=True),
    Route("/-/files/storages.json", {"GET": storages.storages_json}),
    Route("/-/files/storages/list/{source}", {"GET": storages.listing_page}, page=True),
    Route("/-/files/storages/list/{source}.json", {"GET": storages.listing_json}),
    Route(
        "/-/files/upload/{source}",
        {"GET": uploads.upload_page, "POST": one_request.one_shot},
        page=True,
    ),
    Route("/-/files/upload/{source}/-/prepare", {"POST": uploads.prepare}),
    Route("/-/files/upload/{source}/-/upload", {"POST": uploads.receive}),
    Route("/-/files/upload/{source}/-/complete", {"POST": uploads.complete}),
    Route("/-/files/upload/{source}/-/sign-parts", {"POST": parts.sign}),
    Route("/-/files/upload/{source}/-/list-parts", {"POST": parts.sent}),
    Route("/-/files/upload/{source}/-/tus", tus.COLLECTION),
    Route("/-/files/upload/{source}/-/tus/{upload}", tus.UPLOAD_ITSELF),
    Route("/-/files/upload/{source}/{filename}", {"PUT": one_request.raw_put}),
    Route("/-/files/import/{file_id}", {"GET": imports.preview, "POST": imports.start}, page=True),
    Route("/-/files/import/{file_id}/{job}", {"GET": imports.progress_page}, page=True),
    Route("/-/files/import/{file_id}/{job}.json", {"GET": imports.progress_json}),
    Route("/-/files/import/{file_id}/{job}/-/cancel", {"POST": imports.cancel}),
    Route("/-/files/import/{file_id}/{job}/-/restart", {"POST": imports.restart}),
    Route("/-/files/-/bulk", {"POST": bulk.bulk}),
    Route("/-/files/bulk/{job}", {"GET": bulk.job_page}, page=True),
    Route("/-/files/bulk/{job}.json", {"GET": bulk.job_json}),
    Route("/-/files/bulk/{job}/-/cancel", {"POST": bulk.cancel}),
    Route("/-/files/bulk/{job}/-/undo", {"POST": bulk.undo}),
    Route("/-/files/shares.json", {"GET": shares.shares_json}),
    Route("/-/files/-/selection", {"POST": zips.select}),
    Route("/-/files/-/selection/{selection}", {"GET": zips.selected_page}, page=True),
    Route("/-/files/-/selection/{selection}.zip", {"GET": zips.selected}),
    Route("/-/files/-/share", {"POST": shares.make}),
    Route("/-/files/-/share/{share_id}/revoke", {"POST": shares.revoke}),
    Route("/-/files/s/{token}", {"GET": links.shared_page}, page=True, link=True),
    Route("/-/files/s/{token}/zip", {"GET": links.zipped}, link=True),
    Route("/-/files/s/{token}/{file_id}", {"GET": links.file_page}, page=True, link=True),
    Route("/-/files/s/{token}/{file_id}/download", {"GET": links.download}, link=True),
    Route("/-/files/s/{token}/{file_id}/inline", {"GET": links.inline}, link=True),
    Route("/-/files/s/{token}/{file_id}/thumbnail", {"GET": links.thumbnail}, link=True),
    Route(
        "/-/files/u/{token}",
        {"GET": links.upload_page, "POST": links.one_shot},
        page=True,
        link=True,
    ),
    Route("/-/files/u/{token}/-/prepare", {"POST": links.prepare}, link=True),
    Route("/-/files/u/{token}/-/upload", {"POST": links.receive}, link=True),
    Route("/-/files/u/{token}/-/complete", {"POST": links.complete}, link=True),
    Route("/-/files/u/{token}/-/sign-parts", {"POST": links.sign_parts}, link=True),
    Route("/-/files/u/{token}/-/list-parts", {"POST": links.sent_parts}, link=True),
    Route("/-/files/u/{token}/-/tus", links.TUS, link=True),
    Route("/-/files/u/{token}/-/tus/{upload}", links.TUS_UPLOAD, link=True),
    Route("/-/files/{file_id}.json", {"GET": files.record}),
    Route("/-/files/{file_id}/tables.json", {"GET": live.tables_json}),
    Route("/-/files/{file_id}/-/open", {"POST": live.open_tables}),
    Route("/-/files/{file_id}/open", {"GET": live.open_page}, page=True),
    Route("/-/files/{file_id}/open/{job}", {"GET": live.job_page}, page=True),
    Route("/-/files/{file_id}/open/{job}.json", {"GET": live.job_json}),
    Route("/-/files/{file_id}/open/{job}/-/cancel", {"POST": live.cancel}),
    Route("/-/files/{file_id}/uses.json", {"GET": tables.uses_json}),
    Route("/-/files/{file_id}/versions.json", {"GET": versions.versions_json}),
    Route("/-/files/{file_id}/latest", {"GET": versions.latest}),
    Route("/-/files/{file_id}/latest/download", {"GET": versions.latest_download}),
    Route("/-/files/{file_id}/-/restore-version", {"POST": versions.restore}),
    Route("/-/files/{file_id}/rows", {"GET": version_rows.rows_page}, page=True),
    Route("/-/files/{file_id}/-/rows", {"POST": version_rows.put}),
    Route("/-/files/{file_id}/text.json", {"GET": texts.text_json}),
    Route("/-/files/{file_id}/download", {"GET": files.download}),
    Route("/-/files/{file_id}/inline", {"GET": files.inline}),
    # A tab and a PDF viewer show the end of the address.
    Route("/-/files/{file_id}/inline/{filename}", {"GET": files.inline}),
    Route("/-/files/{file_id}/thumbnail", {"GET": files.thumbnail}),
    Route("/-/files/{file_id}/-/update", {"POST": files.update}),
    Route("/-/files/{file_id}/-/delete", {"POST": files.delete}),
    Route("/-/files/{file_id}", {"GET": files.file_page, "DELETE": files.delete_verb}, page=True),
)


async def _unknown_address(call: Call) -> Response:
    raise NotFound("There is no such page or endpoint under /-/files; check the address")


_METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH")
_UNKNOWN = Route("", dict.fromkeys(_METHODS, _unknown_address), page=True)
_UNKNOWN_LINK = Route("", dict.fromkeys(_METHODS, links.nothing), page=True, link=True)


def register() -> list[tuple[str, Any]]:
    """The routes for Datasette's ``register_routes``."""
    routes = [(route.pattern, _view(route)) for route in ROUTES]
    routes.append((r"/-/files/[su]/.*$", _view(_UNKNOWN_LINK)))
    return [*routes, (r"/-/files/.*$", _view(_UNKNOWN))]


async def get_json(
    datasette: Any, scope: Mapping[str, Any], path: str, query: Mapping[str, str], **found: str
) -> tuple[int, dict[str, Any]]:
    """The status and the JSON that a GET answers to the actor of ``scope``, a request's of ASGI.

    For what answers another way than our routes. ``path`` is a route's, ``found`` the parts that it
    captures; empty values of ``query`` are left out.
    """
    route = next(route for route in ROUTES if route.path == path)
    asked = path.format(**found)
    if re.match(route.pattern, asked) is None:
        route, found = _UNKNOWN, {}
    request = Request(
        {
            **{"type": "http", "method": "GET", "headers": [(b"accept", b"application/json")]},
            **{"path": asked, "route_path": asked, "url_route": {"kwargs": found}},
            **{name: scope.get(name) for name in ("client", "actor")},
            "query_string": urlencode({name: one for name, one in query.items() if one}).encode(),
        },
        _no_body,
    )
    response = await _view(route)(request, datasette, None, _no_body)
    body: dict[str, Any] = json.loads(response.body)
    return response.status, body


async def _no_body() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


def _view(route: Route) -> Any:
    methods = route.methods
    handlers = {**methods, **({"HEAD": methods["GET"]} if "GET" in methods else {})}

    async def view(request: Any, datasette: Any, send: Any, receive: Any) -> Response | None:
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in request.scope["headers"]
        }
        body = Body(receive, headers)
        call = Call(
            request=request,
            files=Files.of(datasette),
            send=send,
            headers=headers,
            body=body,
            vars=request.url_vars,
            page=route.page,
            link=route.link,
        )
        if route.link:
            masking.mask_span(request.scope)
        by = By("link") if route.link else By("http", call.actor_id)
        with body, acting(by):
            try:
                response = await _handler(handlers, call)(call)
            except FilesError as error:
                response = await failure(call, error)
            except sqlite3.OperationalError as error:
                # Of a user's database; the internal one's are translated (db/batching.py).
                if "locked" not in str(error):
                    raise
                logger.info("A database is locked: %s", error)
                response = await failure(call, _busy())
        if response is not None and route.link:
            links.guard(response.headers)
        if response is not None and datasette.cors:
            cors.allow(response.headers)
        return response

    # Datasette inspects the signature at every request; this makes it cheap.
    view.__signature__ = inspect.signature(view)  # type: ignore[attr-defined]
    return view


def _busy() -> StorageUnavailable:
    return StorageUnavailable(
        "Another program is writing to the database, such as an import; try again in a minute",
        headers={"Retry-After": "10"},
    )


def _handler(handlers: Mapping[str, Handler], call: Call) -> Handler:
    handler = handlers.get(call.method)
    if handler is not None:
        return handler
    allowed = ", ".join(sorted({*handlers, "OPTIONS"}))
    if call.method == "OPTIONS":

        async def options(call: Call) -> Response:
            return empty(204, {"Allow": allowed})

        return options
    raise NotSupported(
        f"{call.method} is not supported here; use {allowed}", headers={"Allow": allowed}
    )
