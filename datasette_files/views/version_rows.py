"""The page of a new version that puts it into the rows which hold an older one, and its request."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlencode

from datasette.utils.asgi import Response

from ..columns.version_rows import Outcome, Target
from ..db.columns import FileColumn
from ..errors import Invalid
from ..permissions.actions import Actor
from . import records
from .http import Call, answer, page, redirect

#: Rows of a column that the page names.
_MAX_NAMED = 20
_KEYS = ("database", "table", "column")
#: Columns that a form may name.
_MAX_FIELDS = 1_000
#: Characters of a message, which a cookie of at most 4 KB holds.
_MAX_MESSAGE = 1_000


async def rows_page(call: Call) -> Response:
    file, targets, complete = await call.files.version_rows.found(call.actor, call.vars["file_id"])
    context = {
        "file": records.full(call, file),
        "targets": [_described(call, one) for one in targets],
        "complete": complete,
    }
    return await page(call, "version_rows.html", context)


def _described(call: Call, target: Target) -> dict[str, Any]:
    column, holders = target.column, target.holders
    table = call.datasette.urls.table(column.database, column.table)
    return {
        "database": column.database,
        "name": f"{column.table}.{column.column}",
        "value": urlencode([(key, getattr(column, key)) for key in _KEYS]),
        "number": len(holders.rows),
        "more": holders.more,
        "missed": holders.missed,
        "refusal": target.refusal,
        "rows": [(row.path, f"{table}/{row.path}") for row in holders.rows[:_MAX_NAMED]],
    }


async def put(call: Call) -> Response:
    file_id, chosen = call.vars["file_id"], await _chosen(call)
    outcome = await call.files.version_rows.put(call.actor, file_id, chosen)
    if call.wants_page:
        call.datasette.add_message(call.request, _in_words(outcome)[:_MAX_MESSAGE])
        return redirect(call.url(f"/-/files/{file_id}/rows"))
    refused = [
        {**{key: getattr(column, key) for key in _KEYS}, "code": error.code, "error": str(error)}
        for column, error in outcome.refused
    ]
    body = {
        "ok": True,
        "updated": outcome.updated,
        "changed_meanwhile": outcome.changed_meanwhile,
        "refused": refused,
        "more": outcome.more,
    }
    return answer(call, body)


async def _chosen(call: Call) -> list[tuple[str, str, str]] | None:
    """The columns that a request names; None for all. Raises Invalid."""
    if call.sends_form:
        fields = await call.body.fields(_MAX_FIELDS)
        columns: Any = [
            {key: found[0] for key, found in parse_qs(value, max_num_fields=3).items()}
            for name, value in fields
            if name == "column"
        ]
    else:
        columns = (await call.body.json()).get("columns")
        if columns is None:
            return None
    if not isinstance(columns, list) or not all(
        isinstance(one, dict) and all(isinstance(one.get(key), str) for key in _KEYS)
        for one in columns
    ):
        raise Invalid(f"columns must be a list of objects with {', '.join(_KEYS)}")
    return [(one["database"], one["table"], one["column"]) for one in columns]


def _in_words(outcome: Outcome) -> str:
    """An outcome for people."""
    told = [f"{_rows(outcome.updated)} changed."]
    if outcome.changed_meanwhile:
        told.append(f"{_rows(outcome.changed_meanwhile)} had changed meanwhile and stayed.")
    told += [f"{_name(column)}: {error}." for column, error in outcome.refused]
    if outcome.more:
        told.append("There may be more rows.")
    return " ".join(told)


def _rows(number: int) -> str:
    return f"{number:,} row{'' if number == 1 else 's'}"


def _name(column: FileColumn) -> str:
    return f"{column.table}.{column.column}"


async def offered(call: Call, actor: Actor) -> bool:
    """Tell whether the actor may update rows of any table."""
    found = await call.datasette.allowed_resources("update-row", actor, limit=1)
    return bool(found.resources)
