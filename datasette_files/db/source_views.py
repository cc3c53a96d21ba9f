"""The tables of a source's database ``files_{slug}``, as views of the internal database.

``DECLARED`` is what Datasette and people see: the tables with their keys, without rows.
``views`` makes the temporary views of the same names, which SQLite finds first and which have the
rows. Leaves out the connection that closes everything else (closed.py).
"""

from __future__ import annotations

from .migrations import FILE_COLUMNS
from .migrations.versions import SUPERSEDED
from .texts import SHIFT

#: The name under which the internal database is attached.
INTERNAL = "internal"
#: The search index of all pages. FTS5 reads its own tables, whose names begin so.
PAGES_INDEX = "datasette_files_pages_fts"
#: The index of ``pages``, as Datasette asks for it.
SEARCH = "pages_fts"

_NUMBERS = ("source_id", "size", "width", "height", "version")
_FILE_TYPES = ",\n    ".join(
    f"{name} {'INTEGER' if name in _NUMBERS else 'TEXT'}" for name in FILE_COLUMNS[1:]
)
_FILE = "file_id TEXT REFERENCES files(id)"
_TABLES = {
    "files": f"""CREATE TABLE files (
    id TEXT PRIMARY KEY,
    {_FILE_TYPES},
    source_slug TEXT
)""",
    "media": f"""CREATE TABLE media (
    {_FILE},
    taken_at TEXT,
    camera TEXT,
    lens TEXT,
    duration REAL,
    width INTEGER,
    height INTEGER,
    latitude REAL,
    longitude REAL,
    PRIMARY KEY (file_id)
)""",
    "pages": f"CREATE TABLE pages (\n    {_FILE},\n    page INTEGER,\n    text TEXT\n)",
    "tags": f"CREATE TABLE tags (\n    {_FILE},\n    tag TEXT,\n    PRIMARY KEY (file_id, tag)\n)",
    SEARCH: f"CREATE TABLE {SEARCH} ({SEARCH})",
}
#: The tables by name, without ``SEARCH``.
TABLES = tuple(name for name in _TABLES if name != SEARCH)
DECLARED = ";\n".join(_TABLES.values())

_FILE_VIEW = f"""SELECT {", ".join(f"f.{name} AS {name}" for name in FILE_COLUMNS)},
    '{{slug}}' AS source_slug
    FROM {INTERNAL}.datasette_files f WHERE f.source_id = {{source}}"""
# A long page has several rows, one after the other: the first stands for it.
_PIECES = f"""{INTERNAL}.datasette_files_pages {{0}} INDEXED BY datasette_files_pages_by_source"""
_PAGE_VIEW = f"""SELECT p.id AS rowid, f.id AS file_id, p.page AS page,
    (SELECT group_concat(piece.text, '') FROM (
        SELECT q.text AS text FROM {INTERNAL}.datasette_files_pages q
        WHERE q.id BETWEEN p.id AND (((p.id >> {SHIFT}) + 1) << {SHIFT}) - 1 AND q.page = p.page
        ORDER BY q.id
    ) AS piece) AS text
    FROM {_PIECES.format("p")} JOIN {INTERNAL}.datasette_files f ON f.seq = p.id >> {SHIFT}
    AND p.id BETWEEN f.seq << {SHIFT} AND ((f.seq + 1) << {SHIFT}) - 1
    WHERE likelihood(p.source_id = {{source}}, 0.99)
    AND +f.source_id = {{source}} AND NOT EXISTS (
        SELECT 1 FROM {_PIECES.format("b")} WHERE b.source_id = {{source}} AND b.id = p.id - 1
        AND b.page = p.page AND b.id >> {SHIFT} = p.id >> {SHIFT})"""
# The first piece follows the last one of the page before, which a step or two backwards finds.
_SEARCH_VIEW = f"""SELECT ifnull(
        (SELECT q.id + 1 FROM {_PIECES.format("q")}
            WHERE q.source_id = {{source}} AND q.page <> p.page
            AND q.id BETWEEN (p.id >> {SHIFT}) << {SHIFT} AND p.id ORDER BY q.id DESC LIMIT 1),
        (SELECT min(q.id) FROM {_PIECES.format("q")}
            WHERE q.source_id = {{source}} AND q.id >= (p.id >> {SHIFT}) << {SHIFT})) AS rowid,
    x.{PAGES_INDEX} AS {SEARCH}
    FROM {INTERNAL}.{PAGES_INDEX} x CROSS JOIN {_PIECES.format("p")} ON p.id = x.rowid
    WHERE p.source_id = {{source}}"""
_TAG_VIEW = f"""SELECT f.id AS file_id, t.tag AS tag
    FROM {INTERNAL}.datasette_files_tags t
    CROSS JOIN {INTERNAL}.datasette_files f ON f.seq = t.seq
    WHERE t.source_id IN ({{source}}, {{source}} + {SUPERSEDED}) AND f.source_id = {{source}}"""
_MEDIA_VIEW = f"""SELECT m.file_id AS file_id, m.taken_at AS taken_at, m.camera AS camera,
    m.lens AS lens, m.duration AS duration, m.width AS width, m.height AS height,
    {{latitude}} AS latitude, {{longitude}} AS longitude
    FROM {INTERNAL}.datasette_files_media m INDEXED BY datasette_files_media_by_source
    WHERE m.source_id = {{source}} AND m.status = 'done'"""
_VIEWS = {
    "files": _FILE_VIEW,
    "media": _MEDIA_VIEW,
    "pages": _PAGE_VIEW,
    "tags": _TAG_VIEW,
    SEARCH: _SEARCH_VIEW,
}


def views(source_id: int, slug: str, inner: str, *, places: bool) -> list[str]:
    """The statements that make the views of one source.

    ``inner`` names the part of each view that reads the internal database: to an authorizer it is
    the view on whose behalf a table is read. ``places``: whether places are shown.
    """
    values = {
        "source": int(source_id),
        "slug": slug.replace("'", "''"),
        "latitude": "m.latitude" if places else "NULL",
        "longitude": "m.longitude" if places else "NULL",
    }
    return [
        f'CREATE TEMP VIEW {name} AS WITH "{inner}" AS ({sql.format(**values)})'
        f' SELECT * FROM "{inner}"'
        for name, sql in _VIEWS.items()
    ]


def counts(source_id: int, most: int) -> str:
    """A query of ``(table, rows)`` that is quick for any number of files.

    Pages and media are counted up to ``most``; a long page counts as several.
    """
    source = int(source_id)
    shelves = f"source_id IN ({source}, {source + SUPERSEDED})"
    return f"""SELECT 'files', ifnull(sum(files), 0) FROM datasette_files_totals WHERE {shelves}
        UNION ALL SELECT 'media', count(*) FROM (SELECT 1 FROM datasette_files_media
            WHERE source_id = {source} AND status = 'done' LIMIT {int(most)})
        UNION ALL SELECT 'pages', count(*) FROM (SELECT 1 FROM datasette_files_pages
            INDEXED BY datasette_files_pages_by_source
            WHERE source_id = {source} LIMIT {int(most)})
        UNION ALL SELECT 'tags', ifnull(sum(files), 0) FROM datasette_files_tag_totals
            WHERE {shelves}
        UNION ALL SELECT '{SEARCH}', 0"""
