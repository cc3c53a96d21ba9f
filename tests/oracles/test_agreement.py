"""Our readers agree with others' over files that others made; fetch.sh collects these."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.oracles import agreement

#: The least part of the files that both read in which both agree.
LEAST = {
    **{"pdf": 0.8, "docx": 0.98, "pptx": 0.98, "media": 0.95, "stripped": 0.99, "ocr": 0.7},
    # Tables: ours leaves out titles above the header, which counts as a difference.
    **{"xlsx": 0.9, "xls": 0.9, "ods": 0.6, "csv": 0.85, "parquet": 0.99},
}
PROGRAMS = {"pdf": "pdftotext", "media": "exiftool", "stripped": "exiftool", "ocr": "tesseract"}

pytestmark = [pytest.mark.full, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def paths() -> list[Path]:
    folder = os.environ.get("DATASETTE_FILES_CORPUS")
    if folder is None:
        pytest.skip("DATASETTE_FILES_CORPUS names no folder of tests/oracles/fetch.sh")
    return agreement.corpus(Path(folder))


@pytest.mark.parametrize("kind", sorted(LEAST))
async def test_agreement(paths: list[Path], kind: str) -> None:
    if kind in PROGRAMS and shutil.which(PROGRAMS[kind]) is None:
        missing(PROGRAMS[kind])
    async for found in agreement.compare(paths, [kind]):
        print(f"\n{agreement.HEAD}\n{found.row}")
        if not found.both:
            pytest.skip("No file of this kind was read by both; see DATASETTE_FILES_JUDGES")
        agree = sum(share >= agreement.AGREES for share in found.shares)
        assert agree / found.both >= LEAST[kind], sorted(found.differences)[:10]
