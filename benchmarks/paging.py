"""Reaching the far end of a list that is paged by opaque tokens.

Each function is a job for a client process and knows of a list only what it promises: `files`,
`next`, `_next` and `_size`.
"""

from __future__ import annotations

import socket
from typing import Any

from benchmarks.client import Address, connect, read_response
from benchmarks.messages import Wire

PAGE = 20  # the default of `_size`
LARGEST = 200
MORE_THAN_ENOUGH = 4  # pages from a place two pages before the end


def _get(sock: socket.socket, wire: Wire, url: str) -> tuple[int, Any]:
    request = wire.get(url)
    sock.sendall(request)
    response = read_response(sock)
    if response.status == 400:
        return 400, None
    return response.status, response.expect(request).json()


def from_far_end(address: Address, wire: Wire, url: str, reverse: str) -> str | None:
    """The URL of a page at the end of the list at `url`, found from the start of its `reverse`.

    A token names the row it follows; where a server takes the token of the reversed order, the two
    pages after that row are the end. None when it does not (the list must then be walked), which
    is seen by an answer of 400 or by the list not ending soon after.
    """
    with connect(address) as sock:
        _, page = _get(sock, wire, f"{reverse}&_size={2 * PAGE}")
        if page.get("next") is None:
            return url
        found = f"{url}&_next={page['next']}"
        following = found
        for _ in range(MORE_THAN_ENOUGH):
            status, page = _get(sock, wire, following)
            if status == 400 or not page["files"]:
                return None
            if page.get("next") is None:
                return found
            following = f"{url}&_next={page['next']}"
    return None


def walk(address: Address, wire: Wire, url: str) -> tuple[str, int]:
    """The URL of the last page of a list, reached page by page, and how many pages were read."""
    found, pages = url, 0
    with connect(address) as sock:
        while True:
            _, page = _get(sock, wire, f"{found}&_size={LARGEST}")
            pages += 1
            token = page.get("next") if page else None
            if token is None:
                return found, pages
            found = f"{url}&_next={token}"
