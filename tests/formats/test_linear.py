"""Whatever a file holds, reading it takes work in proportion to its size.

Each file is made for a loop within a loop. It is read by another process, which the system ends
once a file has used ``_CPU_SECONDS`` of the processor: a loop within a loop over 100 KB is
more work than that, and a reader that goes over them a few times takes a second or two.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_SIZE = 100_000
_CPU_SECONDS = 15


def _filled(piece: str, begin: str = "", end: str = "") -> str:
    return begin + piece * ((_SIZE - len(begin) - len(end)) // len(piece)) + end


def _numbered(template: str, most: int = 2000) -> str:
    return "".join(template.format(number) for number in range(most))


_LONG = "1" * 1900
HOSTILE: dict[str, str] = {
    "digits.csv": _filled("1", end="x\n2\n"),
    "points.csv": _filled(".", end="\n2\n"),
    "commas.csv": _filled("1,", end="x\n"),
    "semicolons.csv": _filled("1.1;", end="x\n2\n"),
    "numbers.csv": "a,b\n" + _filled("1" * 300 + "x," + "1" * 300 + ".\n"),
    "exponents.csv": "a\n" + _filled("1e" + "9" * 500 + "\n"),
    "signs.csv": "a\n" + _filled("-" * 2000 + "\n"),
    "quotes.csv": _filled('"'),
    "open-quotes.csv": 'a,b\n1,"' + _filled("x\n"),
    "backslashes.csv": 'a,b\n"' + _filled('\\"') + '",2\n',
    "spaced-quotes.csv": "a,b\n" + _filled(' "x", "y"\n'),
    "spaces.csv": "a,b\n" + _filled(" "),
    "lines.csv": _filled("\n"),
    "carriage-returns.csv": _filled("\r"),
    "controls.csv": "a\n" + _filled("\x1a"),
    "marks.csv": _filled("\ufeff"),
    "separators.csv": _filled("sep=;\n"),
    "same-names.csv": _filled("a,", end="\n1\n"),
    "long-same-names.csv": ",".join([_LONG] * 1000) + "\n1\n",
    "numbered-names.csv": ",".join(["a", *(f"a_{n}" for n in range(1000)), *["a"] * 900]) + "\n1\n",
    "titles.csv": _filled("title\n") + "a,b\n1,2\n",
    "wide.tsv": "\t".join(f"c{n}" for n in range(2000)) + "\n" + _filled("\t" * 1999 + "\n"),
    "spaces.json": _filled(" ", "[", '{"a": 1}]'),
    "brackets.json": _filled("["),
    "braces.json": _filled('{"a":'),
    "objects.json": _filled("{},", "[", "{}]"),
    "keys-twice.json": '[{"a": 1}, {' + _numbered('"{}": 1, ', 80_000) + '"79999": 2}]',
    "keys.ndjson": "".join(
        json.dumps({f"{' ' * (n % 40)}k{' ' * (n // 40)}{n % 300}": 1}) + "\n"
        for n in range(20_000)
    ),
    "capitals.ndjson": _numbered('{{"k{0}": 1}}\n', 999)
    + "".join(
        json.dumps({f"{'kK'[n % 2]}{' ' * (n % 7)}{n % 999}": n}) + "\n" for n in range(2_000)
    ),
    "strings.json": _filled("\\u00e9", '[{"a": "', '"}]'),
    "numbers.json": _filled("1", '[{"a": ', "}]"),
    "fractions.json": _filled("1", '[{"a": 0.', "}]"),
    "cut.json": _filled('{"a": 1}, ', "["),
    "wrapped.json": _filled('{"a": 1}, ', '{"data": [', '{"a": 2}]}'),
    "many-lists.json": "{" + ", ".join(f'"l{n}": [{{}}]' for n in range(70_000)) + "}",
    "one-after-another.json": _filled('{"a": 1}'),
    "nested.json": "["
    + ", ".join('{"a": ' + "[" * 900 + "]" * 900 + "}" for _ in range(500))
    + "]",
}


#: Which no encoding has, or several.
HOSTILE_BYTES = [
    *(b"\xff", b"\x00", b"\xe9", b"\x81\xff", b"\xe9\n", b"a\xe9,", b"\x00a", b"\xc3"),
    *(b"\x8f\xa1\xa1", b"a" * 30_000 + b" \xe9 "),
]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("every", [24, pytest.param(1, marks=pytest.mark.full)])
def test_a_file_made_to_be_slow_is_read_in_time(tmp_path: Path, every: int) -> None:
    for name, text in list(HOSTILE.items())[::every]:
        (tmp_path / name).write_text(text, "utf-8", newline="")
    for number, piece in enumerate(HOSTILE_BYTES[::every]):
        (tmp_path / f"bytes-{number}.csv").write_bytes(b"a,b\n" + piece * (_SIZE // len(piece)))
    done = subprocess.run(
        [sys.executable, "-m", "tests.formats.bounded", str(tmp_path), str(_CPU_SECONDS)],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    wanted = sorted(path.name for path in tmp_path.iterdir())
    assert (done.stdout.split(), done.returncode) == (wanted, 0), done.stderr[-2000:]
