"""P15: the search inside documents, the size of its index, and the extraction of a PDF's text.

The pages are made here: words with the frequencies of a natural text (Zipf's law), a rare word on
each. They are written into the internal database of a running server, beside a row for each file,
and stay unknown to its storage. A latency is the median of `REPEATS` requests of the first page of
hits with its snippets, and of the rounds. The public release has no such search.
"""

from __future__ import annotations

import json
import random
import sqlite3
import time
from contextlib import closing
from itertools import accumulate
from statistics import median

from benchmarks.bench import Bench, log, seed
from benchmarks.client import connect, latencies, read_response
from benchmarks.report import Figure, Sample, Target
from benchmarks.servers import DatasetteServer

PAGES, QUICK_PAGES = 1_000_000, 20_000
PAGES_OF_FILE = 100
WORDS = 30_000
WORDS_OF_PAGE = 300
#: Words of the text that pages are slices of; files that are written in one transaction.
DRAWN, FILES_OF_COMMIT = 3_000_000, 10
RARE = 50_000
REPEATS = 20
PDF_PAGES = 1_000
#: How long an extraction may take before it counts as failed, in seconds.
PATIENCE = 300

#: The kinds of query, by what people type: the first three words are on most pages.
QUERIES = {
    "a rare word": "rare77word",
    "a common word": "w0x",
    "two common words": "w1x w2x",
    "the beginning of many words": "w29",
    "the beginning of a few words": "w299",
    "a common word and a beginning": "w29x w300",
    "a common word in a filter": "w0x&content_type=application/pdf",
    "a common word, the largest first": "w0x&_sort_desc=size",
}
SEARCH, INDEX = Target(50), Target(1.5)


def documents(bench: Bench) -> list[Figure]:
    """P15: searches over pages, the index's size by that of the text, and pages a second."""
    count = QUICK_PAGES if bench.quick else PAGES
    with bench.datasette(bench.ours) as server:
        seed(server, 1)
        speed = _extraction(server)
        size, index = _fill(server, count)
        figures = []
        for kind, words in QUERIES.items():
            path = f"/-/files/search.json?q={words.replace(' ', '+')}"
            work = f"search in {count:,} pages: {kind}"
            figures.append(Figure("P15", work, "ms", _latency(bench, server, path, work), SEARCH))
    ratio = Sample((index / size,))
    note = f"the text has {size / 1e6:,.0f} MB"
    figures.append(Figure("P15", "index of the text, by its size", "x", ratio, INDEX, note=note))
    figures.append(
        Figure(
            "P15",
            "PDF, from upload to search",
            "pages/s",
            Sample((speed,)),
            note="the target is 50",
        )
    )
    return figures


def _latency(bench: Bench, server: DatasetteServer, path: str, work: str) -> Sample:
    request = server.wire.get(path)

    def turn() -> float:
        return median(bench.call(latencies, server.address, [request], REPEATS)[0]) * 1000

    return bench.alternate(f"P15 {work}, ms", {"ours": turn})["ours"]


def _fill(server: DatasetteServer, count: int) -> tuple[int, int]:
    """Add files with pages; return the bytes of the text and of its index."""
    log(f"P15: writing {count:,} pages")
    chance = random.Random(15)
    words = [f"w{number}x" for number in range(WORDS)]
    weights = list(accumulate(1 / (rank + 3) for rank in range(WORDS)))
    # Pages are slices of one long text, as drawing each word anew takes longer than indexing it.
    drawn = chance.choices(words, cum_weights=weights, k=DRAWN)
    size = 0
    with closing(sqlite3.connect(server.folder / "internal.db", timeout=60)) as connection:
        connection.execute("pragma synchronous = off")
        (last,) = connection.execute("select max(seq) from datasette_files").fetchone()
        (source,) = connection.execute("select source_id from datasette_files").fetchone()
        for seq in range(last + 1, last + 1 + count // PAGES_OF_FILE):
            pages = []
            for _ in range(PAGES_OF_FILE):
                start = chance.randrange(DRAWN - WORDS_OF_PAGE)
                text = drawn[start : start + WORDS_OF_PAGE]
                pages.append(" ".join((*text, f"rare{chance.randrange(RARE)}word")))
            connection.execute(
                """insert into datasette_files (seq, id, source_id, path, filename, content_type,
                size) values (?, ?, ?, ?, ?, 'application/pdf', ?)""",
                (seq, f"df-{seq:026d}", source, f"made/{seq}", f"made {seq}.pdf", seq * 7919 % 999),
            )
            connection.execute(
                "update datasette_files_texts set status = 'done', pages = ? where seq = ?",
                (PAGES_OF_FILE, seq),
            )
            connection.executemany(
                "insert into datasette_files_pages (id, source_id, page, text) values (?, ?, ?, ?)",
                [((seq << 20) + at, source, at + 1, text) for at, text in enumerate(pages)],
            )
            if seq % FILES_OF_COMMIT == 0:
                connection.commit()
            size += sum(map(len, pages))
        connection.commit()
        (index,) = connection.execute(
            "select sum(length(block)) from datasette_files_pages_fts_data"
        ).fetchone()
    return size, index


def _extraction(server: DatasetteServer) -> float:
    """Pages a second, from the end of an upload until the text is there."""
    content = _pdf(PDF_PAGES)
    head = server.wire.head(
        *("PUT", "/-/files/upload/bench/book.pdf", "Content-Type: application/pdf"),
        f"Content-Length: {len(content)}",
    )
    with connect(server.address) as sock:
        sock.sendall(head + content)
        url = read_response(sock).json()["file"]["url"]
        started = time.perf_counter()
        while time.perf_counter() - started < PATIENCE:
            sock.sendall(server.wire.get(f"{url}.json"))
            if read_response(sock).json()["text_status"] == "done":
                return PDF_PAGES / (time.perf_counter() - started)
            time.sleep(0.1)
    raise RuntimeError(f"the text of {json.dumps(url)} did not come within {PATIENCE} s")


def _pdf(count: int) -> bytes:
    """A PDF of dense pages: 40 lines of 12 words each."""
    chance = random.Random(15)
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(count))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {count} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number in range(count):
        lines = [" ".join(f"w{chance.randrange(WORDS)}x" for _ in range(12)) for _ in range(40)]
        drawn = "BT /F1 9 Tf 12 TL 40 760 Td " + " ".join(f"({line}) '" for line in lines) + " ET"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * number} 0 R"
            " /Resources << /Font << /F1 3 0 R >> >> >>"
        )
        objects.append(f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream")
    made, places = bytearray(b"%PDF-1.4\n"), []
    for number, content in enumerate(objects, start=1):
        places.append(len(made))
        made += f"{number} 0 obj\n{content}\nendobj\n".encode()
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    size, start = len(objects) + 1, len(made)
    made += (
        f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<< /Size {size} /Root 1 0 R >>\n"
        f"startxref\n{start}\n%%EOF\n"
    ).encode()
    return bytes(made)
