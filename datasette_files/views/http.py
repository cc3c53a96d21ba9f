"""Shared parts of the views: the call, answers, errors, and the choice of page or JSON."""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from datasette.utils import error_body
from datasette.utils.asgi import Forbidden, Response

from ..app import Files
from ..errors import FilesError, Invalid, PermissionDenied
from ..media.labels import in_words
from ..naming import plain
from ..permissions.actions import Actor, actor_id
from ..sources.reading import Missing
from .assets import asset
from .body import Body, Disconnected

logger = logging.getLogger("datasette_files")

Send = Callable[[dict[str, Any]], Awaitable[None]]
#: Colours of tags, which file-page.css draws.
_HUES = 8


@dataclass
class Call:
    """One request to one of our routes."""

    request: Any
    files: Files
    send: Send
    #: Lower-case names.
    headers: dict[str, str]
    body: Body
    #: The parts of the path that the route captured.
    vars: dict[str, str]
    #: Whether the route renders a page, so that its errors are pages.
    page: bool
    #: Whether the route belongs to a link, whose user has no account: its pages stand alone.
    link: bool = False

    @property
    def datasette(self) -> Any:
        return self.files.datasette

    @property
    def method(self) -> str:
        return str(self.request.method)

    @property
    def path(self) -> str:
        """The request's path without ``base_url``."""
        path: str = self.request.scope.get("route_path") or self.request.path
        return path

    @property
    def actor(self) -> Actor:
        actor: Actor = self.request.actor
        return actor

    @property
    def actor_id(self) -> str | None:
        return actor_id(self.actor)

    @property
    def client(self) -> str:
        """The actor, or the address of an anonymous one: the owner of a share of the places."""
        if self.actor_id is not None:
            return f"actor {self.actor_id}"
        peer = self.request.scope.get("client") or ("",)
        return f"peer {peer[0]}"

    @property
    def wants_page(self) -> bool:
        """True for a browser's page request, False for a program's and for ``.json`` URLs."""
        if self.path.endswith(".json"):
            return False
        accept = self.headers.get("accept", "")
        if "text/html" in accept:
            return True
        # A program that posts to a page's address need not send an Accept header.
        fetches_page = self.page and self.method in ("GET", "HEAD")
        return fetches_page and "application/json" not in accept

    @property
    def sends_form(self) -> bool:
        """True if the body is a form in URL encoding."""
        kind = self.headers.get("content-type", "")
        return kind.startswith("application/x-www-form-urlencoded")

    @property
    def query(self) -> dict[str, list[str]]:
        """The query string's values. Raises Invalid if it is not UTF-8 or has over 1,000 fields."""
        try:
            return parse_qs(
                self.request.query_string,
                keep_blank_values=True,
                errors="strict",
                max_num_fields=1000,
            )
        except ValueError:
            raise Invalid("The query string is malformed") from None

    def argument(self, name: str) -> str | None:
        """The first value of a query argument; None when it is absent or empty."""
        value = self.query.get(name, [""])[0]
        return value or None

    @property
    def own_url(self) -> str:
        """The request's own path and query."""
        return self.url(self.path) + (f"?{query}" if (query := self.request.query_string) else "")

    def url(self, path: str) -> str:
        """A path of this Datasette under its ``base_url``."""
        return self.files.base_url + path.removeprefix("/")


def answer(
    call: Call, body: dict[str, Any] | str, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """A JSON answer; ``body`` is a dict, or JSON as text."""
    encoded = (body if isinstance(body, str) else json.dumps(body)).encode()
    sent = {"Content-Length": str(len(encoded)), **(headers or {})}
    return Response(encoded, status, sent, "application/json; charset=utf-8")


def empty(status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(b"", status, headers or {})


def redirect(url: str, status: int = 303) -> Response:
    return Response.redirect(url, status=status)


async def page(call: Call, template: str, context: dict[str, Any], status: int = 200) -> Response:
    """A page from one of our templates."""
    html = await call.datasette.render_template(
        f"datasette_files/{template}",
        {**context, "asset": partial(asset, call.files), **_WRITTEN},
        request=call.request,
        view_name="datasette-files",
    )
    return Response.html(html, status=status)


async def part(datasette: Any, request: Any, template: str, context: dict[str, Any]) -> str:
    """The HTML of one of our templates, as a part of a page of Datasette's."""
    own = {"asset": partial(asset, Files.of(datasette)), **_WRITTEN}
    html: str = await datasette.render_template(
        f"datasette_files/{template}", {**context, **own}, request=request
    )
    return html


def human_size(size: int | None) -> str:
    """A size in bytes, for people, in powers of 1024."""
    if size is None:
        return "unknown"
    if size == 1:
        return "1 byte"
    units = ("bytes", "KB", "MB", "GB", "TB")
    step = min(max(size.bit_length() - 1, 0) // 10, len(units) - 1)
    return f"{size:,} bytes" if step == 0 else f"{size / 1024**step:.1f} {units[step]}"


def hue(tag: str) -> int:
    """The colour of a tag, one of ``_HUES``: the same on every page and site."""
    return zlib.crc32(tag.casefold().encode()) % _HUES


#: How templates write facts.
_WRITTEN = {"hue": hue, "human_size": human_size, "in_words": in_words, "plain": plain}


async def failure(call: Call, error: FilesError) -> Response | None:
    """The answer to an error. Raises Forbidden for a page, so that Datasette's hook answers."""
    await call.body.drain()
    if isinstance(error, Disconnected):
        return None
    if call.wants_page:
        if isinstance(error, PermissionDenied) and not call.link:
            raise Forbidden(str(error))
        # A message may quote input, and JSON can carry lone surrogates, which have no UTF-8.
        text = str(error).encode("utf-8", "replace").decode()
        reads = call.method in ("GET", "HEAD")
        passing = error.status in (408, 502, 503) and not isinstance(error, Missing)
        context = {
            "error": text,
            "code": error.code,
            "status": error.status,
            # After an outage, the same address; after a bad query, the address without it.
            "again_url": reads and passing and call.own_url,
            "start_url": reads and error.status == 400 and call.url(call.path),
        }
        template = "link_error.html" if call.link else "error.html"
        response = await page(call, template, context, error.status)
        response.headers.update(error.headers)
        return response
    return answer(call, as_body(error), error.status, error.headers)


def as_body(error: FilesError) -> dict[str, Any]:
    """Datasette's standard error body, and our code."""
    body: dict[str, Any] = error_body(error.messages, error.status)
    return {**body, "code": error.code}
