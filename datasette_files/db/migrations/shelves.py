"""The indexes of lists, and the triggers that keep totals, folders, tags and the search index.

They go by the shelf (versions.py), so a first start makes them once that exists; an older database
gives up the earlier forms that it has.

* indexes: one for each order and filter that a list offers (streams.py names them).
* totals: files and bytes by shelf, uploader and type; folders: the same, by each folder above.
* search index: a file that may have words beyond the tokenizer's is noted in datasette_files_terms,
  so that rows of other tools, which cannot call Python, are indexed too.
"""

from __future__ import annotations

from .search import COLUMNS, has_extra

_ORDERS = {
    "created": "created_at",
    "filename": "filename COLLATE NOCASE",
    "size": "ifnull(size, -1)",
}
_FILTERS = {
    "": "shelf",
    "_type": "shelf, ifnull(content_type, '')",
    "_uploader": "shelf, ifnull(uploaded_by, ''), ifnull(content_type, '')",
    "_folder": "shelf, folder",
}
#: The indexes of lists, by name.
INDEXES = {
    (name := f"datasette_files_by{prefix}_{order}"): (
        f"CREATE INDEX {name} ON datasette_files ({columns}, {key})"
    )
    for prefix, columns in _FILTERS.items()
    for order, key in _ORDERS.items()
}


_COUNT = """INSERT INTO datasette_files_totals (source_id, uploaded_by, content_type, files, bytes)
    VALUES (new.shelf, ifnull(new.uploaded_by, ''), ifnull(new.content_type, ''),
        1, ifnull(new.size, 0))
    ON CONFLICT DO UPDATE SET files = files + 1, bytes = bytes + excluded.bytes;"""
_DISCOUNT = """UPDATE datasette_files_totals
    SET files = files - 1, bytes = bytes - ifnull(old.size, 0)
    WHERE source_id = old.shelf AND uploaded_by = ifnull(old.uploaded_by, '')
        AND content_type = ifnull(old.content_type, '');
    DELETE FROM datasette_files_totals
    WHERE source_id = old.shelf AND uploaded_by = ifnull(old.uploaded_by, '')
        AND content_type = ifnull(old.content_type, '') AND files <= 0;"""


def _above(row: str) -> str:
    """A query of ``(parent, name)``: the folder of a file, and every folder above it."""
    text = f"{row}.folder || '/'"
    return f"""(WITH RECURSIVE step (parent, name, rest) AS (
            SELECT '', substr({text}, 1, instr({text}, '/') - 1),
                substr({text}, instr({text}, '/') + 1)
            UNION ALL
            SELECT parent || CASE parent WHEN '' THEN '' ELSE '/' END || name,
                substr(rest, 1, instr(rest, '/') - 1), substr(rest, instr(rest, '/') + 1)
            FROM step WHERE rest != ''
        ) SELECT parent, name FROM step)"""


def _put(parent: str, name: str, rows: str) -> str:
    return f"""INSERT INTO datasette_files_folders (source_id, parent, name, files, bytes)
        SELECT new.shelf, {parent}, {name}, 1, ifnull(new.size, 0) {rows}
        ON CONFLICT DO UPDATE SET files = files + 1, bytes = bytes + excluded.bytes;"""


#: A folder at the top needs no recursive query, whose tables take longer to make than an index.
_PUT = _put("''", "new.folder", "WHERE new.folder != '' AND instr(new.folder, '/') = 0") + _put(
    "parent", "name", f"FROM {_above('new')} WHERE instr(new.folder, '/') > 0"
)
_TAKE = f"""UPDATE datasette_files_folders
    SET files = files - 1, bytes = bytes - ifnull(old.size, 0)
    WHERE source_id = old.shelf AND (parent, name) IN {_above("old")};
    DELETE FROM datasette_files_folders
    WHERE source_id = old.shelf AND (parent, name) IN {_above("old")} AND files <= 0;"""

