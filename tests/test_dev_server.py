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

import pytest
import sqlite_utils

from tests.conftest import missing
from tests.fixtures import all_fixtures
from tests.server import Server, free_port

ROOT = Path(__file__).resolve().parents[1]


def make_sample_site(folder: Path) -> str:
    command = [sys.executable, ROOT / "fixtures" / "sample_site.py", folder]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    made = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return made.stdout


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
    with Server(tmp_path, config) as server:
        listed = server.get_json("/-/files/source/files.json?_size=max")["files"]
        assert {file["filename"] for file in listed} == samples
        with pytest.raises(urllib.error.HTTPError, match="403"):
            server.get_json("/-/files/source/private.json")


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
