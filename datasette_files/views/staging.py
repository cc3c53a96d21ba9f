"""The 403 of every page and call about a staging table, before Datasette looks the table up.

Datasette's list of tables may be older than a table of another process; its pages would answer 500
where SQLite refuses the table (tables/closing.py).
"""

from __future__ import annotations

from typing import Any

from datasette.utils.asgi import Forbidden

from ..tables.content import STAGING_PREFIX

#: Everything below ``/database/table``, in any capitals.
PATTERN = rf"^/[^/]+/(?i:{STAGING_PREFIX})[^/]*(/.*)?$"


async def refuse(request: Any) -> None:
    """Raises Forbidden."""
    raise Forbidden("The tables of a running import are closed; look at its table when it ends")
