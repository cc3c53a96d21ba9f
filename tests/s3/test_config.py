"""The ``config`` of an S3 source: what is refused, what is normalised, what is secret."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette
from datasette.utils import StartupError
from pydantic import ValidationError

from datasette_files.errors import ConfigurationError, StorageUnavailable
from datasette_files_s3.client import Connection
from datasette_files_s3.config import Folder, S3Config
from tests.conftest import MakeDatasette

_KEYS = {"access_key_id": "AKIAEXAMPLE", "secret_access_key": "the-secret-key"}
_ARN = "arn:aws:s3:eu-west-1:123456789012:accesspoint/files"
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
        ({"bucket": "bucket", "access_key_id": "A"}, "given together"),
        ({"bucket": "bucket", "secret_access_key": "A"}, "given together"),
        ({"bucket": "bucket", "session_token": "A"}, "session_token needs"),
        ({"credentials_url": "https://b.example/c"}, "credentials_url_secret is required"),
        ({"bucket": "bucket", "credentials_url_secret": "x"}, "needs credentials_url"),
        ({**_BROKER, "credentials_url": "ftp://b.example"}, "must begin with https://"),
        ({"bucket": "bucket", "endpoint_url": "minio.example"}, "must begin with https://"),
        ({"bucket": "bucket", "endpoint_url": "https://u:p@minio.example"}, "a password"),
        ({"bucket": "bucket", "public_endpoint_url": "https://m.example?a=b"}, "a query"),
        ({"bucket": "arn:aws:s3:::bucket"}, "access point in one region"),
        ({"bucket": "arn:aws:s3::123456789012:accesspoint/m.mrap"}, "one region"),
        ({"bucket": "arn:aws:s3-outposts:us-east-1:123456789012:outpost/o/b"}, "one region"),
        ({"bucket": _ARN, "endpoint_url": "https://m.example"}, "remove endpoint_url"),
        ({"bucket": "bucket", "sse": "aes"}, "'AES256', 'aws:kms'"),
        ({"bucket": "bucket", "sse_kms_key_id": "k"}, "needs sse: aws:kms"),
        ({"bucket": "bucket", "sse": "AES256", "sse_kms_key_id": "k"}, "needs sse: aws:kms"),
        ({"bucket": "bucket", "upload_method": "put"}, "'POST' or 'PUT'"),
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


async def test_configured_keys_are_all_that_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = await Connection.open(S3Config(bucket="bucket", **_KEYS))

    async def asked() -> None:
        raise AssertionError("the SDK's chain reads files and asks the network: at every signature")

    monkeypatch.setattr(connection._session, "get_credentials", asked)
    assert await connection.lifetime(60) == 60
    await connection.close()


async def test_credentials_of_the_sdks_chain_may_come_later(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Such as a file that is written after the start: the source is tried again by itself."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    file = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(StorageUnavailable, match="no credentials for the store"):
        await Connection.open(S3Config(bucket="bucket"))
    file.write_text("[default]\naws_access_key_id = key\naws_secret_access_key = secret\n")
    connection = await Connection.open(S3Config(bucket="bucket"))
    signed = await connection.presign("generate_presigned_url", "list_buckets", seconds=60)
    assert "X-Amz-Credential=key%2F" in signed
    await connection.close()


async def test_no_signature_is_asked_for_longer_than_it_can_live() -> None:
    connection = await Connection.open(S3Config(bucket="bucket", **_KEYS))
    assert await connection.lifetime(30 * 24 * 3600) == 7 * 24 * 3600
    await connection.close()


@pytest.mark.parametrize(
    ("more", "address"),
    [
        ({}, "https://bucket.s3.eu-central-1.amazonaws.com/"),
        ({"bucket": "with.dots"}, "https://s3.eu-central-1.amazonaws.com/with.dots"),
        ({"addressing_style": "path"}, "https://s3.eu-central-1.amazonaws.com/bucket"),
        ({"public_endpoint_url": "https://f.example"}, "https://f.example/bucket"),
        ({"endpoint_url": "https://s3.example"}, "https://s3.example/bucket"),
    ],
)
async def test_browsers_are_sent_to_the_address_of_the_region(
    monkeypatch: pytest.MonkeyPatch, more: dict[str, str], address: str
) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    values = {"bucket": "bucket", "region": "eu-central-1", **_KEYS, **more}
    connection = await Connection.open(S3Config.model_validate(values))
    where = {"Bucket": values["bucket"], "Key": "k"}
    got = await connection.presign("generate_presigned_url", "get_object", Params=where, seconds=60)
    form = await connection.presign("generate_presigned_post", *where.values(), seconds=60)
    assert (got.partition("/k?")[0], form["url"]) == (address.rstrip("/"), address)
    await connection.close()


async def test_tracebacks_that_show_variables_show_no_secret(make_datasette: MakeDatasette) -> None:
    config = {"bucket": "bucket", "session_token": "the-token", **_KEYS}
    datasette = await make_datasette(sources={"docs": {"storage": "s3", "config": config}})
    source = datasette._datasette_files.sources.get("docs")
    made = await source.storage.prepare_upload("a/b", "a/b", 5, max_size=9, expires_in=60)
    shown = repr([source, source.config, made])
    private = [*_KEYS.values(), "the-token", made.fields["x-amz-signature"]]
    assert not [value for value in private if value in shown]


@pytest.mark.parametrize(
    "url", ["http://user:pass/word@host", "http://[user:password", "https://host:99999999"]
)
@pytest.mark.parametrize("name", ["endpoint_url", "credentials_url"])
def test_no_part_of_a_wrong_url_is_shown(name: str, url: str) -> None:
    with pytest.raises(ValidationError, match="is not a URL") as caught:
        S3Config.model_validate({"bucket": "b-1", "credentials_url_secret": "x", name: url})
    message = str(
        caught.value.errors(include_url=False, include_input=False, include_context=False)
    )
    assert not [part for part in ("pass", "word", "9999") if part in message]


def test_key_from_a_file_is_without_its_line_break() -> None:
    config = S3Config.model_validate({"bucket": "b-1", **_KEYS, "secret_access_key": "secret\n"})
    assert config.secret_access_key is not None
    assert config.secret_access_key.get_secret_value() == "secret"
