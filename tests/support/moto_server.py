"""A real S3 over HTTP for tests: moto's server in a process of its own, or any running endpoint.

``shared_store()`` is the one of this test process, started when first asked for and stopped at its
end; each test has a folder of its own in it. The environment may name another, such as Ceph::

    DATASETTE_FILES_TEST_S3_ENDPOINT   https://127.0.0.1:7443
    DATASETTE_FILES_TEST_S3_BUCKET     an existing bucket; made if it is not there
    DATASETTE_FILES_TEST_S3_KEY        access key id
    DATASETTE_FILES_TEST_S3_SECRET     secret access key
    DATASETTE_FILES_TEST_S3_REGION     us-east-1 if not given
    DATASETTE_FILES_TEST_S3_CA         a file of certificates, for https with an own authority
"""

from __future__ import annotations

import atexit
import os
import secrets
import ssl
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any

from tests.support.server import free_port

_ENVIRONMENT = "DATASETTE_FILES_TEST_S3_"


@dataclass
class Store:
    """A running S3 with one bucket. ``boto`` is a blocking client for a look from outside."""

    endpoint: str
    bucket: str = "datasette-files-test"
    key: str = "test"
    secret: str = "test-secret"
    region: str = "us-east-1"
    ca: str | None = None
    #: Whether it is moto, which checks neither signatures nor policies.
    is_moto: bool = False
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def config(self, prefix: str = "", **more: Any) -> dict[str, Any]:
        """The ``config`` of a source in this store."""
        config = {
            "bucket": self.bucket,
            "region": self.region,
            "prefix": prefix,
            "endpoint_url": self.endpoint,
            "access_key_id": self.key,
            "secret_access_key": self.secret,
            "addressing_style": "path",
            "ca_bundle": self.ca,
            **more,
        }
        return {name: value for name, value in config.items() if value is not None}

    def tls(self) -> ssl.SSLContext | None:
        """For requests to it by https."""
        return ssl.create_default_context(cafile=self.ca) if self.ca else None

    @cached_property
    def boto(self) -> Any:
        import botocore.session
        from botocore.config import Config

        return botocore.session.Session().create_client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=self.region,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            verify=self.ca,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def keys(self, prefix: str = "") -> set[str]:
        """Every key below a prefix."""
        pages = self.boto.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=prefix
        )
        return {entry["Key"] for page in pages for entry in page.get("Contents", [])}

    def unfinished(self, prefix: str = "") -> list[str]:
        """The key of each multipart upload below a prefix that nobody has completed or aborted."""
        pages = self.boto.get_paginator("list_multipart_uploads").paginate(
            Bucket=self.bucket, Prefix=prefix
        )
        return [entry["Key"] for page in pages for entry in page.get("Uploads", [])]

    def make_bucket(self) -> None:
        """Make the bucket, unless it is there."""
        client = self.boto
        if self.bucket not in {one["Name"] for one in client.list_buckets()["Buckets"]}:
            client.create_bucket(Bucket=self.bucket)

    def reset(self) -> None:
        """Forget everything, as only moto can; the bucket is there again, empty."""
        if not self.is_moto:
            raise RuntimeError("only moto is emptied: what another store holds is not ours")
        request = urllib.request.Request(f"{self.endpoint}/moto-api/reset", method="POST")
        urllib.request.urlopen(request, timeout=30).read()
        self.make_bucket()

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(timeout=30)
            self.process = None


def start_moto(port: int | None = None, timeout: float = 60.0) -> Store:
    """A new moto server process with an empty bucket. Raises RuntimeError if it does not start."""
    port = port or free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    store = Store(f"http://127.0.0.1:{port}", is_moto=True, process=process)
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"moto ended with status {process.returncode}")
        try:
            urllib.request.urlopen(f"{store.endpoint}/moto-api/", timeout=5).read()
        except OSError:
            time.sleep(0.1)
            continue
        store.make_bucket()
        return store
    store.stop()
    raise RuntimeError(f"moto has not answered within {timeout} s")


@cache
def shared_store() -> Store:
    """The store of this test process."""
    endpoint = os.environ.get(f"{_ENVIRONMENT}ENDPOINT")
    if endpoint is None:
        store = start_moto()
        atexit.register(store.stop)
        return store
    names = ("BUCKET", "KEY", "SECRET", "REGION", "CA")
    given = {name.lower(): os.environ.get(f"{_ENVIRONMENT}{name}") for name in names}
    store = Store(endpoint, **{name: value for name, value in given.items() if value})
    store.make_bucket()
    return store


def own_bucket() -> Store:
    """The same store with a bucket that no other test has: CORS rules are a bucket's, and moto asks
    the first of them alone."""
    shared = shared_store()
    store = replace(shared, bucket=f"own-{secrets.token_hex(8)}", process=None)
    store.make_bucket()
    return store


def new_prefix() -> str:
    """A folder that no other test has."""
    return f"test-{secrets.token_hex(8)}/"
