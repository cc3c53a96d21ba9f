"""The values that a storage takes and gives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

#: How moments are written, here and in the catalog: UTC, whole seconds, as 0.1a3 does.
TIME_FORMAT = "%Y-%m-%d %H:%M:%S"

#: ``await get_secret("NAME")`` returns the secret's value, or None where there is none.
GetSecret = Callable[[str], Awaitable["str | None"]]


def signing_window(expires_in: int, now: float) -> tuple[float, float]:
    """The span around ``now`` in which a signed URL may stay the same: half of its life.

    ``expires_in`` in seconds, ``now`` and both ends in seconds since the epoch. A storage that
    signs as of the beginning returns one URL throughout, so that browsers can cache what it serves;
    at the end, half of its life is left. The core lets browsers keep a redirect until the end.
    """
    half = expires_in / 2
    begin = now - now % half
    return begin, begin + half


@dataclass
class StorageCapabilities:
    """The powers of a storage. Each is off unless the storage declares it."""

    can_upload: bool = False
    can_delete: bool = False
    can_list: bool = False
    can_generate_signed_urls: bool = False
    requires_proxy_download: bool = False
    #: Bytes; caps the configured limit. None: the storage has no cap.
    max_file_size: int | None = None
    #: Accepted from older plugins, and unused: thumbnails are the core's.
    can_generate_thumbnails: bool = False


@dataclass
class FileMetadata:
    """A storage's facts about one object."""

    path: str
    filename: str
    content_type: str | None = None
    #: ``sha256:`` and 64 lower-case hexadecimal digits.
    content_hash: str | None = None
    #: Bytes.
    size: int | None = None
    #: Pixels.
    width: int | None = None
    height: int | None = None
    #: As ``TIME_FORMAT``.
    created_at: str | None = None
    #: ``version``, from ``list_files``: a text that changes with the bytes, and stays when the
    #: object gets another path, such as an ETag.
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(init=False)
class UploadInstructions:
    """Instructions for a client to send an upload's bytes straight to the storage.

    0.1a3 names the first four ``upload_url``, ``upload_method``, ``upload_headers`` and
    ``upload_fields``; these are taken, and can be read, too. ``state`` is kept in the internal
    database until the upload completes and is handed to ``finish_upload``; it must be JSON and hold
    no secret. Raises TypeError without a URL.
    """

    url: str = field(repr=False)  # not for a log: it permits writing
    method: str
    headers: dict[str, str] = field(repr=False)
    fields: dict[str, str] = field(repr=False)
    state: dict[str, Any]

    def __init__(
        self,
        url: str | None = None,
        method: str = "POST",
        headers: dict[str, str] | None = None,
        fields: dict[str, str] | None = None,
        state: dict[str, Any] | None = None,
        *,
        upload_url: str | None = None,
        upload_method: str | None = None,
        upload_headers: dict[str, str] | None = None,
        upload_fields: dict[str, str] | None = None,
    ) -> None:
        given = url if url is not None else upload_url
        if given is None:
            raise TypeError("UploadInstructions needs a url")
        self.url = given
        self.method = upload_method or method
        self.headers = headers or upload_headers or {}
        self.fields = fields or upload_fields or {}
        self.state = state or {}

    @property
    def upload_url(self) -> str:
        return self.url

    @property
    def upload_method(self) -> str:
        return self.method

    @property
    def upload_headers(self) -> dict[str, str]:
        return self.headers

    @property
    def upload_fields(self) -> dict[str, str]:
        return self.fields


@dataclass(frozen=True)
class UploadParts:
    """The parts of one upload. Each has ``part_size`` bytes; the last one may have fewer."""

    part_size: int
    count: int


@dataclass(frozen=True)
class WantedPart:
    """A part that a client is about to send: number from 1, bytes, sha256 in hexadecimal."""

    number: int
    size: int
    sha256: str | None = None


@dataclass(frozen=True)
class SignedPart:
    """The URL to which a client sends a part by PUT, with these headers."""

    number: int
    url: str = field(repr=False)  # not for a log: it permits writing
    headers: dict[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class SentPart:
    """A part that has arrived. ``size`` in bytes."""

    number: int
    size: int
