"""Bulk actions: the request, its confirmation and its outcome as pages, and the job of a large one.

A program sends JSON and gets JSON. A browser's form is first answered with a page that names the
files and asks for what the action needs, then with the outcome.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from datasette.utils.asgi import Response

from ..catalog.bulk import MAX_AT_ONCE, OF_TRASH, Order, Outcome
from ..catalog.bulk_job import Shown
from ..catalog.offers import ACTIONS, Action
from ..catalog.selecting import Selection
from ..catalog.shares import Terms
from ..errors import Invalid
from ..models import FileRecord
from ..naming import check_folder, check_tags
from ..sources.sources import Source
from . import selections, shares
from .http import Call, answer, page, redirect

#: Names on the page that asks.
_MAX_NAMES = 10
_KEYS = ("action", "selection", "to", "tags", "folder", "share")
#: The key that each action reads, besides those two.
_READS: dict[Action, str] = {
    "move": "to",
    "tag": "tags",
    "untag": "tags",
    "folder": "folder",
    "share": "share",
}
_TERMS = ("expires_in", "label", "max_downloads")
#: The past tense of each action, for the outcome.
_DONE: dict[Action, str] = {
    "delete": "deleted",
    "restore": "restored",
    "purge": "deleted for good",
    "move": "moved to the source",
    "tag": "tagged",
    "untag": "untagged",
    "folder": "moved to the folder",
    "share": "shared",
}
#: Why a file was refused, by code.
REASONS = {
    "permission_denied": "you may not do this to it",
    "not_found": "it is no longer there",
    "not_supported": "its source cannot do this",
    "conflict": "somebody else is changing it; try again",
    "invalid": "it would have too many tags",
    "too_large": "it is too large for that source",
    "bad_type": "that source does not take files of its type",
    "storage_unavailable": "its storage cannot be reached now; try again",
}


@dataclass(frozen=True)
class _Wanted:
    """A request."""

    order: Order
    selection: Selection
    terms: Terms
    #: The body's fields of a form; empty for JSON.
    fields: list[tuple[str, str]]

    def field(self, name: str) -> str:
        return dict(self.fields).get(name, "")


async def bulk(call: Call) -> Response:
    wanted = await _wanted(call)
    order, selection = wanted.order, wanted.selection
    if call.wants_page and call.sends_form and not wanted.field("confirmed"):
        return await _ask(call, wanted)
    _check(call, wanted)
    ids = selection.ids
    if ids is None and selection.filters is not None:
        found, more = await call.files.selecting.page(
            call.actor, selection.filters, order.action in OF_TRASH, None, MAX_AT_ONCE + 1
        )
        ids = tuple(found) if more is None and len(found) <= MAX_AT_ONCE else None
    if order.action == "share":
        if ids is None or len(ids) > MAX_AT_ONCE:
            raise Invalid(f"A link shows at most {MAX_AT_ONCE} files; choose fewer")
        return await _told(call, wanted, await call.files.bulk.share(call.actor, ids, wanted.terms))
    if ids is not None and len(ids) <= MAX_AT_ONCE:
        return await _told(call, wanted, await call.files.bulk.do(call.actor, order, ids))
    return _started(call, await call.files.bulk_jobs.start(call.actor, order, selection))


def _check(call: Call, wanted: _Wanted) -> None:
    """Raise Invalid, NotSupported or StorageUnavailable if no file could be done."""
    order = wanted.order
    if order.action in ("tag", "untag") and not order.tags:
        raise Invalid('tags is missing; send a list such as ["draft", "2026"]')
    if order.action == "move":
        call.files.offers.target(order.to)


async def _wanted(call: Call) -> _Wanted:
    fields: list[tuple[str, str]] = []
    if call.sends_form:
        fields = await call.body.fields(selections.MAX_FIELDS)
        body = _from_form(fields)
    else:
        body = await call.body.json()
    if unknown := sorted(set(body) - set(_KEYS)):
        raise Invalid(f"Unknown: {', '.join(unknown)}; known are {', '.join(_KEYS)}")
    action = body.get("action")
    if action not in ACTIONS:
        raise Invalid(f"action must be one of {', '.join(ACTIONS)}")
    if not fields:
        _check_keys(action, body)
    to = body.get("to", "")
    if not isinstance(to, str):
        raise Invalid("to must be the name of a source")
    if action == "folder" and "folder" not in body and not fields:
        raise Invalid('folder is missing; send a path such as "a/b", or "" for the top')
    tags, folder = check_tags(body.get("tags", [])), check_folder(body.get("folder", ""))
    share = body.get("share", {})
    if not isinstance(share, dict) or set(share) - set(_TERMS):
        raise Invalid(f"share must be an object of {', '.join(_TERMS)}")
    order = Order(action, tags, folder, to)
    return _Wanted(order, selections.parse(body.get("selection")), shares.terms(share), fields)


def _check_keys(action: Action, body: dict[str, Any]) -> None:
    """Raise Invalid for a value that the action does not read.

    A filter beside the selection would otherwise be lost, and the action done to more files.
    """
    for name in _KEYS:
        if name not in ("action", "selection", _READS.get(action)) and body.get(name):
            raise Invalid(f"{action} reads no {name}; leave it out, or put a filter into selection")


def _from_form(fields: list[tuple[str, str]]) -> dict[str, Any]:
    """A form's fields in the shape of JSON. ``match``, a query string, has the filters."""
    values = dict(fields)
    selection = selections.from_form(fields)
    body: dict[str, Any] = {"action": values.get("action"), "selection": selection}
    if values.get("tags"):
        body["tags"] = values["tags"].split(",")
    for name in ("to", "folder"):
        if name in values:
            body[name] = values[name].strip()
    share = {name: values[name] for name in ("label", "max_downloads", "days") if values.get(name)}
    if share:
        body["share"] = shares.from_form(share)
    return body


