"""The manifest of a source over HTTP: as text for ``sha256sum -c``, and page by page as JSON.

For ``files-manage``, as the source's usage: it tells the paths of all files.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import asdict
from itertools import chain

from datasette.utils.asgi import Response

from ..db.tokens import decode_token, encode_token
from ..errors import Invalid
from ..maintenance import manifest
from ..permissions.actions import MANAGE
from ..permissions.grants import Grant, grant
from ..protocol.disposition import content_disposition
from ..sources.sources import Source
from ..transfer.downloads import Body
from .arguments import next_url
from .http import Call, answer
from .look import size
from .stream import Streamed

#: The name of this list in its pages' tokens.
_LIST = "manifest"
#: The header that counts the files without a line.
_WITHOUT = "Files-Without-SHA256"
_TYPE = "text/plain; charset=utf-8"


async def _asked(call: Call) -> tuple[Source, Grant]:
    source = call.files.sources.get(call.vars["source"])
    return source, await grant(call.datasette, call.actor, MANAGE, source.slug)


async def manifest_txt(call: Call) -> Response | None:
    """All lines. A permission that is withdrawn in the middle ends them early."""
    source, manage = await _asked(call)
    pages = manifest.pages(call.files.catalog, manage, source)
    # The first page comes before the headers, so that a refusal is an answer of its own.
    first: list[manifest.Entry] = await anext(pages, [])
    headers = {
        "Content-Disposition": content_disposition("attachment", f"{source.slug}.sha256"),
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        _WITHOUT: str(await manifest.unhashed(call.files.catalog, source)),
    }
    if call.method == "HEAD":
        await pages.aclose()
        return Response(b"", 200, headers, _TYPE)

    async def chunks() -> AsyncGenerator[bytes, None]:
        try:
            yield _text(first)
            async for entries in pages:
                yield _text(entries)
        finally:
            await pages.aclose()

    await Streamed(200, headers, _TYPE, Body(chunks())).send(call)
    return None


def _text(entries: list[manifest.Entry]) -> bytes:
    lines = (
        (manifest.line(one.sha256, one.path), "\n") for one in entries if one.sha256 is not None
    )
    return "".join(chain.from_iterable(lines)).encode()


async def manifest_json(call: Call) -> Response:
    """A page of the files, those without a sha256 too."""
    source, manage = await _asked(call)
    limit, token = size(call), call.argument("_next")
    after = "" if token is None else _after(token)
    found = await manifest.page(call.files.catalog, manage, source, after, limit + 1)
    following = encode_token(_LIST, found[limit - 1].path, 0) if len(found) > limit else None
    body = {
        "ok": True,
        "source": source.slug,
        "files": [asdict(one) for one in found[:limit]],
        "next": following,
        "next_url": next_url(call, following),
    }
    return answer(call, body)


def _after(token: str) -> str:
    path, _ = decode_token(_LIST, token)
    if not isinstance(path, str):
        raise Invalid("_next is not a page token of this list; start from the first page")
    return path
