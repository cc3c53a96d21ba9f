"""Masks the tokens of links in what names the path of a request: access logs, Datasette's span.

A filter on the server's own logger changes the record before any handler writes it; nothing else of
the log changes. Datasette runs uvicorn; the others are for sites that run Datasette in them.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from datasette.telemetry import request_span
from datasette.telemetry_registry import URL_PATH

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


def mask_span(scope: dict[str, Any]) -> None:
    """Mask the token in the path of Datasette's span of a request, if there is one."""
    span = request_span(scope)
    if span is not None:
        span.set_attribute(URL_PATH, _masked(scope.get("path", "")))


def _masked(value: Any) -> Any:
    return _TOKEN.sub(_MASK, value) if isinstance(value, str) else value


def mask_access_logs() -> None:
    """Attach the filter to the access logs. Once for a process, as loggers belong to it."""
    for name in _LOGGERS:
        log = logging.getLogger(name)
        if not any(isinstance(one, _TokenFilter) for one in log.filters):
            log.addFilter(_TokenFilter())
