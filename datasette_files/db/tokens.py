"""Tokens of keyset pages: a token names the last row by its sort key and ``seq``."""

from __future__ import annotations

import base64
import binascii
import json

from ..errors import Invalid

FOREIGN = "_next is not a page token of this list; start from the first page"


def encode_token(walk: str, value: object, seq: int) -> str:
    """A page's token, safe in a URL: the list's name, the last row's sort key and ``seq``."""
    return base64.urlsafe_b64encode(json.dumps([walk, value, seq]).encode()).decode().rstrip("=")


def decode_token(walk: str, token: str) -> tuple[object, int]:
    """``(sort key, seq)`` of a token of the list of this name. Raises Invalid."""
    try:
        padded = token.encode("ascii") + b"=" * (-len(token) % 4)
        given, value, seq = json.loads(base64.urlsafe_b64decode(padded))
        if given != walk:
            raise ValueError(token)
        if isinstance(value, str):
            value.encode()
        if not isinstance(value, str | int) or isinstance(seq, bool) or not isinstance(seq, int):
            raise TypeError(token)
        if any(isinstance(n, int) and abs(n) >= 2**63 for n in (value, seq)):
            raise ValueError(token)
    except (ValueError, TypeError, RecursionError, binascii.Error):
        raise Invalid(FOREIGN) from None
    return value, seq
