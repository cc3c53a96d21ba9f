"""OpenDocument spreadsheets whose XML is indented, made readable for calamine.

White space between the elements of a table means nothing (OpenDocument 1.3, part 3, 1.7), but
calamine takes it for content and refuses the workbook. Programs write such files, and people who
edit them. Text within paragraphs stays as it is.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from typing import BinaryIO

_CONTENT = "content.xml"
#: Bytes of the XML that is held in memory.
_MAX_CONTENT = 128 * 1024 * 1024
#: Before a tag of a table, and before the first paragraph of a cell. None of them stands in a text.
_GAPS = re.compile(
    rb"(?<=>)[ \t\r\n]+(?=</?table:)|(<table:table-cell[^<>]*>)[ \t\r\n]+(?=<text:p)"
)


def without_gaps(workbook: BinaryIO) -> BinaryIO | None:
    """The workbook without the white space between its cells; None if there is none to leave out.

    The workbook has only the parts that calamine reads.
    """
    workbook.seek(0)
    try:
        with zipfile.ZipFile(workbook) as archive:
            if archive.getinfo(_CONTENT).file_size > _MAX_CONTENT:
                return None
            with archive.open(_CONTENT) as member:
                content = member.read(_MAX_CONTENT)
            kept = {name: archive.read(name) for name in ("mimetype", "META-INF/manifest.xml")}
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError):
        return None
    made, count = _GAPS.subn(rb"\1", content)
    if not count:
        return None
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, part in {**kept, _CONTENT: made}.items():
            archive.writestr(name, part)
    out.seek(0)
    return out
