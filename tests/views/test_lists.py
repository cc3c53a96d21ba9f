"""Lists: every order and filter against a model, paging, malformed queries, batch, sources."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from datasette.app import Datasette
from hypothesis import given, settings
from hypothesis import strategies as st

from datasette_files.app import Files
from datasette_files.media.families import family
from datasette_files.media.types import type_allowed
from tests.conftest import OPEN, MakeDatasette, disk_source, upload
from tests.support.loops import shut_down

LIST = "/-/files/source/docs.json"
#: What the tokens of a list in its default order begin with.
WALK = "created_at desc"
TYPES = ["image/png", "image/jpeg", "text/plain", "application/pdf", None]
UPLOADERS = ["alice", "bob", None]
NAMES = ["a.txt", "A.txt", "b.txt", "é.txt", "Z", "_", "ａ", "b"]
DAYS = [f"2026-03-{day:02} 12:00:00" for day in (1, 1, 2, 3, 3, 9)]

Row = dict[str, Any]


class Catalog:
    """A Datasette whose source ``docs`` has generated rows, and the same rows as a model."""

    def __init__(self, folder: Any) -> None:
        self.loop = asyncio.new_event_loop()
        sources = {slug: disk_source(folder / slug) for slug in ("docs", "other")}
        self.datasette = Datasette(
            memory=True,
            internal=str(folder / "internal.db"),
            config={"plugins": {"datasette-files": {"sources": sources}}, "permissions": OPEN},
        )
        self.run(self.datasette.invoke_startup())
        self.rows: list[Row] = []

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def add(self, source: str, name: str, kind: Any, size: Any, who: Any, when: str) -> None:
        number = len(self.rows)
        source_id = Files.of(self.datasette).sources.get(source).id
        row = {
            "id": f"df-{number:026}",
            "filename": name,
            "content_type": kind,
            "size": size,
            "uploaded_by": who,
            "created_at": when,
        }

        def insert(conn: Any) -> int:
            cursor = conn.execute(
                """INSERT INTO datasette_files (id, source_id, path, filename, content_type, size,
                    uploaded_by, created_at, metadata, search_text)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, '{}', '')""",
                (row["id"], source_id, str(number), name, kind, size, who, when),
            )
            return int(cursor.lastrowid)

        row["seq"] = self.run(Files.of(self.datasette).catalog.write(insert))
        row["source"] = source
        self.rows.append(row)

    def get(self, url: str) -> Any:
        answer = self.run(self.datasette.client.get(url))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def pages(self, arguments: dict[str, str]) -> tuple[list[str], list[int]]:
        """The ids of all pages by ``next_url``, and each page's total."""
        ids, totals, url = [], [], f"{LIST}?{urlencode(arguments)}"
        while url:
            page = self.get(url)
            ids += [file["id"] for file in page["files"]]
            totals.append(page["total"])
            assert (page["next"] is None) is (page["next_url"] is None)
            url = page["next_url"]
            assert len(totals) <= len(self.rows) + 1, "paging does not end"
        return ids, totals


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    made = Catalog(tmp_path_factory.mktemp("lists"))
    for number in range(90):
        made.add(
            "other" if number % 10 == 9 else "docs",
            NAMES[number * 7 % len(NAMES)],
            TYPES[number * 3 % len(TYPES)],
            [0, 5, 5, 2**40, None][number * 11 % 5],
            UPLOADERS[number * 5 % 3],
            DAYS[number % len(DAYS)],
        )
    yield made
    shut_down(made.loop, made.datasette)


def fold(name: str) -> bytes:
    return "".join(c.lower() if c.isascii() else c for c in name).encode()


KEYS = {
    "created_at": lambda row: row["created_at"],
    "filename": lambda row: fold(row["filename"]),
    "size": lambda row: -1 if row["size"] is None else row["size"],
}


def is_kind(content_type: str, kind: str) -> bool:
    return type_allowed(content_type, [kind]) if "/" in kind else family(content_type) == kind


def expected(rows: list[Row], arguments: dict[str, str]) -> list[str]:
    """The names of the list in its order, by plain Python."""
    kind, who = arguments.get("content_type"), arguments.get("uploaded_by")
    after, before = arguments.get("created_after"), arguments.get("created_before")
    found = [
        row
        for row in rows
        if row["source"] == "docs"
        and (kind is None or is_kind(row["content_type"] or "", kind.lower()))
        and (who is None or row["uploaded_by"] == who)
        and (after is None or row["created_at"] >= f"{after} 00:00:00")
        and (before is None or row["created_at"] < f"{before} 00:00:00")
    ]
    order = arguments.get("_sort") or arguments.get("_sort_desc") or "created_at"
    key = KEYS[order]
    found.sort(key=lambda row: (key(row), row["seq"]), reverse="_sort" not in arguments)
    return [row["id"] for row in found]


