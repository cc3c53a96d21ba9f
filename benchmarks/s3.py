"""P11: a large file through Datasette to S3, beside boto3's transfer manager, and the memory.

The store is one that runs, named by the environment as for the tests, and all sides send to it:
`DATASETTE_FILES_TEST_S3_ENDPOINT` and the like. What a turn stored is deleted after it.
"""

from __future__ import annotations

import io
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks import environments, transfers
from benchmarks.bench import SMALL, Bench
from benchmarks.environments import SetupError
from benchmarks.memory import Growth
from benchmarks.report import Against, Figure, Sample, Target
from benchmarks.servers import LARGE as LIMIT
from benchmarks.servers import DatasetteServer
from benchmarks.uploads import MEDIUM, large_size, named

_ENVIRONMENT = "DATASETTE_FILES_TEST_S3_"
MEMORY = Target(64)


@dataclass(frozen=True)
class Store:
    """A running S3, and a folder of this run in a bucket that is there."""

    endpoint: str
    bucket: str
    key: str
    secret: str
    region: str
    prefix: str

    @classmethod
    def named(cls) -> Store:
        """Raises SetupError where the environment names none."""
        given = {
            name: os.environ.get(f"{_ENVIRONMENT}{name.upper()}", "")
            for name in ("endpoint", "bucket", "key", "secret")
        }
        if unset := [name for name, value in given.items() if not value]:
            names = ", ".join(f"{_ENVIRONMENT}{name.upper()}" for name in unset)
            raise SetupError(f"P11 needs a running S3: set {names}")
        region = os.environ.get(f"{_ENVIRONMENT}REGION", "us-east-1")
        return cls(**given, region=region, prefix=f"benchmarks-{secrets.token_hex(4)}/")

    def source(self, side: str, **more: str) -> dict[str, Any]:
        """A source's entry in the yaml. `more` are keys that only one side knows."""
        config = {
            "bucket": self.bucket,
            "prefix": f"{self.prefix}{side}/",
            "region": self.region,
            "endpoint_url": self.endpoint,
            "access_key_id": self.key,
            "secret_access_key": self.secret,
            "max_file_size": LIMIT,
            **more,
        }
        return {"storage": "s3", "config": config}

    def client(self) -> Any:
        """boto3's, with its own defaults but for the address."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=self.region,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            config=Config(s3={"addressing_style": "path"}),
        )

    def empty(self) -> None:
        """Delete what this run has stored."""
        client = self.client()
        pages = client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=self.prefix
        )
        for page in pages:
            for entry in page.get("Contents", []):
                client.delete_object(Bucket=self.bucket, Key=entry["Key"])


class Repeated(io.RawIOBase):
    """`size` bytes: the client jobs' block over and over, as a file that can only be read."""

    def __init__(self, size: int) -> None:
        self._block = memoryview(transfers.block())
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), len(self._block), self._left)
        buffer[:count] = self._block[:count]
        self._left -= count
        return count


def managed_upload(store: Store, size: int) -> float:
    """boto3's transfer manager as it comes, hashing nothing beside it: MB/s."""
    client = store.client()
    started = time.perf_counter()
    client.upload_fileobj(
        io.BufferedReader(Repeated(size), 1 << 20), store.bucket, f"{store.prefix}managed"
    )
    return size / (time.perf_counter() - started) / 1e6


@contextmanager
def _stored(store: Store) -> Iterator[None]:
    try:
        yield
    finally:
        store.empty()


def _managed_turn(bench: Bench, store: Store, size: int) -> float:
    with _stored(store):
        return bench.call(managed_upload, store, size)


def _raw_turn(bench: Bench, server: DatasetteServer, store: Store, size: int) -> float:
    envelope = server.wire.raw_put("bench", "large.bin", size)
    with _stored(store):
        return bench.call(transfers.upload, server.address, envelope, size)[0]


def _three_steps_turn(bench: Bench, server: DatasetteServer, store: Store, size: int) -> float:
    """All that the public release knows."""
    with _stored(store):
        return bench.call(
            transfers.upload_in_three_steps, server.address, server.wire, "bench", size
        )[0]


def through(bench: Bench) -> list[Figure]:
    """P11: MB/s through Datasette to S3, and MiB by which it grows."""
    store, size = Store.named(), large_size(bench)
    with ExitStack() as stack:
        ours = stack.enter_context(
            bench.datasette(
                bench.ours, entry=store.source("ours", upload="proxy", download="proxy")
            )
        )
        public = stack.enter_context(
            bench.datasette(environments.public_s3(bench.cache), entry=store.source("public"))
        )
        medium = bench.alternate(
            "P11 90 MB",
            {
                side: partial(_three_steps_turn, bench, server, store, MEDIUM)
                for side, server in (("public", public), ("ours", ours))
            },
        )
        whole = bench.alternate(
            f"P11 {named(size)}",
            {
                "limit": partial(_managed_turn, bench, store, size),
                "public": partial(_three_steps_turn, bench, public, store, size),
                "ours": partial(_raw_turn, bench, ours, store, size),
            },
        )
        up, down = _growth(bench, ours, store, size)
    return [
        Figure(
            *("P11", "upload 90 MB to S3, three steps", "MB/s", medium["ours"]),
            public=medium["public"],
        ),
        Figure(
            *("P11", f"upload {named(size)} to S3, raw PUT", "MB/s", whole["ours"]),
            Target(0.8, Against.LIMIT),
            public=whole["public"],
            limit=whole["limit"],
        ),
        Figure("P11", f"growth, upload of {named(size)} to S3", "MiB", up, MEMORY),
        Figure("P11", f"growth, download of {named(size)} from S3", "MiB", down, MEMORY),
    ]


def _growth(
    bench: Bench, server: DatasetteServer, store: Store, size: int
) -> tuple[Sample, Sample]:
    up: list[float] = []
    down: list[float] = []
    small = server.wire.raw_put("bench", "warm.bin", SMALL)
    with _stored(store):
        bench.call(transfers.upload, server.address, small, SMALL)
        for _ in range(bench.rounds):
            envelope = server.wire.raw_put("bench", "large.bin", size)
            with Growth(server.pid) as watched:
                answer = bench.call(transfers.upload, server.address, envelope, size)[1].json()
            up.append(watched.peak / 2**20)
            get = server.wire.get(f"/-/files/{answer['file']['id']}/download")
            with Growth(server.pid) as watched:
                bench.call(transfers.download, server.address, get)
            down.append(watched.peak / 2**20)
            store.empty()
    return Sample(tuple(up)), Sample(tuple(down))
