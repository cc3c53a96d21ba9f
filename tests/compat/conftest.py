"""One folder made by the public release a session, and a copy of it for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import public


@pytest.fixture(scope="session")
def made_by_public(tmp_path_factory: pytest.TempPathFactory) -> public.Installation:
    """Read it, do not change it."""
    return public.make(tmp_path_factory.mktemp("public"))


@pytest.fixture
def installation(made_by_public: public.Installation, tmp_path: Path) -> public.Installation:
    """A copy in ``tmp_path``, where ``make_datasette`` finds internal.db."""
    return made_by_public.copied_to(tmp_path)
