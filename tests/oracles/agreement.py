"""Compares our readers with others', file by file, and prints a table of agreement.

    python -m tests.oracles FOLDER [KIND …] [--most 600] [--worst 20]

A *share* is the part of the judge's words, cells or facts that ours has too, and the other way
round; the smaller of the two counts. Files that one side alone reads are counted apart.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import random
import re
import select
import subprocess
import sys
import tempfile
import unicodedata
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from datasette_files.media import stripping
from tests.oracles.judges import Sheets
from tests.oracles.ours import Ours, type_of

#: A file of this share agrees.
AGREES = 0.98
#: Bytes of a file, pages of a PDF, seconds for a judge; and files of one kind, unless told.
_MAX_FILE, _MAX_PAGES, _SECONDS = 32 * 1024 * 1024, 100, 60
MAX_FILES = 600
_PYTHON = os.environ.get("DATASETTE_FILES_JUDGES", sys.executable)
_WORD = re.compile(r"[^\W_]+")

Found = tuple[Any, str | None]


@dataclass
class Agreement:
    """The outcomes for one kind of file. Each difference: ``(share, path, what differs)``."""

    kind: str
    judge: str
    both: int = 0
    neither: int = 0
    ours_alone: list[tuple[str, str]] = field(default_factory=list)
    judge_alone: list[tuple[str, str]] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    differences: list[tuple[float, str, str]] = field(default_factory=list)

    @property
    def files(self) -> int:
        return self.both + self.neither + len(self.ours_alone) + len(self.judge_alone)

    def add(self, path: Path, ours: Found, judges: Found, compare: Compare) -> None:
        (mine, my_problem), (theirs, problem) = ours, judges
        if mine is None and theirs is None:
            self.neither += 1
        elif theirs is None:
            self.ours_alone.append((str(path), problem or ""))
        elif mine is None:
            self.judge_alone.append((str(path), my_problem or ""))
        else:
            self.both += 1
            share, note = compare(mine, theirs)
            self.shares.append(share)
            if share < AGREES:
                self.differences.append((share, str(path), f"{note} {my_problem or ''}"))

    @property
    def row(self) -> str:
        agree = sum(share >= AGREES for share in self.shares)
        mean = sum(self.shares) / len(self.shares) if self.shares else 0
        return (
            f"| {self.kind} | {self.judge} | {self.files} | {self.both} | {agree} | {mean:.4f} |"
            f" {len(self.ours_alone)} | {len(self.judge_alone)} | {self.neither} |"
        )


HEAD = (
    "| kind | judge | files | both read | agree | mean share | ours alone | judge alone | neither |"
    "\n|---|---|---|---|---|---|---|---|---|"
)
Compare = Callable[[Any, Any], tuple[float, str]]


def _shared(mine: Iterable[Any], theirs: Iterable[Any]) -> tuple[float, str]:
    """The smaller share of two collections, and some of what one of them lacks."""
    ours, judges = Counter(mine), Counter(theirs)
    common = (ours & judges).total()
    most = max(ours.total(), judges.total())
    lacks, more = judges - ours, ours - judges
    note = f"lacks {lacks.total()}: {list(lacks)[:5]}; more {more.total()}: {list(more)[:5]}"
    return (common / most if most else 1.0), note


def _letters(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def words(mine: str, theirs: str) -> tuple[float, str]:
    """The words of two texts, in any order; by the letters if they only part words differently."""
    share, note = _shared(_WORD.findall(_letters(mine)), _WORD.findall(_letters(theirs)))
    if share < AGREES:
        plain = [filter(str.isalnum, _letters(text)) for text in (mine, theirs)]
        by_letters, _ = _shared(*plain)
        if by_letters >= 0.995 and share >= 0.9:
            return by_letters, note
        note = f"(letters {by_letters:.3f}) {note}"
    return share, note


def cells(mine: Sheets, theirs: Sheets) -> tuple[float, str]:
    """The cells of all tables, in any order; and the number of rows."""
    judges = [cell for rows in theirs.values() for row in rows for cell in row if cell]
    known = set(judges)
    names = [_given(cell, known) for rows in mine.values() for cell in rows[0]]
    values = [cell for rows in mine.values() for row in rows[1:] for cell in row]
    ours = [cell for cell in (*names, *values) if cell]
    counts = sum(map(len, mine.values())), sum(map(len, theirs.values()))
    share, note = _shared(ours, judges)
    return share, f"rows {counts[0]}/{counts[1]}; {note}"


def _given(name: str, known: set[str]) -> str:
    """A column's name as the file has it: ours makes missing ones, and numbers repeated ones."""
    if name in known:
        return name
    plain = re.sub(r"_\d+$", "", name)
    return "" if plain == "column" else plain if plain in known else name


