"""Which built-in extractor reads a file, and the versions by which files are read again."""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import dataclass

from ..media.families import is_text

#: Raise an extractor's number when it reads better: then its files are read again.
_VERSIONS = {
    **dict.fromkeys(("docx", "pptx", "xlsx", "odt", "ods", "odp"), 1),
    **dict.fromkeys(("epub", "html", "mail", "text"), 1),
    **dict.fromkeys(("pdf", "ocr"), 2),
}
_OOXML = "application/vnd.openxmlformats-officedocument."
_ODF = "application/vnd.oasis.opendocument."
_TYPES = {
    "application/pdf": "pdf",
    f"{_OOXML}wordprocessingml.document": "docx",
    f"{_OOXML}wordprocessingml.template": "docx",
    f"{_OOXML}presentationml.presentation": "pptx",
    f"{_OOXML}presentationml.slideshow": "pptx",
    f"{_OOXML}spreadsheetml.sheet": "xlsx",
    f"{_ODF}text": "odt",
    f"{_ODF}spreadsheet": "ods",
    f"{_ODF}presentation": "odp",
    "application/epub+zip": "epub",
    "text/html": "html",
    "application/xhtml+xml": "html",
    "message/rfc822": "mail",
}
#: By the end of the name, for other types: clients declare some that mean nothing.
_ENDS = {
    **{f".{name}": name for name in ("pdf", "docx", "pptx", "xlsx", "odt", "ods", "odp", "epub")},
    **{".docm": "docx", ".pptm": "pptx", ".ppsx": "pptx", ".xlsm": "xlsx"},
    **{".eml": "mail", ".htm": "html", ".html": "html", ".xhtml": "html"},
    **{".txt": "text", ".md": "text", ".rst": "text", ".log": "text"},
}
_TELLING = ("image/", "video/", "audio/", "text/")
_PICTURES = frozenset(f"image/{name}" for name in ("png", "jpeg", "tiff", "webp", "bmp"))


@dataclass(frozen=True)
class Kinds:
    """The built-in extractors of this installation."""

    pdf: bool
    #: The program's path; empty if it is not installed, or no language is configured.
    tesseract: str
    languages: tuple[str, ...]

    def of(self, content_type: str, filename: str) -> str | None:
        """The name of the extractor for a file; None if there is none."""
        kind = _TYPES.get(content_type)
        if kind is None and not content_type.startswith(_TELLING):
            kind = _ENDS.get("." + filename.lower().rpartition(".")[2])
        if kind is None and self.tesseract and content_type in _PICTURES:
            return "ocr"
        if kind is None and is_text(content_type) and content_type != "image/svg+xml":
            return "text"
        return None if kind == "pdf" and not self.pdf else kind

    @property
    def versions(self) -> dict[str, str]:
        """Each extractor's version by its name. A PDF's depends on what reads scanned pages."""
        found = {name: str(number) for name, number in _VERSIONS.items()}
        ocr = f"{found['ocr']} {'+'.join(self.languages)}" if self.tesseract else ""
        if not self.tesseract:
            del found["ocr"]
        else:
            found["ocr"] = ocr
            found["pdf"] += f" with ocr {ocr}"
        if not self.pdf:
            del found["pdf"]
        return found


def installed(languages: list[str]) -> Kinds:
    """Find the installed parts. Blocks, as it reads directories."""
    importlib.invalidate_caches()
    tesseract = (shutil.which("tesseract") or "") if languages else ""
    return Kinds(importlib.util.find_spec("pypdfium2") is not None, tesseract, tuple(languages))
