"""One server over HTTP: addresses, the token, retries, and the server's errors as ours.

Leaves out what is asked of it (client.py) and the bytes of files (sending.py, fetching.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx2 as httpx

from .. import errors
from ..errors import Conflict, FilesError, Invalid, NotFound, StorageUnavailable

#: Seconds: to connect, and between two bytes. A server may hash a large file before it answers.
_TIMEOUT = httpx.Timeout(60, connect=10)
_SLOW = httpx.Timeout(900, connect=10)
#: Seconds before each repetition of a request that may be repeated.
PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)

#: The body of a request.
Content = AsyncIterator[bytes] | bytes | None

_KINDS: list[type[FilesError]] = [
    *FilesError.__subclasses__(),
    errors.FileTooLarge,  # the last of its status, which it shares
]
_BY_CODE = {kind.code: kind for kind in _KINDS}
#: The errors of answers that name no code of ours, such as Datasette's own or a proxy's.
_BY_STATUS = {kind.status: kind for kind in _KINDS}


class Unreachable(StorageUnavailable):
    """The server gave no answer: it is down, the connection broke, or a proxy answered instead.

    ``sent`` is false if the server can have seen nothing of the request.
    """

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class Server:
    """A server, by its address and a token."""

    def __init__(
        self, url: str, token: str | None, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._url = _checked(url)
        self._token = _usable(token)
        self._http = httpx.AsyncClient(timeout=_TIMEOUT, transport=transport)
        #: Whether an answer has come: only then a server that is not there may be starting again.
        self._has_answered = False

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return str(self._url)

    async def close(self) -> None:
        await self._http.aclose()

    def route(self, path: str) -> httpx.URL:
        """The address of a route, whose ``path`` begins with ``/-/files``."""
        return httpx.URL(f"{self._url}{path}")

    def answered(self, url: str) -> httpx.URL:
        """The address that an answer names: a path of this server, or another server's."""
        return self._url.join(url)

    async def ask(
        self,
        method: str,
        url: str | httpx.URL,
        *,
        json: object = None,
        params: Sequence[tuple[str, str]] = (),
        repeat: bool | None = None,
    ) -> dict[str, Any]:
        """The JSON object that a route answers. ``url`` may be a path that ``route`` takes.

        ``repeat`` allows to send the request again after a failure; by default GET alone.
        Raises the FilesError of the server's code, Unreachable.
        """
        address = self.route(url) if isinstance(url, str) else url
        answer = await self.send(
            method,
            address.copy_merge_params(list(params)) if params else address,
            headers={"Accept": "application/json"},
            json=json,
            repeat=method == "GET" if repeat is None else repeat,
        )
        return body_of(answer)

    async def send(
        self,
        method: str,
        url: httpx.URL,
        *,
        headers: Mapping[str, str] | None = None,
        json: object = None,
        content: Content | Callable[[], Content] = None,
        repeat: bool = False,
        passes: frozenset[int] = frozenset(),
    ) -> httpx.Response:
        """The whole answer. Statuses of 400 and more raise, but those that ``passes`` names.

        ``content`` makes the body of each try; an iterator is one for a single try.
        """
        pauses = iter(PAUSES if repeat else ())
        # Whether a try may have arrived, at which the server may still be.
        arrived = False
        while True:
            pause = next(pauses, None)
            body = content() if callable(content) else content
            try:
                async with self.stream(method, url, headers, json=json, content=body) as answer:
                    await answer.aread()
                if answer.status_code < 400 or answer.status_code in passes:
                    return answer
                error = error_of(answer)
            except Unreachable as unanswered:
                error = unanswered
            passing = isinstance(error, StorageUnavailable)
            if isinstance(error, Unreachable):
                arrived = error.sent = error.sent or arrived
                passing = arrived or self._has_answered
            elif isinstance(error, Conflict) and arrived:
                # With the earlier try.
                error, passing = Unreachable(str(error), sent=True), True
            if pause is None or not passing:
                raise error
            await asyncio.sleep(pause)

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: httpx.URL,
        headers: Mapping[str, str] | None = None,
        *,
        json: object = None,
        content: Content = None,
    ) -> AsyncIterator[httpx.Response]:
        """The answer, with its body still to come. Raises Unreachable, in the block too."""
        sent = dict(headers or {})
        # A storage's own address is signed, and would refuse a second authorization.
        if self._token is not None and _origin(url) == _origin(self._url):
            sent["Authorization"] = f"Bearer {self._token}"
        timeout = _TIMEOUT if content is None else _SLOW
        try:
            async with self._http.stream(
                method, url, headers=sent, json=json, content=content, timeout=timeout
            ) as answer:
                self._has_answered = True
                yield answer
        except httpx.LocalProtocolError as error:
            raise Invalid("The file changed while it was read; try again") from error
        except (httpx.TransportError, httpx.InvalidURL) as error:
            unsent = isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout))
            reason = str(error) or type(error).__name__
            raise Unreachable(
                f"{url.host} cannot be reached ({reason}); check --url and the network, then try"
                " again",
                sent=not unsent,
            ) from error


def body_of(answer: httpx.Response) -> dict[str, Any]:
    """The JSON object of an answer. Raises NotFound if it is something else."""
    if answer.status_code == 204:
        return {}
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise NotFound(
            f"{answer.url.host} answers no JSON of datasette-files; check the address, and that the"
            " token is one of this site"
        )
    return body


def error_of(answer: httpx.Response) -> FilesError:
    """The error that an answer tells, with the server's message.

    Unreachable stands for a 5xx without a code of ours, of a proxy or of a store, and
    StorageUnavailable for a 429. Both may pass.
    """
    try:
        body = answer.json()
    except ValueError:
        body = None
    body = body if isinstance(body, dict) else {}
    status = answer.status_code
    other = StorageUnavailable if status == 429 else _BY_STATUS.get(status, Invalid)
    kind = _BY_CODE.get(str(body.get("code")))
    message = body.get("error")
    if not isinstance(message, str):
        message = f"{answer.url.host} answered {answer.status_code} {answer.reason_phrase}"
    if kind is None and status >= 500:
        return Unreachable(message, sent=True)
    return (kind or other)(message)


def refusal(code: str) -> FilesError:
    """The error of one file that a bulk action refused."""
    messages = {
        "not_found": "The file does not exist, or this token may not see it",
        "permission_denied": "This token may not do that to the file",
    }
    kind = _BY_CODE.get(code, FilesError)
    return kind(messages.get(code, f"The server refused the file ({code})"))


def _checked(url: str) -> httpx.URL:
    """The address of a server. Raises Invalid."""
    try:
        found = httpx.URL(url.rstrip("/"))
    except httpx.InvalidURL:
        found = httpx.URL("")
    if found.scheme not in ("http", "https") or not found.host or found.query or found.fragment:
        raise Invalid(f"{url!r} is no address of a server; write for example https://example.org")
    if found.userinfo:
        raise Invalid("An address with a password is not supported; use a token")
    return found


def _usable(token: str | None) -> str | None:
    """The token, or None for an empty one. Raises Invalid; no message shows the token."""
    token = token.strip() if token else None
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        raise Invalid("The token has characters that no token has; copy it again")
    return token or None


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    ports = {"http": 80, "https": 443}
    return url.scheme, url.host, url.port or ports.get(url.scheme)
