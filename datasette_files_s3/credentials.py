"""Temporary credentials from a broker: fetched, shared, renewed ahead of their expiry.

Holds the exchange with the broker and its rules. Leaves out the use of the credentials (client.py)
and their other origins: the configuration, and the SDK's own chain.

No error and no log line here holds the secret, the URL's path or user, or the answer.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, StringConstraints, ValidationError

from datasette_files.errors import StorageUnavailable

from .config import Folder, S3Config

logger = logging.getLogger("datasette_files_s3")

#: Seconds for one answer, and the pauses before a second and a third attempt.
_ANSWER_SECONDS = 5.0
_PAUSES = (0.25, 1.0)
#: Bytes of an answer.
_MAX_ANSWER = 64 * 1024
#: Seconds before expiry, or a share of the credentials' life if less: then new ones are fetched
#: while the old still serve; and then the old are no longer used.
_RENEW_BEFORE = (300.0, 1 / 3)
_UNUSABLE_BEFORE = (30.0, 1 / 10)
#: Seconds after a failure without a new request.
_FAILURE_PAUSE = 2.0

_DOWN = (
    "The credentials for this source cannot be fetched now; try again in a minute. If this"
    " continues, ask its administrator to look into the server's log"
)


@dataclass(frozen=True)
class Credentials:
    """Credentials from the broker. ``expires_at``, ``fetched_at``: seconds since the epoch."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(repr=False)
    expires_at: float
    folder: Folder
    fetched_at: float

    def moment_before_expiry(self, limits: tuple[float, float]) -> float:
        """The moment before the expiry by these seconds, or by a share of the life if less."""
        seconds, share = limits
        return self.expires_at - min(seconds, share * (self.expires_at - self.fetched_at))


_Text = Annotated[str, StringConstraints(min_length=1, max_length=8192, pattern=r"^[\x21-\x7e]+$")]


class _Answer(BaseModel):
    """The documented answer; a broker may add fields."""

    AccessKeyId: _Text
    SecretAccessKey: _Text
    SessionToken: _Text | None = None
    Expiration: datetime
    S3Folder: str | None = None


class _Refused(Exception):
    """The broker's answer cannot be used. The message gives the reason without quoting it."""

    def __init__(self, why: str, *, again: bool) -> None:
        super().__init__(why)
        self.again = again


class Broker:
    """The credentials of one source. One request at a time asks the broker.

    ``clock`` gives seconds since the epoch.
    """

    def __init__(self, config: S3Config, clock: Callable[[], float] = time.time) -> None:
        if config.credentials_url is None or config.credentials_url_secret is None:
            raise ValueError("credentials_url and credentials_url_secret are required")
        self._url = config.credentials_url.get_secret_value()
        self._secret = config.credentials_url_secret.get_secret_value()
        self._ca_bundle = config.ca_bundle
        self._folder = config.folder
        self._clock = clock
        self._held: Credentials | None = None
        self._fetching: asyncio.Task[Credentials] | None = None
        self._rest_until = 0.0

    @property
    def name(self) -> str:
        """The broker's host, for a log."""
        parts = urlsplit(self._url)
        return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")

    async def current(self) -> Credentials:
        """Credentials that are valid now. Raises StorageUnavailable."""
        held, now = self._held, self._clock()
        if held is not None and now < held.moment_before_expiry(_UNUSABLE_BEFORE):
            if now >= held.moment_before_expiry(_RENEW_BEFORE) and now >= self._rest_until:
                self._fetch()  # in the background
            return held
        if self._fetching is None and now < self._rest_until:
            raise StorageUnavailable(_DOWN)
        # The cancellation of one waiter must not cancel the request for the others.
        return await asyncio.shield(self._fetch())

    def refused(self, credentials: Credentials) -> None:
        """Drop credentials that the store refuses, so that the next request fetches others."""
        if self._held is credentials:
            self._held = None

    async def close(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)

    def _fetch(self) -> asyncio.Task[Credentials]:
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._renew())
            self._fetching.add_done_callback(self._fetched)
        return self._fetching

    def _fetched(self, task: asyncio.Task[Credentials]) -> None:
        self._fetching = None
        if not task.cancelled():
            task.exception()  # it was logged, and there may be no waiter to take it

    async def _renew(self) -> Credentials:
        for pause in (*_PAUSES, None):
            try:
                self._held = await self._ask()
                return self._held
            except _Refused as error:
                logger.warning("The credentials broker at %s %s", self.name, error)
                if pause is None or not error.again:
                    break
            await asyncio.sleep(pause)
        self._rest_until = self._clock() + _FAILURE_PAUSE
        raise StorageUnavailable(_DOWN)

    async def _ask(self) -> Credentials:
        """One request. Raises _Refused."""
        import aiohttp  # noqa: PLC0415 - only where a source has a broker

        try:
            verify = await asyncio.to_thread(tls, self._ca_bundle)
            async with (
                aiohttp.ClientSession(
                    timeout=aiohttp.ClientTimeout(total=_ANSWER_SECONDS), trust_env=True
                ) as session,
                # A redirect would carry the secret to an address that is not configured.
                session.post(
                    self._url, data={"secret": self._secret}, ssl=verify, allow_redirects=False
                ) as response,
            ):
                body = b""
                async for chunk in response.content.iter_chunked(_MAX_ANSWER):
                    body += chunk
                    if len(body) > _MAX_ANSWER:
                        break
                status = response.status
        except asyncio.TimeoutError:
            raise _Refused(f"did not answer within {_ANSWER_SECONDS} s", again=True) from None
        except (OSError, aiohttp.ClientError) as error:
            # Its message, and the traceback of its cause, may hold the URL.
            kind = type(error).__name__
            raise _Refused(f"cannot be reached ({kind})", again=True) from None
        if status != 200:
            again = status >= 500 or status in (408, 425, 429)
            raise _Refused(f"answered {status}", again=again)
        return self._parse(body)

    def _parse(self, body: bytes) -> Credentials:
        try:
            answer = _Answer.model_validate_json(body[: _MAX_ANSWER + 1])
            folder = self._folder if answer.S3Folder is None else Folder.of_url(answer.S3Folder)
        except ValidationError as error:
            wrong = {str(part["loc"][0]) if part["loc"] else "JSON" for part in error.errors()}
            raise _Refused(
                f"gave an invalid answer (wrong: {', '.join(sorted(wrong))})", again=True
            ) from None
        except ValueError:
            raise _Refused("gave an S3Folder that is not s3://bucket/prefix", again=True) from None
        if folder is None:
            raise _Refused("gave no S3Folder, and no bucket is configured", again=False)
        expires = answer.Expiration
        if expires.tzinfo is None:
            expires = expires.replace(tzinfo=timezone.utc)
        now = self._clock()
        if expires.timestamp() <= now:
            raise _Refused("gave credentials that have expired already", again=True)
        return Credentials(
            access_key_id=answer.AccessKeyId,
            secret_access_key=answer.SecretAccessKey,
            session_token=answer.SessionToken,
            expires_at=expires.timestamp(),
            folder=folder,
            fetched_at=now,
        )


def tls(ca_bundle: str | None) -> ssl.SSLContext:
    """A context that trusts public certificates and those of ``ca_bundle``. Reads files."""
    context = ssl.create_default_context()
    if ca_bundle is not None:
        context.load_verify_locations(Path(ca_bundle))
    return context
