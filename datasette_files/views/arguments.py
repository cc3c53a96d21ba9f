"""The arguments of a list, and the URLs of the lists beside it: other pages, other orders."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timezone
from itertools import chain
from typing import Any, TypeVar, cast
from urllib.parse import urlencode

from ..db.folders import Within
from ..db.listing import Page
from ..db.streams import ListQuery, Order
from ..db.trash import TrashPage
from ..errors import Invalid
from ..naming import check_folder, check_tags
from ..previews.thumbnails import SIDES
from .http import Call
from .look import COLUMN, PAGE_SIZES, size

#: Names the file that was deleted just before a source's page was opened.
TRASHED = "trashed"
_SORTS = ("created_at", "filename", "size")
#: Characters of all URLs in one list of links. A page stays under 2 MB.
_MAX_LINKS = 200_000

_Link = TypeVar("_Link", bound=tuple[Any, ...])


def list_query(call: Call) -> ListQuery:
    """The order, filters and page of a list. Raises Invalid."""
    order, descending = _order(call)
    types = (value.lower() for value in call.query.get("content_type", []))
    return ListQuery(
        source_ids=(),
        order=order,
        descending=descending,
        content_types=tuple(filter(None, types)),
        uploaded_by=call.argument("uploaded_by"),
        created_after=moment("created_after", call.argument("created_after")),
        created_before=moment("created_before", call.argument("created_before")),
        after=call.argument("_next"),
        limit=size(call),
        within=within(call),
        all_versions=_all_versions(call),
    )


def _all_versions(call: Call) -> bool:
    versions = call.argument("versions")
    if versions not in (None, "newest", "all"):
        raise Invalid("versions must be all or newest")
    return versions == "all"


def within(call: Call, *, recursive: bool = False) -> Within:
    """The folder and the tags of a list; ``recursive``: with the files below. Raises Invalid."""
    folders = call.query.get("folder")
    asked = call.argument("recursive")
    if asked not in (None, "0", "1"):
        raise Invalid("recursive must be 1 or 0")
    return Within(
        check_folder(folders[0]) if folders else None,
        recursive or asked == "1",
        check_tags(call.query.get("tag", [])),
    )


def _order(call: Call) -> tuple[Order, bool]:
    """The sort key, and whether the greatest comes first."""
    ascending, descending = call.argument("_sort"), call.argument("_sort_desc")
    if ascending and descending:
        raise Invalid("Give one of _sort and _sort_desc")
    # A minus sign stands for the greatest first, in _sort too.
    written = ascending or f"-{descending or 'created_at'}"
    order = written.removeprefix("-")
    if order not in _SORTS:
        raise Invalid(f"A list can be sorted by {', '.join(_SORTS)}, not by {order}")
    return cast(Order, order), written.startswith("-")


def thumbnail_side(call: Call) -> int:
    """The side of a thumbnail in pixels, by ``w``. Raises Invalid for another size."""
    value = call.argument("w")
    for side in SIDES:
        if value in (None, str(side)):
            return side
    raise Invalid(f"w must be one of {', '.join(map(str, SIDES))}")


def takes_webp(call: Call) -> bool:
    """True if the client accepts WebP by name (RFC 9110, 12.5.1); ``*`` does not count."""
    for item in call.headers.get("accept", "").lower().split(","):
        name, _, parameters = item.partition(";")
        if name.strip() == "image/webp":
            return re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", parameters) is None
    return False


def moment(name: str, value: str | None) -> str | None:
    """A date or an ISO 8601 time, in the catalog's format. Raises Invalid, with this name."""
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(value.replace("Z", "+00:00").replace(" 00:00", "+00:00"))
        if found.tzinfo is not None:
            found = found.astimezone(timezone.utc)
        # Not strftime: its %Y need not pad the years before 1000, and texts are compared.
        return found.replace(tzinfo=None).isoformat(" ", "seconds")
    except (ValueError, OverflowError):
        raise Invalid(f"{name} must be a date such as 2026-03-31, or 2026-03-31T12:00:00") from None


def view_urls(call: Call) -> dict[str, str]:
    """The URLs of this page as list and as grid."""
    return {view: _changed(call, {"view": view}) for view in ("list", "grid")}


