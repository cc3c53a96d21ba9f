"""Every kind of document gives its text by page; damaged and hostile ones give a reason."""

from __future__ import annotations

import io
import shutil
import time
from email.message import EmailMessage
from typing import Any

import pytest
from datasette.app import Datasette
from PIL import Image, ImageDraw, ImageFont, ImageOps

from datasette_files.texts.kinds import Kinds, installed
from tests.conftest import MakeDatasette, missing, upload

from . import documents
from .conftest import Extract, pages

_ODF = "application/vnd.oasis.opendocument."


def _mail() -> bytes:
    mail = EmailMessage()
    mail["Subject"] = "Prüfung der Bücher"
    mail["From"] = "Ann <ann@example.org>"
    mail.set_content("please audit the ledgers")
    mail.add_alternative("<p>please <b>audit</b><script>nothing()</script></p>", subtype="html")
    mail.add_attachment(b"%PDF-", maintype="application", subtype="pdf", filename="größe.pdf")
    return mail.as_bytes()


_CELLS = '<row><c t="s"><v>0</v></c><c><v>42</v></c></row>'
_TWO_PAGES = (
    "<w:p><w:r><w:t>first</w:t></w:r></w:p><w:p><w:r><w:lastRenderedPageBreak/><w:t>second</w:t>"
    "<w:delText>gone</w:delText></w:r></w:p>"
)
#: Name: bytes, and the pages' texts.
READ: dict[str, tuple[bytes, list[tuple[int, str]]]] = {
    "a.pdf": (
        documents.pdf(["audit one", "", "ledger three"]),
        [(1, "audit one"), (3, "ledger three")],
    ),
    "notes.pdf": (
        documents.pdf(
            ["printed"],
            [
                "/Subtype /FreeText /Contents (in a box)",
                "/Subtype /Highlight /Contents (marked)",
                "/Subtype /Text /Contents (hidden) /F 2",
                "/Subtype /Widget /FT /Ch /T (l) /Opt [(five) (six)] /V (six)",
                "/Subtype /Widget /FT /Ch /Ff 131072 /T (c) /Opt [(7) [(8) (eight)]] /V (8)",
                "/Subtype /Widget /FT /Ch /Ff 393216 /T (e) /Opt [(nine)] /V (other)",
                "/Subtype /Widget /FT /Tx /T (t) /V (typed)",
            ],
        ),
        [(1, "printed\nfive\nsix\neight\nother\ntyped\nin a box\nmarked")],
    ),
    "a.docx": (documents.docx(_TWO_PAGES), [(1, "first"), (2, "second")]),
    "a.pptx": (documents.pptx(["one", "two"]), [(1, "one"), (2, "two")]),
    "a.xlsx": (
        documents.xlsx(["Ärger"], {"Costs": _CELLS, "Other": ""}),
        [(1, "Costs\nÄrger\t42"), (2, "Other")],
    ),
    "a.odt": (
        documents.open_document(
            "<t:tracked-changes><t:p>gone</t:p></t:tracked-changes><t:p>a<t:s/>b</t:p>"
            "<t:soft-page-break/><t:p>next</t:p>"
        ),
        [(1, "a b"), (2, "next")],
    ),
    "a.ods": (
        documents.open_document(
            '<b:table b:name="S"><b:table-row><b:table-cell b:number-columns-repeated="99999999">'
            "<t:p>x</t:p></b:table-cell></b:table-row></b:table>"
        ),
        [(1, "S\nx")],
    ),
    "a.odp": (
        documents.open_document(
            '<d:page d:name="A"><t:p>x</t:p></d:page><d:page><t:p>y</t:p></d:page>'
        ),
        [(1, "A\nx"), (2, "y")],
    ),
    "a.epub": (documents.epub(["one &amp; two", "three"]), [(1, "one & two"), (2, "three")]),
    "a.html": (
        b"<title>T</title><p>caf&eacute;<script>bad()</script><td>1<td>2",
        [(1, "T\n\ncafé\t1\t2")],
    ),
    "a.eml": (
        _mail(),
        [
            (
                1,
                "Subject: Prüfung der Bücher\n\nFrom: Ann <ann@example.org>\n\nplease audit the"
                " ledgers\n\nplease audit\n\nAttached: größe.pdf",
            )
        ],
    ),
    "a.txt": (
        "exam-\nple of ﬁne\u00ad text\fsecond".encode(),
        [(1, "example of fine text"), (2, "second")],
    ),
}


async def test_each_kind_of_document_gives_its_pages(
    datasette: Datasette, extract: Extract
) -> None:
    sent = {name: await upload(datasette, content, name) for name, (content, _) in READ.items()}
    other = await upload(datasette, b"\x00\x01" * 50, "data.bin")
    await extract(datasette)
    for name, (_, expected) in READ.items():
        assert await pages(datasette, sent[name]["id"]) == expected, name
        record = (await datasette.client.get(f"{sent[name]['url']}.json")).json()
        assert (record["text_status"], record["text_error"]) == ("done", None), name
    record = (await datasette.client.get(f"{other['url']}.json")).json()
    assert (record["text_status"], record["text_error"]) == ("none", None)


