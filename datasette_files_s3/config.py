"""The ``config`` of a source with ``storage: s3``, and places in a store that it can name.

Holds the pydantic model and ``Folder``. Leaves out credentials that are fetched (credentials.py)
and the SDK (client.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    SecretStr,
    model_validator,
)

#: A bucket's name, or the ARN of an access point. Stores differ in what else they allow.
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}|arn:[A-Za-z0-9:/_.-]{10,250}")
#: Seconds; the longest that SigV4 lets a presigned URL live.
MAX_TTL = 7 * 24 * 3600


def _check_bucket(bucket: str) -> str:
    if not _BUCKET.fullmatch(bucket):
        raise ValueError("must be the name of a bucket, without s3:// and without a path")
    return bucket


def normal_prefix(prefix: str) -> str:
    """``a/b/`` for ``a/b``, ``/a/b`` and ``a/b/``; nothing for nothing."""
    stripped = prefix.strip("/")
    if any(part in ("", ".", "..") for part in stripped.split("/")) and stripped:
        raise ValueError("must not have empty, . or .. segments")
    if any(ord(c) < 32 for c in stripped):
        raise ValueError("must not contain control characters")
    return f"{stripped}/" if stripped else ""


def _http(url: str) -> SplitResult:
    """Raises ValueError, without a part of the URL: any of it may be a password, written wrong."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        raise ValueError("is not a URL; write it as https://host:port/path") from None
    if not known:
        raise ValueError("must begin with https:// or http:// and name a host")
    return parts


def _check_url(url: str) -> str:
    """An address alone: what is more would be lost, and a password would be shown and stored."""
    parts = _http(url)
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("must not contain a user, a password, a query or a fragment")
    return url.rstrip("/")


def _check_broker(url: SecretStr) -> SecretStr:
    _http(url.get_secret_value())
    return url


_Url = Annotated[str, AfterValidator(_check_url)]


@dataclass(frozen=True)
class Folder:
    """Where a source's objects are: a bucket, and a prefix that is empty or ends with a slash."""

    bucket: str
    prefix: str = ""

    @classmethod
    def of_url(cls, url: str) -> Folder:
        """From ``s3://bucket/prefix``. Raises ValueError."""
        scheme, _, rest = url.partition("://")
        bucket, _, prefix = rest.partition("/")
        if scheme != "s3":
            raise ValueError("must begin with s3://")
        return cls(_check_bucket(bucket), normal_prefix(prefix))


class S3Config(BaseModel):
    """The ``config`` of a source with ``storage: s3``. Every credential is a secret to the core."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Needed unless ``credentials_url`` tells it.
    bucket: Annotated[str, AfterValidator(_check_bucket)] | None = None
    region: str = Field(default="us-east-1", pattern=r"^[A-Za-z0-9-]+$")
    #: Comes before each path; one slash at its end.
    prefix: Annotated[str, AfterValidator(normal_prefix)] = ""
    #: None: Amazon's.
    endpoint_url: _Url | None = None
    access_key_id: SecretStr | None = None
    secret_access_key: SecretStr | None = None
    session_token: SecretStr | None = None
    #: May hold a password or a token, so it is a secret too.
    credentials_url: Annotated[SecretStr, AfterValidator(_check_broker)] | None = None
    credentials_url_secret: SecretStr | None = None
    #: Whether browsers send the bytes to the bucket, or to Datasette.
    upload: Literal["direct", "proxy"] = "direct"
    #: Whether downloads are redirected to the bucket, or come through Datasette.
    download: Literal["redirect", "proxy"] = "redirect"
    #: Seconds that a redirect's URL can be used.
    presign_ttl_seconds: Annotated[PositiveInt, Field(le=MAX_TTL)] = 300
    #: The store's address as browsers reach it, where that is another.
    public_endpoint_url: _Url | None = None
    #: ``path``: endpoint/bucket/key; ``virtual``: bucket.endpoint/key; ``auto``: the SDK's choice.
    addressing_style: Literal["auto", "path", "virtual"] = "auto"
    #: A file of certificates to trust in place of the public ones.
    ca_bundle: str | None = Field(default=None, min_length=1)
    #: Bytes; means the same as the source's own key.
    max_file_size: PositiveInt | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, values: Any) -> Any:
        """An environment variable that is not set arrives as nothing: as if not there.

        A file that a key is read from ends with a line break, which is none of the key.
        """
        if not isinstance(values, dict):
            return values
        values = {
            name: value.strip() if isinstance(value, str) else value
            for name, value in values.items()
        }
        return {name: value for name, value in values.items() if value not in (None, "")}

    @model_validator(mode="after")
    def _belong_together(self) -> S3Config:
        if self.bucket is None and self.credentials_url is None:
            raise ValueError("bucket is required, unless credentials_url is given")
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("access_key_id and secret_access_key must be given together")
        if self.session_token is not None and self.access_key_id is None:
            raise ValueError("session_token needs access_key_id and secret_access_key")
        if self.credentials_url is not None and self.credentials_url_secret is None:
            raise ValueError("credentials_url_secret is required with credentials_url")
        if self.credentials_url_secret is not None and self.credentials_url is None:
            raise ValueError("credentials_url_secret needs credentials_url")
        return self

    @property
    def folder(self) -> Folder | None:
        """The configured place; None where only the broker knows it."""
        return None if self.bucket is None else Folder(self.bucket, self.prefix)
