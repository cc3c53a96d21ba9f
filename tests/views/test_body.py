"""A request's body and its watchdog. Slow and vanishing clients are in tests/faults."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from datasette_files.errors import TimedOut
from datasette_files.views import body as body_module
from datasette_files.views.body import Body


async def _silent() -> dict[str, Any]:
    """A client that sends nothing and does not go away."""
    await asyncio.Event().wait()
    raise AssertionError


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The watchdog looks several times while a body is drained."""
    monkeypatch.setattr(body_module, "IDLE_SECONDS", 0.02)
    monkeypatch.setattr(body_module, "DRAIN_SECONDS", 0.2)


async def test_watchdog_ends_the_wait_for_a_silent_client() -> None:
    with Body(_silent, {}) as body:
        with pytest.raises(TimedOut):
            await anext(body.__aiter__())
        # The cancellation was the watchdog's own: nothing of it is left.
        await asyncio.sleep(0)


async def test_watchdog_does_not_interrupt_the_draining_of_a_refused_body() -> None:
    """The answer to the refusal is still to be sent."""
    with Body(_silent, {}) as body:
        await body.drain()
        assert await asyncio.shield(asyncio.sleep(0, "the answer")) == "the answer"


async def test_drained_body_has_no_more_chunks() -> None:
    messages = [
        {"type": "http.request", "body": b"x", "more_body": True},
        {"type": "http.request", "body": b"y", "more_body": False},
    ]

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    with Body(receive, {}) as body:
        await body.drain()
        assert messages == []
        assert [chunk async for chunk in body] == []