# The judges


class Judge:
    """The program judges.py, begun again when it takes too long."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def ask(self, kind: str, path: Path) -> Found:
        if self._process is None:
            self._process = subprocess.Popen(
                [_PYTHON, str(Path(__file__).with_name("judges.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([kind, str(path)]) + "\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], _SECONDS)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            self.close()
            return None, "no answer"
        answer = json.loads(line)
        return answer.get("found"), answer.get("problem")

    def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()


def _ran(*command: str) -> Found:
    try:
        done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return None, "no answer"
    told = done.stderr.decode("utf-8", "replace").strip()[:200]
    return (None, told) if done.returncode else (done.stdout.decode("utf-8", "replace"), told)


# The comparisons


async def pdf(ours: Ours, judge: Judge, paths: list[Path]) -> Agreement:
    """Text of PDFs, their first pages; by pdftotext."""
    made = Agreement("PDF", "pdftotext")
    for path in paths:
        theirs, problem = _ran("pdftotext", "-q", "-l", str(_MAX_PAGES), str(path), "-")
        pages, reason = await ours.text("pdf", path)
        first = [text for number, text in pages.items() if number <= _MAX_PAGES]
        failed = not pages and reason and "no text" not in reason
        made.add(path, (None if failed else "\n".join(first), reason), (theirs, problem), words)
    return made


def _office(kind: str) -> Comparison:
    async def compared(ours: Ours, judge: Judge, paths: list[Path]) -> Agreement:
        made = Agreement(kind, f"python-{kind}")
        for path in paths:
            pages, reason = await ours.text(kind, path)
            failed = not pages and reason and "no text" not in reason
            text = None if failed else "\n".join(pages.values())
            made.add(path, (text, reason), judge.ask(kind, path), _holds)
        return made

    return compared


def _holds(mine: str, theirs: str) -> tuple[float, str]:
    """Whether ours holds the judge's words. It reads notes, headers and comments besides."""
    ours, judges = (Counter(_WORD.findall(_letters(text))) for text in (mine, theirs))
    lacks = judges - ours
    share = 1 - lacks.total() / judges.total() if judges else 1.0
    return share, f"lacks {lacks.total()}: {list(lacks)[:5]}"


def _tables(kind: str, name: str) -> Comparison:
    async def compared(ours: Ours, judge: Judge, paths: list[Path]) -> Agreement:
        made = Agreement(kind, name)
        for path in paths:
            found, reason = await ours.tables(path)
            theirs, problem = judge.ask(kind, path)
            if theirs is not None and not any(any(map(any, rows)) for rows in theirs.values()):
                theirs, problem = None, "empty"
            made.add(path, (found or None, reason), (theirs, problem), cells)
        return made

    return compared


#: Our fact, exiftool's tag, and how its value is compared.
_FACTS: dict[str, tuple[str, ...]] = {
    "taken_at": (
        *(f"EXIF:{name}" for name in ("DateTimeOriginal", "CreateDate", "ModifyDate")),
        *(f"XMP:{name}" for name in ("DateTimeOriginal", "DateCreated", "CreateDate")),
        *("QuickTime:CreationDate", "QuickTime:CreateDate"),
        *("Matroska:DateTimeOriginal", "RIFF:DateTimeOriginal"),
    ),
    "camera": ("EXIF:Model", "XMP:Model", "QuickTime:Model"),
    "lens": ("EXIF:LensModel", "XMP:LensModel", "XMP:Lens"),
    "latitude": ("Composite:GPSLatitude", "XMP:GPSLatitude"),
    "longitude": ("Composite:GPSLongitude", "XMP:GPSLongitude"),
    "duration": ("QuickTime:Duration", "Matroska:Duration", "Composite:Duration"),
    "size": ("Composite:ImageSize",),
}


