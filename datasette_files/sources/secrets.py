"""Secrets by name: from datasette-secrets where it is installed, else from the environment."""

from __future__ import annotations

import os
from typing import Any


class Secrets:
    """``get_secret``: datasette-secrets when it is installed, else the environment."""

    def __init__(self, datasette: Any) -> None:
        self._datasette = datasette
        #: The names requested, which datasette-secrets has to know before it answers.
        self.names: list[str] = []

    async def get(self, name: str) -> str | None:
        if name not in self.names:
            self.names.append(name)
        try:
            from datasette_secrets import get_secret  # noqa: PLC0415 - may be absent
        except ImportError:
            return os.environ.get(name)
        value: str | None = await get_secret(self._datasette, name)
        return value if value is not None else os.environ.get(name)
