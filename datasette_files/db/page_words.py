"""Text of pages as the search index holds it, and the way back from it. Pure.

The tokenizer (unicode61) knows accents of Latin letters alone, does not know that ``ß`` is ``ss``,
and keeps a run of Chinese or Thai as one word. So a page whose text holds other letters has a
second text for the index, made letter by letter as names are (words.py), and a term is turned in
the same way. Leaves out parts of words, as documents are prose.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from functools import lru_cache

from . import words

#: A letter beyond ASCII with the marks that follow it. Some marks of kana are no combining ones.
_LETTER = re.compile("[^\x00-\x7f][\u0300-\u036f\u3099\u309a\uff9e\uff9f]*")
#: A letter that the tokenizer knows, decomposed.
_ACCENTED = re.compile("[A-Za-z][\u0300-\u036f]+")
#: Letters of which the other spelling is kept. Those of most languages fit.
_KEPT_LETTERS = 8_192


def indexed(text: str) -> str:
    """The text for the index: the text itself where the tokenizer knows all of its letters."""
    return text if text.isascii() else _LETTER.sub(lambda found: _indexed(found[0]), text)


def term(text: str) -> str:
    """A person's term as the index holds it, composed as texts are."""
    return " ".join(indexed(unicodedata.normalize("NFC", text)).split())


@lru_cache(_KEPT_LETTERS)
def _indexed(letter: str) -> str:
    is_known = _ACCENTED.fullmatch(unicodedata.normalize("NFD", letter))
    if is_known or unicodedata.category(letter[0])[0] not in "LMN":
        return letter
    made = words.parts(letter)
    return letter if len(made) == 1 and made == letter.casefold() else made


def restored(text: str, marked: str, opening: str, closing: str) -> str:
    """The text with the marks that ``marked`` has around words.

    ``marked`` is ``indexed(text)`` with marks, or its beginning; then no later mark comes.
    """
    changed = _changed(text, len(marked))
    starts = [start for start, *_ in changed]

    def place(at: int, is_end: bool) -> int:
        number = bisect_right(starts, at - is_end) - 1
        if number < 0:
            return at
        start, size, own, own_size = changed[number]
        beyond = at - start - size
        if beyond < 0:  # within a letter that became several
            return own + own_size if is_end else own
        return own + own_size + beyond

    parts: list[str] = []
    at = end = 0
    for piece in re.split(f"([{opening}{closing}])", marked):
        if piece in (opening, closing):
            here = max(end, place(at, piece == closing))
            parts += [text[end:here], piece]
            end = here
        else:
            at += len(piece)
    return "".join([*parts, text[end:]])


def _changed(text: str, most: int) -> list[tuple[int, int, int, int]]:
    """Of each letter that changes: place and length in the index's text, then in the text.

    Only of those within the first ``most`` characters of the index's text.
    """
    found: list[tuple[int, int, int, int]] = []
    shift = 0
    for letter in _LETTER.finditer(text):
        made = _indexed(letter[0])
        if made != letter[0]:
            own_size = len(letter[0])
            found.append((letter.start() + shift, len(made), letter.start(), own_size))
            shift += len(made) - own_size
            if letter.end() + shift > most:
                break
    return found
