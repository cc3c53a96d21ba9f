"""Indexing a bucket beside another client, which adds, copies, changes and removes objects."""

from __future__ import annotations

from datasette_files.app import Files
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


async def test_a_moved_object_is_known_by_its_bytes_when_its_entity_tag_changes(
    make_datasette: MakeDatasette,
) -> None:
    """As when a client copies in parts what was sent at once."""
    store, prefix = shared_store(), new_prefix()
    client, bucket = store.boto, store.bucket

    def put(path: str, content: bytes) -> None:
        client.put_object(Bucket=bucket, Key=prefix + path, Body=content)

    def move(old: str, new: str) -> None:
        target = {"Bucket": bucket, "Key": prefix + new}
        upload = client.create_multipart_upload(**target)["UploadId"]
        source = f"{bucket}/{prefix}{old}"
        part = client.upload_part_copy(**target, UploadId=upload, PartNumber=1, CopySource=source)[
            "CopyPartResult"
        ]
        parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        client.complete_multipart_upload(**target, UploadId=upload, MultipartUpload=parts)
        client.delete_object(Bucket=bucket, Key=prefix + old)

    contents = {"one.txt": b"one of its kind", "twin1.txt": b"twins", "twin2.txt": b"twins"}
    for name, content in contents.items():
        put(f"a/{name}", content)
    source = {"storage": "s3", "config": store.config(prefix)}
    datasette = await make_datasette({"docs": source}, {**OPEN, "files-manage": True})
    await walk(datasette)
    await Files.of(datasette).hashing["docs"].once()
    before = await listed(datasette)
    assert all(one["content_hash"].startswith("sha256:") for one in before.values())

    move("a/one.txt", "z/uno.txt")
    move("a/twin1.txt", "z/twin3.txt")  # its twin is left: ambiguous
    put("z/other.txt", b"ONE OF ITS KIND")  # of the same size
    put("z/empty.txt", b"")
    second = await walk(datasette)
    kinds = ("renamed", "added", "missing", "changed", "failed")
    assert [second.counts.get(kind) for kind in kinds] == [1, 3, 1, None, None]
    after = await listed(datasette)
    moved = after["z/uno.txt"]
    assert moved["id"] == before["a/one.txt"]["id"]
    assert (moved["folder"], moved["filename"], moved["missing_since"]) == ("z", "uno.txt", None)
    assert after["a/twin1.txt"]["missing_since"]
    assert after["z/twin3.txt"]["id"] != before["a/twin1.txt"]["id"]
    third = await walk(datasette)
    assert third.counts == {"listed": 5, "unchanged": 5}

    # An older version that a person has replaced is an object like any other.
    replacing = f"/-/files/upload/docs/new.txt?replaces={moved['id']}"
    assert (await datasette.client.put(replacing, content=b"newer")).status_code == 201
    put("y/old.txt", contents["one.txt"])  # again with another entity tag
    client.delete_object(Bucket=bucket, Key=f"{prefix}z/uno.txt")
    fourth = await walk(datasette)
    assert fourth.counts.get("renamed") == 1, fourth
    versions = await listed(datasette, "&versions=all")
    assert versions["y/old.txt"]["id"] == moved["id"]
    assert versions["y/old.txt"]["missing_since"] is None
