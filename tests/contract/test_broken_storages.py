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

Outcomes = dict[str, dict[str, set[str]]]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """``{storage: {passed | failed | skipped: {check, …}}}`` of one run over all storages."""
    folder = tmp_path_factory.mktemp("suite")
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    run = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", broken_storages.__file__, "-q", "--tb=short"),
            *("-c", folder / "pytest.ini", "--rootdir", folder, "--junitxml", folder / "out.xml"),
            *("--confcutdir", folder, "--basetemp", folder / "tmp"),
            *("-p", "pytest_asyncio.plugin", "-p", "no:cacheprovider"),
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(_REPO), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=100,
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
def test_sound_storage_passes_every_check(
    storage: type[MemoryStorage], outcomes: Outcomes
) -> None:
    found = outcomes[storage.__name__]
    assert set(found) <= {"passed", "skipped"}, found
    assert len(found["passed"]) >= 25


@pytest.mark.parametrize("storage", broken_storages.FAULTS, ids=lambda cls: cls.__name__)
def test_fault_is_found_by_the_check_for_it(
    storage: type[MemoryStorage], outcomes: Outcomes
) -> None:
    found = outcomes[storage.__name__]
    assert broken_storages.FAULTS[storage] <= found["failed"]
    assert found["passed"], "a storage with one fault still passes the rest"
    assert not found["errors"]


def test_every_check_of_the_suite_finds_some_fault(outcomes: Outcomes) -> None:
    every = {check for found in outcomes.values() for checks in found.values() for check in checks}
    never_failed = every - {check for found in outcomes.values() for check in found["failed"]}
    assert never_failed == set()
