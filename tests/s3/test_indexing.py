"""Indexing a bucket beside another client, which adds, copies, changes and removes objects."""

from __future__ import annotations

from tests.conftest import OPEN, MakeDatasette
from tests.maintenance.test_indexing import listed, walk
from tests.support.moto_server import new_prefix, shared_store


async def test_a_bucket_becomes_files_and_is_followed(make_datasette: MakeDatasette) -> None:
    store, prefix = shared_store(), new_prefix()
    client, bucket = store.boto, store.bucket

    def put(path: str, content: bytes) -> None:
        client.put_object(Bucket=bucket, Key=prefix + path, Body=content)

    put("a/one.txt", b"one")
    put("a/two & more.txt", b"two")
    put("folder/", b"")
    put("b//c.txt", b"no")
    source = {"storage": "s3", "config": store.config(prefix)}
    datasette = await make_datasette({"docs": source}, {**OPEN, "files-manage": True})
    first = await walk(datasette)
    assert (first.problem, [path for path, _ in first.failures]) == (None, ["b//c.txt"])
    before = await listed(datasette)
    assert set(before) == {"a/one.txt", "a/two & more.txt"}
    moved = {"Bucket": bucket, "CopySource": f"{bucket}/{prefix}a/one.txt"}
    client.copy_object(**moved, Key=f"{prefix}z/uno.txt")
    client.delete_object(Bucket=bucket, Key=f"{prefix}a/one.txt")
    put("a/two & more.txt", b"2")
    second = await walk(datasette)
    counts = {name: second.counts.get(name) for name in ("renamed", "changed", "added")}
    assert counts == {"renamed": 1, "changed": 1, "added": None}
    after = await listed(datasette)
    assert after["z/uno.txt"]["id"] == before["a/one.txt"]["id"]
    assert after["a/two & more.txt"]["id"] != before["a/two & more.txt"]["id"]
