"""The `Repr-Digest` field of an upload (RFC 9530), as far as it carries a sha-256.

Left out: other algorithms, which are ignored as RFC 9530 section 5 asks, and computing digests.
"""

from __future__ import annotations

import base64
import binascii
import re

_SHA256_BYTES = 32
_HEX = re.compile(r"[0-9A-Fa-f]{64}")

# One member of a structured-field dictionary (RFC 9651 section 3.2), value and parameters unread; a
# comma inside a quoted string separates nothing.
_MEMBER = re.compile(r'(?P<key>[^=,;"]*)(?:=(?P<value>(?:[^,"]|"(?:[^"\\]|\\.)*")*))?[^,]*(?:,|$)')


def parse_repr_digest(header: str | None) -> str | None:
    """Return the sha-256 of a `Repr-Digest` field as 64 lower-case hexadecimal digits.

    The value is `sha-256=:<base64>:`; base64 without the colons and hexadecimal, which some clients
    send, are read too. Of several the last counts (RFC 9651 section 3.2). None without the field or
    a sha-256 in it. Raises `ValueError` when the sha-256 is malformed.
    """
    found: str | None = None
    present = False
    for match in _MEMBER.finditer(header or ""):
        if match["key"].strip(" \t").lower() == "sha-256":
            present, found = True, match["value"]
    if not present:
        return None
    # Parameters (`;name=value`) mean nothing here.
    return _sha256_hex((found or "").partition(";")[0].strip(" \t"))


def _sha256_hex(text: str) -> str:
    if _HEX.fullmatch(text):
        return text.lower()
    if len(text) >= 2 and text[0] == text[-1] == ":":
        text = text[1:-1]
    # Padding may be left out (RFC 9651 section 4.2.7).
    padded = text.rstrip("=") + "=" if len(text.rstrip("=")) == 43 else text
    try:
        digest = base64.b64decode(padded.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise ValueError("the sha-256 in Repr-Digest is neither base64 nor hexadecimal") from error
    if len(digest) != _SHA256_BYTES:
        raise ValueError(f"the sha-256 in Repr-Digest has {len(digest)} bytes, not {_SHA256_BYTES}")
    return digest.hex()
