"""A large catalog for P8: files that exist as rows only, built once and copied for each run.

The schema is whatever the measured side creates at a first start; rows go into `datasette_files` by
plain SQL in one transaction, so that the side's own triggers keep its search index and its counts.
The built database is cached under a name made of its schema and its size. The rows are the same in
every build: words follow a Zipf-like frequency, so that the two most common occur in 20-40 % of the
rows, sizes are log-normal, dates spread over six years with ties, and sources are of unequal size.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from benchmarks.bench import Bench, log
from benchmarks.environments import Interpreter
from benchmarks.servers import DatasetteServer

# Slug -> share of the rows. The last is configured and denied: lists must leave it out.
SOURCES = {"bench": 0.50, "invoices": 0.25, "photos": 0.15, "scans": 0.07, "closed": 0.03}
READABLE = tuple(SOURCES)[:-1]
DENIED = tuple(SOURCES)[-1:]
CONTENT_TYPES = {
    "application/pdf": ("pdf", 35),
    "image/jpeg": ("jpg", 27),
    "image/png": ("png", 12),
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ("docx", 9),
    "text/csv": ("csv", 8),
    "text/plain": ("txt", 6),
    "video/mp4": ("mp4", 3),
}
COMMON = ("report", "invoice")
PREFIX = "re"
RARE = "xylograph"
RARE_EVERY = 100_000
HEAD_WORDS = (
    *COMMON,
    *("scan", "letter", "contract", "photo", "budget", "minutes", "receipt", "draft", "annual"),
    *("summary", "review", "project", "meeting", "notes", "plan", "survey", "policy", "order"),
)
VOCABULARY = 2_000
BEGIN = datetime(2020, 1, 1, tzinfo=timezone.utc)
YEARS = 6
CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"

Row = tuple[str, int, str, str, str, str, int, str | None, str, str]


@dataclass(frozen=True)
class Catalog:
    """A built catalog. `shares` are the parts of all rows in which a common word occurs."""

    path: Path
    rows: int
    build_seconds: float
    shares: dict[str, float]
    content_type: str
    uploader: str


def vocabulary() -> list[str]:
    """Words by falling frequency: real ones at the head, pronounceable ones after."""
    chance = random.Random(8)
    words = dict.fromkeys(HEAD_WORDS)
    while len(words) < VOCABULARY:
        syllables = [chance.choice("bdfgklmnprstvz") + chance.choice("aeiou") for _ in range(3)]
        words["".join(syllables) + chance.choice("lmnrst")] = None
    return list(words)


def ulid(moment: datetime, chance: random.Random) -> str:
    """A ULID in lower case: 48 bits of milliseconds, 80 bits of chance."""
    value = int(moment.timestamp() * 1000) << 80 | chance.getrandbits(80)
    return "".join(CROCKFORD[value >> shift & 31] for shift in range(125, -1, -5))


def _zipf(count: int) -> list[float]:
    """Cumulative weights in which the n-th of `count` is worth 1/n."""
    return list(itertools.accumulate(1 / rank for rank in range(1, count + 1)))


class Generator:
    """Rows in the order of their dates, the same for the same `count`."""

    def __init__(self, count: int, source_ids: dict[str, int]) -> None:
        self.count = count
        self.hits = dict.fromkeys(COMMON, 0)
        self._chance = random.Random(16)
        self._words = vocabulary()
        self._word_weights = _zipf(len(self._words))
        self._sources = [source_ids[slug] for slug in SOURCES]
        self._source_weights = list(itertools.accumulate(SOURCES.values()))
        self._types = list(CONTENT_TYPES)
        self._type_weights = list(
            itertools.accumulate(weight for _, weight in CONTENT_TYPES.values())
        )
        self._uploaders: list[str | None] = [None, *(f"person-{n:02d}" for n in range(1, 51))]
        self._uploader_weights = _zipf(len(self._uploaders))

    def __iter__(self) -> Iterator[Row]:
        step = timedelta(days=365 * YEARS) / self.count
        moment = BEGIN
        for number in range(self.count):
            if self._chance.random() > 0.05:  # otherwise a tie with the row before
                moment = BEGIN + step * number
            yield self._row(number, moment)

    def _row(self, number: int, moment: datetime) -> Row:
        chance = self._chance
        words = self._some_words(chance.choice((2, 3)))
        if number % RARE_EVERY == RARE_EVERY // 2:
            words.append(RARE)
        text = self._some_words(6) if chance.random() < 0.3 else []
        for word in COMMON:
            self.hits[word] += word in words or word in text
        content_type = chance.choices(self._types, cum_weights=self._type_weights)[0]
        name = f"{chance.choice('-_ ').join(words)}-{number % 10_000:04d}"
        filename = f"{name}.{CONTENT_TYPES[content_type][0]}"
        identity = ulid(moment, chance)
        return (
            f"df-{identity}",
            chance.choices(self._sources, cum_weights=self._source_weights)[0],
            f"{identity}/{filename}",
            filename,
            content_type,
            f"sha256:{chance.getrandbits(256):064x}",
            int(chance.lognormvariate(12, 2)),
            chance.choices(self._uploaders, cum_weights=self._uploader_weights)[0],
            moment.strftime("%Y-%m-%d %H:%M:%S"),
            " ".join(text),
        )

    def _some_words(self, count: int) -> list[str]:
        return self._chance.choices(self._words, cum_weights=self._word_weights, k=count)


INSERT = """
insert into datasette_files
  (id, source_id, path, filename, content_type, content_hash, size, uploaded_by, created_at,
   search_text)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


