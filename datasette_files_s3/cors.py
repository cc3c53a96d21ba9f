"""The CORS rules that a bucket needs before a browser sends bytes to it, or reads them by script.

Holds the rule, how it joins the rules that are there, and putting them into force. Leaves out the
command that asks for it (cli.py).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from datasette_files.errors import Invalid

#: The name of our rule among a bucket's begins so; the source's prefix follows, as sites that share
#: a bucket have a rule each. S3 takes as many characters.
_RULE_ID = "datasette-files"
_LONGEST_ID = 255
#: Seconds for which a browser need not ask again.
_MAX_AGE = 3600

Rule = dict[str, Any]


def origin_of(address: str) -> str:
    """``https://host[:port]``, as a browser writes a page's origin (RFC 6454, 6.2), or ``*``.

    S3 takes one ``*`` in an origin's host as well. Raises Invalid.
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
    """What pages of these origins may do: send by POST, and read with what ranges need.

    A page that shows how far an upload has got is asked about first (Fetch standard: a listener on
    an upload makes the request one that needs a preflight), so POST has to be allowed by name.
    """
    return {
        "ID": f"{_RULE_ID} {prefix}".strip()[:_LONGEST_ID],
        "AllowedOrigins": origins,
        "AllowedMethods": ["GET", "HEAD", "POST"],
        "AllowedHeaders": ["*"],
        "ExposeHeaders": ["ETag", "Content-Length", "Content-Range", "Accept-Ranges"],
        "MaxAgeSeconds": _MAX_AGE,
    }


def joined(there: list[Rule], ours: Rule) -> list[Rule]:
    """The bucket's rules with ours, in place of an earlier one of ours; the others as they are."""
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
    """Put the rule into force beside the bucket's others; all of them. Raises the SDK's errors."""
    from botocore.exceptions import ClientError  # noqa: PLC0415 - only once a command needs it

    try:
        there: list[Rule] = (await client.get_bucket_cors(Bucket=bucket)).get("CORSRules", [])
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != "NoSuchCORSConfiguration":
            raise
        there = []
    rules = joined(there, ours)
    await client.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": rules})
    return rules
