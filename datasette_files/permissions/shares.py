"""Tokens of links, the right that an upload link gives, and the delay of those who guess tokens.

A link gives never more than its maker may do at the moment of use. Leaves out the links themselves
(catalog/shares.py) and their rows (db/shares.py).
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import secrets
import sqlite3
import time
from collections import OrderedDict
from dataclasses import dataclass

from ..db import shares as rows
from ..db.shares import Share
from ..errors import NotFound
from ..naming import storable, token_digest
from .grants import Grant

_TOKEN_BYTES = 24


def new_token() -> str:
    """A key to one link: 192 random bits, in 32 characters that need no escaping in a URL."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def find(conn: sqlite3.Connection, token: str, kind: rows.Kind) -> Share | None:
    """The link of this token and kind that has not ended."""
    if not storable(token):
        return None
    digest = token_digest(token)
    share = rows.by_digest(conn, digest)
    # The index compares digests byte by byte; the answer depends on this comparison alone.
    if share is None or not hmac.compare_digest(share.digest, digest):
        return None
    return None if share.kind != kind or share.has_ended(time.time()) else share


def absent() -> NotFound:
    """The one refusal: for a wrong, ended, revoked or suspended link, and for what is not in it."""
    return NotFound("There is nothing at this address; ask the sender of the link for a new one")


@dataclass(frozen=True, kw_only=True)
class LinkGrant(Grant):
    """The right to upload by one link, decided in each transaction: its maker's rights, and it.

    As a Grant it is the maker's right to upload. ``share`` is the maker's right to share.
    """

    link: Share
    share: Grant

    def check(self, conn: sqlite3.Connection, source: str) -> None:
        """Raise NotFound if the link has ended, or its maker may not do as much any more."""
        now = rows.get(conn, self.link.id)
        if now is None or now.has_ended(time.time()):
            raise absent()
        if source not in self.slugs(conn) or source not in self.share.slugs(conn):
            raise absent()


#: Wrong tokens that an address may try at once, and the seconds after which it has one more.
_FREE_GUESSES, _SECONDS_A_GUESS = 20, 1.0
#: Seconds that one answer is late at most; addresses that are remembered.
_MAX_DELAY, _MAX_ADDRESSES = 10.0, 10_000


class Guessing:
    """Makes the answers to wrong tokens late for an address that tries many.

    A right token is never delayed, so nobody can lock others out, also behind one proxy. Only the
    newest addresses are remembered.
    """

    def __init__(self) -> None:
        #: By address, until when its guesses are used up (time.monotonic).
        self._until: OrderedDict[str, float] = OrderedDict()

    async def punish(self, peer: str) -> None:
        """Count a wrong token, and wait while the address has tried too many.

        ``peer`` is the address of the connection, never a header: anybody can write those.
        """
        delay = self.delay(peer, time.monotonic())
        if delay > 0:
            await asyncio.sleep(delay)

    def delay(self, peer: str, now: float) -> float:
        """Count a wrong token at ``now``. Return the seconds by which its answer is late."""
        key = _network(peer)
        until = max(self._until.pop(key, now), now) + _SECONDS_A_GUESS
        allowance = _FREE_GUESSES * _SECONDS_A_GUESS
        self._until[key] = min(until, now + allowance + _MAX_DELAY)
        while len(self._until) > _MAX_ADDRESSES:
            self._until.popitem(last=False)
        return min(max(until - now - allowance, 0.0), _MAX_DELAY)


def _network(peer: str) -> str:
    """An IPv4 address, or the /64 of an IPv6 address, which one client has whole."""
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return peer[:100]
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.ip_network((address, 64), strict=False))
