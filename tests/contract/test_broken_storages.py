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

from tests.support import broken_storages
from tests.support.storages import (
    AppendStorage,
    DirectStorage,
    MemoryStorage,
    PartsStorage,
    SignedStorage,
)

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
        timeout=300,
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


@pytest.mark.full
@pytest.mark.timeout(400)
def test_sound_storages_pass_every_check_and_each_fault_is_found(outcomes: Outcomes) -> None:
    """One test, as the run that it looks at is long, and tests are spread over processes."""
    for sound in (MemoryStorage, SignedStorage, DirectStorage, PartsStorage, AppendStorage):
        found = outcomes[sound.__name__]
        assert set(found) <= {"passed", "skipped"}, found
        assert found["passed"] | found["skipped"] == broken_storages.CHECKS, sound
        # Nothing but remote access, and uploads that go on, is beyond the simplest of them.
        beyond = found["skipped"] - found["passed"]
        assert all(re.search("url|direct|append", check) for check in beyond), sound
    found_by = {broken: outcomes[broken.__name__]["failed"] for broken in broken_storages.FAULTS}
    assert found_by == broken_storages.FAULTS
    assert not [name for name, found in outcomes.items() if found["errors"]]


def test_every_check_of_the_suite_is_there_for_some_fault() -> None:
    assert set().union(*broken_storages.FAULTS.values()) == broken_storages.CHECKS