_READ = (
    "update datasette_files set crc32 = printf('%08x', seq * 2654435761 % 4294967296)",
    "update datasette_files_texts set status = 'done'",
    "update datasette_files_media set status = 'done'",
    "delete from datasette_files_unhashed",
)
_HAS_TEXTS = "select 1 from sqlite_master where name = 'datasette_files_texts'"


def server(bench: Bench, interpreter: Interpreter, internal: Path | None = None) -> DatasetteServer:
    """A server of one side with the catalog's sources, not yet started."""
    return DatasetteServer(
        interpreter,
        bench.folder(f"{interpreter.label} catalog"),
        sources=READABLE,
        denied=DENIED,
        signed_in=bench.signed_in,
        internal=internal,
    )


def empty(bench: Bench, interpreter: Interpreter) -> Path:
    """The internal database that a side creates at a first start, at rest."""
    path = bench.folder("empty") / "internal.db"
    with server(bench, interpreter, path):
        pass
    with closing(sqlite3.connect(path)) as connection:
        # Out of WAL, so that the one file is the whole database; a server turns it on again.
        connection.execute("pragma journal_mode = delete")
    return path


def _fingerprint(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        lines = connection.execute("select sql from sqlite_master order by name, sql").fetchall()
    return hashlib.sha256(repr(lines).encode() + Path(__file__).read_bytes()).hexdigest()[:16]


def build(bench: Bench, interpreter: Interpreter, count: int) -> Catalog:
    """A private copy of a side's catalog of `count` files, built when the cache has none."""
    base = empty(bench, interpreter)
    cached = bench.cache / f"catalog-{count}-{_fingerprint(base)}.db"
    facts = cached.with_suffix(".json")
    if not facts.exists():
        log(f"P8: building a catalog of {count:,} files for {interpreter.label}")
        started = time.perf_counter()
        hits = _fill(base, count)
        seconds = time.perf_counter() - started
        base.replace(cached)
        shares = {word: hit / count for word, hit in hits.items()}
        facts.write_text(json.dumps({"build_seconds": seconds, "shares": shares}))
    known = json.loads(facts.read_text())
    log(f"P8: {count:,} files, built in {known['build_seconds']:.0f} s, words {known['shares']}")
    path = bench.folder("catalog") / "internal.db"
    shutil.copyfile(cached, path)
    return Catalog(path, count, **known, content_type="application/pdf", uploader="person-01")


def _fill(path: Path, count: int) -> dict[str, int]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("pragma synchronous = off")
        connection.execute("pragma cache_size = -200000")
        slugs = dict(connection.execute("select slug, id from datasette_files_sources"))
        rows = Generator(count, slugs)
        connection.execute("begin")
        connection.executemany(INSERT, rows)
        # The rows have no bytes: what is read of bytes in the background is done for them.
        if connection.execute(_HAS_TEXTS).fetchone():
            for statement in _READ:
                connection.execute(statement)
        connection.execute("commit")
    return rows.hits


def describe(catalog: Catalog) -> str:
    """A sentence for the notes below the table."""
    shares = ", ".join(f"{word} in {share:.0%}" for word, share in catalog.shares.items())
    return f"{catalog.rows:,} files built in {catalog.build_seconds:.0f} s; {shares}"
