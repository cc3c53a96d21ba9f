"""The entries of Datasette's jump menu: our pages, the sources, and files by their names.

Datasette asks at every key that is pressed, and shows 100 entries of all plugins at most.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from datasette.jump import JumpSQL

from ..app import Files
from ..db import jump
from ..errors import Invalid, TimedOut
from ..models import FileRecord
from ..naming import plain
from ..permissions import actions
from ..permissions.actions import Actor
from ..permissions.sight import Sight, sight

#: Files of one answer; an entry leads to the others.
_MAX_FILES = 20


async def items(datasette: Any, actor: Actor, request: Any) -> list[JumpSQL]:
    """All entries that the actor may see, for the words that the person has typed."""
    files, found = Files.of(datasette), []
    seen = await sight(datasette, actor)
    # Most people may browse a source, and then no more rules are gathered.
    if await files.catalog.read(seen.browse.slugs) or await sees_files(datasette, actor):
        found.append(
            JumpSQL.menu_item(
                label="Files",
                url=datasette.urls.path("/-/files"),
                description="Browse, search and upload files",
            )
        )
        found.append(_sources(files, seen))
        if q := request.args.get("q", "").strip():
            found += await _files(files, seen, q)
    if await datasette.allowed(action=actions.DEBUG, actor=actor):
        found.append(
            JumpSQL.menu_item(
                label="File storages",
                url=datasette.urls.path("/-/files/storages"),
                description="See what storages hold and how they are",
                item_type="debug",
            )
        )
    return found


async def sees_files(datasette: Any, actor: Actor) -> bool:
    """Tell whether our first page has anything for the actor."""
    files = Files.of(datasette)
    if await files.lookup.allowed_sources(actor, actions.UPLOAD):
        return True
    return await files.lookup.sees_any(actor)


def _sources(files: Files, seen: Sight) -> JumpSQL:
    """The sources that the actor may browse: decided when Datasette runs the SQL."""
    described = [
        (one.slug, one.label, files.datasette.urls.path(f"/-/files/source/{one.slug}"))
        for one in files.sources
    ]
    return JumpSQL(*jump.sources(seen.browse.sql, seen.browse.params, described))


async def _files(files: Files, seen: Sight, q: str) -> list[JumpSQL]:
    """The newest files that the words name, and the way to the others."""
    try:
        found, more = await files.search.by_name(seen, q, _MAX_FILES)
    except TimedOut:
        found, more = [], True  # the page of the search says so, and what to do
    except Invalid:
        return []  # a menu is no place for more words than a search takes
    entries = [_file(files, one, q) for one in found]
    if more:
        url = files.datasette.urls.path(f"/-/files/search?{urlencode({'q': q})}")
        entries.append(
            JumpSQL.menu_item(
                label=f"All files with “{plain(q)}”",
                url=url,
                description="Search files",
                search_text=q,
            )
        )
    return entries


def _file(files: Files, file: FileRecord, q: str) -> JumpSQL:
    # The search has matched, in more spellings than the LIKE that Datasette adds, so that must too.
    return JumpSQL.menu_item(
        label=plain(file.filename),
        url=files.datasette.urls.path(f"/-/files/{file.id}"),
        description="/".join(filter(None, (file.source_slug, plain(file.folder)))),
        search_text=q,
        item_type="file",
    )