DATES = st.sampled_from(["2026-03-01", "2026-03-02", "2026-03-03", "2026-03-10", "0300-01-01"])
FILTERS = st.fixed_dictionaries(
    {"_size": st.sampled_from(["1", "3", "7", "20", "200", "max"])},
    optional={
        "content_type": st.sampled_from(
            ["image/*", "image/png", "IMAGE/PNG", "text/*", "*/*", "no/such", "image", "other"]
        ),
        "uploaded_by": st.sampled_from(["alice", "bob", "nobody"]),
        "created_after": DATES,
        "created_before": DATES,
    },
)
ORDERS = st.tuples(st.sampled_from(["_sort", "_sort_desc"]), st.sampled_from(list(KEYS))).map(
    lambda pair: dict([pair])
) | st.just({})


@pytest.mark.full
def test_paging_visits_each_file_once_in_every_order_and_filter(
    catalog: Catalog, request: pytest.FixtureRequest
) -> None:
    @settings(max_examples=400 if request.config.getoption("--full") else 40)
    @given(FILTERS, ORDERS)
    def run(filters: dict[str, str], order: dict[str, str]) -> None:
        arguments = {**filters, **order}
        ids, totals = catalog.pages(arguments)
        wanted = expected(catalog.rows, arguments)
        assert ids == wanted
        assert set(totals) == {len(wanted)}

    run()


def test_a_page_token_is_stable_while_files_are_added(catalog: Catalog) -> None:
    for order in KEYS:
        for sort in ("_sort", "_sort_desc"):
            arguments = {sort: order, "_size": "20"}
            before = expected(catalog.rows, arguments)
            first = catalog.get(f"{LIST}?{urlencode(arguments)}")
            catalog.add("docs", "A.txt", "text/plain", 5, "carol", DAYS[0])
            catalog.add("docs", "zz", "text/plain", 2**41, "carol", DAYS[-1])
            rest, url = [], first["next_url"]
            while url:
                page = catalog.get(url)
                rest += [file["id"] for file in page["files"]]
                url = page["next_url"]
            seen = [file["id"] for file in first["files"]] + rest
            assert len(seen) == len(set(seen))
            assert [one for one in seen if one in before] == before


def test_types_are_joined_and_a_minus_sign_reverses_an_order(catalog: Catalog) -> None:
    rows = [row for row in catalog.rows if row["source"] == "docs"]
    joined = catalog.get(f"{LIST}?content_type=&content_type=text/plain&content_type=image&_size=1")
    assert joined["total"] == sum(
        row["content_type"] in ("text/plain", "image/png", "image/jpeg") for row in rows
    )
    for order in KEYS:
        reverse = catalog.pages({"_sort": f"-{order}"})
        assert reverse == catalog.pages({"_sort_desc": order})


