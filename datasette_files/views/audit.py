"""The audit of the sources that the actor manages: a page with filters, JSON, and CSV."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

from datasette.utils.asgi import Response

from ..catalog.audit import AuditPage
from ..db.audit import ACTIONS
from ..db.audit_pages import Entry, Wanted
from ..errors import Invalid
from ..formats.csv_line import line
from ..models import parse_time
from ..naming import storable
from ..transfer.downloads import Body
from .arguments import first_url, moment, next_url, with_path
from .http import Call, answer, page
from .look import size
from .stream import Streamed

_COLUMNS = ("id", "at", "actor", "via", "link", "action", "file_id", "source", "detail")
#: The words for each action on the page.
_DONE = {
    "upload": "uploaded",
    "replace": "replaced by a new version",
    "update": "changed",
    "delete": "deleted",
    "restore": "restored",
    "purge": "deleted for good",
    "copy": "copied",
    "move": "moved",
    "import": "imported into a table",
    "missing": "missing from the storage",
    "found": "found again in the storage",
    "share": "shared by a link",
    "upload-link": "link for uploads made",
    "revoke": "link revoked",
    "open": "link opened",
    "download": "downloaded",
    "inline": "opened",
    "zip": "downloaded in a zip",
    "settings": "settings changed",
    "sync": "index asked for",
}


def _wanted(call: Call) -> Wanted:
    """The filters of a request. Raises Invalid."""
    action = call.argument("action")
    if action is not None and action not in ACTIONS:
        raise Invalid(f"action must be one of {', '.join(ACTIONS)}")
    wanted = Wanted(
        actor=call.argument("actor"),
        action=action,
        file_id=call.argument("file"),
        after=_seconds(call, "after"),
        before=_seconds(call, "before"),
    )
    if not all(storable(one or "") for one in (wanted.actor, wanted.file_id)):
        raise Invalid("actor and file must be valid Unicode")
    return wanted


def _seconds(call: Call, name: str) -> float | None:
    """A time of the query in seconds since the epoch. Raises Invalid."""
    written = moment(name, call.argument(name))
    if written is None:
        return None
    return parse_time(written).timestamp()


async def _page(call: Call, wanted: Wanted) -> AuditPage:
    source, token = call.argument("source"), call.argument("_next")
    return await call.files.audit.page(call.actor, wanted, source, token, size(call))


async def audit_json(call: Call) -> Response:
    found = await _page(call, _wanted(call))
    body = {
        "ok": True,
        "entries": [one.as_json() for one in found.entries],
        "_next": found.next,
        "next_url": next_url(call, found.next),
    }
    return answer(call, body)


async def audit_page(call: Call) -> Response:
    wanted = _wanted(call)
    found = await _page(call, wanted)
    context = {
        "entries": [_shown(call, one) for one in found.entries],
        "wanted": wanted,
        "days": {name: (call.argument(name) or "")[:10] for name in ("after", "before")},
        "chosen": call.argument("source"),
        "sources": [one for one in call.files.sources if one.slug in found.sources],
        "actions": _DONE,
        "first_url": first_url(call),
        "next_url": next_url(call, found.next),
        "json_url": with_path(call, "/-/files/audit.json"),
        "csv_url": with_path(call, "/-/files/audit.csv"),
        "kept_days": call.files.config.audit_days,
        "has_downloads": call.files.audit.has_downloads,
    }
    return await page(call, "audit.html", context)


def _shown(call: Call, entry: Entry) -> dict[str, Any]:
    """The entry with its words, and the rest of its detail."""
    detail = dict(entry.detail)
    filename = detail.pop("filename", None)
    if "changed" in detail:
        old, new = detail.pop("old", {}), detail.pop("new", {})
        detail = {name: _change(old.get(name), new.get(name)) for name in detail["changed"]}
    return {
        **entry.as_json(),
        "filename": filename,
        "done": _DONE[entry.action],
        "source_label": call.files.sources.get(entry.source).label,
        "detail": "; ".join(f"{name}: {_text(value)}" for name, value in detail.items()),
    }


def _change(old: object, new: object) -> str:
    """An old and a new value; those of a search text are not recorded."""
    return "changed" if new is None else f"{_text(old)} → {_text(new)}"


def _text(value: object) -> str:
    """A value in words; for an empty text or list a dash."""
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    return (value or "–") if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


async def audit_csv(call: Call) -> Response | None:
    """All entries that the filters leave, as CSV. A refusal in the middle ends it early."""
    wanted, source = _wanted(call), call.argument("source")
    pages = call.files.audit.export(call.actor, wanted, source)
    first = await anext(pages)  # so that a refusal is an answer of its own

    async def chunks() -> AsyncGenerator[bytes, None]:
        try:
            yield _csv([_COLUMNS])
            yield _csv(map(_row, first))
            async for entries in pages:
                yield _csv(map(_row, entries))
        finally:
            await pages.aclose()

    headers = {
        "Content-Disposition": 'attachment; filename="audit.csv"',
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    if call.method == "HEAD":
        await pages.aclose()
        return Response(b"", 200, headers, "text/csv; charset=utf-8")
    await Streamed(200, headers, "text/csv; charset=utf-8", Body(chunks())).send(call)
    return None


def _row(entry: Entry) -> tuple[object, ...]:
    shown = entry.as_json()
    return tuple(_cell(shown[name]) for name in _COLUMNS)


def _cell(value: object) -> object:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value


def _csv(rows: Any) -> bytes:
    return "".join(map(line, rows)).encode()
