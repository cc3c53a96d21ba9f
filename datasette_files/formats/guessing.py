"""Guesses the encoding of bytes that have no byte order mark and are not Unicode.

Each candidate decodes the same bytes to different characters. Its score is the likelihood of these
characters beside each other in the languages that use the encoding (languages.py), and of signs
(``°``, ``€``) beside their neighbours. A short text proves little: there Windows-1252, which
Excel writes in the West, has an advantage. Leaves out Unicode (characters.py).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from functools import cache

from .languages import CHARACTERS, WORDS

#: Name, codec, handicap, languages. The codecs of Windows come first.
_CANDIDATES: tuple[tuple[str, str, float, str], ...] = (
    ("windows-1252", "cp1252", 0, "English French German Spanish Portuguese Italian Dutch Nordic"),
    ("windows-1252", "cp1252", 2, "Icelandic Estonian"),
    ("windows-1250", "cp1250", 2, "Polish Czech Slovak Hungarian Romanian Croatian"),
    ("windows-1251", "cp1251", 2, "Russian Ukrainian Bulgarian"),
    ("windows-1253", "cp1253", 2, "Greek"),
    ("windows-1254", "cp1254", 2, "Turkish"),
    ("windows-1255", "cp1255", 2, "Hebrew"),
    ("windows-1256", "cp1256", 2, "Arabic"),
    ("windows-1257", "cp1257", 2.5, "Lithuanian Latvian Estonian"),
    ("windows-1258", "cp1258", 5, "Vietnamese"),
    ("windows-874", "cp874", 2, "Thai"),
    ("shift_jis", "cp932", 2, "Japanese"),
    ("euc-kr", "cp949", 2, "Korean"),
    ("gb18030", "gb18030", 2, "Chinese"),
    ("big5", "cp950", 2, "Traditional"),
    ("euc-jp", "euc_jp", 5, "Japanese"),
    ("macintosh", "mac_roman", 9, "English French German Spanish Portuguese Italian Nordic"),
    ("cp850", "cp850", 10, "French German Spanish Portuguese Italian Nordic"),
    ("cp852", "cp852", 10, "Polish Czech Hungarian"),
    ("cp866", "cp866", 9, "Russian"),
    ("koi8-r", "koi8_r", 9, "Russian"),
    ("iso-8859-2", "iso8859-2", 5, "Polish Czech Slovak Hungarian Romanian Croatian"),
)
#: Bytes of the head, and words in it, that are scored; more take time without a better guess.
_BYTES, _TOKENS = 32 * 1024, 600
#: A word with characters that are not ASCII. It is searched at the first letter of a run alone,
#: so that a long run takes linear time.
_TOKEN = re.compile(r"(?<![^\W\d_])[^\W\d_]*[^\x00-\x7f][^\W_]*(?:[^\x00-\x7f][^\W_]*)*")
_RUN = re.compile(r"[^\x00-\x7f]+")
_ASCII_BYTES = bytes(range(128))

#: Natural logarithms of likelihoods. Rare: a pair of letters, or a letter, that the language does
#: not have; a sign out of place; a capital after a small letter. Then any sign, and a usual one.
_NO_PAIR, _NO_LETTER, _MISPLACED, _CAPITAL = -5.5, -9.0, -13.0, -6.0
_SIGN, _USUAL_SIGN = -5.0, -3.0
#: A common character, a character of the first level of its standard, and any other.
_COMMON, _LEVEL, _RARE = -5.5, -9.0, -14.0
_BESIDE_LETTER = -6.0

_QUOTES = "“”„‘’‚«»‹›\"'"
_MONEY = "€£¥¢¤"
_BESIDE_NUMBERS = "°²³½¼¾±×÷‰µ¹"
#: What follows: a scale or a direction of the compass; a unit, as in ``µg``.
_UNITS = {"°": "CFKNSWEOR", "µ": "gmlLsAVFWTM"}
_USUAL = "’“”–…€£°²½¼¾•"
_ALONE = "–—…•·©®™§†‡¶«»¿¡ºª\xa0\xad№"


def ranked(head: bytes) -> list[str]:
    """Return the possible encodings, the likeliest first; never empty."""
    best: dict[str, float] = {}
    for name, codec, handicap, languages in _CANDIDATES:
        text = _decoded(head[:_BYTES], codec)
        if text is None:
            continue
        tokens = _tokens(text)
        score = max(_score(tokens, language) for language in languages.split()) - handicap
        best[name] = max(score, best.get(name, -math.inf))
    names = sorted(best, key=lambda name: -best[name])
    return names or ["windows-1252"]


def _decoded(head: bytes, codec: str) -> str | None:
    """Return the text; None if too many bytes are invalid. A character may be cut at the end."""
    text = head.decode(codec, "replace")
    bad = text.count("\N{REPLACEMENT CHARACTER}")
    high = len(head.translate(None, _ASCII_BYTES))
    return text if bad <= 1 + high // 200 else None


def _tokens(text: str) -> list[tuple[str, str, str]]:
    """Return the different words that are not ASCII, each between its neighbour characters."""
    found: dict[tuple[str, str, str], None] = {}
    for match in _TOKEN.finditer(text):
        start, end = match.span()
        found[(text[start - 1 : start], match[0], text[end : end + 1])] = None
        if len(found) >= _TOKENS:
            break
    return list(found)


def _score(tokens: list[tuple[str, str, str]], language: str) -> float:
    """Return the logarithm of the likelihood of the words in a language."""
    if language in CHARACTERS:
        model = frozenset(CHARACTERS[language])
        return sum(_score_characters(token, model, language) for token in tokens)
    pairs = _model(language)
    return sum(_score_letters(token, pairs) for token in tokens)


@cache
def _model(language: str) -> tuple[dict[str, float], dict[str, float]]:
    """Return the logarithms of the frequencies of letter pairs, and of single letters."""
    pairs: Counter[str] = Counter()
    letters: Counter[str] = Counter()
    for word in WORDS[language].lower().split():
        letters.update(word)
        pairs.update(map("".join, zip(f" {word}", f"{word} ", strict=True)))
    total = sum(letters.values())
    before: Counter[str] = Counter()
    for pair, count in pairs.items():
        before[pair[0]] += count
    return (
        {
            pair: math.log(0.6 * n / before[pair[0]] + 0.4 * letters[pair[1]] / total + 1e-3)
            for pair, n in pairs.items()
        },
        {letter: math.log(0.4 * n / total + 1e-3) for letter, n in letters.items()},
    )


def _score_letters(
    token: tuple[str, str, str], model: tuple[dict[str, float], dict[str, float]]
) -> float:
    """Score a word in an alphabet by its pairs of letters of which one is not ASCII."""
    pairs, letters = model
    before, word, after = token
    score = 0.0
    text = f"{before or ' '}{word}{after or ' '}"
    for index in range(1, len(text)):
        left, char = text[index - 1], text[index]
        if char.isascii() and (left.isascii() or not _is_letter(left)):
            continue
        if not char.isascii() and not _is_letter(char):
            score += _score_sign(text, index)
        elif not char.isascii() or char.isalpha():
            score += _score_pair(left, char, pairs, letters)
        if char.isupper() and left.islower() and not char.isascii():
            score += _CAPITAL
    return score


def _is_letter(char: str) -> bool:
    """Tell whether a character is a letter, or a Thai or Arabic mark on a letter."""
    if char.isalpha():
        return char not in "ºªµ"
    return "\u0e30" <= char <= "\u0e4e" or "\u064b" <= char <= "\u0652"


def _score_pair(left: str, char: str, pairs: dict[str, float], letters: dict[str, float]) -> float:
    """Score a letter after its left neighbour. A letter after a digit is unlikely."""
    small = char.lower()
    known = letters.get(small)
    stranger = left.isalpha() and left.lower() not in letters
    if stranger or (left.isdigit() and not char.isascii()):
        return _NO_LETTER
    if known is None:
        return _NO_LETTER
    pair = pairs.get(f"{left.lower() if _is_letter(left) else ' '}{small}")
    if pair is not None:
        return pair
    # A letter of this language, in a pair that none of its words has.
    return max(known + _NO_PAIR / 2, _NO_LETTER)


def _score_sign(text: str, index: int) -> float:
    """Score a sign by the characters on both sides."""
    char, left, right = text[index], text[index - 1], text[index + 1 : index + 2] or " "
    letter_left, letter_right = left.isalpha(), right.isalpha()
    placed = False
    if char in _MONEY:
        placed = not (letter_left and letter_right) and (
            left.isdigit() or right.isdigit() or (not letter_left and not letter_right)
        )
    elif char in _BESIDE_NUMBERS:
        placed = right in _UNITS.get(char, "") or (
            (left.isdigit() or not letter_left or char in "°µ²³") and not letter_right
        )
    elif char in "’‘":
        placed = True
    elif char in _QUOTES:
        placed = not (letter_left and letter_right)
    elif char in _ALONE:
        placed = not (letter_left and letter_right) or char in "\xad·–"
    if not placed:
        return _MISPLACED
    return _USUAL_SIGN if char in _USUAL else _SIGN


def _score_characters(token: tuple[str, str, str], common: frozenset[str], language: str) -> float:
    """Score a word in a script with thousands of characters. One alone in ASCII is unlikely."""
    before, word, after = token
    score = 0.0
    for char in word:
        if char.isascii():
            continue
        score += _COMMON if char in common else _score_rare(char, language)
    runs = [len(run) for run in _RUN.findall(word)]
    if max(runs) == 1 and (before[:1].isalnum() or after[:1].isalnum() or len(word) > 1):
        score += 2 * len(runs) * _BESIDE_LETTER
    elif any(char.isascii() and char.islower() for char in word):
        score += _BESIDE_LETTER
    return score


def _score_rare(char: str, language: str) -> float:
    if "\u3000" <= char <= "\u303f" or "\uff00" <= char <= "\uff60":
        return _LEVEL + 3
    if "\u3040" <= char <= "\u30ff":
        return -4.5 if language == "Japanese" else _RARE
    if "\uff61" <= char <= "\uff9f":
        return -7.0 if language == "Japanese" else _RARE
    codec, levels = _LEVELS[language]
    try:
        lead = char.encode(codec)
    except UnicodeEncodeError:
        return 2 * _RARE
    if (
        len(lead) == 2
        and levels[0] <= lead[0] <= levels[1]
        and (lead[1] >= 0xA1 or codec == "cp950")
    ):
        return _LEVEL
    return _RARE


#: Lead bytes of each standard's first level, which holds its common characters.
_LEVELS = {
    "Chinese": ("gbk", (0xB0, 0xD7)),
    "Traditional": ("cp950", (0xA4, 0xC6)),
    "Japanese": ("euc_jp", (0xB0, 0xCF)),
    "Korean": ("cp949", (0xB0, 0xC8)),
}
