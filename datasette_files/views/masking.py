"""Masks the tokens of links in the access logs of servers, which name the path of each request.

A filter on the server's own logger changes the record before any handler writes it; nothing else of
the log changes. Datasette runs uvicorn; the others are for sites that run Datasette in them.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

_LOGGERS = ("uvicorn.access", "hypercorn.access", "gunicorn.access")
#: What follows is the token, also where a server writes the path with percent signs.
_TOKEN = re.compile(r"(/(?:-|%2[dD])/files/[su]/)[^/?#\s\"']+")
_MASK = r"\1***"


class _TokenFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = _masked(record.msg)
        if isinstance(record.args, Mapping):
            record.args = {name: _masked(value) for name, value in record.args.items()}
        elif record.args:
            record.args = tuple(_masked(value) for value in record.args)
        return True


def _masked(value: Any) -> Any:
    return _TOKEN.sub(_MASK, value) if isinstance(value, str) else value


def mask_access_logs() -> None:
    """Attach the filter to the access logs. Once for a process, as loggers belong to it."""
    for name in _LOGGERS:
        log = logging.getLogger(name)
        if not any(isinstance(one, _TokenFilter) for one in log.filters):
            log.addFilter(_TokenFilter())
