"""SQL of the sources in Datasette's jump menu. Leaves out the other entries (views/jump.py)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any


def sources(
    allowed: str, params: dict[str, Any], described: Iterable[tuple[str, str, str]]
) -> tuple[str, dict[str, Any]]:
    """A SELECT of the menu's columns for the sources that ``allowed`` yields, and its parameters.

    ``allowed`` is a SELECT of ``parent``, a source's slug, with ``params``; ``described`` holds a
    slug, a label and an address for each source. Runs on the internal database.
    """
    sql = f"""SELECT 'file source' AS type, json_extract(one.value, '$[1]') AS label,
            'Files of the source ' || json_extract(one.value, '$[0]') AS description,
            json_extract(one.value, '$[2]') AS url,
            json_extract(one.value, '$[1]') || ' ' || json_extract(one.value, '$[0]')
                AS search_text,
            NULL AS display_name
        FROM json_each(:files_described) AS one
        WHERE json_extract(one.value, '$[0]') IN (SELECT parent FROM ({allowed}))"""
    return sql, {**params, "files_described": json.dumps(list(described))}
