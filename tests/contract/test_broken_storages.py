"""The exported suite is itself tested: each fault that a storage may have makes it fail.

Runs as a plugin's author would run it: with pytest and pytest-asyncio alone, in strict mode.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.contract import broken_storages
from tests.storages import DirectStorage, MemoryStorage, SignedStorage

_REPO = Path(__file__).parents[2]

_CONFIG = """[pytest]
filterwarnings = error
asyncio_default_fixture_loop_scope = function
"""

Outcomes = dict[str, dict[str, set[str]]]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """``{storage: {passed | failed | skipped: {check, …}}}`` of one run over all storages."""
    folder = tmp_path_factory.mktemp("suite")
    (folder / "pytest.ini").write_text(_CONFIG)
    run = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", broken_storages.__file__, "-q", "--tb=no"),
            *("-c", folder / "pytest.ini", "--rootdir", folder, "--junitxml", folder / "out.xml"),
            *("--confcutdir", folder, "--basetemp", folder / "tmp"),
            *("-p", "pytest_asyncio.plugin", "-p", "no:cacheprovider"),
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(_REPO), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert run.returncode == 1, run.stdout + run.stderr  # some checks failed, none broke pytest
    found: Outcomes = defaultdict(lambda: defaultdict(set))
    for case in ElementTree.parse(folder / "out.xml").iter("testcase"):
        outcome = "passed"
        for kind, name in (("failure", "failed"), ("error", "errors"), ("skipped", "skipped")):
            if case.find(kind) is not None:
                outcome = name
        storage = case.attrib["classname"].rpartition(".Test")[2]
        found[storage][outcome].add(re.sub(r"\[.*", "", case.attrib["name"]))
    return found


@pytest.mark.parametrize("storage", [MemoryStorage, SignedStorage, DirectStorage])
def test_sound_storage_passes_every_check(storage: type[MemoryStorage], outcomes: Outcomes) -> None:
    found = outcomes[storage.__name__]
    assert set(found) <= {"passed", "skipped"}, found
    assert found["passed"] | found["skipped"] == broken_storages.CHECKS
    # Nothing but remote access is beyond the simplest of them.
    assert all("url" in check or "direct" in check for check in found["skipped"] - found["passed"])


@pytest.mark.parametrize("storage", broken_storages.FAULTS, ids=lambda cls: cls.__name__)
def test_fault_is_found_by_the_check_for_it(
    storage: type[MemoryStorage], outcomes: Outcomes
) -> None:
    found = outcomes[storage.__name__]
    assert found["failed"] == broken_storages.FAULTS[storage]
    assert not found["errors"]


def test_every_check_of_the_suite_is_there_for_some_fault() -> None:
    assert set().union(*broken_storages.FAULTS.values()) == broken_storages.CHECKS
