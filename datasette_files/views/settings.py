"""A source's settings: their page, which is one form, and the same as JSON."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from datasette.utils.asgi import Response

from ..errors import Conflict, Invalid
from ..models import written
from ..permissions.actions import MANAGE
from ..permissions.grants import Grant, grant
from ..sources.settings import InvalidSettings, SourceSettings, mistakes
from ..sources.sources import Source
from .http import Call, answer, human_size, page, redirect

_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,6})?)\s*(bytes?|[kmgt]i?b)?", re.IGNORECASE | re.ASCII)
_NUMBER = re.compile(r"\d{1,9}", re.ASCII)
_UNITS = "bkmgt"


async def _source(call: Call) -> tuple[Source, Grant]:
    source = call.files.sources.get(call.vars["source"])
    return source, await grant(call.datasette, call.actor, MANAGE, source.slug)


async def settings_json(call: Call) -> Response:
    source, manage = await _source(call)
    return answer(call, _as_json(source, await call.files.settings.of(source, manage)))


async def settings_page(call: Call) -> Response:
    source, manage = await _source(call)
    return await _page(call, source, await call.files.settings.of(source, manage))


async def update(call: Call) -> Response:
    source, manage = await _source(call)
    # First the permission, as errors show settings too.
    current = await call.files.settings.of(source, manage)
    if not call.sends_form:
        body = await call.body.json()
        wanted = body.get("settings")
        if not isinstance(wanted, dict) or not wanted:
            raise Invalid('Send {"settings": {"label": "…"}}')
        changed = await call.files.settings.change(
            source, manage, call.actor, wanted, _version(body.get("version"))
        )
        return answer(call, _as_json(source, changed))
    entered = await call.body.form()
    version = _version(entered.pop("version", None))
    try:
        wanted = _parsed(source, _touched(entered, _values(current)))
        changed = await call.files.settings.change(source, manage, call.actor, wanted, version)
    except (InvalidSettings, Conflict) as error:
        if not call.wants_page:
            raise
        current = await call.files.settings.of(source, manage)
        form = _Form(entered, version, error)
        return await _page(call, source, current, form, error.status)
    return _saved(call, source, current, changed)


async def reset(call: Call) -> Response:
    source, manage = await _source(call)
    current = await call.files.settings.of(source, manage)
    body: dict[str, Any] = await (call.body.form() if call.sends_form else call.body.json())
    version = _version(body.get("version"))
    changed = await call.files.settings.reset(source, manage, call.actor, version)
    return _saved(
        call, source, current, changed, "The settings are those of the configuration again"
    )


def _version(value: object) -> int | None:
    """The state of the settings that was changed; None if not given. Raises Invalid."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = int(value)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise Invalid("version must be the number in the settings that you read")


def _saved(
    call: Call,
    source: Source,
    before: SourceSettings,
    after: SourceSettings,
    done: str = "The settings are saved",
) -> Response:
    if not call.wants_page:
        return answer(call, _as_json(source, after))
    told = "Nothing was changed" if before.version == after.version else done
    call.datasette.add_message(call.request, told)
    return redirect(call.url(f"/-/files/source/{source.slug}/settings"))


def _as_json(source: Source, found: SourceSettings) -> dict[str, Any]:
    return {
        "ok": True,
        "source": source.slug,
        "version": found.version,
        "settings": {
            one.key: {name: getattr(one, name) for name in ("value", "yaml", "changed", "pinned")}
            for one in found.values.values()
        },
        "changes": [
            {
                "id": change.id,
                "changed_at": written(change.changed_at),
                "actor_id": change.actor_id,
                "setting": change.key,
                "old": change.old,
                "new": change.new,
                "reset": change.is_reset,
            }
            for change in found.changes
        ],
    }


