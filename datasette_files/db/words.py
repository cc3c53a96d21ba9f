"""Words of the search index beyond those that SQLite's tokenizer finds by itself. Pure.

The tokenizer (unicode61, sqlite.org/fts5.html, 4.3.1) keeps ``AnnualReport``, ``IMG2034`` and a run
of Chinese as one word each, and does not know that two spellings of a letter are one. So the index
holds a second text of a file, made by ``extra_words`` when the file is written, and a search asks
for ``folded`` and ``parts`` of its terms.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

#: Letters that no decomposition turns into the plain ones that people type for them. Case folding
#: does the rest: ß becomes ss.
_LETTERS = str.maketrans(
    {
        **{"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "ŧ": "t", "ı": "i"},
        **{"Ø": "O", "Ł": "L", "Đ": "D", "Ð": "D", "Ħ": "H", "Ŧ": "T"},
        **{"æ": "ae", "œ": "oe", "þ": "th", "Æ": "AE", "Œ": "OE", "Þ": "TH"},
        # Invisible: soft hyphen, word joiner, byte order mark.
        **dict.fromkeys("\u00ad\u2060\ufeff", ""),
    }
)
#: Marks of letters in scripts that are read without them: Latin, Greek, Cyrillic, Hebrew, Arabic.
#: Those of later scripts are vowels, or make other letters.
_MARKS = re.compile(
    "[\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"
    "\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed\u1ab0-\u1aff\u1dc0-\u1dff]"
)
#: Scripts of southern and eastern Asia. Their words have no spaces between them, or endings that
#: stick to them, so every character is a word of the index and a term is a phrase.
_RUN = re.compile(
    "[\u0900-\u11ff\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3040-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff]"
)
#: The tokenizer takes a vowel sign for a space; as a character of private use it is a word.
_PRIVATE_USE = 0xE000
#: An extension is one word: mp4, 7z.
_EXTENSION = re.compile(r"\.[0-9A-Za-z]{1,5}\Z")
#: Keeps a phrase from going over the end of one chunk into the next; of private use too.
_BETWEEN = " \uf8ff "
_OTHERS = re.compile(r"[^\w ]|_")
#: Characters of a word whose ends are words of the index, as they grow by the square.
_MAX_WORD = 64
#: Characters of a text that are looked at.
_MAX_CHARACTERS = 100_000


def extra_words(filename: str, search_text: str, tags: Iterable[str] = ()) -> str:
    """The text to index beside a file's name and search text, which the tokenizer reads too.

    Empty where that finds every word.
    """
    found = dict.fromkeys(map(folded, tags))
    for chunk in f"{filename} {' '.join(tags)} {search_text[:_MAX_CHARACTERS]}".split():
        if chunk.isascii() and (chunk.isalpha() and (chunk.islower() or chunk.istitle())):
            continue
        whole, split = folded(chunk), parts(chunk)
        if not chunk.isascii() and not _RUN.search(whole):
            found[whole] = None
        if split != whole:
            found[split] = None
            found.update(dict.fromkeys(_ends(split)))
    return _BETWEEN.join(found)


def folded(text: str) -> str:
    """The text in one spelling: composed, in lower case, without accents."""
    return text.lower() if text.isascii() else _plain(text).casefold()


def parts(text: str) -> str:
    """The folded text with spaces at its inner borders.

    They are between cases (``AnnualReport``), letters and digits, and around every character that
    ``is_run`` tells.
    """
    plain = text if text.isascii() else _plain(text)
    extension = _EXTENSION.search(plain)
    stem = plain[: extension.start()] if extension else plain
    borders = "".join(
        f" {here}" if _is_border(before, here, after) else here
        for before, here, after in zip(" " + stem, stem, stem[1:] + " ", strict=False)
    )
    split = (borders + plain[len(stem) :]).casefold()
    return split if split.isascii() else _RUN.sub(lambda found: f" {_word(found[0])} ", split)


def is_run(character: str) -> bool:
    """Tell whether every character of its script is a word of the index."""
    return _RUN.match(character) is not None or 0xE900 <= ord(character) <= 0xF7FF


def _plain(text: str) -> str:
    marked = unicodedata.normalize("NFKD", text).translate(_LETTERS)
    return unicodedata.normalize("NFC", _MARKS.sub("", marked))


def _ends(split: str) -> list[str]:
    """Return the ends of each word of three or more parts: ParserV2 of HTMLParserV2."""
    ends = []
    for word in _OTHERS.split(split):
        own = word.split()
        if len(own) > 2 and len(word) <= _MAX_WORD and not any(map(is_run, word)):
            ends += ["".join(own[first:]) for first in range(1, len(own) - 1)]
    return ends


def _is_border(before: str, here: str, after: str) -> bool:
    if before.isalpha() and here.isalpha():
        return here.isupper() and (before.islower() or (before.isupper() and after.islower()))
    return before.isalnum() and here.isalnum() and before.isalpha() != here.isalpha()


def _word(character: str) -> str:
    is_mark = unicodedata.category(character)[0] == "M"
    return chr(_PRIVATE_USE + ord(character)) if is_mark and ord(character) < 0x1900 else character
