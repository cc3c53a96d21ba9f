"""HTML, EPUB (a zip of XHTML) and plain text."""

from __future__ import annotations

import codecs
import posixpath
import re
from html import unescape
from pathlib import Path
from urllib.parse import unquote

from ...formats.characters import ENCODINGS, detect
from .pages import Pages, Unreadable
from .xml import Archive, parse

#: Bytes of one HTML document.
MAX_HTML = 16 * 1024 * 1024
#: Bytes by which the encoding is detected.
_HEAD = 256 * 1024
#: Codecs of Python that are no charsets; the first takes the square of a text's length.
_NO_CHARSETS = frozenset(("punycode", "idna", "unicode-escape", "raw-unicode-escape", "undefined"))
#: Elements whose content is no text, and what ends them.
_SILENT = {name: re.compile(f"</{name}", re.IGNORECASE) for name in ("script", "style")}
_TAG = re.compile(r"</?([A-Za-z][^\s/>]*)")
#: The rest of a tag. A quoted value may hold its end.
_REST = re.compile(r"""[^>"']*(?:"[^"]*"[^>"']*|'[^']*'[^>"']*)*>""")
_ALT = re.compile(r"""\balt\s?=\s?["']([^"'<>]*)""", re.IGNORECASE)
_BLOCKS = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "br",
        "caption",
        "dd",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hr",
        "legend",
        "li",
        "main",
        "nav",
        "ol",
        "option",
        "p",
        "pre",
        "section",
        "table",
        "title",
        "tr",
        "ul",
    ]
)
_CELLS = frozenset(("td", "th"))
_DECLARED = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?([\w.:-]{1,40})", re.IGNORECASE)


def decoded_as(content: bytes, charset: str) -> str:
    """A text in a declared encoding; in the one that its bytes tell if that is wrong or unknown."""
    try:
        if codecs.lookup(charset).name not in _NO_CHARSETS:
            return content.decode(charset)
    except (LookupError, ValueError):
        pass
    return decoded(content)


def decoded(content: bytes) -> str:
    """A text in the encoding that a byte order mark or its bytes tell."""
    found = detect(content[:_HEAD], whole=len(content) <= _HEAD)
    return content.decode(ENCODINGS[found.name], "replace")


def text_of_html(content: bytes) -> str:
    """The text of an HTML document. Spaces and line ends in its source count as one space.

    Each character is looked at once, or a few times (html.parser takes the square of a damaged
    file's length). What is not closed ends with the document, as in browsers.
    """
    declared = _DECLARED.search(content[:4096])
    text = decoded_as(content, declared[1].decode()) if declared else decoded(content)
    return _Html(re.sub(r"\s+", " ", text)).text()


class _Html:
    """Reads one document from its beginning to its end."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._parts: list[str] = []
        #: False once a tag had no end outside of quotes. Else each tag would look that far again.
        self._is_quoted = True

    def text(self) -> str:
        at = 0
        while (start := self._source.find("<", at)) >= 0:
            self._parts.append(unescape(self._source[at:start]))
            at = self._after(start)
        self._parts.append(unescape(self._source[at:]))
        return "".join(self._parts)

    def _after(self, start: int) -> int:
        """Read what begins with ``<``; return the place after it."""
        text = self._source
        if text.startswith("<!--", start):
            return _end(text, "-->", start + 2)
        tag = _TAG.match(text, start)
        if tag is None:
            if text.startswith(("<!", "<?"), start):
                return _end(text, ">", start)
            self._parts.append("<")
            return start + 1
        end = self._end_of_tag(tag)
        name = tag[1].lower()
        if name in _BLOCKS:
            self._parts.append("\n")
        elif name in _CELLS:
            self._parts.append("\t")
        elif name == "img" and (alt := _ALT.search(text, tag.end(), end)):
            self._parts.append(f" {unescape(alt[1])} ")
        elif name in _SILENT:
            closing = _SILENT[name].search(text, end)
            return _end(text, ">", closing.end()) if closing else len(text)
        return end

    def _end_of_tag(self, tag: re.Match[str]) -> int:
        rest = _REST.match(self._source, tag.end()) if self._is_quoted else None
        if rest is None:
            self._is_quoted = False
            return _end(self._source, ">", tag.start())
        return rest.end()


def _end(text: str, mark: str, start: int) -> int:
    found = text.find(mark, start)
    return len(text) if found < 0 else found + len(mark)


def html(path: Path, pages: Pages) -> None:
    with path.open("rb") as file:
        content = file.read(MAX_HTML + 1)
    if len(content) > MAX_HTML:
        pages.lack(f"Only its first {MAX_HTML:,} bytes are searched")
    pages.add_all(text_of_html(content[:MAX_HTML]))


def plain(path: Path, pages: Pages) -> None:
    """Text of any encoding. The server sends no more of it than is searched."""
    content = path.read_bytes()
    if b"\x00" in content[:_HEAD] and detect(content[:_HEAD]).name == "utf-8":
        raise Unreadable("It is not text: it holds NULs")
    pages.add_all(decoded(content))


def epub(path: Path, pages: Pages) -> None:
    """A page for each document of the spine, in the order of reading (EPUB 3.3)."""
    archive = Archive(path)
    packages: list[str] = []

    def rootfile(name: str, attributes: dict[str, str]) -> None:
        if name == "rootfile":
            packages.append(attributes.get("full-path", ""))

    parse(archive.open("META-INF/container.xml"), rootfile, _nothing, _nothing)
    if not packages:
        raise Unreadable("It names no package")
    documents: dict[str, str] = {}
    order: list[str] = []

    def item(name: str, attributes: dict[str, str]) -> None:
        if name == "item":
            documents[attributes.get("id", "")] = attributes.get("href", "")
        elif name == "itemref":
            order.append(attributes.get("idref", ""))

    parse(archive.open(packages[0]), item, _nothing, _nothing)
    folder = posixpath.dirname(packages[0])
    read: set[str] = set()
    for reference in order:
        target = posixpath.normpath(posixpath.join(folder, unquote(documents.get(reference, ""))))
        if target in read:  # a bomb may name one document many times
            continue
        read.add(target)
        try:
            pages.add(text_of_html(archive.read(target)))
        except Unreadable as reason:
            pages.add("")
            pages.lack(str(reason))


def _nothing(_: object) -> None:
    return None