def size_urls(call: Call, total: int) -> list[tuple[int, str, bool]]:
    """The numbers of files that a page offers, each with its URL, and whether it is shown now."""
    shown = size(call)
    return [
        (number, _changed(call, {"_size": str(number), "_next": None}), number == shown)
        for number in PAGE_SIZES
        if total > PAGE_SIZES[0]
    ]


def folder_url(call: Call, folder: str) -> str:
    """The URL of this list in another folder."""
    return _changed(call, {"folder": folder, "recursive": None, "_next": None})


def in_folders_below(call: Call) -> str:
    """The URL of this list with the files of the folders below."""
    return _changed(call, {"recursive": "1", "_next": None})


def folder_urls(call: Call, folder: str) -> list[tuple[str, str]]:
    """The name and the URL of the folder and of every folder above it, the top one first.

    Of too many only the lowest ones.
    """
    names = folder.split("/") if folder else []
    lowest_first = (
        (names[depth - 1], folder_url(call, "/".join(names[:depth])))
        for depth in range(len(names), 0, -1)
    )
    return bounded(lowest_first)[::-1]


def bounded(links: Iterable[_Link]) -> list[_Link]:
    """The first links, each of which ends with its URL, that a page has room for.

    Each repeats the whole query, so that a few long filters would make megabytes.
    """
    found: list[_Link] = []
    left = _MAX_LINKS
    for link in links:
        left -= len(link[-1])
        if left < 0:
            break
        found.append(link)
    return found


def tag_urls(
    call: Call, chosen: tuple[str, ...], found: list[tuple[str, int]]
) -> list[tuple[str, int | None, str]]:
    """Tag, files, and the URL of the list with the tag too; for a chosen one, None and without."""

    def url(*tags: str) -> str:
        address = _changed(call, {"tag": None, "_next": None})
        joint = "&" if "?" in address else "?"
        return address + (joint + urlencode([("tag", tag) for tag in tags]) if tags else "")

    removing = ((tag, None, url(*(one for one in chosen if one != tag))) for tag in chosen)
    adding = ((tag, count, url(*chosen, tag)) for tag, count in found if tag not in chosen)
    return bounded(chain(removing, adding))


def first_url(call: Call) -> str | None:
    """The URL of the list's first page; None on the first page."""
    return _changed(call, {"_next": None}) if call.argument("_next") else None


def next_url(call: Call, token: str | None) -> str | None:
    """The URL of the next page."""
    return None if token is None else _changed(call, {"_next": token})


def paging(call: Call, found: Page | TrashPage) -> dict[str, Any]:
    """The count of a list's page, and its next page, as JSON has them."""
    return {
        "total": found.total,
        "count_truncated": found.total_truncated,
        "next": found.next,
        "next_url": next_url(call, found.next),
    }


def with_path(call: Call, path: str) -> str:
    """The URL of another form of this list, from its first page on."""
    return _changed(call, {"_next": None}, path)


def _changed(call: Call, changes: dict[str, str | None], path: str | None = None) -> str:
    pairs = kept_arguments(call, *changes)
    pairs.extend((name, value) for name, value in changes.items() if value is not None)
    url = call.url(path or call.path)
    return f"{url}?{urlencode(pairs)}" if pairs else url


def kept_arguments(call: Call, *replaced: str) -> list[tuple[str, str]]:
    """The arguments of this page that a page beside it has too; the columns are in the cookie."""
    return [
        (name, value)
        for name, values in call.query.items()
        if name not in (TRASHED, COLUMN, *replaced)
        for value in values
        if value or name == "folder"  # an empty one is the top folder
    ]


def sort_urls(call: Call, query: ListQuery) -> dict[str, str]:
    """The URL of the list sorted by each column; reversed for the present one."""
    urls = {}
    for order in _SORTS:
        current = order == query.order
        ascend = query.descending if current else order == "filename"
        changes: dict[str, str | None] = {"_next": None, "_sort": None, "_sort_desc": None}
        changes["_sort" if ascend else "_sort_desc"] = order
        urls[order] = _changed(call, changes)
    return urls
