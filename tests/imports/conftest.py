"""A Datasette that everybody may import into, and its database from outside."""

from __future__ import annotations

from pathlib import Path

import pytest
from datasette.app import Datasette

from tests.conftest import MakeDatasette
from tests.support.imports import site


@pytest.fixture
async def datasette(make_datasette: MakeDatasette, tmp_path: Path) -> Datasette:
    datasette = await make_datasette(permissions=site.PERMISSIONS)
    site.attach(datasette, tmp_path)
    return datasette


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data.db"
