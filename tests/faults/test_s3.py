"""R5: a store and a broker that fail, through a proxy before a real S3.

What may pass is repeated within bounds, what lasts is a clear 502 or 503, and neither leaves a half
object, a part of one, or a row without bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from datasette_files.errors import StorageUnavailable
from datasette_files_s3.storage import S3Storage
from tests.support.client import Client, Unanswered, expect
from tests.support.faults.proxy import FaultProxy
from tests.support.faults.s3_scene import (
    LARGE,
    LASTING,
    PASSING,
    BrokerServer,
    Scene,
    s3_sources,
    site,
    store_proxy,
)
from tests.support.faults.scene import settle
from tests.support.moto_server import new_prefix, shared_store
from tests.support.server import Server

pytestmark = pytest.mark.full

SMALL = b"a few bytes"
#: The most requests for one operation that asks for one.
MOST = 6


def some(faults: dict[str, Any], *always: str) -> list[Any]:
    """The names; what is not of every run is of the slow proofs."""
    return [pytest.param(f, marks=() if f in always else pytest.mark.full) for f in faults]


# Uploads through Datasette

each_step = pytest.mark.parametrize(
    ("content", "operation"),
    [
        (SMALL, "PutObject"),
        pytest.param(LARGE, "CreateMultipartUpload", marks=pytest.mark.full),
        (LARGE, "UploadPart"),
        pytest.param(LARGE, "CompleteMultipartUpload", marks=pytest.mark.full),
    ],
    ids=["PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"],
)


@pytest.mark.parametrize("fault", some(PASSING, "500"))
@each_step
def test_an_upload_survives_what_passes(
    scene: Scene, content: bytes, operation: str, fault: str
) -> None:
    PASSING[fault](scene.proxy, operation)
    file = scene.client.put("proxied", "a.bin", content)
    assert scene.proxy.harmed() == (2 if fault == "503 twice" else 1)
    assert file["content_hash"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert scene.client.download(file["id"]).body == content
    if operation != "CreateMultipartUpload" or fault not in ("lost", "double", "truncated"):
        assert scene.differences() == {}
    else:  # nobody was ever told which upload that was; deleting the file finds it
        assert set(scene.differences()) <= {"parts"}
        expect(scene.client.delete(file["id"]), 204)
        settle(scene.differences)


@pytest.mark.parametrize("fault", some(LASTING, "503"))
@each_step
def test_an_upload_that_cannot_be_stored_is_told_and_leaves_nothing(
    scene: Scene, content: bytes, operation: str, fault: str
) -> None:
    act, status, code = LASTING[fault]
    act(scene.proxy, operation)
    answer = scene.client.request("PUT", "/-/files/upload/proxied/a.bin", content)
    assert (answer.status, answer.json()["code"]) == (status, code)
    assert scene.proxy.count(operation) <= MOST * 3  # parts go three at a time
    assert scene.catalogued() == set()
    scene.proxy.heal()
    settle(scene.differences)


def test_a_completion_that_fails_within_a_200_is_no_success(scene: Scene) -> None:
    """S3 answers a long completion at once, and tells in the body what became of it."""
    scene.proxy.answers(200, "InternalError", "CompleteMultipartUpload")
    file = scene.client.put("proxied", "a.bin", LARGE)
    assert scene.client.download(file["id"]).body == LARGE
    scene.proxy.answers(200, "InternalError", "CompleteMultipartUpload", times=100)
    answer = scene.client.request("PUT", "/-/files/upload/proxied/b.bin", LARGE)
    assert (answer.status, answer.json()["code"]) == (503, "storage_unavailable")
    scene.proxy.heal()
    settle(scene.differences)
    assert len(scene.catalogued()) == 1


# Direct uploads


@pytest.mark.parametrize("fault", some(PASSING, "500"))
@pytest.mark.parametrize("operation", ["HeadObject", "CopyObject", "GetObject", "DeleteObject"])
def test_a_direct_upload_completes_over_what_passes(
    scene: Scene, operation: str, fault: str
) -> None:
    prepared = scene.prepared(SMALL)
    PASSING[fault](scene.proxy, operation)
    done = expect(scene.client.complete("direct", prepared["upload_token"]), 201).json()["file"]
    assert scene.proxy.harmed()
    assert scene.client.download(done["id"]).body == SMALL
    settle(scene.differences)


@pytest.mark.parametrize("fault", some(LASTING, "503"))
@pytest.mark.parametrize("operation", ["HeadObject", "CopyObject", "GetObject"])
@pytest.mark.full
def test_a_direct_upload_that_cannot_be_completed_can_be_later(
    scene: Scene, operation: str, fault: str
) -> None:
    prepared = scene.prepared(SMALL)
    act, status, code = LASTING[fault]
    act(scene.proxy, operation)
    answer = scene.client.complete("direct", prepared["upload_token"])
    if (operation, fault) == ("HeadObject", "expired"):
        status, code = LASTING["denied"][1:]  # an answer to HEAD has no body that names the error
    assert (answer.status, answer.json()["code"]) == (status, code)
    assert scene.proxy.count(operation) <= MOST
    assert scene.catalogued() == set()
    scene.proxy.heal()
    done = expect(scene.client.complete("direct", prepared["upload_token"]), 201).json()["file"]
    assert scene.client.download(done["id"]).body == SMALL
    settle(scene.differences)


# Downloads


@pytest.mark.parametrize("fault", some(PASSING, "500", "lost"))
def test_a_download_survives_what_passes(scene: Scene, fault: str) -> None:
    file = scene.client.put("proxied", "a.bin", LARGE)
    PASSING[fault](scene.proxy, "GetObject")
    answer = scene.client.download(file["id"])
    assert (answer.status, answer.body == LARGE) == (200, True)


def test_a_download_goes_on_where_it_was_cut(scene: Scene) -> None:
    file = scene.client.put("proxied", "a.bin", LARGE)
    for after in (5_000_000, 1, 3_000_000):
        scene.proxy.cuts_answers("GetObject", after=after)
    answer = scene.client.download(file["id"])
    assert (answer.status, answer.body == LARGE) == (200, True)
    assert scene.proxy.harmed() == 3
    assert scene.proxy.count("GetObject") == 4


@pytest.mark.parametrize("fault", some(LASTING, "503", "denied"))
def test_a_download_that_cannot_begin_is_told(scene: Scene, fault: str) -> None:
    file = scene.client.put("proxied", "a.bin", LARGE)
    act, status, code = LASTING[fault]
    act(scene.proxy, "GetObject")
    answer = scene.client.download(file["id"])
    assert (answer.status, answer.json()["code"]) == (status, code)
    assert scene.proxy.count("GetObject") <= MOST


@pytest.mark.full
def test_a_download_that_breaks_for_good_is_not_a_short_success(scene: Scene) -> None:
    file = scene.client.put("proxied", "a.bin", LARGE)
    scene.proxy.cuts_answers("GetObject", after=1_000_000)
    scene.proxy.answers(503, "SlowDown", "GetObject", times=100)
    try:
        answer = scene.client.download(file["id"])
    except Unanswered:
        pass  # cut off, as its headers had gone
    else:
        # A reset may overtake the first bytes: then nothing had gone, and the reason can be told.
        assert (answer.status, answer.json()["code"]) == (503, "storage_unavailable")
    assert scene.proxy.count("GetObject") <= MOST * 3


# Deletes and lists


@pytest.mark.parametrize("fault", some(PASSING, "500"))
@pytest.mark.full
def test_a_delete_survives_what_passes(scene: Scene, fault: str) -> None:
    file = scene.client.put("proxied", "a.bin", SMALL)
    PASSING[fault](scene.proxy, "DeleteObject")
    expect(scene.client.delete(file["id"]), 204)
    settle(scene.keys)


@pytest.mark.full
def test_a_delete_that_the_store_refuses_for_now_is_done_later(scene: Scene) -> None:
    file = scene.client.put("proxied", "a.bin", SMALL)
    scene.proxy.answers(503, "SlowDown", "DeleteObject", times=100)
    expect(scene.client.delete(file["id"]), 204)
    assert scene.client.download(file["id"]).status == 404
    assert len(scene.keys()) == 1
    scene.proxy.heal()
    settle(scene.keys, 60)


async def test_many_are_deleted_one_by_one_where_the_store_refuses_many(
    proxy: FaultProxy,
) -> None:
    """Ceph asks for a right on the bucket, which a policy of least rights does not give."""
    proxy.heal()
    storage = S3Storage()

    async def no_secret(name: str) -> None:
        return None

    prefix = new_prefix()
    await storage.configure(s3_sources(proxy, prefix)["proxied"]["config"], no_secret)
    store = shared_store()
    for number in range(20):
        store.boto.put_object(Bucket=store.bucket, Key=f"{prefix}proxied/{number}", Body=b"x")
    proxy.answers(403, "AccessDenied", "DeleteObjects")
    try:
        await storage.delete_files([str(number) for number in range(20)])
        assert store.keys(prefix) == set()
        assert proxy.harmed() >= 1
    finally:
        await storage.close()


@pytest.mark.parametrize("fault", some(PASSING, "500"))
async def test_a_list_survives_what_passes_and_tells_what_lasts(
    proxy: FaultProxy, fault: str
) -> None:
    proxy.heal()
    prefix = new_prefix()
    source = s3_sources(proxy, prefix)["proxied"]["config"]
    storage = S3Storage()

    async def no_secret(name: str) -> None:
        return None

    await storage.configure(source, no_secret)
    try:
        for number in range(3):
            shared_store().boto.put_object(
                Bucket=shared_store().bucket, Key=f"{prefix}proxied/{number}", Body=b"x"
            )
        PASSING[fault](proxy, "ListObjectsV2")
        listed, cursor = await storage.list_files("", None, 2)
        PASSING[fault](proxy, "ListObjectsV2")
        rest, end = await storage.list_files("", cursor, 2)
        assert [file.path for file in listed + rest] == ["0", "1", "2"]
        assert end is None
        proxy.answers(503, "SlowDown", "ListObjectsV2", times=100)
        with pytest.raises(StorageUnavailable):
            await storage.list_files("", None, 2)
    finally:
        proxy.heal()
        await storage.close()


# A store or a broker that is down, and credentials that expire


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Callable[..., tuple[Server, FaultProxy, BrokerServer, str]]]:
    """``own(…)``: a server that is not started, its own proxy, and its own broker if asked for."""
    with ExitStack() as stack:

        def make(*, broker: bool = True) -> tuple[Server, FaultProxy, BrokerServer, str]:
            prefix = new_prefix()
            proxy = store_proxy()
            stack.callback(proxy.refuse_connections)
            brokers = BrokerServer(shared_store(), prefix)
            stack.callback(brokers.stop)
            more: dict[str, Any] = {}
            if broker:
                unset = ("bucket", "access_key_id", "secret_access_key")
                more = dict.fromkeys(unset, "")
                more |= {"credentials_url": brokers.url, "credentials_url_secret": "s3cret"}
            sources = s3_sources(proxy, prefix, **more)
            server = site(tmp_path, sources)
            stack.callback(server.__exit__)
            return server, proxy, brokers, prefix

        yield make


def _becomes_up(client: Client) -> None:
    def not_yet() -> bool:
        return client.request("PUT", "/-/files/upload/proxied/again.txt", SMALL).status != 201

    settle(not_yet, 60)


@pytest.mark.full
def test_datasette_starts_while_the_store_is_down(own: Any) -> None:
    server, proxy, _, _ = own(broker=False)
    proxy.refuse_connections()
    client = Client(server.start().url)
    answer = client.request("PUT", "/-/files/upload/proxied/a.txt", SMALL)
    assert (answer.status, answer.json()["code"]) == (503, "storage_unavailable")
    assert client.request("GET", "/-/files/source/proxied.json").status == 200
    proxy.listen()
    _becomes_up(client)
    proxy.refuse_connections()
    answer = client.request("PUT", "/-/files/upload/proxied/a.txt", SMALL)
    assert (answer.status, answer.json()["code"]) == (503, "storage_unavailable")
    proxy.listen()
    _becomes_up(client)


def _down(broker: BrokerServer) -> None:
    broker.stop()


def _rubbish(broker: BrokerServer) -> None:
    broker.rubbish = b"<html>The secret is not s3cret</html>"


def _incomplete(broker: BrokerServer) -> None:
    broker.rubbish = b'{"AccessKeyId": "AKIA"}'


def _expired(broker: BrokerServer) -> None:
    broker.lives = -60


def _failing(broker: BrokerServer) -> None:
    broker.status = 500


def _slow(broker: BrokerServer) -> None:
    broker.delay = 20


@pytest.mark.parametrize(
    "fail",
    [
        _down,
        *(
            pytest.param(f, marks=pytest.mark.full)
            for f in (_rubbish, _incomplete, _expired, _failing, _slow)
        ),
    ],
)
@pytest.mark.full
def test_datasette_starts_while_the_broker_fails_and_recovers(
    own: Any, fail: Callable[[BrokerServer], None]
) -> None:
    server, _, broker, _ = own()
    fail(broker)
    client = Client(server.start(timeout=60).url)
    answer = client.request("PUT", "/-/files/upload/proxied/a.txt", SMALL)
    assert (answer.status, answer.json()["code"]) == (503, "storage_unavailable")
    assert client.request("GET", "/-/files/source/proxied.json").status == 200
    assert "s3cret" not in server.log.read_text()
    broker.rubbish, broker.lives, broker.status, broker.delay = None, 3600, 200, 0
    if fail is _down:
        broker.listen()
    _becomes_up(client)
    assert broker.asked[-1] == b"secret=s3cret"


@pytest.mark.parametrize(
    "operation",
    [
        "UploadPart",
        *(
            pytest.param(one, marks=pytest.mark.full)
            for one in ("CreateMultipartUpload", "GetObject")
        ),
    ],
)
@pytest.mark.full
def test_credentials_that_the_store_calls_expired_are_renewed(own: Any, operation: str) -> None:
    server, proxy, broker, _ = own()
    client = Client(server.start().url)
    assert len(broker.asked) == 2  # each source asks for its own
    proxy.answers(403, "ExpiredToken", operation)
    file = client.put("proxied", "a.bin", LARGE)
    assert client.download(file["id"]).body == LARGE
    assert proxy.harmed() == 1
    assert len(broker.asked) == 3


@pytest.mark.full
def test_a_head_that_is_refused_without_a_reason_renews_credentials_once(own: Any) -> None:
    server, proxy, broker, prefix = own()
    server.start()
    scene = Scene(server, shared_store(), proxy, prefix)
    prepared = scene.prepared(SMALL)
    proxy.answers(403, "ExpiredToken", "HeadObject")
    expect(scene.client.complete("direct", prepared["upload_token"]), 201)
    assert len(broker.asked) == 3
    prepared = scene.prepared(SMALL)
    proxy.answers(403, "AccessDenied", "HeadObject", times=100)
    for _ in range(3):
        assert scene.client.complete("direct", prepared["upload_token"]).status == 502
    assert len(broker.asked) == 3  # a right that is missing is not looked for there


@pytest.mark.full
def test_credentials_are_renewed_ahead_of_their_expiry(own: Any) -> None:
    server, _, broker, _ = own()
    broker.lives = 6
    client = Client(server.start().url)

    def asked_again() -> bool:
        client.put("proxied", "a.txt", SMALL)
        return len(broker.asked) < 4

    settle(asked_again, 60)


@pytest.mark.full
def test_a_broker_that_fails_later_is_told_only_when_credentials_are_at_their_end(
    own: Any,
) -> None:
    server, _, broker, _ = own()
    broker.lives = 15
    client = Client(server.start().url)
    broker.stop()
    file = client.put("proxied", "a.txt", SMALL)  # the credentials are still good

    def still_good() -> bool:
        return client.request("PUT", "/-/files/upload/proxied/b.txt", SMALL).status == 201

    settle(still_good, 60)
    answer = client.download(file["id"])
    assert (answer.status, answer.json()["code"]) == (503, "storage_unavailable")
    broker.listen()
    _becomes_up(client)


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("operation", ["PutObject", "GetObject", "HeadObject"])
def test_a_store_that_stalls_is_given_up(own: Any, operation: str) -> None:
    server, proxy, _, _ = own(broker=False)
    client = Client(server.start().url, timeout=600)
    file = client.put("proxied", "a.txt", SMALL)
    proxy.stalls(operation, times=100)
    if operation == "PutObject":
        answer = client.request("PUT", "/-/files/upload/proxied/b.txt", SMALL)
    else:
        answer = client.download(file["id"])
        if operation == "HeadObject":
            assert answer.body == SMALL  # not asked for
            return
    assert (answer.status, answer.json()["code"]) == (503, "storage_unavailable")


@pytest.mark.full
@pytest.mark.timeout(900)
def test_a_download_that_stalls_within_goes_on(own: Any) -> None:
    server, proxy, _, _ = own(broker=False)
    client = Client(server.start().url, timeout=600)
    file = client.put("proxied", "a.bin", LARGE)
    proxy.stalls_answers("GetObject", after=3_000_000)
    assert client.download(file["id"]).body == LARGE
