"""A Datasette plugin: every page under the strict Content-Security-Policy that ours must bear.

What Datasette's own templates hold inline is allowed by its hash, so that whatever the browser
refuses is ours.
"""

import base64
import hashlib
import re
from pathlib import Path

import datasette
from datasette import hookimpl
from datasette.version import __version__

_TEMPLATES = Path(datasette.__file__).parent / "templates"


def _inline_script(template: str) -> str:
    match = re.search(r"<script>(.*?)</script>", (_TEMPLATES / template).read_text(), re.DOTALL)
    assert match is not None
    return match[1].replace("{{ datasette_version }}", __version__)


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


_SCRIPTS = " ".join(_source(_inline_script(t)) for t in ("base.html", "_close_open_menus.html"))
# The icon of _action_menu.html.
_STYLES = f"'unsafe-hashes' {_source('color: #fff')}"


def _policy(storage):
    """``storage``: the origin of an S3 that browsers send to and are redirected to, or nothing."""
    return (
        f"default-src 'self'; img-src 'self' data: blob: {storage};"
        f" media-src 'self' blob: {storage}; frame-src 'self' {storage};"
        f" script-src 'self' {_SCRIPTS}; style-src 'self' {_STYLES};"
        f" connect-src 'self' {storage}; base-uri 'none'; object-src 'none'"
    )


@hookimpl
def asgi_wrapper(datasette):
    origin = (datasette.plugin_config("strict-csp") or {}).get("storage", "")
    value = _policy(origin).encode()

    def wrap(app):
        async def strict(scope, receive, send):
            async def with_policy(message):
                if message["type"] == "http.response.start":
                    headers = {name.lower(): value for name, value in message["headers"]}
                    is_page = headers.get(b"content-type", b"").startswith(b"text/html")
                    if is_page and b"content-security-policy" not in headers:
                        policy = (b"content-security-policy", value)
                        message = {**message, "headers": [*message["headers"], policy]}
                await send(message)

            await app(scope, receive, with_policy)

        return strict

    return wrap