_TAG = """INSERT OR IGNORE INTO datasette_files_tags (source_id, tag, seq)
    SELECT new.shelf, value, new.seq FROM json_each(new.tags);"""
_UNTAG = """DELETE FROM datasette_files_tags WHERE source_id = old.shelf AND seq = old.seq
    AND tag IN (SELECT value FROM json_each(old.tags));"""


def _values(row: str, extra: str) -> str:
    return f"""{row}.seq, {row}.id, {row}.filename, {row}.content_type, {row}.search_text,
        {row}.shelf, {extra}"""


def _index(row: str, extra: str) -> str:
    return f"""INSERT INTO datasette_files_fts (rowid, {COLUMNS})
        SELECT {_values(row, extra)}"""


def _unindex(row: str, extra: str) -> str:
    return f"""INSERT INTO datasette_files_fts (datasette_files_fts, rowid, {COLUMNS})
        SELECT 'delete', {_values(row, extra)}"""


def _note(condition: str) -> str:
    return f"""INSERT INTO datasette_files_terms (seq)
        SELECT new.seq WHERE {condition} AND ({has_extra("new")} OR new.tags != '[]')"""


_EXTRA = "(SELECT extra FROM datasette_files_terms WHERE seq = {0}.seq)"
_FORGET = "DELETE FROM datasette_files_terms WHERE seq = old.seq"
_NEW_WORDS = """((old.filename, old.search_text) IS NOT (new.filename, new.search_text)
    OR old.tags IS NOT new.tags)"""
_DELETED = _unindex("old", _EXTRA.format("old"))


def _kept(
    name: str, columns: str, added: str, deleted: str, changed: str, when: str = ""
) -> dict[str, str]:
    """Triggers, by name, that keep something in step with the files.

    ``columns`` are those whose change matters; ``when`` is a condition on ``{row}``.
    """

    def trigger(event: str, rows: tuple[str, ...], body: str) -> str:
        condition = " OR ".join(when.format(row=row) for row in rows)
        return f"""AFTER {event} ON datasette_files
            {f"WHEN {condition}" if when else ""} BEGIN {body} END"""

    events = {
        "ai": trigger("INSERT", ("new",), added),
        "ad": trigger("DELETE", ("old",), deleted),
        "au": trigger(f"UPDATE OF superseded_by, {columns}", ("old", "new"), changed),
    }
    return {f"{name}_{one}": f"CREATE TRIGGER {name}_{one} {sql}" for one, sql in events.items()}


#: The triggers, by name.
TRIGGERS = {
    **_kept(
        "datasette_files",
        "filename, content_type, search_text, source_id, tags",
        f"""DELETE FROM datasette_files_terms WHERE seq = new.seq;
            {_note("true")}; {_index("new", "NULL")};""",
        f"{_DELETED}; {_FORGET};",
        f"""{_DELETED}; {_FORGET} AND {_NEW_WORDS}; {_note(_NEW_WORDS)};
            {_index("new", _EXTRA.format("new"))};""",
    ),
    **_kept(
        "datasette_files_totals",
        "source_id, content_type, uploaded_by, size",
        *(_COUNT, _DISCOUNT, f"{_DISCOUNT} {_COUNT}"),
    ),
    **_kept(
        "datasette_files_folders",
        "source_id, folder, size",
        *(_PUT, _TAKE, f"{_PUT} {_TAKE}"),
        when="{row}.folder != ''",
    ),
    **_kept(
        "datasette_files_tags_file",
        "source_id, tags",
        *(_TAG, _UNTAG, f"{_UNTAG} {_TAG}"),
        when="{row}.tags != '[]'",
    ),
    "datasette_files_terms_au": f"""CREATE TRIGGER datasette_files_terms_au
        AFTER UPDATE OF extra ON datasette_files_terms BEGIN
        {_unindex("f", "old.extra")} FROM datasette_files f WHERE f.seq = old.seq;
        {_index("f", "new.extra")} FROM datasette_files f WHERE f.seq = new.seq; END""",
}
