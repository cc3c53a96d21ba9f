"""Removal of secrets from configurations and messages."""

from __future__ import annotations

import re
from typing import Any

#: The secret parts of an address: user and password, and the query.
_USER = re.compile(r"(?<=://)[^/@\s?#]+@")
_QUERY = re.compile(r"(?<=\?)[^\s\"']+")
_SECRET_NAME = re.compile(r"secret|password|passwd|token|credential|private|key$|key_id", re.I)
_HIDDEN = "***"


def redacted(config: dict[str, Any]) -> dict[str, Any]:
    """A source's configuration without secrets, to be shown; the one place that decides this.

    ``config`` already lacks the fields that its model calls secret. Hides the values of fields
    named like a secret, and the secret parts of addresses.
    """
    return {name: _redacted(name, value) for name, value in config.items()}


def _redacted(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _redacted(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_redacted(name, inner) for inner in value]
    if value is not None and not isinstance(value, bool) and _SECRET_NAME.search(name):
        return _HIDDEN
    return redacted_text(value) if isinstance(value, str) else value


def redacted_text(text: str) -> str:
    """The text with the secret parts of its addresses hidden."""
    return _QUERY.sub(_HIDDEN, _USER.sub(f"{_HIDDEN}@", text))
