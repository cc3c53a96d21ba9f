"""A Datasette plugin: every page under the strict Content-Security-Policy that ours must bear.

What Datasette's own templates hold inline is allowed by its hash, so that whatever the browser
refuses is ours.
"""

import base64
import hashlib
import html
import re
from pathlib import Path

import datasette
from datasette import hookimpl

_TEMPLATES = Path(datasette.__file__).parent / "templates"
_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_STYLES = re.compile(r"<style>(.*?)</style>", re.DOTALL)
_STYLE = re.compile(r"""\sstyle="([^"]*)\"""")
_HANDLER = re.compile(r"""\son[a-z]+="([^"]*)\"""")
#: What Jinja fills in.
_FILLED = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)


def _shapes(inline):
    """Everything of a kind in Datasette's templates, as one expression for what pages then have."""
    texts = {
        text
        for template in _TEMPLATES.rglob("*.html")
        for text in inline.findall(template.read_text("utf-8"))
    }
    # Of whitespace Jinja may take some away.
    shapes = (
        ".*?".join(r"\s*".join(map(re.escape, part.split())) for part in _FILLED.split(text))
        for text in sorted(texts)
    )
    return re.compile("|".join(rf"(?:\s*{shape}\s*)" for shape in shapes), re.DOTALL)


_KNOWN = {inline: _shapes(inline) for inline in (_SCRIPT, _STYLES, _STYLE, _HANDLER)}


def _sources(page, inline):
    """The hashes of what is Datasette's own on a page."""
    found = {
        text if inline in (_SCRIPT, _STYLES) else html.unescape(text)
        for text in inline.findall(page)
        if _KNOWN[inline].fullmatch(text)
    }
    digests = (hashlib.sha256(text.encode()).digest() for text in found)
    return " ".join(sorted(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests))


def _policy(page, storage):
    """``storage``: the origin of an S3 that browsers send to and are redirected to, or nothing."""
    scripts = f"{_sources(page, _SCRIPT)} 'unsafe-hashes' {_sources(page, _HANDLER)}"
    styles = f"{_sources(page, _STYLES)} 'unsafe-hashes' {_sources(page, _STYLE)}"
    return (
        f"default-src 'self'; img-src 'self' data: blob: {storage};"
        f" media-src 'self' blob: {storage}; frame-src 'self' {storage};"
        f" script-src 'self' {scripts}; style-src 'self' {styles};"
        f" connect-src 'self' {storage}; base-uri 'none'; object-src 'none'"
    )


@hookimpl
def asgi_wrapper(datasette):
    origin = (datasette.plugin_config("strict-csp") or {}).get("storage", "")

    def wrap(app):
        async def strict(scope, receive, send):
            held = []  # the beginning and body of a page

            async def with_policy(message):
                if message["type"] == "http.response.start":
                    headers = {name.lower(): value for name, value in message["headers"]}
                    is_page = headers.get(b"content-type", b"").startswith(b"text/html")
                    if is_page and b"content-security-policy" not in headers:
                        held.append(message)
                        return
                if not held:
                    await send(message)
                    return
                held.append(message)
                if message.get("more_body"):
                    return
                page = b"".join(part.get("body", b"") for part in held[1:]).decode()
                policy = (b"content-security-policy", _policy(page, origin).encode())
                await send({**held[0], "headers": [*held[0]["headers"], policy]})
                for part in held[1:]:
                    await send(part)

            await app(scope, receive, with_policy)

        return strict

    return wrap
