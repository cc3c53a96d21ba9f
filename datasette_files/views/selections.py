"""Selections in requests: files by ids or by filters, as JSON and as the fields of a form."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from ..catalog.selecting import MAX_IDS, Filters, Selection
from ..errors import Invalid
from ..naming import check_folder, check_tags, storable
from .arguments import moment

#: Fields of a form: an id for each file, and the rest.
MAX_FIELDS = MAX_IDS + 100
_FILTERS = (
    *("source", "q", "folder", "recursive", "tag", "content_type", "uploaded_by"),
    *("created_after", "created_before"),
)


def parse(value: object) -> Selection:
    """A selection in JSON: ids, or filters, at least one, so that a slip is not everything.

    Raises Invalid.
    """
    if not isinstance(value, dict):
        raise Invalid('selection must be {"ids": ["df-…"]}, or filters such as {"source": "docs"}')
    if "ids" in value:
        ids = value["ids"]
        if len(value) > 1 or not isinstance(ids, list):
            raise Invalid('Send {"ids": ["df-…"]} without filters')
        if not all(isinstance(one, str) and 0 < len(one) <= 200 for one in ids):
            raise Invalid("ids must be a list of file ids")
        return Selection.of_ids(ids)
    if "unreferenced" in value:
        raise Invalid(
            "unreferenced cannot be a selection, as rows may change meanwhile; choose files of the"
            " list by their ids"
        )
    if unknown := sorted(set(value) - set(_FILTERS)):
        raise Invalid(
            f"Unknown in selection: {', '.join(unknown)}; known are {', '.join(_FILTERS)}"
        )
    if not any(value.get(name) not in (None, "", []) for name in _FILTERS if name != "recursive"):
        raise Invalid("selection names no file; send ids, or a filter such as source")
    recursive = value.get("recursive", True)
    if not isinstance(recursive, bool):
        raise Invalid("recursive must be true or false")
    folder = value.get("folder")
    return Selection(
        filters=Filters(
            source=_text(value, "source"),
            q=(_text(value, "q") or "").strip(),
            folder=None if folder is None else check_folder(folder),
            recursive=recursive,
            tags=check_tags(_several(value, "tag")),
            content_types=tuple(one.lower() for one in _several(value, "content_type") if one),
            uploaded_by=_text(value, "uploaded_by"),
            created_after=moment("created_after", _text(value, "created_after")),
            created_before=moment("created_before", _text(value, "created_before")),
        )
    )


def _text(value: dict[str, Any], name: str) -> str | None:
    given = value.get(name)
    if given is not None and not (isinstance(given, str) and storable(given)):
        raise Invalid(f"{name} must be text of valid Unicode")
    return given or None


def _several(value: dict[str, Any], name: str) -> list[str]:
    given = value.get(name, [])
    several = [given] if isinstance(given, str) else given
    if not isinstance(several, list) or not all(
        isinstance(one, str) and storable(one) for one in several
    ):
        raise Invalid(f"{name} must be text of valid Unicode, or a list of such texts")
    return several


def from_form(fields: list[tuple[str, str]]) -> dict[str, Any]:
    """A form's fields in the shape of JSON. ``match``, a query string, has the filters."""
    match = dict(fields).get("match")
    if not match:
        return {"ids": [value for name, value in fields if name == "id"]}
    selection: dict[str, Any] = dict(parse_qs(match, keep_blank_values=True, max_num_fields=100))
    for name, given in selection.items():
        if name not in ("tag", "content_type"):
            selection[name] = given[0]
    if "recursive" in selection:
        selection["recursive"] = selection["recursive"] == "1"
    return selection