def _exiftool(paths: list[Path], *arguments: str) -> dict[str, dict[str, Any]]:
    with tempfile.NamedTemporaryFile("w") as listed:
        listed.write("\n".join(map(str, paths)))
        listed.flush()
        command = ["exiftool", "-json", "-G0", "-n", *arguments, "-@", listed.name]
        done = subprocess.run(command, capture_output=True, check=False)
    return {
        one["SourceFile"]: one for one in json.loads(done.stdout.decode("utf-8", "replace") or "[]")
    }


async def media(ours: Ours, judge: Judge, paths: list[Path]) -> Agreement:
    """Facts of pictures and clips, by exiftool."""
    made = Agreement("facts", "exiftool")
    told = _exiftool(paths)
    for path in paths:
        theirs = told.get(str(path), {})
        mine, problem = await ours.facts(path)
        judged = None if "ExifTool:Error" in theirs or not theirs else theirs
        made.add(path, (mine or None, problem), (judged, theirs.get("ExifTool:Error")), facts)
    return made


def facts(mine: dict[str, Any], theirs: dict[str, Any]) -> tuple[float, str]:
    """The part of the facts that either tells in which they agree."""
    if "width" in mine:
        mine = {**mine, "size": f"{mine['width']} {mine['height']}"}
    notes, told, right = [], 0, 0
    for name, tags in _FACTS.items():
        judged = next((theirs[tag] for tag in tags if theirs.get(tag) not in (None, "")), None)
        own = mine.get(name)
        if own is None and judged is None:
            continue
        told += 1
        if _same(name, own, judged):
            right += 1
        else:
            notes.append(f"{name}: {own!r} / {judged!r}")
    return (right / told if told else 1.0), "; ".join(notes)


def _same(name: str, own: Any, judged: Any) -> bool:
    if own is None or judged is None:
        return False
    if name == "taken_at":
        return str(own)[:19] == re.sub(r"^(\d+):(\d+):(\d+) ", r"\1-\2-\3T", str(judged))[:19]
    if name in ("latitude", "longitude", "duration"):
        number = 0.0
        for part in str(judged).split(":"):  # a track of Matroska may have hours and minutes
            number = 60 * number + float(part)
        return abs(float(own) - number) <= max(1e-5, 0.02 * (name == "duration"))
    if name == "size":
        sides = str(judged).replace("x", " ").split()
        return str(own).split() in (sides, sides[::-1])
    return " ".join(str(judged).split())[:200] in str(own)


async def stripped(ours: Ours, judge: Judge, paths: list[Path]) -> Agreement:
    """Pictures without their place: exiftool finds none, and the pixels are the same."""
    made = Agreement("stripped", "exiftool, Pillow")
    with tempfile.TemporaryDirectory() as folder:
        copies: dict[Path, Path] = {}
        for number, path in enumerate(paths):
            content_type = type_of(path)
            if content_type not in stripping.TYPES:
                continue
            copy = Path(folder, f"{number}{path.suffix}")
            with copy.open("wb") as file:
                async for piece in stripping.strip(content_type, _pieces(path)):
                    file.write(piece)
            copies[path] = copy
        told = _exiftool(
            list(copies.values()), "-a", "-GPS:all", "-XMP:all", "-IPTC:all", "-EXIF:all"
        )
        for path, copy in copies.items():
            left = {
                tag: value
                for tag, value in told.get(str(copy), {}).items()
                if re.match(r"(EXIF|XMP|IPTC):", tag) and tag not in _LEFT
            }
            same = _pixels(path) == _pixels(copy)
            size = path.stat().st_size == copy.stat().st_size
            note = f"left {left} same pixels {same} same size {size}"
            share = float(not left and same and size)
            made.add(path, (share, None), (1.0, None), lambda own, _, note=note: (own, note))
    return made


