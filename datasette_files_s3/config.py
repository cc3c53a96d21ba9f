"""The ``config`` of a source with ``storage: s3``, and the folder in a bucket that it names.

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

#: A bucket's name. Stores differ in what else they allow.
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
#: The ARN of an access point in one region. Those without a region need another signature.
_ACCESS_POINT = re.compile(r"arn:aws[a-z-]*:s3:[a-z0-9-]+:[0-9]{12}:accesspoint[:/][a-z0-9-]{3,50}")
#: Seconds; the longest that SigV4 lets a presigned URL live.
MAX_TTL = 7 * 24 * 3600


def is_access_point(bucket: str) -> bool:
    """Tell whether the bucket is named by an access point of Amazon's."""
    return bucket.startswith("arn:")


def _check_bucket(bucket: str) -> str:
    if is_access_point(bucket) and not _ACCESS_POINT.fullmatch(bucket):
        raise ValueError(
            "must be a bucket's name, or the ARN of an access point in one region, as"
            " arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME; other kinds of ARN are not supported"
        )
    if not is_access_point(bucket) and not _BUCKET.fullmatch(bucket):
        raise ValueError("must be the name of a bucket, without s3:// and without a path")
    return bucket


def normal_prefix(prefix: str) -> str:
    """``a/b/`` for ``a/b``, ``/a/b`` and ``a/b/``; empty for an empty one. Raises ValueError."""
    stripped = prefix.strip("/")
    if any(part in ("", ".", "..") for part in stripped.split("/")) and stripped:
        raise ValueError("must not have empty, . or .. segments")
    if any(ord(c) < 32 for c in stripped):
        raise ValueError("must not contain control characters")
    return f"{stripped}/" if stripped else ""


def _http(url: str) -> SplitResult:
    """Split a URL. Raises ValueError without quoting it: any part may be a misplaced password."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        raise ValueError("is not a URL; write it as https://host:port/path") from None
    if not known:
        raise ValueError("must begin with https:// or http:// and name a host")
    return parts


def _check_url(url: str) -> str:
    """Refuse parts of a URL that would be lost, and a password, which would be shown and stored."""
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
    """The place of a source's objects. ``prefix`` is empty or ends with a slash."""

    bucket: str
    prefix: str = ""

    @classmethod
    def of_url(cls, url: str) -> Folder:
        """Read ``s3://bucket/prefix``. Raises ValueError."""
        scheme, _, rest = url.partition("://")
        bucket, _, prefix = rest.partition("/")
        if scheme != "s3":
            raise ValueError("must begin with s3://")
        return cls(_check_bucket(bucket), normal_prefix(prefix))


class S3Config(BaseModel):
    """The ``config`` of a source with ``storage: s3``. Every credential is a secret to the core."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Required unless the broker names it.
    bucket: Annotated[str, AfterValidator(_check_bucket)] | None = None
    region: str = Field(default="us-east-1", pattern=r"^[A-Za-z0-9-]+$")
    #: Precedes each path; ends with one slash, or is empty.
    prefix: Annotated[str, AfterValidator(normal_prefix)] = ""
    #: None: Amazon S3.
    endpoint_url: _Url | None = None
    access_key_id: SecretStr | None = None
    secret_access_key: SecretStr | None = None
    session_token: SecretStr | None = None
    #: May hold a password or a token, so it is a secret too.
    credentials_url: Annotated[SecretStr, AfterValidator(_check_broker)] | None = None
    credentials_url_secret: SecretStr | None = None
    #: Whether browsers send the bytes to the bucket, or to Datasette.
    upload: Literal["direct", "proxy"] = "direct"
    #: How browsers send the bytes of one object: by a presigned form, or by a presigned PUT.
    upload_method: Literal["POST", "PUT"] = "POST"
    #: Bytes; browsers send a larger file in parts.
    multipart_threshold_bytes: PositiveInt = 100 * 1024 * 1024
    #: Server-side encryption of each new object; None: as the bucket does.
    sse: Literal["AES256", "aws:kms", "aws:kms:dsse"] | None = None
    #: The key of a KMS; None: the store's own.
    sse_kms_key_id: str | None = Field(default=None, pattern=r"^[\x21-\x7e]{1,2048}$")
    #: Whether downloads are redirected to the bucket, or come through Datasette.
    download: Literal["redirect", "proxy"] = "redirect"
    #: Seconds that a redirect's URL can be used.
    presign_ttl_seconds: Annotated[PositiveInt, Field(le=MAX_TTL)] = 300
    #: The store's address for browsers, where it differs.
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
        """Drop empty values, which come from unset environment variables; strip the others.

        A key that is read from a file ends with a line break.
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
        if self.sse_kms_key_id is not None and self.sse in (None, "AES256"):
            raise ValueError("sse_kms_key_id needs sse: aws:kms")
        if is_access_point(self.bucket or "") and (self.endpoint_url or self.public_endpoint_url):
            raise ValueError(
                "an access point has an address of its own; remove endpoint_url and"
                " public_endpoint_url, or name the bucket"
            )
        return self

    @property
    def encryption(self) -> dict[str, str]:
        """The SDK's parameters of each request that makes an object."""
        wanted = {"ServerSideEncryption": self.sse, "SSEKMSKeyId": self.sse_kms_key_id}
        return {name: value for name, value in wanted.items() if value is not None}

    @property
    def folder(self) -> Folder | None:
        """The configured folder; None where only the broker knows it."""
        return None if self.bucket is None else Folder(self.bucket, self.prefix)
