"""How a reader looks at lists: as a list or a grid, how many files a page has, and which columns.

The query says it, else the cookie that keeps what the query said last. Leaves out the URLs of the
other looks (arguments.py), and programs: their lists have a size and nothing else of this.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from datasette.utils.asgi import Response

from ..errors import Invalid
from .http import Call

_DEFAULT_SIZE = 20
_MAX_SIZE = 200
_SIZE = re.compile(r"[0-9]{1,3}")
#: Files that a page shows by default, and the numbers that it offers.
_PAGE_SIZE = 100
PAGE_SIZES = (50, 100, 200)
#: The columns that a list can show beside the name, in their order, and their headings.
COLUMNS = {
    "type": "Type",
    "size": "Size",
    "pixels": "Pixels",
    "folder": "Folder",
    "tags": "Tags",
    "source": "Source",
    "uploader": "Uploader",
    "added": "Added",
    "id": "Id",
}
_SHOWN = ("type", "size", "source", "uploader", "added")
#: Chooses a column, as in Datasette's tables. It is repeated, and ``name`` is always shown.
COLUMN = "_col"
#: A cookie such as ``grid-100`` or ``list-50-type.size.tags``.
_COOKIE = "datasette_files_look"
_COOKIE_PATTERN = re.compile(r"(list|grid)-([0-9]{1,3})(?:-([a-z.]*))?")
_COOKIE_SECONDS = 365 * 24 * 3600


@dataclass(frozen=True)
class _Look:
    """The look that a cookie keeps."""

    view: str = "list"
    size: int = _PAGE_SIZE
    columns: tuple[str, ...] = _SHOWN


def _kept(call: Call) -> _Look:
    """The look of the reader's last list; the default for a cookie that is not ours."""
    found = _COOKIE_PATTERN.fullmatch(call.request.cookies.get(_COOKIE, ""))
    if found is None or int(found[2]) not in PAGE_SIZES:
        return _Look()
    columns = _SHOWN if found[3] is None else _in_order(found[3].split("."))
    return _Look(found[1], int(found[2]), columns)


def _in_order(chosen: list[str]) -> tuple[str, ...]:
    return tuple(column for column in COLUMNS if column in chosen)


def size(call: Call) -> int:
    """The number of files or entries of a page, from 1 to 200. Raises Invalid."""
    value = call.argument("_size")
    if value is None:
        return _kept(call).size if call.page else _DEFAULT_SIZE
    if value == "max":
        return _MAX_SIZE
    # At most three digits, as int() raises for thousands of them.
    if not _SIZE.fullmatch(value) or not 1 <= int(value) <= _MAX_SIZE:
        raise Invalid(f"_size must be a number from 1 to {_MAX_SIZE}")
    return int(value)


def grid(call: Call) -> bool:
    """True for a list as a grid of thumbnails. Raises Invalid."""
    view = call.argument("view") or (_kept(call).view if call.page else "list")
    if view not in ("list", "grid"):
        raise Invalid(f"view must be list or grid, not {view}")
    return view == "grid"


def columns(call: Call) -> tuple[str, ...]:
    """The columns of a page's list beside the name. Raises Invalid for one that does not exist."""
    chosen = call.query.get(COLUMN)
    if chosen is None:
        return _kept(call).columns
    for column in chosen:
        if column not in ("name", *COLUMNS):
            raise Invalid(f"A list has the columns name, {', '.join(COLUMNS)}, not {column}")
    return _in_order(chosen)


def keep_look(call: Call, response: Response) -> Response:
    """Keep the look that the query names, for the next list in this browser."""
    if call.argument("view") or call.argument("_size") or COLUMN in call.query:
        shown = size(call)
        kept = shown if shown in PAGE_SIZES else _kept(call).size
        view = "grid" if grid(call) else "list"
        look = f"{view}-{kept}"
        if (chosen := columns(call)) != _SHOWN:
            look += f"-{'.'.join(chosen)}"
        response.set_cookie(_COOKIE, look, max_age=_COOKIE_SECONDS, path=call.url("/"))
    return response