#: exiftool's groups of what a picture tells beside the picture; and what tells how to draw it.
_GROUPS = ("GPS", "XMP", "IPTC", "EXIF")
_LEFT = frozenset(f"EXIF:{name}" for name in ("Orientation",))


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(1 << 16):
            yield piece


def _pixels(path: Path) -> str | None:
    try:
        with Image.open(io.BytesIO(path.read_bytes())) as image:
            return hashlib.sha256(image.tobytes()).hexdigest()
    except Exception:
        return None


async def ocr(ours: Ours, judge: Judge, paths: list[Path]) -> Agreement:
    """Text in some pictures; by tesseract itself."""
    made = Agreement("text in pictures", "tesseract")
    for path in paths[:30]:
        theirs, problem = _ran("tesseract", str(path), "stdout", "-l", "eng")
        pages, reason = await ours.text("ocr", path)
        failed = not pages and reason and "no text" not in reason
        text = None if failed else "\n".join(pages.values())
        made.add(path, (text, reason), (theirs, problem), words)
    return made


Comparison = Callable[[Ours, Judge, list[Path]], Awaitable[Agreement]]
_PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".gif", ".bmp", ".heic", ".avif")
_CLIPS = (".mp4", ".mov", ".webm", ".mkv", ".ogg", ".avi", ".mp3", ".m4a", ".flac", ".3gp")
#: The comparisons, and the endings of their files.
KINDS: dict[str, tuple[Comparison, tuple[str, ...]]] = {
    "pdf": (pdf, (".pdf",)),
    "docx": (_office("docx"), (".docx",)),
    "pptx": (_office("pptx"), (".pptx",)),
    "media": (media, (*_PICTURES, *_CLIPS)),
    "stripped": (stripped, _PICTURES),
    "ocr": (ocr, (".png", ".jpg", ".tif")),
    "xlsx": (_tables("xlsx", "openpyxl"), (".xlsx", ".xlsm")),
    "xls": (_tables("xls", "xlrd"), (".xls",)),
    "ods": (_tables("ods", "pandas"), (".ods",)),
    "csv": (_tables("csv", "duckdb"), (".csv", ".tsv")),
    "parquet": (_tables("parquet", "duckdb"), (".parquet", ".parq")),
}


def corpus(folder: Path) -> list[Path]:
    """The different files of a folder that are not too large, in an order that chance chose."""
    known: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in ALL_ENDS or path.is_symlink() or not path.is_file():
            continue
        if 0 < path.stat().st_size <= _MAX_FILE:
            known.setdefault(hashlib.sha256(path.read_bytes()).hexdigest(), path)
    paths = list(known.values())
    random.Random(1).shuffle(paths)
    return paths


ALL_ENDS = frozenset(end for _, ends in KINDS.values() for end in ends)


async def compare(
    paths: list[Path], kinds: Iterable[str], most: int = MAX_FILES
) -> AsyncIterator[Agreement]:
    """The agreement about each of these kinds, on at most ``most`` files of each."""
    judge = Judge()
    try:
        async with Ours() as ours:
            for kind in kinds:
                comparison, ends = KINDS[kind]
                chosen = [path for path in paths if path.suffix.lower() in ends]
                yield await comparison(ours, judge, chosen[:most])
    finally:
        judge.close()


async def main(folder: Path, kinds: list[str], most: int, worst: int) -> None:
    paths = await asyncio.to_thread(corpus, folder)
    print(HEAD, flush=True)
    told = []
    async for one in compare(paths, kinds or KINDS, most):
        print(one.row, flush=True)
        told.append(one)
    for one in told:
        for share, path, note in sorted(one.differences)[:worst]:
            print(f"\n{one.kind} {share:.3f} {path}\n    {note[:600]}")
        for who, files in (("ours alone", one.ours_alone), ("judge alone", one.judge_alone)):
            for path, reason in files[:worst]:
                print(f"\n{one.kind}, {who}: {path}\n    {reason[:300]}")