def token(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


_MALFORMED = [
    *(f"_size={size}" for size in ("0", "-1", "201", "0000201", "9" * 5000, "1.5", "x", "٣")),
    *("_sort=path", "_sort_desc=id;", "_sort=size&_sort_desc=size"),
    *("_next=x", "_next=%E2%82%AC", "_next=e30", f"_next={token([1])}"),
    *(f"_next={token([WALK, *v])}" for v in ([1, "a"], [None, 1], [[], 1], [1, 2**63])),
    *(f"_next={token([WALK, *v])}" for v in ([1.5, 1], [2**63, 1], [1, True], [1], [1] * 3)),
    *(f"_next={token([WALK, *v])}" for v in (["\ud800", 1], [True, 1.5], [{}, 1])),
    *(f"_next={token([walk, '', 1])}" for walk in ("created_at asc", "search", None, [])),
    *("created_after=yesterday", "created_before=2026-13-01", "created_after=2026-03-01T25"),
    *("q=%FF", "created_after=0001-01-01T00:00:00%2B14:00"),
    "&".join(f"x{n}=1" for n in range(1001)),
]


async def test_a_malformed_query_is_400(datasette: Datasette) -> None:
    for query in _MALFORMED:
        answer = await datasette.client.get(f"{LIST}?{query}")
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid"), query[:40]
        page = await datasette.client.get(
            f"/-/files/source/docs?{query}", headers={"Accept": "text/html"}
        )
        assert page.status_code == 400, query[:40]
        assert "<h1>Error 400</h1>" in page.text


def test_a_page_token_is_of_one_order_or_of_search(catalog: Catalog) -> None:
    search = "/-/files/search.json?q=txt"
    walks = [f"{LIST}?{sort}={order}" for sort in ("_sort", "_sort_desc") for order in KEYS]
    for walk in (*walks, search):
        after = catalog.get(f"{walk}&_size=1")["next"]
        for other in (*walks, search):
            answer = catalog.run(catalog.datasette.client.get(f"{other}&_next={after}"))
            assert answer.status_code == (200 if other == walk else 400), (walk, other)
            if other != walk:
                assert answer.json()["code"] == "invalid"
                assert "start from the first page" in answer.json()["error"]


async def test_a_deleted_file_is_found_no_more(datasette: Datasette) -> None:
    file = await upload(datasette, filename="gone.txt")
    await datasette.client.delete(file["url"])
    for url in ("/-/files/search.json?q=gone", f"/-/files/search.json?q={file['id']}", LIST):
        assert (await datasette.client.get(url)).json()["total"] == 0


async def test_batch(datasette: Datasette) -> None:
    one, two = await upload(datasette), await upload(datasette)
    ids = [two["id"], "df-absent", one["id"], one["id"], "'", ""]
    answer = await datasette.client.get("/-/files/batch.json", params={"id": ids})
    found = answer.json()["files"]
    assert list(found) == [two["id"], one["id"]]
    url = one["url"]
    assert found[one["id"]] == {
        "id": one["id"],
        "filename": "hello.txt",
        "content_type": "text/plain",
        "size": 5,
        "width": None,
        "height": None,
        "folder": "",
        "tags": [],
        "crc32": "3610a686",
        "missing_since": None,
        "download_url": f"{url}/download",
        "thumbnail_url": f"{url}/thumbnail",
        "info_url": url,
    }
    assert (await datasette.client.get("/-/files/batch.json")).json() == {"ok": True, "files": {}}
    for count, status in [(200, 200), (201, 400)]:
        query = "&".join(f"id=df-{number}" for number in range(count))
        answer = await datasette.client.get(f"/-/files/batch.json?{query}")
        assert answer.status_code == status


async def test_sources_json(make_datasette: MakeDatasette, tmp_path: Any) -> None:
    sources = {
        "docs": disk_source(tmp_path / "docs", label="The documents"),
        "drop": disk_source(tmp_path / "drop"),
        "shut": disk_source(tmp_path / "shut"),
    }
    permissions = {
        "files-browse": {"docs": {"allow": True}},
        "files-upload": {"drop": {"allow": True}},
    }
    datasette = await make_datasette(sources, permissions)
    answer = (await datasette.client.get("/-/files/sources.json")).json()
    capabilities = {
        "can_upload": True,
        "can_delete": True,
        "can_list": True,
        "can_generate_signed_urls": False,
        "requires_proxy_download": True,
    }
    assert answer["sources"] == [
        {
            "slug": slug,
            "label": label,
            "storage_type": "filesystem",
            "capabilities": capabilities,
            "can_browse": slug == "docs",
            "can_upload": slug == "drop",
        }
        for slug, label in [("docs", "The documents"), ("drop", "drop")]
    ]


async def test_pages_name_a_source_by_its_label_and_show_its_own_limits(
    make_datasette: MakeDatasette, tmp_path: Any
) -> None:
    small = {"max_file_size": 2048, "allowed_content_types": ["image/*", "text/plain"]}
    sources = {
        "plain": disk_source(tmp_path / "plain"),
        "small": disk_source(tmp_path / "small", label="Small <things>", **small),
    }
    client = (await make_datasette(sources)).client
    plain, small_page = [
        (await client.get(f"/-/files/upload/{slug}")).text for slug in ("plain", "small")
    ]
    assert "<h1>Upload to plain</h1>" in plain
    assert "At most 100.0 MB." in plain
    assert "Accepted" not in plain
    assert "<h1>Upload to Small &lt;things&gt;</h1>" in small_page
    assert "At most 2.0 KB. Accepted: image/*, text/plain." in small_page
    assert 'accept="image/*,text/plain"' in small_page
    index = (await client.get("/-/files")).text
    assert '<a href="/-/files/source/plain">plain</a>' in index
    assert '<a href="/-/files/source/small">Small &lt;things&gt;</a>' in index
