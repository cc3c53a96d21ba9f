"""The routes by which people with an account make, list and revoke links.

Leaves out the pages of those who get a link (links.py).
"""

from __future__ import annotations

import re
from typing import Any

from datasette.utils.asgi import Response

from .. import naming
from ..catalog.shares import Terms, as_json, share_json, upload_json
from ..db.shares import Share
from ..db.tokens import decode_token, encode_token
from ..errors import Invalid
from ..models import FileRecord
from .arguments import next_url
from .http import Call, answer, page, redirect
from .look import size

#: The name of this list in its pages' tokens.
_LIST = "shares"
_DAY = 24 * 3600
_NUMBERS = ("expires_in", "max_downloads", "max_files", "max_bytes")


async def make(call: Call) -> Response:
    body = await _body(call, "ids", "expires_in", "label", "max_downloads")
    ids = body.get("ids")
    if not (isinstance(ids, list) and all(isinstance(one, str) for one in ids)):
        raise Invalid('ids must be a list of file ids, such as ["df-…"]')
    share, ids, token = await call.files.shares.share(call.actor, ids, terms(body))
    return await _made(call, "share", made(call, share, ids, token))


def made(call: Call, share: Share, ids: list[str], token: str) -> dict[str, Any]:
    """The JSON of a new share link, with its address, which is nowhere else."""
    return {**share_json(share, ids), "url": _address(call, share, token)}


async def make_upload_link(call: Call) -> Response:
    source = call.files.sources.get(call.vars["source"])
    body = await _body(call, "expires_in", "label", "max_files", "max_bytes")
    share, token = await call.files.shares.upload_link(call.actor, source, terms(body))
    shown = {**upload_json(share, source.slug), "url": _address(call, share, token)}
    return await _made(call, "upload_link", shown)


async def shares_json(call: Call) -> Response:
    after, limit = call.argument("_next"), size(call)
    listed = await call.files.shares.listed(
        call.actor,
        file_id=call.argument("id"),
        source=call.argument("source"),
        before=None if after is None else decode_token(_LIST, after)[1],
        limit=limit + 1,
    )
    last = listed[limit - 1].share.number if len(listed) > limit else None
    token = None if last is None else encode_token(_LIST, "", last)
    shown = [as_json(one) for one in listed[:limit]]
    return answer(
        call, {"ok": True, "shares": shown, "next": token, "next_url": next_url(call, token)}
    )


async def revoke(call: Call) -> Response:
    await call.files.shares.revoke(call.actor, call.vars["share_id"])
    if not call.wants_page:
        return answer(call, {"ok": True})
    back = (await call.body.form()).get("back", "")
    call.datasette.add_message(call.request, "The link is revoked")
    if re.fullmatch(naming.ID_PATTERN, back):
        return redirect(call.url(f"/-/files/{back}?shares=1"))
    known = any(source.slug == back for source in call.files.sources)
    return redirect(call.url(f"/-/files/source/{back}?shares=1" if known else "/-/files"))


async def of_file(call: Call, file: FileRecord) -> dict[str, Any] | None:
    """The context of _links.html on a file's page, for an actor who may share the file."""
    return await _sharing(call, "/-/files/-/share", file_id=file.id)


async def of_source(call: Call, slug: str) -> dict[str, Any] | None:
    """The context of _links.html on a source's page, for an actor who may make upload links."""
    return await _sharing(call, f"/-/files/source/{slug}/-/upload-link", source=slug)


async def _sharing(
    call: Call, action: str, *, file_id: str | None = None, source: str | None = None
) -> dict[str, Any] | None:
    """The values that a form for a link needs. ``?shares`` adds the ``links`` that there are."""
    if call.actor_id is None:
        return None
    links = None
    if call.argument("shares"):
        found = await call.files.shares.listed(call.actor, file_id=file_id, source=source)
        links = [as_json(one) for one in found]
    return {
        "action": call.url(action),
        "takes": source is not None,
        "file_id": file_id,
        "source": source,
        **choices(call),
        "links": links,
    }


def choices(call: Call) -> dict[str, Any]:
    """The days that the form of a new link offers."""
    config = call.files.config
    longest, default = config.share_max_days, min(config.share_default_days, config.share_max_days)
    days = {one for one in (1, 7, 30, 90) if one <= longest} | {default, longest}
    return {"days": sorted(days), "default_days": default}


def _address(call: Call, share: Share, token: str) -> str:
    kind = "s" if share.kind == "files" else "u"
    url: str = call.datasette.absolute_url(call.request, call.url(f"/-/files/{kind}/{token}"))
    return url


async def _made(call: Call, name: str, shown: dict[str, Any]) -> Response:
    """The answer with a new link; a page for a browser's form. Only here is its address."""
    headers = {"Cache-Control": "no-store"}
    if not call.wants_page:
        return answer(call, {"ok": True, name: shown}, 201, headers)
    response = await page(call, "share_made.html", {"made": shown}, 201)
    response.headers.update({**headers, "Referrer-Policy": "no-referrer"})
    return response


async def _body(call: Call, *names: str) -> dict[str, Any]:
    """The fields of a JSON body, or those of a form in the same types. Raises Invalid."""
    if not call.sends_form:
        body = await call.body.json()
    else:
        fields = await call.body.fields()
        body = from_form({name: value for name, value in fields if value and name != "id"})
        if "ids" in names:
            body["ids"] = [value for name, value in fields if name == "id"]
    if unknown := sorted(set(body) - set(names)):
        raise Invalid(f"Unknown: {', '.join(unknown)}; known are {', '.join(names)}")
    return body


def from_form(values: dict[str, str]) -> dict[str, Any]:
    """A form's fields in the types of JSON; ``days`` becomes ``expires_in``. Raises Invalid."""
    body: dict[str, Any] = dict(values)
    if "days" in body:
        body["expires_in"] = _number("days", body.pop("days")) * _DAY
    for name in _NUMBERS:
        if isinstance(body.get(name), str):
            body[name] = _number(name, body[name])
    return body


def _number(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 16):
        raise Invalid(f"{name} must be a whole number")
    return int(value)


def terms(body: dict[str, Any]) -> Terms:
    """The terms of a new link. Raises Invalid for a wrong type."""
    for name in _NUMBERS:
        value = body.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise Invalid(f"{name} must be a whole number")
    label = body.get("label")
    if not isinstance(label, str | None):
        raise Invalid("label must be text")
    return Terms(label=label, **{name: body.get(name) for name in _NUMBERS})
