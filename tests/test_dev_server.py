"""The development server: its data, and a whole start as a newcomer does it."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import pytest
import sqlite_utils

from tests.conftest import missing
from tests.support.client import Client
from tests.support.fixtures import all_fixtures
from tests.support.moto_server import Store, new_prefix, shared_store
from tests.support.server import Server, free_port

ROOT = Path(__file__).resolve().parents[1]


def make_sample_site(folder: Path) -> str:
    command = [sys.executable, ROOT / "fixtures" / "sample_site.py", folder]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    made = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return made.stdout


@pytest.mark.full
def test_sample_site_is_made_once_and_served(tmp_path: Path) -> None:
    samples = {sample.path.name for sample in all_fixtures()}
    assert make_sample_site(tmp_path) == f"Uploaded {len(samples)} sample files\n"
    (tmp_path / "uploaded").unlink()  # as when the first run was cut short
    assert make_sample_site(tmp_path) == "Uploaded 0 sample files\n"
    assert make_sample_site(tmp_path) == ""

    assert {table.name for table in sqlite_utils.Database(tmp_path / "sample.db").tables} == {
        "towers",
        "visits",
    }
    config = json.loads((tmp_path / "datasette.yaml").read_bytes())
    with Server(tmp_path, config, databases=[tmp_path / "sample.db"]) as server:
        nice, odd = (
            server.get_json(f"/-/files/source/{source}.json?_size=max")["files"]
            for source in ("files", "odd")
        )
        attached = server.get_json("/sample/towers.files")["files"].values()
        assert {"phone.jpg", "one-page.pdf"} <= {file["filename"] for file in attached} <= samples
        assert {file["filename"] for file in (*nice, *odd)} == samples
        assert {file["folder"] for file in nice} == {
            *("Photos", "Papers", "Sound and video", "Archives")
        }
        assert "truncated.jpg" in {file["filename"] for file in odd}
        with pytest.raises(urllib.error.HTTPError, match="403"):
            server.get_json("/-/files/source/private.json")


@pytest.mark.full
def test_sample_site_has_the_s3_beside_it_and_forgets_what_memory_lost(tmp_path: Path) -> None:
    make_sample_site(tmp_path)
    store = shared_store()

    def beside(*, keeps: bool) -> dict[str, Any]:
        source = {"storage": "s3", "config": store.config(new_prefix())}
        (tmp_path / "s3.json").write_text(json.dumps({"source": source, "keeps": keeps}))
        assert make_sample_site(tmp_path) == ""
        config: dict[str, Any] = json.loads((tmp_path / "datasette.yaml").read_bytes())
        return config

    def in_s3(server: Server) -> list[str]:
        listed = server.get_json("/-/files/source/s3.json")["files"]
        return [file["filename"] for file in listed]

    config = beside(keeps=False)
    config["permissions"]["files-upload"] = True
    with Server(tmp_path, config) as server:
        Client(server.url).put("s3", "a.txt", b"in memory")
        assert in_s3(server) == ["a.txt"]
    with Server(tmp_path, beside(keeps=True)) as server:
        assert in_s3(server) == ["a.txt"]
    with Server(tmp_path, beside(keeps=False)) as server:
        assert in_s3(server) == []


def start_s3(folder: Path, kind: str, **environment: str) -> subprocess.Popen[str]:
    """As ``dev-server.sh`` does."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return subprocess.Popen(
        [sys.executable, ROOT / "fixtures" / "s3_server.py", kind, folder, "8001"],
        env={**clean, "PATH": "/nowhere", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.full
def test_the_embedded_s3_is_ready_when_it_says_so_and_ends_with_its_parent(tmp_path: Path) -> None:
    process = start_s3(tmp_path, "moto")
    assert process.stdout is not None
    with process:
        assert "its files are gone at the end" in process.stdout.readline()
        written = json.loads((tmp_path / "s3.json").read_bytes())
        config = written["source"]["config"]
        store = Store(config["endpoint_url"], config["bucket"])
        assert store.keys() == set()
        (rule,) = store.boto.get_bucket_cors(Bucket=store.bucket)["CORSRules"]
        assert rule["AllowedOrigins"] == ["http://127.0.0.1:8001", "http://localhost:8001"]
        process.send_signal(signal.SIGINT)  # as a terminal does to all; the server may need it yet
        assert store.keys() == set()
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 0
    with pytest.raises(OSError):
        urllib.request.urlopen(config["endpoint_url"], timeout=5)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("seaweedfs", "SeaweedFS is not installed: put its program `weed` on the PATH"),
        *(
            pytest.param(*one, marks=pytest.mark.full)
            for one in (
                ("minio", "MinIO is not installed: put its program `minio` on the PATH"),
                ("floppy", "--s3 takes seaweedfs, minio, none, or the URL of an S3 that runs"),
                (
                    "http://127.0.0.1:1",
                    "Set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and S3_BUCKET",
                ),
            )
        ),
    ],
)
def test_an_s3_that_cannot_be_is_one_line(tmp_path: Path, kind: str, told: str) -> None:
    with start_s3(tmp_path, kind) as process:
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, output, errors.count("\n")) == (1, "", 1)
    assert told in errors
    assert not (tmp_path / "s3.json").exists()


@pytest.mark.full
def test_a_running_s3_is_used_with_the_keys_of_the_environment(tmp_path: Path) -> None:
    store = shared_store()
    given = {
        "AWS_ACCESS_KEY_ID": store.key,
        "AWS_SECRET_ACCESS_KEY": store.secret,
        "AWS_REGION": store.region,
        "S3_BUCKET": f"dev-{new_prefix()[5:-1]}",
    }
    with start_s3(tmp_path, store.endpoint, **given) as process:
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, ""), output
    written = (tmp_path / "s3.json").read_text("utf-8")
    assert store.secret not in written
    assert json.loads(written)["keeps"] is True
    bucket = given["S3_BUCKET"]
    assert store.boto.get_bucket_cors(Bucket=bucket)["CORSRules"]
    store.boto.delete_bucket(Bucket=bucket)


@pytest.mark.full
def test_dev_server_prints_a_signed_in_link_last_and_ends_cleanly(tmp_path: Path) -> None:
    if not (ROOT / ".uv").is_dir():
        missing(".uv")
    environment = {**os.environ, "PORT": str(free_port())}
    server = subprocess.Popen(
        [ROOT / "dev-server.sh"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert server.stdout is not None
    try:
        link = next(line for line in server.stdout if "/-/auth-token?" in line).strip()
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        opener.open(link, timeout=30).read()
        private = link.partition("/-/")[0] + "/-/files/source/private"
        assert opener.open(private, timeout=30).status == 200
    finally:
        os.killpg(server.pid, signal.SIGINT)  # as Ctrl-C in a terminal
        rest, _ = server.communicate(timeout=60)
    assert "Application shutdown complete" in rest
    assert server.returncode == 0