def match_of(filters: dict[str, Any]) -> str:
    """A list's filters as the form field ``match``. An empty folder is the top one."""
    given = {
        name: value
        for name, value in filters.items()
        if value or (name == "folder" and value is not None)
    }
    return urlencode(given, doseq=True)


def _back(call: Call, wanted: _Wanted) -> str:
    """The page to return to: a list of ours, else all sources."""
    back, home = wanted.field("back"), call.url("/-/files")
    return back if back.startswith(home) and "\\" not in back else home


async def _ask(call: Call, wanted: _Wanted) -> Response:
    """The page that names the files and asks for what the action needs."""
    order, selection = wanted.order, wanted.selection
    number, truncated, names = await _described(call, wanted)
    hidden = [("id", one) for one in selection.ids or ()]
    hidden += [(name, wanted.field(name)) for name in ("match", "back") if wanted.field(name)]
    context = {
        "action": order.action,
        "number": number,
        "truncated": truncated,
        "names": names,
        "hidden": hidden,
        "back": _back(call, wanted),
        "targets": await _targets(call, selection) if order.action == "move" else [],
        "sharing": shares.choices(call) if order.action == "share" else None,
    }
    return await page(call, "bulk_ask.html", context)


async def _targets(call: Call, selection: Selection) -> list[Source]:
    """The sources to move to. One that holds all of the files is none."""
    if selection.filters is not None:
        holders = {selection.filters.source}
    else:
        found = await call.files.lookup.visible_many(call.actor, selection.ids or ())
        holders = {file.source_slug for file, _ in found}
    targets = await call.files.offers.targets(call.actor)
    return [source for source in targets if holders != {source.slug}]


async def _described(call: Call, wanted: _Wanted) -> tuple[int, bool, list[str]]:
    """The number of files, whether there are more, and the first names that the actor may see."""
    selection, in_trash = wanted.selection, wanted.order.action in OF_TRASH
    if selection.filters is not None:
        number, truncated, named = await call.files.selecting.described(
            call.actor, selection.filters, in_trash, _MAX_NAMES
        )
    else:
        ids = selection.ids or ()
        number, truncated, first = len(ids), False, ids[:_MAX_NAMES]
        if in_trash:
            named = await call.files.trash.named(call.actor, first)
        else:
            named = [file for file, _ in await call.files.lookup.visible_many(call.actor, first)]
    return number, truncated, [file.filename for file in named]


async def _told(call: Call, wanted: _Wanted, outcome: Outcome) -> Response:
    """The outcome of an action that is done."""
    refused = outcome.refused
    done = len(outcome.states) - len(refused)
    made = None
    if outcome.share is not None:
        share, ids, token = outcome.share
        made = shares.made(call, share, ids, token)
    headers = {"Cache-Control": "no-store"} if made else {}
    if not call.wants_page:
        body: dict[str, Any] = {"ok": True, "done": done, "refused": _as_json(refused)}
        if outcome.trashed:
            body["trashed"] = outcome.trashed
        if made:
            body["share"] = made
        return answer(call, body, headers=headers)
    context = {
        "done": done,
        "verb": _DONE[wanted.order.action],
        "refused": await _named(call, refused),
        "trashed": outcome.trashed,
        "made": made,
        "back": _back(call, wanted),
    }
    response = await page(call, "bulk_done.html", context)
    response.headers.update(headers)
    return response


