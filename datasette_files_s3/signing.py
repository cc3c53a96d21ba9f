"""Presigned GET URLs that are the same for a while, so that browsers can cache what they serve.

Holds one function: it signs a URL that the SDK has made anew, for an earlier moment. The SDK signs
for the present second only. Leaves out credentials and the choice of the moment (client.py).
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime, timezone
from urllib.parse import parse_qs, urlsplit

_ALGORITHM = "AWS4-HMAC-SHA256"
_SIGNATURE = "X-Amz-Signature"
_USUAL_PORTS = {"http": 80, "https": 443}


def signed_at(url: str, moment: float, secret_access_key: str) -> str:
    """The presigned GET ``url`` as it would be if it had been made at ``moment``.

    ``moment`` in seconds since the epoch. A URL that is signed in another way than by SigV4 in its
    query, with Host alone, is returned unchanged. Source: "Authenticating requests: using query
    parameters (AWS Signature Version 4)" of the S3 API reference.
    """
    parts = urlsplit(url)
    values = {name: one[0] for name, one in parse_qs(parts.query).items()}
    if values.get("X-Amz-Algorithm") != _ALGORITHM or values.get("X-Amz-SignedHeaders") != "host":
        return url
    stamp = datetime.fromtimestamp(moment, timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    key_id, _, *scope = values["X-Amz-Credential"].split("/")
    scope = [stamp[:8], *scope]
    changed = {"X-Amz-Date": stamp, "X-Amz-Credential": "%2F".join([key_id, *scope])}
    pairs = [pair.partition("=")[::2] for pair in parts.query.split("&")]
    pairs = [(name, changed.get(name, value)) for name, value in pairs if name != _SIGNATURE]
    canonical = "\n".join(
        (
            "GET",
            parts.path or "/",
            "&".join(f"{name}={value}" for name, value in sorted(pairs)),
            f"host:{_host(parts.scheme, parts.hostname, parts.port)}\n",
            "host",
            "UNSIGNED-PAYLOAD",
        )
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join((_ALGORITHM, stamp, "/".join(scope), digest))
    key = f"AWS4{secret_access_key}".encode()
    for part in scope:
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    query = "&".join(f"{name}={value}" for name, value in [*pairs, (_SIGNATURE, signature)])
    return parts._replace(query=query).geturl()


def _host(scheme: str, name: str | None, port: int | None) -> str:
    """The Host header of a request to the URL, without the port that its scheme implies."""
    host = f"[{name}]" if name and ":" in name else name or ""
    return host if port in (None, _USUAL_PORTS.get(scheme)) else f"{host}:{port}"
