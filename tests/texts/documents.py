"""Small documents of each kind, made here, with words on known pages."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from string import digits

_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"


def pdf(pages: list[str], annotations: Sequence[str] = ()) -> bytes:
    """A PDF with one line of text a page, and annotations on the first (PDF 32000-1)."""
    noted = {4 + 2 * len(pages) + number: one for number, one in enumerate(annotations)}
    fields = " ".join(f"{number} 0 R" for number, one in noted.items() if "/Widget" in one)
    annots = f"/Annots [{' '.join(f'{number} 0 R' for number in noted)}]"
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        f"<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [{fields}] >> >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, text in enumerate(pages):
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Contents {5 + 2 * number} 0 R"
            f" /Resources << /Font << /F1 3 0 R >> >> {'' if number else annots} >>"
        )
        drawn = f"BT /F1 12 Tf 20 100 Td ({text}) Tj ET" if text else ""
        objects.append(f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream")
    objects += [f"<< /Type /Annot /Rect [9 9 99 29] {one} >>" for one in noted.values()]
    made, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        places.append(len(made))
        made += f"{number} 0 obj\n{content}\nendobj\n".encode()
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    size = len(objects) + 1
    return (
        made
        + (
            f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<< /Size {size} /Root 1 0 R >>\n"
            f"startxref\n{len(made)}\n%%EOF\n"
        ).encode()
    )


def zipped(members: dict[str, str | bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def relations(**targets: str) -> str:
    """A part of relationships: ``type=target``; the id is the type's name."""
    each = "".join(
        f'<Relationship Id="{kind}" Type="{_OFFICE}/{kind.rstrip(digits)}" Target="{target}"/>'
        for kind, target in targets.items()
    )
    return f'<Relationships xmlns="{_PACKAGE}">{each}</Relationships>'


def docx(body: str, **more: str | bytes) -> bytes:
    """Word, with this XML in its body (prefix ``w``)."""
    return zipped(
        {
            "_rels/.rels": relations(officeDocument="word/document.xml"),
            "word/document.xml": f'<w:document xmlns:w="urn:w">{body}</w:document>',
            **more,
        }
    )


def pptx(slides: list[str]) -> bytes:
    targets = {f"slide{number}": f"slides/s{number}.xml" for number in range(len(slides))}
    order = "".join(f'<p:sldId r:id="{one}" id="256"/>' for one in reversed(targets))
    return zipped(
        {
            "_rels/.rels": relations(officeDocument="ppt/presentation.xml"),
            "ppt/presentation.xml": f'<p:presentation xmlns:p="urn:p" xmlns:r="{_OFFICE}">'
            f"<p:sldIdLst>{order}</p:sldIdLst></p:presentation>",
            "ppt/_rels/presentation.xml.rels": relations(**targets),
            **{
                f"ppt/{target}": f'<p:sld xmlns:p="urn:p" xmlns:a="urn:a"><a:p><a:t>{text}</a:t>'
                "</a:p></p:sld>"
                for target, text in zip(targets.values(), reversed(slides), strict=True)
            },
        }
    )


def xlsx(shared: list[str], sheets: dict[str, str]) -> bytes:
    """A workbook; a sheet's XML is that of its rows."""
    targets = {f"worksheet{number}": f"sheet{number}.xml" for number in range(len(sheets))}
    listed = "".join(
        f'<sheet name="{name}" sheetId="1" r:id="{one}"/>'
        for name, one in zip(sheets, targets, strict=True)
    )
    strings = "".join(f"<si><t>{text}</t></si>" for text in shared)
    return zipped(
        {
            "_rels/.rels": relations(officeDocument="xl/workbook.xml"),
            "xl/workbook.xml": f'<workbook xmlns:r="{_OFFICE}">{listed}</workbook>',
            "xl/_rels/workbook.xml.rels": relations(sharedStrings="shared.xml", **targets),
            "xl/shared.xml": f"<sst>{strings}</sst>",
            **{
                f"xl/{target}": f"<worksheet><sheetData>{rows}</sheetData></worksheet>"
                for target, rows in zip(targets.values(), sheets.values(), strict=True)
            },
        }
    )


def open_document(body: str) -> bytes:
    """OpenDocument; prefixes ``t`` (text), ``b`` (table) and ``d`` (drawing)."""
    return zipped(
        {
            "mimetype": "application/vnd.oasis.opendocument.text",
            "content.xml": '<o:document-content xmlns:o="urn:o" xmlns:t="urn:t" xmlns:b="urn:b"'
            f' xmlns:d="urn:d"><o:body>{body}</o:body></o:document-content>',
        }
    )


def epub(chapters: list[str]) -> bytes:
    names = [f"c{number}.xhtml" for number in range(len(chapters))]
    items = "".join(f'<item id="{name}" href="{name}"/>' for name in names)
    spine = "".join(f'<itemref idref="{name}"/>' for name in names)
    doctype = '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.1//EN" "http://example.org/x.dtd">'
    return zipped(
        {
            "META-INF/container.xml": '<container><rootfiles><rootfile full-path="OPS/p.opf"/>'
            "</rootfiles></container>",
            "OPS/p.opf": f"<package><manifest>{items}</manifest><spine>{spine}</spine></package>",
            **{
                f"OPS/{name}": f"{doctype}<html><body><p>{text}</p></body></html>"
                for name, text in zip(names, chapters, strict=True)
            },
        }
    )
