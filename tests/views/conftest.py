"""A client of tus for the source ``docs``."""

from __future__ import annotations

import pytest
from datasette.app import Datasette

from tests.support.tus import Tus


@pytest.fixture
def tus(datasette: Datasette) -> Tus:
    return Tus(datasette)
