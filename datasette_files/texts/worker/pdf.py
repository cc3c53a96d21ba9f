"""PDF, by pypdfium2 (the extra ``pdf``): the text of each page, and of its form's fields."""

from __future__ import annotations

import contextlib
import ctypes
from pathlib import Path
from typing import Any

from . import ocr
from .pages import MAX_PAGES, Pages, Unreadable

#: Dots per inch at which a scanned page is read, and the most pixels of its picture.
_DPI = 200
_MAX_PIXELS = 20_000_000
#: Fields of one page, and bytes of one field's value.
_MAX_FIELDS = 1_000
_MAX_VALUE = 64 * 1024


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
        return text
    finally:
        page.close()


def _fields(raw: Any, document: Any, page: Any) -> list[str]:
    """The values of the form's fields on a page (fpdf_annot.h)."""
    found: list[str] = []
    for number in range(min(raw.FPDFPage_GetAnnotCount(page), _MAX_FIELDS)):
        annotation = raw.FPDFPage_GetAnnot(page, number)
        if not annotation:
            continue
        try:
            if raw.FPDFAnnot_GetSubtype(annotation) != raw.FPDF_ANNOT_WIDGET:
                continue
            ask = document.formenv, annotation
            size = raw.FPDFAnnot_GetFormFieldValue(*ask, None, 0)
            if not 2 < size <= _MAX_VALUE:
                continue
            buffer = ctypes.create_string_buffer(size)
            into = ctypes.cast(buffer, ctypes.POINTER(raw.FPDF_WCHAR))
            raw.FPDFAnnot_GetFormFieldValue(*ask, into, size)
            value = buffer.raw[: size - 2].decode("utf-16-le", "replace")
            if value != "Off":  # an empty check box
                found.append(value)
        finally:
            raw.FPDFPage_CloseAnnot(annotation)
    return found
