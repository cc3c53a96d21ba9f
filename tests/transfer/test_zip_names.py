"""Names in a zip: each its own in any case, and safe where it is unpacked."""

import pytest

from datasette_files.transfer.zip_names import Names, safe


def names(*files: tuple[str, str]) -> list[str]:
    made = Names()
    return [made.add(folder, name) for folder, name in files]


def test_no_name_equals_another_in_any_case_or_form() -> None:
    found = names(
        *(("", "a.txt"), ("", "A.TXT"), ("", "a (2).txt"), ("", "a.txt")),
        *(("", "caf\u00e9"), ("", "cafe\u0301"), ("x", "a.txt"), ("X", "a.txt")),
    )
    assert found == [
        *("a.txt", "A (2).TXT", "a (2) (2).txt", "a (3).txt"),
        *("caf\u00e9", "cafe\u0301 (2)", "x/a.txt", "X/a (2).txt"),
    ]


def test_a_file_and_a_folder_never_share_a_name() -> None:
    assert names(("", "a"), ("a/b", "c"), ("A", "d")) == ["a", "a (2)/b/c", "A (2)/d"]
    assert names(("a/b", "c"), ("", "a"), ("a", "B")) == ["a/b/c", "a (2)", "a/B (2)"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("con", "_con"),
        ("LPT1.txt", "_LPT1.txt"),
        ("com\u00b9.log", "_com\u00b9.log"),
        ("conout$", "_conout$"),
        ("console.txt", "console.txt"),
        ("a:b*c?.txt", "a_b_c_.txt"),
        ("..", "file"),
        (" dots... ", "dots"),
        ("back\\slash", "back_slash"),
        ("\u202efdp.exe", "\ufffdfdp.exe"),
    ],
)
def test_a_name_is_safe_on_windows(given: str, expected: str) -> None:
    assert safe(given) == expected


def test_a_long_name_keeps_its_extension() -> None:
    cut = safe("\u65e5" * 200 + ".jpeg")
    assert cut.endswith("\u65e5.jpeg")
    assert len(cut.encode()) <= 240
