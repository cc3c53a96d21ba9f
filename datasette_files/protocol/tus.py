"""The tus resumable upload protocol, version 1.0.0 (tus.io/protocols/resumable-upload).

Reads the request headers of the core protocol and of its extensions, and holds the protocol's own
statuses. Pure: leaves out HTTP (views/tus.py) and the uploads themselves (transfer/resuming.py).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate
from urllib.parse import urlsplit

from ..errors import BadType, ChecksumMismatch, FilesError, Invalid
from .digest import Digest

VERSION = "1.0.0"
EXTENSIONS = (
    *("creation", "creation-with-upload", "creation-defer-length", "expiration", "checksum"),
    *("termination", "concatenation"),
)
#: hashlib has these under the names of the protocol.
CHECKSUM_ALGORITHMS = ("sha256", "sha1", "md5")
#: The type of every body that holds bytes of an upload.
BODY_TYPE = "application/offset+octet-stream"
_DIGEST_BYTES = {"sha256": 32, "sha1": 20, "md5": 16}
_NUMBER = re.compile(r"[0-9]+")
#: Bytes. A larger number is beyond every limit, and more than SQLite stores.
_MAX_NUMBER = 2**63 - 1
_ID = re.compile(r"[A-Za-z0-9_]{1,100}")
#: Partial uploads that one final upload may join.
MAX_PARTS = 1000


class WrongVersion(Invalid, status=412):
    """The client speaks another version of the protocol."""


class ChecksumRefused(ChecksumMismatch, status=460):
    """The bytes do not have their checksum; 460 is the protocol's status for it."""


@dataclass(frozen=True)
class Concat:
    """An ``Upload-Concat`` header: a partial upload, or a final one that joins ``parts`` (ids)."""

    parts: tuple[str, ...] = ()

    @property
    def is_final(self) -> bool:
        return bool(self.parts)


def as_tus(error: FilesError) -> FilesError:
    """The same error with the protocol's status, and with its header on every answer."""
    if isinstance(error, ChecksumMismatch) and not isinstance(error, ChecksumRefused):
        error = ChecksumRefused(*error.messages, headers=error.headers)
    error.headers = {**error.headers, "Tus-Resumable": VERSION}
    return error


def check_version(headers: Mapping[str, str]) -> None:
    """Raise WrongVersion unless the client speaks this version."""
    if headers.get("tus-resumable") != VERSION:
        raise WrongVersion(
            f"Send the header Tus-Resumable: {VERSION}; no other version is spoken here",
            headers={"Tus-Version": VERSION},
        )


def check_body_type(headers: Mapping[str, str]) -> None:
    """Raise BadType for a body that does not hold an upload's bytes."""
    if headers.get("content-type", "").strip().lower() != BODY_TYPE:
        raise BadType(f"Send the bytes with Content-Type: {BODY_TYPE}")


def number(headers: Mapping[str, str], name: str) -> int | None:
    """A header that counts bytes, at most 2**63 - 1; None where there is none. Raises Invalid."""
    text = headers.get(name)
    if text is None:
        return None
    if not _NUMBER.fullmatch(text):
        raise Invalid(f"{name} must be a number of bytes, 0 or more")
    digits = text.lstrip("0")
    return int(digits or "0") if len(digits) <= 18 else _MAX_NUMBER


def declared_length(headers: Mapping[str, str]) -> int | None:
    """The new upload's size in bytes; None if the client tells it later. Raises Invalid."""
    length = number(headers, "upload-length")
    deferred = headers.get("upload-defer-length")
    if deferred not in (None, "1"):
        raise Invalid("Upload-Defer-Length must be 1")
    if (length is None) == (deferred is None):
        raise Invalid("Send either Upload-Length or Upload-Defer-Length: 1")
    return length


def metadata(header: str | None) -> dict[str, str]:
    """The pairs of ``Upload-Metadata``: ``key base64, key base64``. Raises Invalid."""
    pairs: dict[str, str] = {}
    for pair in (header or "").split(","):
        key, _, encoded = pair.strip().partition(" ")
        if not key:
            continue
        if key in pairs:
            raise Invalid(f"Upload-Metadata has {key[:50]!r} twice; send each key once")
        try:
            pairs[key] = base64.b64decode(encoded.strip(), validate=True).decode()
        except (binascii.Error, ValueError):
            raise Invalid(f"Upload-Metadata {key[:50]!r} must be UTF-8 text in base64") from None
    return pairs


def checksum(header: str | None) -> Digest | None:
    """The digest in ``Upload-Checksum``: ``algorithm base64``. Raises Invalid."""
    if header is None:
        return None
    algorithm, _, encoded = header.strip().partition(" ")
    size = _DIGEST_BYTES.get(algorithm)
    if size is None:
        known = ", ".join(CHECKSUM_ALGORITHMS)
        raise Invalid(f"Upload-Checksum must use one of {known}")
    try:
        digest = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != size:
        raise Invalid(f"Upload-Checksum must hold the {size} bytes of a {algorithm} in base64")
    return Digest("Upload-Checksum", algorithm, digest.hex())


def concat(header: str | None) -> Concat | None:
    """``Upload-Concat``: ``partial``, or ``final;`` and the addresses of partial uploads.

    Only the last segment of an address counts, as all are uploads of one source. Raises Invalid.
    """
    if header is None:
        return None
    kind, _, addresses = header.strip().partition(";")
    if kind == "partial" and not addresses:
        return Concat()
    parts = tuple(urlsplit(one).path.rpartition("/")[2] for one in addresses.split())
    if kind != "final" or not parts or not all(_ID.fullmatch(one) for one in parts):
        raise Invalid('Upload-Concat must be "partial", or "final;" and addresses of uploads')
    if len(parts) > MAX_PARTS:
        raise Invalid(f"Upload-Concat joins at most {MAX_PARTS} uploads")
    return Concat(parts)


def expires(moment: float) -> str:
    """``Upload-Expires`` for seconds since the epoch (RFC 9110, 5.6.7)."""
    return formatdate(moment, usegmt=True)
