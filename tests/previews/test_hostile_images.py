"""R6 for images: whatever the file, it ends as a picture or a reason, and the next is served."""

from __future__ import annotations

import pytest

from tests.support.fixtures import fixture
from tests.support.hostile_images import FILES, outcome, pool

#: Seconds of work each: with the slow proofs.
_SLOW = ("1,000 scans", "1 GiB", "RGBA", "10,000 frames")


async def check(names: list[str]) -> None:
    # Time is not what is tested here: a busy machine may need more of it.
    workers = pool(seconds=60)
    photo = fixture("photos/orientation-1.jpg").path.read_bytes()
    found = {}
    for name, content_type, make, wanted in FILES:
        if name in names:
            what, why = await outcome(workers, content_type, make())
            if what != "unknown" and wanted not in ("any", what):
                found[name] = (what, why)
            assert await outcome(workers, "image/jpeg", photo) == ("picture", "200 x 150")
    await workers.close()
    assert found == {}


async def test_hostile_files_end_as_a_reason_and_hurt_no_other() -> None:
    await check([name for name, *_ in FILES if not any(slow in name for slow in _SLOW)])


@pytest.mark.full
@pytest.mark.timeout(600)
async def test_so_do_those_that_ask_for_all_there_is() -> None:
    await check([name for name, *_ in FILES if any(slow in name for slow in _SLOW)])
