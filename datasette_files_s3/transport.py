"""The SDK's HTTP session, without redirects of its own.

aiohttp would follow a store's redirect before the SDK sees it: it repeats a signed request at
another address, and fails where the body is a stream. The SDK itself signs anew for the region that
the store names. Imported with the SDK alone, so that it costs nothing elsewhere (client.py).
"""

from __future__ import annotations

from typing import Any

from aiobotocore.httpsession import AIOHTTPSession


class _Direct:
    """An aiohttp session whose requests are answered by the address that they name."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def request(self, *arguments: Any, **options: Any) -> Any:
        """An aiohttp request with these arguments that is not redirected."""
        return self._session.request(*arguments, **options, allow_redirects=False)


class Session(AIOHTTPSession):  # type: ignore[misc]
    """For ``AioConfig(http_session_cls=…)``."""

    async def _get_session(self, proxy_url: str | None) -> _Direct:
        return _Direct(await super()._get_session(proxy_url))