def _as_json(refused: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"id": file_id, "code": code} for file_id, code in refused]


async def _named(call: Call, refused: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The name of each refused file, or its id to who may not see it, and the reason."""
    ids = [file_id for file_id, _ in refused]
    found: dict[str, FileRecord] = {
        file.id: file for file, _ in await call.files.lookup.visible_many(call.actor, ids)
    }
    return [
        (found[one].filename if one in found else one, REASONS.get(code, code.replace("_", " ")))
        for one, code in refused
    ]


def _started(call: Call, job_id: int) -> Response:
    url = call.url(f"/-/files/bulk/{job_id}")
    if call.wants_page:
        return redirect(url)
    return answer(call, {"ok": True, "job": {"id": job_id, "url": url}}, 202, {"Location": url})


async def _shown(call: Call) -> Shown:
    # SQLite's integers have at most 19 digits; a longer number names no job.
    number = int(call.vars["job"]) if len(call.vars["job"]) < 19 else 0
    return await call.files.bulk_jobs.shown(call.actor, number)


def _job_json(shown: Shown) -> dict[str, Any]:
    job, counts = shown.job, shown.counts
    over = counts.done + counts.refused
    return {
        "id": job.id,
        "action": job.options["order"]["action"],
        "status": job.status,
        "phase": job.phase,
        "error": job.error,
        "total": counts.total,
        "done": counts.done,
        "refused": _as_json(shown.refused),
        "refused_count": counts.refused,
        "progress": 1.0 if job.status == "finished" else over / max(counts.total, 1),
        "can_undo": shown.can_undo,
    }


async def job_json(call: Call) -> Response:
    return answer(call, {"ok": True, **_job_json(await _shown(call))})


async def job_page(call: Call) -> Response:
    shown = await _shown(call)
    job = _job_json(shown)
    context = {
        "job": job,
        "active": shown.is_active,
        "verb": _DONE[job["action"]],
        "refused": await _named(call, shown.refused),
        "own_url": call.url(f"/-/files/bulk/{shown.job.id}"),
    }
    return await page(call, "bulk_job.html", context)


async def cancel(call: Call) -> Response:
    shown = await _shown(call)
    await call.files.bulk_jobs.cancel(call.actor, shown.job.id)
    url = call.url(f"/-/files/bulk/{shown.job.id}")
    return redirect(url) if call.wants_page else answer(call, {"ok": True})


async def undo(call: Call) -> Response:
    shown = await _shown(call)
    return _started(call, await call.files.bulk_jobs.undo(call.actor, shown.job.id))


#: The buttons of a selection, in their order.
_BUTTONS: tuple[tuple[Action, str], ...] = (
    ("delete", "Delete"),
    ("tag", "Add tags…"),
    ("untag", "Remove tags…"),
    ("folder", "Move to folder…"),
    ("move", "Move to source…"),
    ("share", "Share…"),
    ("restore", "Restore"),
    ("purge", "Delete for good…"),
)


async def toolbar(
    call: Call, files: list[FileRecord], filters: dict[str, Any], folders: Iterable[str] = ()
) -> dict[str, Any]:
    """The context of _selection.html: what may be done with the files of a list."""
    offered = await call.files.offers.offered(call.actor, files) if files else frozenset()
    slugs = {file.source_slug for file in files}
    kept = all(call.files.sources.get(slug).trash_days for slug in slugs)
    shown = choosing(call, offered, filters, str(filters.get("source") or ""), kept, folders)
    # Whoever sees a list may fetch its files.
    return {**shown, "shown": True, "zip_url": call.url("/-/files/-/selection")}


def choosing(
    call: Call,
    offered: Collection[Action],
    filters: dict[str, Any],
    key: str,
    undoable: bool,
    folders: Iterable[str] = (),
) -> dict[str, Any]:
    """As ``toolbar``, for these actions. A choice is remembered by ``key`` while pages are turned.

    ``undoable``: whether a deletion can be undone.
    """
    buttons = [(action, label) for action, label in _BUTTONS if action in offered]
    return {
        "buttons": buttons,
        "shown": bool(buttons),
        "match": match_of(filters),
        "key": key,
        "undoable": undoable,
        "back": call.own_url,
        "folders": list(folders),
        "reasons": REASONS,
    }
