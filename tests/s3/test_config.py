"""The ``config`` of an S3 source: what is refused, what is normalised, what is secret."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from datasette.app import Datasette
from datasette.utils import StartupError
from pydantic import ValidationError

from datasette_files.errors import ConfigurationError
from datasette_files_s3.client import Connection
from datasette_files_s3.config import Folder, S3Config
from tests.conftest import MakeDatasette

_KEYS = {"access_key_id": "AKIAEXAMPLE", "secret_access_key": "the-secret-key"}
_BROKER = {"credentials_url": "https://b.example/c", "credentials_url_secret": "x"}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "bucket is required"),
        ({"bucket": ""}, "bucket is required"),
        ({"bucket": "s3://b"}, "name of a bucket"),
        ({"bucket": "bucket/with/path"}, "name of a bucket"),
        ({"bucket": "bucket", "prefix": "a/../b"}, "segments"),
        ({"bucket": "bucket", "prefix": "a//b"}, "segments"),
        ({"bucket": "bucket", "access_key_id": "A"}, "needed together"),
        ({"bucket": "bucket", "secret_access_key": "A"}, "needed together"),
        ({"bucket": "bucket", "session_token": "A"}, "session_token needs"),
        ({"credentials_url": "https://b.example/c"}, "credentials_url_secret is required"),
        ({"bucket": "bucket", "credentials_url_secret": "x"}, "needs credentials_url"),
        ({**_BROKER, "credentials_url": "ftp://b.example"}, "must begin with https://"),
        ({"bucket": "bucket", "endpoint_url": "minio.example"}, "must begin with https://"),
        ({"bucket": "bucket", "endpoint_url": "https://u:p@minio.example"}, "a password"),
        ({"bucket": "bucket", "public_endpoint_url": "https://m.example?a=b"}, "a query"),
        ({"bucket": "bucket", "upload": "both"}, "'direct' or 'proxy'"),
        ({"bucket": "bucket", "download": "direct"}, "'redirect' or 'proxy'"),
        ({"bucket": "bucket", "presign_ttl_seconds": 0}, "greater than 0"),
        ({"bucket": "bucket", "presign_ttl_seconds": 604801}, "less than or equal"),
        ({"bucket": "bucket", "addressing_style": "dns"}, "'auto', 'path' or 'virtual'"),
        ({"bucket": "bucket", "buckets": "x"}, "Extra inputs"),
    ],
)
def test_wrong_configuration_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        S3Config.model_validate(config)


@pytest.mark.parametrize(
    ("prefix", "normal"),
    [("", ""), ("/", ""), ("a", "a/"), ("a/", "a/"), ("/a/b/", "a/b/"), ("a b/ü", "a b/ü/")],
)
def test_prefix_ends_with_one_slash(prefix: str, normal: str) -> None:
    assert S3Config(bucket="bucket", prefix=prefix).prefix == normal


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("s3://bucket", Folder("bucket", "")),
        ("s3://bucket/", Folder("bucket", "")),
        ("s3://bucket/team-1/", Folder("bucket", "team-1/")),
        ("s3://bucket/a/b", Folder("bucket", "a/b/")),
    ],
)
def test_folder_of_an_s3_url(url: str, folder: Folder) -> None:
    assert Folder.of_url(url) == folder


@pytest.mark.parametrize("url", ["bucket/team", "https://bucket/team", "s3://", "s3://b/../c", ""])
def test_what_is_no_s3_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must"):
        Folder.of_url(url)


def test_defaults_are_direct_and_redirect() -> None:
    config = S3Config(bucket="bucket")
    assert (config.upload, config.download, config.region) == ("direct", "redirect", "us-east-1")
    assert (config.presign_ttl_seconds, config.addressing_style) == (300, "auto")


def _datasette(**config: Any) -> Datasette:
    sources = {"docs": {"storage": "s3", "config": config}}
    return Datasette(memory=True, config={"plugins": {"datasette-files": {"sources": sources}}})


async def test_wrong_configuration_stops_the_start_in_one_line() -> None:
    with pytest.raises(StartupError) as caught:
        await _datasette(bucket="bucket", secret_access_key="the-secret").invoke_startup()
    message = str(caught.value)
    assert message.startswith("plugins.datasette-files.sources.docs.config: ")
    assert "\n" not in message
    assert "the-secret" not in message


async def test_secrets_do_not_reach_the_internal_database(make_datasette: MakeDatasette) -> None:
    config = {"bucket": "bucket", "session_token": "the-token", **_KEYS}
    datasette = await make_datasette(sources={"docs": {"storage": "s3", "config": config}})
    result = await datasette.get_internal_database().execute(
        "SELECT config || ifnull(provisioned, '') FROM datasette_files_sources"
    )
    kept = result.single_value()
    assert '"bucket": "bucket"' in kept
    assert not [value for value in (*_KEYS.values(), "the-token") if value in kept]


async def test_missing_sdk_is_one_line_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "aiobotocore.session", None)
    with pytest.raises(StartupError, match="datasette install aiobotocore") as caught:
        await _datasette(bucket="bucket").invoke_startup()
    assert "\n" not in str(caught.value)


async def test_certificates_that_are_not_there_are_for_a_person_to_mend() -> None:
    with pytest.raises(ConfigurationError, match="there is no file"):
        await Connection.open(S3Config(bucket="bucket", ca_bundle="/nowhere/ca.crt"))


async def test_capabilities_follow_the_way_of_downloads(make_datasette: MakeDatasette) -> None:
    sources = {
        way: {"storage": "s3", "config": {"bucket": "bucket", "download": way, **_KEYS}}
        for way in ("redirect", "proxy")
    }
    datasette = await make_datasette(sources=sources)
    answer = (await datasette.client.get("/-/files/sources.json")).json()
    told = {one["slug"]: one["capabilities"] for one in answer["sources"]}
    assert told["redirect"]["can_generate_signed_urls"]
    assert not told["redirect"]["requires_proxy_download"]
    assert told["proxy"]["requires_proxy_download"]
    assert not told["proxy"]["can_generate_signed_urls"]
