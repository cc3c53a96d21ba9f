"""Office Open XML (ECMA-376) and OpenDocument 1.3: documents, workbooks and presentations."""

from __future__ import annotations

import posixpath
from pathlib import Path

from .pages import Enough, Pages, Unreadable
from .xml import Archive, parse

#: Characters of the text that all cells of a workbook share.
_MAX_SHARED = 64 * 1024 * 1024
#: Characters that a page collects before it is handed on.
_MAX_COLLECTED = 32 * 1024 * 1024


class _Collected:
    """Text as it comes; ``take`` hands it out."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._size = 0

    def add(self, text: str) -> None:
        self._parts.append(text)
        self._size += len(text)
        if self._size > _MAX_COLLECTED:
            raise Enough(f"Only the first {_MAX_COLLECTED:,} characters of a page are searched")

    def take(self) -> str:
        text = "".join(self._parts)
        self._parts, self._size = [], 0
        return text


def _relations(archive: Archive, part: str) -> dict[str, tuple[str, str]]:
    """``{id: (last word of the type, target)}`` of a part's relationships (OPC, ECMA-376-2)."""
    folder, name = posixpath.split(part)
    listed = posixpath.join(folder, "_rels", f"{name}.rels")
    found: dict[str, tuple[str, str]] = {}
    if listed not in archive.names:
        return found

    def start(name: str, attributes: dict[str, str]) -> None:
        if name == "Relationship" and attributes.get("TargetMode") != "External":
            target = attributes.get("Target", "")
            path = target.lstrip("/") if target.startswith("/") else posixpath.join(folder, target)
            kind = attributes.get("Type", "").rpartition("/")[2]
            found[attributes.get("Id", "")] = kind, posixpath.normpath(path)

    parse(archive.open(listed), start, lambda name: None, lambda text: None)
    return found


def _main_part(archive: Archive) -> str:
    for kind, target in _relations(archive, "").values():
        if kind == "officeDocument":
            return target
    raise Unreadable("It holds no document")


def _of_kind(relations: dict[str, tuple[str, str]], *kinds: str) -> list[str]:
    return [target for kind, target in relations.values() if kind in kinds]


class _Paragraphs:
    """Handlers for text in paragraphs: Word's and PowerPoint's share their names."""

    def __init__(self, pages: Pages | None = None) -> None:
        self.collected = _Collected()
        self._pages = pages
        #: Whether the document tells where its pages end.
        self.paged = False
        self._in_text = 0
        #: A drawing's other form, for older programs, has the same text.
        self._in_fallback = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "Fallback":
            self._in_fallback += 1
        elif self._in_fallback:
            return
        elif name == "t":
            self._in_text += 1
        elif name == "tab":
            self.collected.add("\t")
        elif name == "lastRenderedPageBreak":
            self._break()
        elif name in ("br", "cr"):
            self.collected.add("\n")

    def end(self, name: str) -> None:
        if name == "Fallback":
            self._in_fallback -= 1
        elif self._in_fallback:
            return
        elif name == "t":
            self._in_text -= 1
        elif name == "p":
            self.collected.add("\n")
        elif name == "tc":
            self.collected.add("\t")

    def text(self, text: str) -> None:
        if self._in_text and not self._in_fallback:
            self.collected.add(text)

    def _break(self) -> None:
        if self._pages is not None:
            self.paged = True
            self._pages.add(self.collected.take())


def docx(path: Path, pages: Pages) -> None:
    """Word: the document by its pages as last drawn; then notes, comments, headers and footers."""
    archive = Archive(path)
    main = _main_part(archive)
    body = _Paragraphs(pages)
    try:
        parse(archive.open(main), body.start, body.end, body.text)
    except Enough as reason:
        pages.lack(str(reason))
    (pages.add if body.paged else pages.add_all)(body.collected.take())
    rest = _Paragraphs()
    kinds = ("footnotes", "endnotes", "comments", "header", "footer")
    for part in _of_kind(_relations(archive, main), *kinds):
        parse(archive.open(part), rest.start, rest.end, rest.text)
    pages.add_all(rest.collected.take())


def pptx(path: Path, pages: Pages) -> None:
    """PowerPoint: a page for each slide, in their order, with its notes."""
    archive = Archive(path)
    main = _main_part(archive)
    relations = _relations(archive, main)
    slides: list[str] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        if name == "sldId":
            kind, target = relations.get(attributes.get("id", ""), ("", ""))
            if kind == "slide":
                slides.append(target)

    parse(archive.open(main), start, lambda name: None, lambda text: None)
    for slide in slides or _of_kind(relations, "slide"):
        found = _Paragraphs()
        notes = _of_kind(_relations(archive, slide), "notesSlide", "comments")
        for part in (slide, *notes):
            parse(archive.open(part), found.start, found.end, found.text)
        pages.add(found.collected.take())


