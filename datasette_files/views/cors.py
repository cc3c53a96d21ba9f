"""Answers to scripts of other origins, where Datasette runs with ``--cors``.

What Datasette allows for its own API holds for ours: any origin, with a token and never with
cookies, as no answer allows credentials (Fetch standard, "CORS protocol").
"""

from __future__ import annotations

from datasette.utils import add_cors_headers

#: Request headers that ours take besides Datasette's; the last two lines are of tus 1.0.0.
_TAKEN = (
    *("Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"),
    *("Repr-Digest", "Content-Digest", "Digest", "Content-MD5", "Idempotency-Key"),
    *("Tus-Resumable", "Upload-Length", "Upload-Offset", "Upload-Metadata", "Upload-Checksum"),
    *("Upload-Concat", "Upload-Defer-Length", "X-HTTP-Method-Override"),
)
#: Response headers that a script may read.
_SHOWN = (
    *("Accept-Ranges", "Allow", "Content-Disposition", "Content-Length", "Content-Location"),
    *("Content-Range", "ETag", "Last-Modified", "Location", "Retry-After"),
    *("Tus-Resumable", "Tus-Version", "Tus-Extension", "Tus-Max-Size", "Tus-Checksum-Algorithm"),
    *("Upload-Length", "Upload-Offset", "Upload-Metadata", "Upload-Expires", "Upload-Concat"),
    "Upload-Defer-Length",
)
_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


def allow(headers: dict[str, str]) -> None:
    """Add the CORS headers to those of an answer."""
    add_cors_headers(headers)
    for name, more in (("Allow-Headers", _TAKEN), ("Expose-Headers", _SHOWN)):
        key = f"Access-Control-{name}"
        headers[key] = ", ".join((headers[key], *more))
    headers["Access-Control-Allow-Methods"] = _METHODS
