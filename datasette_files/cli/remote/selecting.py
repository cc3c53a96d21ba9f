"""The files of a server that the filters of ``ls``, ``copy`` and ``move`` select.

Only the newest version of each file, as in the server's lists. Leaves out the options themselves
(cli/selection.py).
"""

from __future__ import annotations

import fnmatch
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from ...client import AsyncClient, Record
from ...db.streams import is_wanted
from ...errors import NotFound, PermissionDenied
from ..output import text


async def selected(
    client: AsyncClient,
    slug: str,
    name: str | None = None,
    types: tuple[str, ...] = (),
    prefix: str | None = None,
    search: str | None = None,
    after: str = "",
) -> AsyncGenerator[Record, None]:
    """Each file that matches every filter: the newest first, or with a path in their order.

    Raises NotFound with what to do if the server does not tell the paths of the source.
    """
    if prefix or after:
        found = _by_path(client, slug, types, text(prefix or "", "--prefix"), search, after)
    else:
        found = client.files(slug, q=search or None, content_type=list(types))
    async with aclosing(found) as files:  # type: ignore[type-var]
        async for file in files:
            if name is None or fnmatch.fnmatchcase(file["filename"], name):
                yield file


async def _by_path(
    client: AsyncClient,
    slug: str,
    types: tuple[str, ...],
    prefix: str,
    search: str | None,
    after: str,
) -> AsyncIterator[Record]:
    hits = None if not search else {file["id"] async for file in client.files(slug, q=search)}
    wanted = tuple(kind.lower() for kind in types)
    try:
        async with aclosing(client.by_path(slug, prefix=prefix, after=after)) as files:  # type: ignore[type-var]
            async for file in files:
                kind = file["content_type"] or ""
                if is_wanted(kind, wanted) and (hits is None or file["id"] in hits):
                    yield file
    except (NotFound, PermissionDenied) as error:
        raise type(error)(
            f"The paths of {slug} are read from its tables, which the server does not show"
            f" ({error}); leave out --prefix and --after"
        ) from error
