"""The program: reads the text of one file after the other, already confined.

reader.py starts it. The first message holds the settings; each other message is a job, followed by
its file, which is kept in the child's folder. It sends ``{"pages": [[page, text], …]}`` as they
come, and at the end of each job ``done`` or ``problem``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from ...sandbox import confinement, framing
from . import mail, markup, ocr, office, pdf
from .pages import Enough, Pages, Unreadable

Read = Callable[[Path, Pages], None]

_READERS: dict[str, Read] = {
    "docx": office.docx,
    "pptx": office.pptx,
    "xlsx": office.xlsx,
    "odt": office.odt,
    "ods": office.ods,
    "odp": office.odp,
    "epub": markup.epub,
    "html": markup.html,
    "mail": mail.mail,
    "text": markup.plain,
}
_FILE = Path("file")


def main(source: BinaryIO, sink: BinaryIO) -> None:
    """Work until the other side closes the pipe."""
    settings = framing.read_message(source)
    if settings is None:
        return
    while (job := framing.read_message(source)) is not None:
        answer = _answer({**settings, **job}, source, sink)
        sink.write(framing.packed({**answer, "peak": confinement.peak_memory()}))
        sink.flush()
        if answer.get("ends"):
            return


def _answer(job: dict[str, Any], source: BinaryIO, sink: BinaryIO) -> dict[str, Any]:
    confinement.allow_cpu(confinement.cpu_used() + job["seconds"])
    problem = _kept(source)
    if problem is not None:
        return {"problem": problem, "again": True}
    pages = Pages(sink, job["max_bytes"], job["seconds"])
    scanned = None
    if job["tesseract"]:
        scanned = ocr.Ocr(job["tesseract"], job["languages"], job["seconds"])
    try:
        if job["kind"] == "pdf":
            pdf.pdf(_FILE, pages, scanned)
        elif job["kind"] == "ocr":
            ocr.picture(_FILE, pages, scanned)
        else:
            _READERS[job["kind"]](_FILE, pages)
    except Enough as reason:
        pages.lack(str(reason))
    except Unreadable as reason:
        return _broken(pages, str(reason))
    except MemoryError:
        return {**_broken(pages, "It takes too much memory to read"), "ends": True}
    except framing.Broken:
        raise
    except Exception as error:  # noqa: BLE001 - damaged files fail in every way there is
        return _broken(pages, f"It is damaged ({type(error).__name__}: {error})"[:500])
    pages.send()
    return {"done": pages.count, "lacks": pages.lacks}


def _broken(pages: Pages, reason: str) -> dict[str, Any]:
    """The answer for a file that cannot be read to its end; what came before it stays."""
    pages.send()
    if pages.count:
        return {"done": pages.count, "lacks": pages.lacks or reason}
    return {"problem": reason}


def _kept(source: BinaryIO) -> str | None:
    """Write the file that follows into this process's folder; the reason if there is no room."""
    pieces = framing.read_pieces(source)
    try:
        with _FILE.open("wb") as file:
            for piece in pieces:
                file.write(piece)
    except OSError as error:
        for _ in pieces:
            pass
        return f"There is no room for a temporary file: {error.strerror}"
    return None
