"""Configurations and messages without the secrets that they may hold."""

from __future__ import annotations

import re
from typing import Any

#: What may be secret in an address: who signs in, and whatever follows the question mark.
_USER = re.compile(r"(?<=://)[^/@\s?#]+@")
_QUERY = re.compile(r"(?<=\?)[^\s\"']+")
_SECRET_NAME = re.compile(r"secret|password|passwd|token|credential|private|key$|key_id", re.I)
_HIDDEN = "***"


def redacted(config: dict[str, Any]) -> dict[str, Any]:
    """A source's configuration as it may be shown: the one place that decides it.

    Fields that their model calls secret are not even in what is given. Beside them, whatever has
    the name of a secret is hidden, and what addresses may hold of one.
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
    """A text without what its addresses may hold of a secret."""
    return _QUERY.sub(_HIDDEN, _USER.sub(f"{_HIDDEN}@", text))