def xlsx(path: Path, pages: Pages) -> None:
    """Excel: a page for each sheet, a line for each row. Formulas are left out."""
    archive = Archive(path)
    main = _main_part(archive)
    relations = _relations(archive, main)
    sheets: list[tuple[str, str]] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        if name == "sheet":
            kind, target = relations.get(attributes.get("id", ""), ("", ""))
            if kind == "worksheet":
                sheets.append((attributes.get("name", ""), target))

    parse(archive.open(main), start, lambda name: None, lambda text: None)
    shared = _shared(archive, relations)
    for name, sheet in sheets:
        cells = _Cells(shared)
        try:
            cells.collected.add(f"{name}\n")
            parse(archive.open(sheet), cells.start, cells.end, cells.text)
        except Enough as reason:
            pages.lack(str(reason))
        pages.add(cells.collected.take())


def _shared(archive: Archive, relations: dict[str, tuple[str, str]]) -> list[str]:
    strings: list[str] = []
    parts: list[str] = []
    inside = [0, 0, 0]  # in a text, in its pronunciation, characters in all

    def start(name: str, attributes: dict[str, str]) -> None:
        inside[0] += name == "t"
        inside[1] += name == "rPh"

    def end(name: str) -> None:
        inside[0] -= name == "t"
        inside[1] -= name == "rPh"
        if name == "si":
            strings.append("".join(parts))
            parts.clear()

    def text(text: str) -> None:
        if inside[0] and not inside[1]:
            inside[2] += len(text)
            if inside[2] > _MAX_SHARED:
                raise Unreadable(f"Its cells share more than {_MAX_SHARED:,} characters")
            parts.append(text)

    for part in _of_kind(relations, "sharedStrings"):
        parse(archive.open(part), start, end, text)
    return strings


class _Cells:
    """Handlers for a sheet: the values of its cells, with tabs between them."""

    def __init__(self, shared: list[str]) -> None:
        self.collected = _Collected()
        self._shared = shared
        self._type = ""
        self._value: list[str] = []
        self._in_value = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "c":
            self._type, self._value = attributes.get("t", ""), []
        self._in_value += name in ("v", "t")

    def end(self, name: str) -> None:
        self._in_value -= name in ("v", "t")
        if name == "row":
            self.collected.add("\n")
        elif name == "c" and self._value:
            value = "".join(self._value)
            if self._type == "s":
                number = int(value) if value.isascii() and value.isdigit() else -1
                value = self._shared[number] if 0 <= number < len(self._shared) else ""
            self.collected.add(f"{value}\t")

    def text(self, text: str) -> None:
        if self._in_value:
            self._value.append(text)


class _OpenDocument:
    """Handlers for content.xml: paragraphs, and what begins a page."""

    _PARAGRAPHS = ("p", "h")

    def __init__(self, pages: Pages, begins_page: str) -> None:
        self.collected = _Collected()
        self.paged = False
        self._pages = pages
        self._begins_page = begins_page
        self._depth = 0
        self._skipped = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._skipped += name == "tracked-changes"
        if self._skipped:
            return
        if name == self._begins_page:
            if self.paged:
                self._pages.add(self.collected.take())
            self.paged = True
            self.collected.add(f"{attributes.get('name', '')}\n")
        elif name == "soft-page-break" and not self._begins_page:
            self.paged = True
            self._pages.add(self.collected.take())
        elif name in self._PARAGRAPHS:
            self._depth += 1
        elif name == "s":
            self.collected.add(" ")
        elif name == "tab":
            self.collected.add("\t")
        elif name == "line-break":
            self.collected.add("\n")

    def end(self, name: str) -> None:
        self._skipped -= name == "tracked-changes"
        if self._skipped:
            return
        if name in self._PARAGRAPHS:
            self._depth -= 1
            # A cell's own end follows; the row's brings the line's.
            self.collected.add("" if self._begins_page == "table" else "\n")
        elif name == "table-cell":
            self.collected.add("\t")
        elif name == "table-row":
            self.collected.add("\n")

    def text(self, text: str) -> None:
        if self._depth and not self._skipped:
            self.collected.add(text)


def _open_document(path: Path, pages: Pages, begins_page: str) -> None:
    archive = Archive(path)
    found = _OpenDocument(pages, begins_page)
    try:
        parse(archive.open("content.xml"), found.start, found.end, found.text)
    except Enough as reason:
        pages.lack(str(reason))
    except Unreadable:
        if "META-INF/manifest.xml" in archive.names and b"encryption-data" in archive.read(
            "META-INF/manifest.xml"
        ):
            raise Unreadable("It is protected by a password") from None
        raise
    (pages.add if found.paged else pages.add_all)(found.collected.take())


def odt(path: Path, pages: Pages) -> None:
    """OpenDocument text: its pages where the program noted them."""
    _open_document(path, pages, "")


def ods(path: Path, pages: Pages) -> None:
    """OpenDocument spreadsheet: a page for each table. Repeated cells are written once."""
    _open_document(path, pages, "table")


def odp(path: Path, pages: Pages) -> None:
    """OpenDocument presentation: a page for each slide."""
    _open_document(path, pages, "page")