_LAUGHS = (
    '<!DOCTYPE w [<!ENTITY a "lol">'
    + "".join(
        f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    + "]><w>&i;</w>"
)


def _bomb() -> bytes:
    """40 MB of text in 40 KB."""
    body = (
        "<w:document xmlns:w='urn:w'><w:p><w:t>" + "x " * 20_000_000 + "</w:t></w:p></w:document>"
    )
    return documents.docx("", **{"word/document.xml": body})


#: Name: bytes, status, and a part of the reason.
HOSTILE: dict[str, tuple[bytes, str, str]] = {
    "laughs.docx": (documents.docx("", **{"word/document.xml": _LAUGHS}), "failed", "entities"),
    "deep.docx": (documents.docx("<w:x>" * 300_000 + "</w:x>" * 300_000), "none", "no text"),
    "name.docx": (documents.docx(f"<w:p><w:{'n' * 60_000}/></w:p>"), "none", "no text"),
    "cut.docx": (documents.docx(_TWO_PAGES)[:-40], "failed", "zip"),
    "empty.docx": (documents.zipped({"a": "b"}), "failed", "no document"),
    "no.pdf": (b"%PDF-1.4\nrubbish", "failed", "no PDF"),
    "empty.pdf": (documents.pdf(["", ""]), "none", "no text"),
    "comments.html": (b"<p>x" + b"<!--" * 50_000, "done", ""),
    "brackets.html": (b"<" * 200_000, "done", ""),
    "parts.eml": (b"Subject: s\n" + b"x: y\n" * 100_000 + b"\n", "done", ""),
    "nested.eml": (
        b"Subject: s\nContent-Type: multipart/mixed; boundary=a\n\n"
        + b"--a\nContent-Type: message/rfc822\n\n" * 5_000,
        "",
        "",
    ),
    "long.txt": (b"x" * 300_000, "done", ""),
}


@pytest.mark.full
async def test_hostile_documents_give_a_reason_within_the_limits(
    datasette: Datasette, extract: Extract
) -> None:
    sent = {name: await upload(datasette, one[0], name) for name, one in HOSTILE.items()}
    began = time.monotonic()
    await extract(datasette)
    assert time.monotonic() - began < 100
    for name, (_, status, reason) in HOSTILE.items():
        record = (await datasette.client.get(f"{sent[name]['url']}.json")).json()
        assert record["text_status"] in ((status,) if status else ("done", "none", "failed")), name
        assert reason in (record["text_error"] or ""), (name, record["text_error"])
        assert (await datasette.client.get(sent[name]["url"])).status_code == 200, name


@pytest.mark.full
async def test_text_ends_at_its_bound(make_datasette: MakeDatasette, extract: Extract) -> None:
    datasette = await make_datasette(text_max_bytes=10_000)
    bomb = await upload(datasette, _bomb(), "bomb.docx")
    long = await upload(datasette, b"word " * 40_000, "long.txt")
    await extract(datasette)
    for file in (bomb, long):
        assert 9_900 < sum(len(text) for _, text in await pages(datasette, file["id"])) <= 10_000
    record = (await datasette.client.get(f"{long['url']}.json")).json()
    assert record["text_status"] == "done"
    assert "first 10,000 bytes" in record["text_error"]


def test_kinds_follow_types_and_names() -> None:
    kinds = Kinds(pdf=True, tesseract="", languages=())
    office = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    asked: dict[tuple[str, str], Any] = {
        ("application/pdf", "x"): "pdf",
        (office, "x"): "docx",
        ("application/zip", "x.DOCX"): "docx",
        ("application/octet-stream", "x.bin"): None,
        ("application/x-www-form-urlencoded", "x.pdf"): "pdf",
        ("text/x-python", "x.py"): "text",
        ("image/png", "x.png"): None,
        ("image/svg+xml", "x.svg"): None,
    }
    for (content_type, name), kind in asked.items():
        assert kinds.of(content_type, name) == kind
    scanning = Kinds(pdf=False, tesseract="/usr/bin/tesseract", languages=("eng",))
    assert scanning.of("image/png", "x.png") == "ocr"
    assert scanning.of("application/pdf", "x.pdf") is None
    assert scanning.versions["ocr"] == "2 eng"
    assert installed([]).tesseract == ""


@pytest.mark.full
async def test_pictures_and_scanned_pages_are_read_by_tesseract(
    datasette: Datasette, extract: Extract
) -> None:
    if shutil.which("tesseract") is None:
        missing("tesseract (Debian's package tesseract-ocr)")
    picture = Image.new("RGB", (1200, 300), "white")
    font = ImageFont.load_default(64)
    ImageDraw.Draw(picture).text((40, 100), "Scanned ledger words", fill="black", font=font)
    sent = []
    for kind in ("png", "pdf", "tiff"):
        file = io.BytesIO()
        picture.save(file, kind)
        sent.append(await upload(datasette, file.getvalue(), f"scan.{kind}"))
    clear = Image.new("RGBA", picture.size)  # black, and wholly transparent
    clear.putalpha(ImageOps.invert(picture.convert("L")))
    file = io.BytesIO()
    clear.save(file, "png")
    sent.append(await upload(datasette, file.getvalue(), "clear.png"))
    await extract(datasette)
    for file_ in sent:
        assert await pages(datasette, file_["id"]) == [(1, "Scanned ledger words")]
