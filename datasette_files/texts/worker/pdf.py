"""PDF, by pypdfium2 (the extra ``pdf``): each page's text, its form's fields and its comments."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from . import ocr
from .pages import MAX_PAGES, Pages, Unreadable

#: Dots per inch at which a scanned page is read, and the most pixels of its picture.
_DPI = 200
_MAX_PIXELS = 20_000_000
#: Fields, lines of lists, or comments of one page; and bytes of one of them.
_MAX_FIELDS = 1_000
_MAX_VALUE = 64 * 1024
#: Annotations that hold a reader's words.
_COMMENTS = (
    *("TEXT", "FREETEXT", "STAMP", "CARET", "INK", "LINE", "SQUARE", "CIRCLE"),
    *("POLYGON", "POLYLINE", "HIGHLIGHT", "UNDERLINE", "SQUIGGLY", "STRIKEOUT"),
)


def pdf(path: Path, pages: Pages, scanned: ocr.Ocr | None) -> None:
    """The pages in order. A page without text is read by ``scanned``, if that is there."""
    try:
        import pypdfium2  # noqa: PLC0415 - an extra; loaded only by a process that needs it
    except (ImportError, OSError) as error:
        raise Unreadable(f"pypdfium2 cannot be imported: {error}") from error
    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        if "assword" in str(error):
            raise Unreadable("It is protected by a password") from error
        raise Unreadable("It is no PDF, or damaged") from error
    try:
        with contextlib.suppress(pypdfium2.PdfiumError):  # a damaged form stays away
            document.init_forms()
        for number in range(min(len(document), MAX_PAGES)):
            try:
                text = _text(pypdfium2, document, number, scanned)
            except pypdfium2.PdfiumError:
                pages.lack(f"Page {number + 1:,} is damaged")
                text = ""
            pages.add(text)
    finally:
        document.close()


def _text(library: Any, document: Any, number: int, scanned: ocr.Ocr | None) -> str:
    page = document[number]
    try:
        content = page.get_textpage()
        try:
            text = str(content.get_text_range())
        finally:
            content.close()
        # pdfium writes it for a hyphen at the end of a line.
        text = text.replace("\ufffe\r\n", "").replace("\ufffe", "")
        if document.formenv is not None:
            text = "\n".join((text, *_fields(library.raw, document, page)))
        if scanned is not None and not text.strip():
            width, height = page.get_size()
            scale = _DPI / 72
            if 0 < width * height * scale * scale <= _MAX_PIXELS:
                text = scanned.read(page.render(scale=scale, grayscale=True).to_pil())
        return "\n".join((text, *_comments(library.raw, page)))
    finally:
        page.close()


def _fields(raw: Any, document: Any, page: Any) -> list[str]:
    """The values of the form's fields on a page, and the lines of its lists (fpdf_annot.h)."""
    found: list[str] = []
    for annotation in _annotations(raw, page):
        if raw.FPDFAnnot_GetSubtype(annotation) != raw.FPDF_ANNOT_WIDGET:
            continue
        shown = _lines(raw, document.formenv, annotation)[: _MAX_FIELDS - len(found)]
        ask = partial(raw.FPDFAnnot_GetFormFieldValue, document.formenv, annotation)
        found += shown or [value for value in [_string(raw, ask)] if value not in ("", "Off")]
    return found


def _lines(raw: Any, form: Any, annotation: Any) -> list[str]:
    """The words that a field with choices shows, which its value may only stand for."""
    kind = raw.FPDFAnnot_GetFormFieldType(form, annotation)
    if kind not in (raw.FPDF_FORMFIELD_LISTBOX, raw.FPDF_FORMFIELD_COMBOBOX):
        return []
    return [
        _string(raw, partial(raw.FPDFAnnot_GetOptionLabel, form, annotation, line))
        for line in range(min(raw.FPDFAnnot_GetOptionCount(form, annotation), _MAX_FIELDS))
        if kind == raw.FPDF_FORMFIELD_LISTBOX
        or raw.FPDFAnnot_IsOptionSelected(form, annotation, line)
    ]


def _comments(raw: Any, page: Any) -> list[str]:
    """The words that readers wrote on a page: in boxes, notes and marks (PDF 32000-1, 12.5.6.2)."""
    kinds = {getattr(raw, f"FPDF_ANNOT_{name}") for name in _COMMENTS}
    return [
        _string(raw, partial(raw.FPDFAnnot_GetStringValue, annotation, b"Contents"))
        for annotation in _annotations(raw, page)
        if raw.FPDFAnnot_GetSubtype(annotation) in kinds
        and not raw.FPDFAnnot_GetFlags(annotation) & raw.FPDF_ANNOT_FLAG_HIDDEN
    ]


def _annotations(raw: Any, page: Any) -> Iterator[Any]:
    for number in range(min(raw.FPDFPage_GetAnnotCount(page), _MAX_FIELDS)):
        annotation = raw.FPDFPage_GetAnnot(page, number)
        if not annotation:
            continue
        try:
            yield annotation
        finally:
            raw.FPDFPage_CloseAnnot(annotation)


def _string(raw: Any, ask: Callable[[Any, int], int]) -> str:
    """A text of pdfium's, which tells its size in bytes before; empty beyond _MAX_VALUE."""
    size = ask(None, 0)
    if not 2 < size <= _MAX_VALUE:
        return ""
    buffer = ctypes.create_string_buffer(size)
    ask(ctypes.cast(buffer, ctypes.POINTER(raw.FPDF_WCHAR)), size)
    return buffer.raw[: size - 2].decode("utf-16-le", "replace")
