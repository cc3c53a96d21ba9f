"""The broker: shared, renewed in time, never shown, and outages that pass by themselves."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from datasette_files.errors import StorageUnavailable
from datasette_files.sources import sources as sources_module
from datasette_files_s3 import credentials as credentials_module
from datasette_files_s3.client import Connection
from datasette_files_s3.config import Folder, S3Config
from datasette_files_s3.credentials import Broker
from tests.conftest import MakeDatasette
from tests.support.broker import SECRET, FakeBroker, answer

#: What must be in no error and no log line.
_PRIVATE = (SECRET, "url-password", "url-token", "of-the-answer", "ASIAEXAMPLE")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials_module, "_PAUSES", (0.0, 0.0))


def _config(broker: FakeBroker, **more: Any) -> S3Config:
    return S3Config(credentials_url=broker.url, credentials_url_secret=SECRET, **more)


class Clock:
    """Seconds since the epoch, moved by the test."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


async def test_answer_as_documented(broker: FakeBroker) -> None:
    broker.say(answer("s3://their-bucket/team-1"))
    held = await Broker(_config(broker, bucket="ours", prefix="p")).current()
    assert broker.asked == [f"secret={SECRET}"]
    assert held.folder == Folder("their-bucket", "team-1/"), "the broker's word wins"
    assert (held.access_key_id, held.session_token) == (
        "ASIAEXAMPLE",
        "session-token-of-the-answer",
    )
    assert 3590 < held.expires_at - time.time() <= 3600
    assert not [secret for secret in _PRIVATE[3:4] if secret in repr(held)]


async def test_configured_bucket_holds_where_the_broker_names_none(broker: FakeBroker) -> None:
    broker.say(answer(S3Folder=None))
    held = await Broker(_config(broker, bucket="ours", prefix="p")).current()
    assert held.folder == Folder("ours", "p/")


async def test_however_many_wait_one_asks(broker: FakeBroker) -> None:
    broker.say(answer())
    broker.open.clear()
    shared = Broker(_config(broker))
    waiting = [asyncio.create_task(shared.current()) for _ in range(50)]
    while not broker.asked:
        await asyncio.sleep(0.01)
    waiting[0].cancel()  # a client that went away must not take the answer with it
    broker.open.set()
    held = await asyncio.gather(*waiting[1:])
    assert len({id(one) for one in held}) == 1
    assert len(broker.asked) == 1


async def test_renewed_ahead_of_expiry_while_the_old_serve(broker: FakeBroker) -> None:
    clock = Clock()
    broker.say(answer(AccessKeyId="FIRST"))
    shared = Broker(_config(broker), clock)
    assert (await shared.current()).access_key_id == "FIRST"
    broker.say(answer(AccessKeyId="SECOND", lives=7200))
    clock.ahead = 3600 - 301
    assert (await shared.current()).access_key_id == "FIRST"
    assert len(broker.asked) == 1, "not yet"
    clock.ahead = 3600 - 299
    assert (await shared.current()).access_key_id == "FIRST", "nobody waits for the new ones"
    assert shared._fetching is not None
    await shared._fetching
    assert (await shared.current()).access_key_id == "SECOND"
    assert len(broker.asked) == 2
    await shared.close()


async def test_outage_is_felt_only_once_the_old_have_expired(broker: FakeBroker) -> None:
    clock = Clock()
    broker.say(answer())
    shared = Broker(_config(broker), clock)
    await shared.current()
    broker.say(b"", 500)
    clock.ahead = 3600 - 100
    assert (await shared.current()).access_key_id == "ASIAEXAMPLE"
    clock.ahead = 3600
    with pytest.raises(StorageUnavailable, match="try again"):
        await shared.current()
    broker.say(answer(lives=7200))
    clock.ahead += 10
    assert (await shared.current()).access_key_id == "ASIAEXAMPLE"
    await shared.close()


@pytest.mark.parametrize(
    ("body", "status", "attempts"),
    [
        pytest.param(b"", 500, 3, id="fault"),
        pytest.param(b"", 429, 3, id="throttled"),
        pytest.param(b"", 403, 1, id="refused"),
        pytest.param(b"", 302, 1, id="redirect"),
        pytest.param(b"<html>", 200, 3, id="no-json"),
        pytest.param(b"[1, 2]", 200, 3, id="other-json"),
        pytest.param(b"\xff" * 70_000, 200, 3, id="endless"),
        pytest.param({"AccessKeyId": "a"}, 200, 3, id="incomplete"),
        pytest.param(answer(Expiration="soon"), 200, 3, id="no-date"),
        pytest.param(answer(lives=-5), 200, 3, id="expired"),
        pytest.param(answer("https://bucket/"), 200, 3, id="no-s3-url"),
        pytest.param(answer(AccessKeyId="two\nlines"), 200, 3, id="two-lines"),
        pytest.param(answer(S3Folder=None), 200, 1, id="no-bucket"),
    ],
)
async def test_answers_that_are_no_use(
    broker: FakeBroker, caplog: pytest.LogCaptureFixture, body: Any, status: int, attempts: int
) -> None:
    broker.say(body, status, Location=f"{broker.url}/elsewhere")
    shared = Broker(_config(broker))
    with pytest.raises(StorageUnavailable) as caught:
        await shared.current()
    assert len(broker.asked) == attempts
    with pytest.raises(StorageUnavailable):
        await shared.current()
    assert len(broker.asked) == attempts, "a moment's rest after a failure"
    shown = f"{caught.value!r} {caplog.text}"
    assert f"127.0.0.1:{broker.port}" in caplog.text
    assert not [secret for secret in _PRIVATE if secret in shown]


async def test_broker_that_is_not_there_or_says_nothing(
    broker: FakeBroker, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials_module, "_ANSWER_SECONDS", 0.2)
    broker.open.clear()
    with pytest.raises(StorageUnavailable):
        await Broker(_config(broker)).current()
    assert "did not answer" in caplog.text
    absent = FakeBroker()
    absent.port = 1
    with pytest.raises(StorageUnavailable):
        await Broker(_config(absent)).current()
    assert "cannot be reached" in caplog.text
    assert not [secret for secret in _PRIVATE if secret in caplog.text]


async def test_no_url_outlives_its_credentials(broker: FakeBroker) -> None:
    broker.say(answer(lives=100))
    connection = await Connection.open(_config(broker))
    assert 0 < await connection.lifetime(3600) <= 100
    assert await connection.lifetime(60) == 60
    await connection.close()


async def test_datasette_starts_without_its_broker_and_the_source_recovers(
    broker: FakeBroker, make_datasette: MakeDatasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources_module, "RETRY_SECONDS", (0.05, 0.05))
    broker.say(b"rubbish")
    config = {"credentials_url": broker.url, "credentials_url_secret": SECRET}
    datasette = await make_datasette(sources={"docs": {"storage": "s3", "config": config}})
    path = "/-/files/upload/docs/-/prepare"
    down = await datasette.client.post(path, json={"filename": "a.txt"})
    assert (down.status_code, down.json()["code"]) == (503, "storage_unavailable")
    broker.say(answer())
    tasks = asyncio.create_task(datasette._datasette_files._recover(datasette))
    await asyncio.wait_for(tasks, 60)
    up = await datasette.client.post(path, json={"filename": "a.txt"})
    assert up.status_code == 200
    assert up.json()["upload_fields"]["key"].startswith("team-1/.datasette-files/")
    assert up.json()["upload_fields"]["x-amz-security-token"] == "session-token-of-the-answer"
