"""The state of storages and the lists of their files, for actors with ``debug-storages``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from datasette.utils.asgi import Response
from itsdangerous import BadSignature

from ..errors import Invalid
from ..permissions.grants import require_debug
from ..sources.health import Listed, SourceState
from ..sources.sources import Source
from .arguments import first_url, next_url
from .http import Call, answer, page
from .look import size

#: Characters of the prefix that limits a list.
_MAX_PREFIX = 1024
#: The namespace in which page tokens are signed.
_TOKEN_NAMESPACE = "datasette-files-listing"  # noqa: S105 - a namespace, not a token


async def _states(call: Call) -> tuple[list[SourceState], dict[str, Any]]:
    """The state of each source, and facts that all share. Raises PermissionDenied."""
    await require_debug(call.datasette, call.actor)
    states, leases = await call.files.inspector.sources()
    background = {
        "leases": leases,
        "thumbnails_waiting": call.files.thumbnails.waiting,
        "sandbox": await call.files.protections.told(),
    }
    return states, background


async def storages_page(call: Call) -> Response:
    states, background = await _states(call)
    context = {"states": [_as_context(state) for state in states], **background}
    return await page(call, "storages.html", context)


async def storages_json(call: Call) -> Response:
    states, background = await _states(call)
    sources = [_as_json(state) for state in states]
    return answer(call, {"ok": True, "sources": sources, **background})


def _as_json(state: SourceState) -> dict[str, Any]:
    source = state.source
    return {
        "slug": source.slug,
        "label": source.label,
        "storage_type": source.config.storage,
        "up": state.problem is None,
        "problem": state.problem,
        "capabilities": asdict(source.capabilities),
        "max_file_size": source.max_file_size,
        "config": state.config,
        "files": state.totals.files,
        "bytes": state.totals.bytes,
        "trash": {"files": state.trash.files, "bytes": state.trash.bytes},
        "uploads": state.uploads,
        "background": asdict(state.background),
    }


#: The page's words for a storage's powers, and for background work that is waiting.
_POWERS = {
    "can_upload": "take uploads",
    "can_delete": "delete",
    "can_list": "list",
    "can_generate_signed_urls": "sign addresses",
}
_WAITING = {
    "garbage": "to be deleted",
    "garbage_due": "of them now",
    "garbage_failed": "of them tried before",
    "unhashed": "to be hashed",
    "arriving": "being copied or moved here",
}


def _as_context(state: SourceState) -> dict[str, Any]:
    described = _as_json(state)
    powers = [label for name, label in _POWERS.items() if described["capabilities"][name]]
    waits = [
        f"{described['background'][name]:,} {label}"
        for name, label in _WAITING.items()
        if described["background"][name]
    ]
    return {**described, "powers": powers, "waits": waits}


async def _listing(call: Call) -> tuple[Source, str, Listed, str | None]:
    """The source, the prefix, one page of the list, and the token of the next page."""
    source = call.files.sources.get(call.vars["source"])
    await require_debug(call.datasette, call.actor)
    prefix = call.argument("prefix") or ""
    if "\x00" in prefix or len(prefix) > _MAX_PREFIX:
        raise Invalid(f"prefix takes at most {_MAX_PREFIX} characters and no NUL; shorten it")
    token = call.argument("_next")
    cursor = None if token is None else _cursor(call, source, prefix, token)
    found = await call.files.inspector.listing(source, prefix, cursor, size(call))
    if found.cursor is None:
        return source, prefix, found, None
    following: str = call.datasette.sign([source.slug, prefix, found.cursor], _TOKEN_NAMESPACE)
    return source, prefix, found, following


def _cursor(call: Call, source: Source, prefix: str, token: str) -> str:
    """The storage's cursor in a page token. Tokens are signed, as storages trust any cursor."""
    try:
        slug, of, cursor = call.datasette.unsign(token, _TOKEN_NAMESPACE)
    except (BadSignature, ValueError, TypeError):
        slug = None
    if slug is None or (slug, of) != (source.slug, prefix):
        raise Invalid("_next is not a page token of this list; start from the first page")
    return str(cursor)


def _entries(call: Call, found: Listed) -> list[dict[str, Any]]:
    return [
        {
            "path": file.path,
            "size": file.size,
            "content_type": file.content_type,
            "created_at": file.created_at,
            "known": state.file_id is not None or state.in_trash,
            "file_id": state.file_id,
            "in_trash": state.in_trash,
            "arriving": state.is_arriving and state.file_id is None,
            "to_be_deleted": state.is_garbage and state.file_id is None and not state.in_trash,
            "url": call.url(f"/-/files/{state.file_id}") if state.file_id else None,
        }
        for file, state in found.files
    ]


async def listing_page(call: Call) -> Response:
    source, prefix, found, following = await _listing(call)
    context = {
        "source": source,
        "prefix": prefix,
        "entries": _entries(call, found),
        "first_url": first_url(call),
        "next_url": next_url(call, following),
        "own_path": call.url(call.path),
    }
    return await page(call, "storage_listing.html", context)


async def listing_json(call: Call) -> Response:
    source, prefix, found, following = await _listing(call)
    body = {
        "ok": True,
        "source": source.slug,
        "prefix": prefix,
        "files": _entries(call, found),
        "next": following,
        "next_url": next_url(call, following),
    }
    return answer(call, body)
