"""From S3's errors to ours: each code, each failure to answer, and what is logged of them."""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
    SSLError,
)

from datasette_files.errors import FilesError, NotFound, StorageError, StorageUnavailable
from datasette_files_s3.client import Connection
from datasette_files_s3.errors import TABLE, code_of, storage_error
from datasette_files_s3.storage import S3Storage


def refused(code: str, status: int = 400) -> ClientError:
    answer = {
        "Error": {"Code": code, "Message": "what S3 says of it"},
        "ResponseMetadata": {"HTTPStatusCode": status, "RequestId": "REQUEST-1"},
    }
    return ClientError(answer, "GetObject")


@pytest.mark.parametrize("code", TABLE)
def test_every_code_of_the_table(code: str, caplog: pytest.LogCaptureFixture) -> None:
    error = storage_error(refused(code), "get_object")
    assert type(error) is TABLE[code][0]
    assert "S3 says" not in str(error)
    assert str(error).count("\n") == 0


@pytest.mark.parametrize("code", ["NoSuchKey", "404", "NotFound", "NoSuchVersion"])
def test_missing_object(code: str) -> None:
    assert isinstance(storage_error(refused(code, 404), "head_object"), FileNotFoundError)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((status, StorageUnavailable) for status in (500, 503, 599)),
        *((status, StorageError) for status in (400, 418, 501)),
    ],
)
def test_code_that_is_not_known_goes_by_its_status(status: int, kind: type[FilesError]) -> None:
    assert type(storage_error(refused("NeverHeardOf", status), "get_object")) is kind


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (EndpointConnectionError(endpoint_url="https://s"), StorageUnavailable, "reached"),
        (ReadTimeoutError(endpoint_url="https://s"), StorageUnavailable, "reached"),
        (asyncio.TimeoutError(), StorageUnavailable, "reached"),
        (ConnectionResetError(), StorageUnavailable, "reached"),
        (SSLError(endpoint_url="https://s", error="x"), StorageUnavailable, "ca_bundle"),
        (NoCredentialsError(), StorageUnavailable, "credentials"),
        (ZeroDivisionError(), StorageError, "invalid answer"),
    ],
)
def test_no_answer(error: Exception, kind: type[FilesError], words: str) -> None:
    told = storage_error(error, "get_object")
    assert type(told) is kind
    assert words in str(told)


def test_ours_come_back_as_they_are() -> None:
    for error in (NotFound("here"), FileNotFoundError("there")):
        assert storage_error(error, "get_object") is error


def test_log_has_what_an_administrator_asks_amazon_with(caplog: pytest.LogCaptureFixture) -> None:
    storage_error(refused("AccessDenied", 403), "put_object")
    for word in ("put_object", "403", "AccessDenied", "REQUEST-1"):
        assert word in caplog.text


def test_code_of_what_is_no_answer_is_empty() -> None:
    assert code_of(ValueError("x")) == ""


async def test_object_without_a_type_is_described(
    storage: S3Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def headed(self: Connection, operation: str, **parameters: Any) -> Any:
        return {"ContentLength": 5, "LastModified": datetime.now(timezone.utc), "ETag": '"e"'}

    monkeypatch.setattr(Connection, "call", headed)
    found = await storage.get_file_metadata("01abc/a.bin")
    assert found is not None
    assert (found.size, found.content_type) == (5, None)
