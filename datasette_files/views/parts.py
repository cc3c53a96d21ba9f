"""The routes of uploads in parts, straight to the storage: sign URLs, list what has arrived."""

from __future__ import annotations

from datasette.utils.asgi import Response

from ..errors import Invalid
from ..permissions.grants import Grant
from ..sources.sources import Source
from ..transfer.parts import Asked
from .http import Call, answer
from .uploads import sender_id, sha256_of, to_source, token_of


@to_source
async def sign(call: Call, source: Source, allowed: Grant) -> Response:
    return await sign_at(call, source, allowed)


@to_source
async def sent(call: Call, source: Source, allowed: Grant) -> Response:
    return await sent_at(call, source, allowed)


async def sign_at(call: Call, source: Source, allowed: Grant) -> Response:
    """Answer a request for URLs."""
    body = await call.body.json()
    token, asked = token_of(body), _asked(body.get("numbers"))
    signed, seconds = await call.files.parts.sign(source, sender_id(call), allowed, token, asked)
    shown = [{"number": part.number, "url": part.url, "headers": part.headers} for part in signed]
    return answer(call, {"ok": True, "parts": shown, "expires_in": seconds})


async def sent_at(call: Call, source: Source, allowed: Grant) -> Response:
    """Answer a request for the parts that have arrived."""
    token = token_of(await call.body.json())
    parts = await call.files.parts.sent(source, sender_id(call), allowed, token)
    shown = [{"number": part.number, "size": part.size} for part in parts]
    return answer(call, {"ok": True, "parts": shown})


def _asked(numbers: object) -> list[Asked]:
    """The parts of a request to sign. Raises Invalid."""
    if not isinstance(numbers, list):
        raise Invalid('numbers must be a list, such as [1, 2] or [{"number": 1, "sha256": "…"}]')
    return [_one(one) for one in numbers]


def _one(one: object) -> Asked:
    sha256 = None
    if isinstance(one, dict) and set(one) <= {"number", "sha256"}:
        sha256 = sha256_of(one.get("sha256"))
        one = one.get("number")
    if isinstance(one, bool) or not isinstance(one, int):
        raise Invalid('each of numbers must be a number, or {"number": 1, "sha256": "…"}')
    return Asked(one, sha256)
