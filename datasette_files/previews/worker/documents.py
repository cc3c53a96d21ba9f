"""The first page of a PDF, by pypdfium2 (the extra ``pdf``). Runs only in a worker."""

from __future__ import annotations

import contextlib

from .pictures import Absent, Picture, Unfit, encoded


def first_page(content: bytes, side: int) -> Picture:
    """Draw the first page on white, with its filled-in forms, the longest side ``side`` pixels.

    Raises Unfit, Absent.
    """
    try:
        import pypdfium2  # noqa: PLC0415 - an extra; loaded only by a worker that needs it
    except (ImportError, OSError) as error:  # uninstalled since the start, or being upgraded
        raise Absent(f"pypdfium2 cannot be imported: {error}") from error

    try:
        document = pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:  # damaged, or locked by a password
        raise Unfit(f"no PDF that can be opened: {error}") from error
    try:
        # Before anything is asked of the document (pypdfium2). Forms that are damaged stay away.
        with contextlib.suppress(pypdfium2.PdfiumError):
            document.init_forms()
        if not len(document):
            raise Unfit("a PDF without pages")
        page = document[0]
        longest = max(page.get_size())
        if not 0 < longest < float("inf"):
            raise Unfit("a page without a size")
        bitmap = page.render(scale=side / longest)
        return Picture(encoded(bitmap.to_pil().convert("RGB")))
    except pypdfium2.PdfiumError as error:
        raise Unfit(f"a page that cannot be drawn: {error}") from error
    finally:
        document.close()
