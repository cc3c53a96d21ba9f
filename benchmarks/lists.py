"""P8: starting, searching and listing with a million files in the catalog.

Ours is measured at full size; the public release, which does not start with so many, at a tenth of
it and only where it has the page. Latencies are the median of `REPEATS` requests on one connection,
and of the rounds. How the catalog is made is in `catalog.py`; how the far end of a list is reached
is in `paging.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median
from urllib.parse import urlencode

from benchmarks import catalog, paging
from benchmarks.bench import Bench, log
from benchmarks.catalog import COMMON, PREFIX, RARE, Catalog
from benchmarks.client import UnexpectedStatusError, exchange, latencies
from benchmarks.environments import Interpreter
from benchmarks.report import NOT_MEASURED, Figure, Sample, Target
from benchmarks.servers import DatasetteServer

FILES = 1_000_000
FILES_PUBLIC = 100_000
FILES_QUICK = 100_000
REPEATS = 20
STARTS = 3
START = Target(0.5)
PAGE = Target(20)

SEARCHES = {
    "a rare word": RARE,
    "a common word": COMMON[0],
    "two common words": " ".join(COMMON),
    "a short prefix": PREFIX,
}
ORDERS = tuple(product(("created_at", "filename", "size"), (False, True)))
HTML_FIRST = "first HTML page of a source"
HTML_DEEPEST = "deepest HTML page of a source"
HTML_SEARCH = "first HTML page of a search"


@dataclass(frozen=True)
class Order:
    """One list of a source: a sort, its direction and a filter."""

    column: str
    descending: bool
    filters: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        """As a note below the table says it."""
        kept = "".join(f", one {key}" for key, _ in self.filters)
        return f"by {self.column}{' descending' if self.descending else ''}{kept}"

    @property
    def url(self) -> str:
        """The first page."""
        key = "_sort_desc" if self.descending else "_sort"
        query = urlencode([(key, self.column), *self.filters])
        return f"/-/files/source/bench.json?{query}"

    @property
    def reverse(self) -> Order:
        """The same files from the other end."""
        return Order(self.column, not self.descending, self.filters)


def million(bench: Bench) -> list[Figure]:
    """P8: start, searches, first and deepest pages."""
    count = FILES_QUICK if bench.quick else FILES
    ours = catalog.build(bench, bench.ours, count)
    public = catalog.build(bench, bench.public, FILES_PUBLIC)
    start = _start(bench, ours, public)
    with catalog.server(bench, bench.ours, ours.path) as server:
        groups = {**_searches(), **_lists(bench, server, ours)}
        measured = {
            name: page_latencies(bench, server, name, urls) for name, urls in groups.items()
        }
    with catalog.server(bench, bench.public, public.path) as server:
        beside = {
            name: page_latencies(bench, server, f"public {name}", urls)
            for name, urls in {**_searches(), **_public_pages(server)}.items()
        }
    figures = [_figure(name, measured[name], beside.get(name, {})) for name in measured]
    return [start, *figures]


def _start(bench: Bench, ours: Catalog, public: Catalog) -> Figure:
    """Seconds that a full catalog adds to a start."""
    sides: dict[str, tuple[Interpreter, Path]] = {
        "ours empty": (bench.ours, catalog.empty(bench, bench.ours)),
        "ours full": (bench.ours, ours.path),
        "public empty": (bench.public, catalog.empty(bench, bench.public)),
        "public full": (bench.public, public.path),
    }
    samples = bench.alternate(
        "P8 start",
        {side: partial(_start_seconds, bench, *which) for side, which in sides.items()},
    )
    times = ", ".join(f"{side} {sample.figure or 0:.2f} s" for side, sample in samples.items())
    return Figure(
        "P8",
        f"start with {ours.rows:,} files, above an empty start",
        "s",
        _difference(samples["ours full"], samples["ours empty"]),
        START,
        public=_difference(samples["public full"], samples["public empty"]),
        note=f"{times}; {catalog.describe(ours)}; every public figure is at {public.rows:,} files",
    )


def _start_seconds(bench: Bench, interpreter: Interpreter, internal: Path) -> float:
    """The median of several starts: most of one is importing, which varies more than the rest."""
    taken: list[float] = []
    for _ in range(1 if bench.quick else STARTS):
        with catalog.server(bench, interpreter, internal) as server:
            taken.append(server.start_seconds)
    return median(taken)


def _difference(full: Sample, empty: Sample) -> Sample:
    if full.error or empty.error:
        return Sample(error=full.error or empty.error)
    pairs = zip(full.values, empty.values, strict=True)
    return Sample(tuple(high - low for high, low in pairs))


def _searches() -> dict[str, dict[str, str]]:
    """Name of a table line -> name of a request -> its URL."""
    groups: dict[str, dict[str, str]] = {}
    for source in ("", "bench"):
        where = " in one source" if source else ""
        for name, words in SEARCHES.items():
            query = {"q": words, **({"source": source} if source else {})}
            groups[f"search{where}: {name}"] = {words: f"/-/files/search.json?{urlencode(query)}"}
    return groups


def _lists(bench: Bench, server: DatasetteServer, built: Catalog) -> dict[str, dict[str, str]]:
    filters = ((), (("content_type", built.content_type),), (("uploaded_by", built.uploader),))
    orders = [Order(*order, kept) for order, kept in product(ORDERS, filters)]
    first = {order.name: order.url for order in orders}
    deepest = {order.name: _far_end(bench, server, order) for order in orders}
    common = f"/-/files/search.json?{urlencode({'q': COMMON[0]})}"
    search_end = walked(bench, server, common)
    html = {"source": "/-/files/source/bench", "search": common.replace(".json", "")}
    html_end = {
        "source": deepest[orders[0].name].replace(".json", ""),
        "search": search_end.replace(".json", ""),
    }
    return {
        "deepest page of a search": {COMMON[0]: search_end},
        f"first page of a list, slowest of {len(first)}": first,
        f"deepest page of a list, slowest of {len(deepest)}": deepest,
        HTML_FIRST: {"source": html["source"]},
        HTML_DEEPEST: {"source": html_end["source"]},
        HTML_SEARCH: {"search": html["search"]},
        "deepest HTML page of a search": {"search": html_end["search"]},
    }


def _far_end(bench: Bench, server: DatasetteServer, order: Order) -> str:
    try:
        found = bench.call(
            paging.from_far_end, server.address, server.wire, order.url, order.reverse.url
        )
    except UnexpectedStatusError as error:
        log(f"P8 {order.name}: {error}")
        return order.url
    return found or walked(bench, server, order.url)


def walked(bench: Bench, server: DatasetteServer, url: str) -> str:
    """The URL of the last page of a list, reached page by page."""
    try:
        found, pages = bench.call(paging.walk, server.address, server.wire, url)
    except UnexpectedStatusError as error:
        log(f"P8 {url}: {error}")
        return url
    log(f"P8 walked {pages:,} pages of {url}")
    return found


def page_latencies(
    bench: Bench, server: DatasetteServer, title: str, urls: Mapping[str, str]
) -> dict[str, Sample]:
    """The median latency of every URL in ms, once a round."""

    def turn(url: str) -> Callable[[], float]:
        request = server.wire.get(url)
        return lambda: median(bench.call(latencies, server.address, [request], REPEATS)[0]) * 1000

    return bench.alternate(f"P8 {title}, ms", {name: turn(url) for name, url in urls.items()})


def _slowest(samples: Mapping[str, Sample]) -> tuple[str, Sample]:
    """The slowest request of a group, or one that could not be measured."""
    return max(
        samples.items(),
        key=lambda item: float("inf") if item[1].figure is None else item[1].figure,
        default=("", NOT_MEASURED),
    )


def _figure(name: str, ours: Mapping[str, Sample], public: Mapping[str, Sample]) -> Figure:
    which, sample = _slowest(ours)
    details = {request: one.figure for request, one in ours.items()}
    note = f"slowest {which}" if len(ours) > 1 else ""
    return Figure(
        *("P8", name, "ms", sample, PAGE),
        public=_slowest(public)[1],
        note=note,
        details=details,
    )


def _public_pages(server: DatasetteServer) -> dict[str, dict[str, str]]:
    """The public release's pages, under the names of our lines: HTML with numbered pages."""
    source = "/-/files/source/bench"
    text = exchange(server.address, [server.wire.get(source)])[0].body.decode()
    numbered = re.search(r"Page 1 of (\d+)", text)
    last = int(numbered[1]) - 1 if numbered else 1
    search = f"/-/files/search?{urlencode({'q': COMMON[0]})}"
    return {
        HTML_FIRST: {"source": source},
        HTML_DEEPEST: {f"page {last}": f"{source}?page={last}"},
        HTML_SEARCH: {"search": search},
    }
