"""The telemetry is what its registry says, tells nothing of names, and needs no SDK."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from datasette.telemetry_testing import assert_package_never_imports_sdk

from datasette_files.telemetry import METRICS, SPANS
from tests.conftest import missing

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.full
def test_what_is_emitted_is_what_the_registry_holds_and_nothing_secret(tmp_path: Path) -> None:
    if importlib.util.find_spec("opentelemetry.sdk") is None:
        missing("opentelemetry-sdk")
    command = [sys.executable, "-m", "tests.support.telemetry", str(tmp_path)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.full
def test_the_plugin_imports_no_sdk() -> None:
    assert_package_never_imports_sdk("datasette_files.plugin")


def test_the_docs_have_every_span_and_metric() -> None:
    text = (ROOT / "docs" / "telemetry.md").read_text("utf-8")
    assert [one for one in (*SPANS, *METRICS) if f"`{one}`" not in text] == []
