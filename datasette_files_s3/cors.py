"""The CORS rules that let a browser send bytes to a bucket, or read them by script.

Holds the rule, its merge with the bucket's other rules, and storing them. Leaves out the command
(cli.py).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from datasette_files.errors import Invalid

from .errors import code_of

#: The beginning of our rule's id; the source's prefix follows, so that each site that shares a
#: bucket has a rule of its own. S3 takes 255 characters.
_RULE_ID = "datasette-files"
_MAX_ID_LENGTH = 255
#: Seconds for which a browser caches the answer to a preflight.
_MAX_AGE = 3600

Rule = dict[str, Any]


def origin_of(address: str) -> str:
    """``https://host[:port]``, as a browser writes a page's origin (RFC 6454, 6.2), or ``*``.

    As in S3, the host may hold one ``*``. Raises Invalid.
    """
    if address == "*":
        return address
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    host = (parts.hostname or "").lower()
    if parts.scheme not in ("http", "https") or not host or parts.username is not None:
        raise Invalid(f"{address!r} is not an origin; write it as https://files.example.org")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise Invalid(f"{address!r} is more than an origin; remove everything after the host")
    if ":" in host:
        host = f"[{host}]"
    usual = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, usual) else "")


def rule(origins: list[str], prefix: str) -> Rule:
    """The rule for pages of these origins: they may POST and PUT, and read with ranges.

    POST has to be named: a page that shows an upload's progress causes a preflight (Fetch standard,
    upload listener flag).
    """
    return {
        "ID": f"{_RULE_ID} {prefix}".strip()[:_MAX_ID_LENGTH],
        "AllowedOrigins": origins,
        "AllowedMethods": ["GET", "HEAD", "POST", "PUT"],
        "AllowedHeaders": ["*"],
        "ExposeHeaders": ["ETag", "Content-Length", "Content-Range", "Accept-Ranges"],
        "MaxAgeSeconds": _MAX_AGE,
    }


def joined(there: list[Rule], ours: Rule) -> list[Rule]:
    """The bucket's other rules, then ours, which replaces an earlier one of ours."""
    content = {name: value for name, value in ours.items() if name != "ID"}
    others = [
        one
        for one in there
        # Not every store keeps the name of a rule.
        if one.get("ID") != ours["ID"]
        and {name: value for name, value in one.items() if name != "ID"} != content
    ]
    return [*others, ours]


async def apply(client: Any, bucket: str, ours: Rule) -> list[Rule]:
    """Store the rule beside the bucket's others; return all. Raises the SDK's errors."""
    try:
        there: list[Rule] = (await client.get_bucket_cors(Bucket=bucket)).get("CORSRules", [])
    except Exception as error:
        if code_of(error) != "NoSuchCORSConfiguration":
            raise
        there = []
    rules = joined(there, ours)
    await client.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": rules})
    return rules