@dataclass(frozen=True)
class _Form:
    """A refused form: its fields, the state of the settings that it showed, and the error."""

    entered: dict[str, str]
    version: int | None
    error: InvalidSettings | Conflict

    def against(self, found: SourceSettings) -> tuple[dict[str, str], set[str]]:
        """The fields that the form changed, and those of them that somebody else changed since.

        The other fields then show present values, or saving would undo others' changes.
        """
        if isinstance(self.error, InvalidSettings):
            return self.entered, set()
        since = [one for one in found.changes if self.version is None or one.id > self.version]
        before = {one.key: one.old for one in since}  # the oldest change comes last
        touched = _touched(self.entered, {**_values(found), **before})
        return touched, set(before).intersection(touched)


def _values(found: SourceSettings) -> dict[str, Any]:
    return {key: one.value for key, one in found.values.items()}


def _touched(entered: dict[str, str], values: dict[str, Any]) -> dict[str, str]:
    """The fields whose text differs from that of these values."""
    return {
        key: text
        for key, text in entered.items()
        if key not in values or text.replace("\r\n", "\n") != as_text(key, values[key])
    }


async def _page(
    call: Call, source: Source, found: SourceSettings, form: _Form | None = None, status: int = 200
) -> Response:
    """The page; for a refused form with its entries and errors."""
    texts = {key: as_text(key, value) for key, value in _values(found).items()}
    entered, overtaken = ({}, set()) if form is None else form.against(found)
    wrong = form.error.fields if form and isinstance(form.error, InvalidSettings) else {}
    context = {
        "source": source,
        "found": found,
        # After a mistake the form keeps its version; after a conflict it shows present values.
        "version": form.version if form and wrong else found.version,
        "entered": {**texts, **entered},
        "overtaken": overtaken,
        "wrong": wrong,
        "problem": str(form.error) if form and not wrong else None,
        "as_text": as_text,
        "written": written,
        "cap": source.capabilities.max_file_size,
    }
    return await page(call, "settings.html", context, status)


def as_text(key: str, value: Any) -> str:
    """A setting as text for its field of the form."""
    if _PARSERS.get(key) is parse_size and value is not None:
        return size_text(value)
    if isinstance(value, list):
        return "\n".join(value)
    if isinstance(value, bool):
        return "on" if value else "off"
    return "" if value is None else str(value)


def size_text(size: int) -> str:
    """A size for people where that is exact; else the number of bytes."""
    shown = human_size(size)
    return shown if parse_size(shown) == size else f"{size:,} bytes"


def _parsed(source: Source, entered: dict[str, str]) -> dict[str, Any]:
    """The values of a form's fields. Raises InvalidSettings."""
    values, wrong = {}, {}
    for key, text in entered.items():
        try:
            values[key] = _PARSERS[key](text.strip()) if key in _PARSERS else text.strip()
        except ValueError as error:
            wrong[key] = str(error)
    if wrong:
        # All mistakes together, to be corrected at once.
        raise InvalidSettings({**mistakes(source, values), **wrong})
    return values


def parse_size(text: str) -> int | None:
    """A number of bytes, such as ``1.5 GB``, in powers of 1024; None for nothing."""
    if not text:
        return None
    found = _SIZE.fullmatch(text.replace(",", ""))
    if not found:
        raise ValueError("must be a size such as 500 MB, or a number of bytes")
    number, unit = found[1], (found[2] or "b").lower()
    scale: int = 1024 ** _UNITS.index(unit[0])
    return int(number) * scale if number.isdigit() else round(float(number) * scale)


def _parse_number(text: str) -> int | None:
    if text and not _NUMBER.fullmatch(text):
        raise ValueError("must be a whole number")
    return int(text) if text else None


def _parse_switch(text: str) -> bool:
    if text not in ("on", "off"):
        raise ValueError("must be on or off")
    return text == "on"


_PARSERS: dict[str, Callable[[str], Any]] = {
    "label": lambda text: text or None,
    "max_file_size": parse_size,
    "allowed_content_types": lambda text: text.replace(",", " ").split() or None,
    "thumbnails": _parse_switch,
    "trash_days": _parse_number,
    "quota_bytes": parse_size,
    "quota_files": _parse_number,
    "quota_bytes_per_actor": parse_size,
    "presign_ttl_seconds": _parse_number,
}
