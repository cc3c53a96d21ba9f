"""Digests that a request declares of its body: RFC 9530, and the older fields that clients send.

`Repr-Digest` and `Content-Digest` are structured fields (RFC 9530), `Digest` is theirs of RFC 3230,
`Content-MD5` that of RFC 1864. An upload has no content coding and no range, so that all four speak
of the same bytes. Left out: `Want-Repr-Digest`, and storing or sending a digest.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass

_ALGORITHMS = {"sha-256": "sha256", "sha-512": "sha512", "sha": "sha1", "md5": "md5"}
"""hashlib's names of the verified algorithms, by registered name; the first in a field is used."""

_FIELDS = ("repr-digest", "content-digest", "digest")

# One member of a structured-field dictionary (RFC 9651 section 3.2), value and parameters unread; a
# comma inside a quoted string separates nothing.
_MEMBER = re.compile(r'(?P<key>[^=,;"]*)(?:=(?P<value>(?:[^,"]|"(?:[^"\\]|\\.)*")*))?[^,]*(?:,|$)')


@dataclass(frozen=True)
class Digest:
    """One declared digest. `algorithm` is hashlib's name; `hex` has lower-case digits."""

    field: str
    algorithm: str
    hex: str

    def holds(self, digest: str) -> bool:
        """Say whether `digest`, in hexadecimal, is the declared one."""
        return hmac.compare_digest(self.hex, digest)


def declared_digests(headers: Mapping[str, str]) -> list[Digest]:
    """Return the digests that a request declares of its body; `headers` are in lower case.

    A value is `sha-256=:<base64>:`; base64 without the colons, and hexadecimal, which some clients
    send, are read too. Each field gives one digest at most, by the order of `_ALGORITHMS`; of
    several values for one algorithm the last counts (RFC 9651 section 3.2). A `Repr-Digest` of
    other algorithms is ignored, as RFC 9530 section 5 asks.

    Raises `ValueError`, with the field's name, for a malformed digest, and for another field that
    holds no algorithm of these.
    """
    found: list[Digest] = []
    for name in _FIELDS:
        if (text := headers.get(name)) is None:
            continue
        digest = _preferred(_title(name), text)
        if digest is not None:
            found.append(digest)
        elif name != "repr-digest":
            raise ValueError(f"{_title(name)} holds none of {', '.join(_ALGORITHMS)}")
    if (text := headers.get("content-md5")) is not None:
        found.append(_digest("Content-MD5", "md5", text))
    return found


def _preferred(field: str, text: str) -> Digest | None:
    values: dict[str, str] = {}
    for match in _MEMBER.finditer(text):
        # Parameters (`;name=value`) mean nothing here.
        values[match["key"].strip(" \t").lower()] = (match["value"] or "").partition(";")[0]
    for name, algorithm in _ALGORITHMS.items():
        if name in values:
            return _digest(f"the {name} in {field}", algorithm, values[name])
    return None


def _digest(field: str, algorithm: str, text: str) -> Digest:
    text = text.strip(" \t")
    size = hashlib.new(algorithm, usedforsecurity=False).digest_size
    if len(text) == 2 * size and re.fullmatch(r"[0-9A-Fa-f]+", text):
        return Digest(field, algorithm, text.lower())
    if len(text) >= 2 and text[0] == text[-1] == ":":
        text = text[1:-1]
    # Padding may be left out (RFC 9651 section 4.2.7).
    bare = text.rstrip("=")
    try:
        digest = base64.b64decode((bare + "=" * (-len(bare) % 4)).encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise ValueError(f"{field} is neither base64 nor hexadecimal") from error
    if len(digest) != size:
        raise ValueError(f"{field} has {len(digest)} bytes, not {size}")
    return Digest(field, algorithm, digest.hex())


def _title(name: str) -> str:
    return "-".join(word.capitalize() for word in name.split("-"))
