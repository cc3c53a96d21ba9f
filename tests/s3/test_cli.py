"""``datasette files s3-check`` and ``s3-cors``, on a real S3; what it refuses, a proxy refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiobotocore.signers import AioRequestSigner
from click.testing import CliRunner, Result
from datasette.cli import cli

from datasette_files.errors import Invalid, StorageUnavailable
from datasette_files_s3.client import Connection
from datasette_files_s3.config import Folder, S3Config
from datasette_files_s3.cors import joined, origin_of, rule
from datasette_files_s3.policy import policy
from datasette_files_s3.rights import Trial
from tests.conftest import disk_source
from tests.support.broker import SECRET, FakeBroker, answer
from tests.support.faults.proxy import FaultProxy
from tests.support.faults.s3_scene import store_proxy
from tests.support.moto_server import Store, new_prefix, own_bucket, shared_store

pytestmark = pytest.mark.full

Run = Callable[..., Result]


@pytest.fixture
def prefix() -> str:
    return new_prefix()


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    proxy = store_proxy()
    yield proxy
    proxy.refuse_connections()


@pytest.fixture
def bucket() -> Iterator[Store]:
    store = own_bucket()
    yield store
    store.boto.delete_bucket(Bucket=store.bucket)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """``run(config, "s3-check", …)``: the source ``docs`` has this config."""

    def run_command(config: dict[str, Any], *arguments: str) -> Result:
        sources = {
            "docs": {"storage": "s3", "config": config},
            "disk": disk_source(tmp_path / "disk"),
        }
        path = tmp_path / "datasette.json"
        path.write_text(json.dumps({"plugins": {"datasette-files": {"sources": sources}}}))
        ran = CliRunner().invoke(cli, ["files", *arguments, "--config", str(path)])
        assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
        return ran

    return run_command


# Rights


def test_every_right_is_there_and_nothing_stays(run: Run, prefix: str) -> None:
    config = shared_store().config(prefix)
    ran = run(config, "s3-check", "docs")
    assert ran.exit_code == 0, ran.output
    lines = ran.stdout.splitlines()
    assert lines[0] == f"docs: bucket {config['bucket']}, prefix {prefix}"
    assert {line.split()[0] for line in lines[1:]} == {"ok"}
    told = json.loads(run(config, "s3-check", "docs", "--json").stdout)
    assert told["ok"] is True
    assert {right["state"] for right in told["rights"]} == {"ok"}
    assert told["left"] == []
    assert shared_store().keys(prefix) == set()


def test_the_policy_allows_what_is_tried_and_no_more(run: Run, prefix: str) -> None:
    config = shared_store().config(prefix)
    told = json.loads(run(config, "s3-check", "docs", "--json").stdout)
    tried = {action for right in told["rights"] for action in right["actions"]}
    allowed = [action for part in told["policy"]["Statement"] for action in part["Action"]]
    assert sorted(allowed) == sorted(tried)
    assert json.loads(run(config, "s3-check", "docs", "--policy").stdout) == told["policy"]


@pytest.mark.parametrize(
    ("operations", "missing"),
    [
        (["GetObject", "HeadObject"], "s3:GetObject"),
        (["PostObject"], "s3:PutObject"),
        *(
            pytest.param(*one, marks=pytest.mark.full)
            for one in (
                (["ListObjectsV2"], "s3:ListBucket"),
                (["PutObject"], "s3:PutObject"),
                (["CopyObject"], "s3:PutObject"),
                (["CreateMultipartUpload"], "s3:PutObject"),
                (["AbortMultipartUpload"], "s3:AbortMultipartUpload"),
                (["ListMultipartUploads"], "s3:ListBucketMultipartUploads"),
                (["DeleteObject", "DeleteObjects"], "s3:DeleteObject"),
            )
        ),
    ],
)
def test_a_missing_right_is_named(
    run: Run, proxy: FaultProxy, prefix: str, operations: list[str], missing: str
) -> None:
    proxy.answers(403, "AccessDenied", *operations, times=100)
    config = shared_store().config(prefix, endpoint_url=proxy.url)
    ran = run(config, "s3-check", "docs", "--json")
    told = json.loads(ran.stdout)
    assert (ran.exit_code, told["ok"]) == (1, False)
    denied = [right for right in told["rights"] if right["state"] == "missing"]
    assert denied
    assert all(missing in right["actions"] for right in denied)
    assert bool(told["left"]) == (missing in ("s3:DeleteObject", "s3:AbortMultipartUpload"))
    proxy.heal()


def test_a_person_is_told_the_reason_and_given_a_policy(
    run: Run, proxy: FaultProxy, prefix: str
) -> None:
    proxy.answers(403, "AccessDenied", "ListObjectsV2", times=100)
    ran = run(shared_store().config(prefix, endpoint_url=proxy.url), "s3-check", "docs")
    assert ran.exit_code == 1
    assert "missing   list objects" in ran.stdout
    assert "AccessDenied: A fault of the test" in ran.stdout
    pasted = json.loads(ran.stdout.partition("with all rights:\n")[2])
    assert pasted == policy(Folder(shared_store().bucket, prefix), "us-east-1")


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (404, "NoSuchBucket", "the bucket does not exist"),
        (403, "InvalidAccessKeyId", "does not know the access key"),
        (403, "SignatureDoesNotMatch", "the secret key is wrong"),
        (400, "ExpiredToken", "have expired"),
    ],
)
def test_what_makes_every_trial_vain_is_one_line(
    run: Run, proxy: FaultProxy, prefix: str, status: int, code: str, told: str
) -> None:
    proxy.answers(status, code, times=100)
    ran = run(shared_store().config(prefix, endpoint_url=proxy.url), "s3-check", "docs")
    assert (ran.exit_code, ran.stdout, ran.stderr.count("\n")) == (1, "", 1)
    assert ran.stderr.startswith(f"Error (storage_error): {code}: ")
    assert told in ran.stderr


def test_a_store_that_is_not_there_is_told(run: Run, proxy: FaultProxy, prefix: str) -> None:
    proxy.refuse_connections()
    ran = run(shared_store().config(prefix, endpoint_url=proxy.url), "s3-check", "docs")
    assert (ran.exit_code, ran.stdout) == (1, "")
    assert ran.stderr.startswith("Error (storage_unavailable): The store cannot be reached")


@pytest.mark.parametrize("command", ["s3-check", "s3-cors"])
def test_only_a_source_on_s3_is_looked_at(run: Run, prefix: str, command: str) -> None:
    config = shared_store().config(prefix)
    more = ["--origin", "https://a.example"] if command == "s3-cors" else []
    assert "is not on S3" in run(config, command, "disk", *more).stderr
    assert "There is no source named" in run(config, command, "nowhere", *more).stderr


@pytest.mark.parametrize(
    ("folder", "region", "objects", "bucket"),
    [
        (Folder("b", "a/"), "eu-west-1", "arn:aws:s3:::b/a/*", "arn:aws:s3:::b"),
        (Folder("b"), "cn-north-1", "arn:aws-cn:s3:::b/*", "arn:aws-cn:s3:::b"),
        (Folder("b"), "us-gov-west-1", "arn:aws-us-gov:s3:::b/*", "arn:aws-us-gov:s3:::b"),
        (Folder("b", "a*?$/"), "auto", "arn:aws:s3:::b/a${*}${?}${$}/*", "arn:aws:s3:::b"),
        (
            Folder("arn:aws:s3:eu-west-1:123456789012:accesspoint/files", "a/"),
            "eu-west-1",
            "arn:aws:s3:eu-west-1:123456789012:accesspoint/files/object/a/*",
            "arn:aws:s3:eu-west-1:123456789012:accesspoint/files",
        ),
    ],
)
def test_the_policy_is_of_the_bucket_and_the_prefix(
    folder: Folder, region: str, objects: str, bucket: str
) -> None:
    statements = policy(folder, region)["Statement"]
    assert [statement["Resource"] for statement in statements] == [objects, bucket]


def test_the_docs_show_what_the_commands_print() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "s3.md").read_text("utf-8")
    shown = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL)]
    assert policy(Folder("my-bucket", "datasette/"), "eu-central-1") in shown
    assert {"CORSRules": [rule(["https://datasette.example.com"], "datasette/")]} in shown


# CORS


def test_rules_are_printed_and_nothing_is_asked(run: Run) -> None:
    config = {"bucket": "my-bucket", "endpoint_url": "http://127.0.0.1:1"}
    arguments = ["--origin", "https://Files.Example.org:443/", "--origin", "http://localhost:8001"]
    ran = run(config, "s3-cors", "docs", *arguments)
    assert ran.exit_code == 0
    (printed,) = json.loads(ran.stdout)["CORSRules"]
    assert printed["AllowedOrigins"] == ["https://files.example.org", "http://localhost:8001"]
    assert "POST" in printed["AllowedMethods"]


def test_an_origin_is_demanded(run: Run) -> None:
    ran = run({"bucket": "my-bucket"}, "s3-cors", "docs")
    assert (ran.exit_code, ran.stdout) == (1, "")
    assert ran.stderr.startswith("Error (invalid): Give the address of the site")


@pytest.mark.parametrize(
    "address", ["files.example.org", "ftp://a.example", "https://", "https://a/b", "http://a:x"]
)
def test_what_is_no_origin_is_refused(address: str) -> None:
    with pytest.raises(Invalid):
        origin_of(address)


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("*", "*"),
        ("https://*.example.org", "https://*.example.org"),
        ("http://[::1]:8001", "http://[::1]:8001"),
        ("http://A.example:80", "http://a.example"),
    ],
)
def test_an_origin_is_written_as_browsers_do(address: str, origin: str) -> None:
    assert origin_of(address) == origin


def test_rules_of_others_stay_and_ours_is_replaced() -> None:
    other = {"ID": "theirs", "AllowedOrigins": ["https://b"], "AllowedMethods": ["GET"]}
    first, second = rule(["https://a"], "p/"), rule(["https://c"], "p/")
    assert joined([other], first) == [other, first]
    assert joined([first, other], second) == [other, second]
    assert joined([first], rule(["https://c"], "q/"))[0] == first, "another site's"
    nameless = {name: value for name, value in first.items() if name != "ID"}
    assert joined([nameless, other], first) == [other, first]


def test_rules_come_into_force_beside_others(run: Run, bucket: Store) -> None:
    other = {"AllowedOrigins": ["https://b.example"], "AllowedMethods": ["GET"]}
    client = bucket.boto
    client.put_bucket_cors(Bucket=bucket.bucket, CORSConfiguration={"CORSRules": [other]})
    arguments = ["s3-cors", "docs", "--apply", "--origin", "https://a.example"]
    for _ in range(2):
        ran = run(bucket.config(), *arguments)
        assert ran.exit_code == 0, ran.output
        assert f"The bucket {bucket.bucket} now has these rules" in ran.stdout
    there = client.get_bucket_cors(Bucket=bucket.bucket)["CORSRules"]
    origins = [origin for one in there for origin in one["AllowedOrigins"]]
    assert origins == ["https://b.example", "https://a.example"]


def test_who_may_not_change_the_rules_is_told_what_to_do(
    run: Run, proxy: FaultProxy, bucket: Store
) -> None:
    proxy.answers(403, "AccessDenied", "GetBucketCors", "PutBucketCors", times=100)
    config = bucket.config(endpoint_url=proxy.url)
    ran = run(config, "s3-cors", "docs", "--apply", "--origin", "https://a.example")
    assert (ran.exit_code, ran.stdout) == (1, "")
    assert ran.stderr.startswith("Error (permission_denied): ")
    assert "--sdk-credentials" in ran.stderr


def test_the_environments_credentials_may_change_the_rules(
    run: Run, bucket: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", bucket.key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", bucket.secret)
    config = {**bucket.config(), "access_key_id": "weak", "secret_access_key": "weak"}
    arguments = ["s3-cors", "docs", "--apply", "--origin", "https://a.example"]
    ran = run(config, *arguments, "--sdk-credentials", "--json")
    assert json.loads(ran.stdout)["applied"] is True


def test_the_environments_credentials_are_used_in_place_of_a_brokers(
    run: Run, bucket: Store, broker: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", bucket.key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", bucket.secret)
    broker.say(answer(f"s3://{bucket.bucket}/team-1/"))
    seen: list[str] = []
    sign = AioRequestSigner.sign

    async def noting(self: Any, operation_name: str, request: Any, *rest: Any, **more: Any) -> None:
        await sign(self, operation_name, request, *rest, **more)
        seen.append(request.headers.get("Authorization", ""))

    monkeypatch.setattr(AioRequestSigner, "sign", noting)
    config = {
        "credentials_url": broker.url,
        "credentials_url_secret": SECRET,
        "endpoint_url": bucket.endpoint,
        "addressing_style": "path",
        **({"ca_bundle": bucket.ca} if bucket.ca else {}),
    }
    arguments = ["--apply", "--origin", "https://a.example", "--sdk-credentials", "--json"]
    told = json.loads(run(config, "s3-cors", "docs", *arguments).stdout)
    (rule_in_force,) = told["cors"]["CORSRules"]
    assert rule_in_force["ID"] == "datasette-files team-1/"
    assert seen
    assert all(f"Credential={bucket.key}/" in header for header in seen)


async def test_what_may_have_been_stored_is_deleted(
    prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = shared_store()
    connection = await Connection.open(S3Config.model_validate(store.config(prefix)))
    put = connection.client.put_object

    async def lost(**parameters: Any) -> None:
        await put(**parameters)
        raise TimeoutError("the answer was lost")

    monkeypatch.setattr(connection.client, "put_object", lost)
    trial = Trial(connection, Folder(store.bucket, prefix))
    with pytest.raises(StorageUnavailable):
        await trial.run()
    assert (trial.left, store.keys(prefix)) == ([], set())
    await connection.close()
