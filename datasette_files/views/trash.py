"""The trash: its page and list; restoring and purging, one file or many."""

from __future__ import annotations

import re
from typing import Any

from datasette.utils.asgi import Response

from ..catalog.offers import Action
from ..catalog.trash import Changed
from ..db.trash import TrashPage
from ..errors import Invalid, NotFound
from ..models import FileRecord
from ..naming import ID_PATTERN
from ..permissions.actions import BROWSE
from . import bulk, records
from .arguments import first_url, paging, thumbnail_side
from .files import name_in_message, thumbnail_of
from .http import Call, answer, page, redirect
from .look import size

_MAX_IDS = 200
_ID = re.compile(ID_PATTERN)


async def trash_json(call: Call) -> Response:
    found = await _page(call)
    return answer(
        call, {"ok": True, "source": call.argument("source") or "", **_shown(call, found)}
    )


async def trash_page(call: Call) -> Response:
    found = await _page(call)
    wanted = call.argument("source")
    context = {
        **_shown(call, found),
        "chosen": wanted,
        "source_labels": {source.slug: source.label for source in call.files.sources},
        "sources": [source for source in call.files.sources if source.slug in found.sources],
        "purgeable": found.purgeable,
        "first_url": first_url(call),
        "selection": bulk.choosing(
            call,
            _offered(found),
            {"source": wanted},
            "trash",
            undoable=False,
        ),
    }
    return await page(call, "trash.html", context)


def _offered(found: TrashPage) -> list[Action]:
    """The actions that the actor may do to at least one file of the page."""
    purges = any(one.file.source_slug in found.purgeable for one in found.files)
    return ["restore", "purge"] if purges else ["restore"]


async def _page(call: Call) -> TrashPage:
    source, after = call.argument("source"), call.argument("_next")
    return await call.files.trash.page(call.actor, source, after, size(call))


def _shown(call: Call, found: TrashPage) -> dict[str, Any]:
    return {
        "files": [
            {**records.trashed(call, one), "can_purge": one.file.source_slug in found.purgeable}
            for one in found.files
        ],
        **paging(call, found),
    }


async def thumbnail(call: Call) -> Response:
    """The picture of a file in the trash, for those who see it there."""
    side = thumbnail_side(call)
    for file in await call.files.trash.named(call.actor, [call.vars["file_id"]]):
        return await thumbnail_of(call, call.files.sources.get(file.source_slug), file, side)
    raise NotFound("There is no such file in the trash that you may see")


async def restore(call: Call) -> Response:
    ids, back = await _wanted(call)
    changed = await call.files.trash.restore(call.actor, ids)
    return await _answer(call, changed, "restored", back)


async def purge(call: Call) -> Response:
    ids, back = await _wanted(call)
    changed = await call.files.trash.purge(call.actor, ids)
    return await _answer(call, changed, "purged", back)


async def _wanted(call: Call) -> tuple[list[str], str | None]:
    """The ids to change, and the page to return to. Raises Invalid.

    A form's field ``only`` comes from a row's own button, and replaces the ticked rows.
    """
    back = None
    if call.sends_form:
        fields = await call.body.fields()
        ids: Any = [value for name, value in fields if name == "only"]
        ids = ids or [value for name, value in fields if name == "id"]
        back = dict(fields).get("back")
    else:
        ids = (await call.body.json()).get("ids")
    if not isinstance(ids, list) or not all(
        isinstance(one, str) and _ID.fullmatch(one) for one in ids
    ):
        raise Invalid('Send {"ids": ["df-…"]}, the ids of files in the trash')
    if not 1 <= len(ids) <= _MAX_IDS:
        raise Invalid(f"Choose 1 to {_MAX_IDS} files; {len(ids)} were chosen")
    return list(dict.fromkeys(ids)), back


async def _answer(call: Call, changed: Changed, done: str, back: str | None) -> Response:
    if not call.wants_page:
        ids = [file.id for file in changed.files]
        return answer(call, {"ok": True, done: ids, "missing": changed.missing})
    browsable = await call.files.lookup.allowed_sources(call.actor, BROWSE)
    first = changed.files[0]
    if any(file.source_slug not in browsable for file in changed.files):
        context = {"done": done.capitalize(), "text": f"{_count(changed)} {done}."}
        return await page(call, "done.html", context)
    call.datasette.add_message(call.request, _told(changed, done))
    if back == "-source":  # a mark of a source's page; no source's name begins with a dash
        return redirect(call.url(f"/-/files/source/{first.source_slug}"))
    query = f"?source={back}" if back in call.files.config.sources else ""
    return redirect(call.url(f"/-/files/trash{query}"))


def _count(changed: Changed) -> str:
    number = len(changed.files)
    return "1 file" if number == 1 else f"{number} files"


def _told(changed: Changed, done: str) -> str:
    """The message on the next page."""
    verb = "Restored" if done == "restored" else "Deleted for good:"
    files: list[FileRecord] = changed.files
    text = f"{verb} {name_in_message(files[0]) if len(files) == 1 else _count(changed)}"
    if changed.missing:
        text += f"; {len(changed.missing)} more were no longer in the trash"
    return text
