"""The tag files of BagIt: written, read, and refused where they are not as RFC 8493 says."""

from __future__ import annotations

import pytest

from datasette_files.errors import Invalid
from datasette_files.protocol import bagit

SHA256 = "ab" * 32


@pytest.mark.parametrize(
    ("path", "encoded"),
    [
        ("data/a.txt", "data/a.txt"),
        ("data/100%.txt", "data/100%25.txt"),
        ("data/é ü/x  y", "data/é ü/x  y"),
        ("data/%0A", "data/%250A"),
    ],
)
def test_a_manifest_has_a_path_that_can_be_read_back(path: str, encoded: str) -> None:
    line = bagit.manifest_line(SHA256, path)
    assert line == f"{SHA256}  {encoded}\n"
    assert bagit.parse_manifest_line(line.encode()) == (SHA256, path)


def test_line_breaks_are_encoded_and_not_taken_as_paths() -> None:
    line = bagit.manifest_line(SHA256, "data/a\r\nb%")
    assert line == f"{SHA256}  data/a%0D%0Ab%25\n"
    with pytest.raises(Invalid, match="not safe"):
        bagit.parse_manifest_line(line.encode())


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../a", "data/../../a", "data//a", "data/.", "a\\b", "C:/a", "a\x00", "", "a/"],
)
def test_a_path_that_leaves_the_bag_is_refused(path: str) -> None:
    with pytest.raises(Invalid, match="not safe"):
        bagit.checked_path(path)


@pytest.mark.parametrize("line", [b"", b"ab data/a", SHA256.encode(), b"\xff", b"x" * 70])
def test_other_lines_are_refused(line: bytes) -> None:
    with pytest.raises(Invalid):
        bagit.parse_manifest_line(line)


def test_bag_info_is_read_with_folded_values() -> None:
    text = bagit.info([("Bagging-Date", "2026-11-28"), ("Payload-Oxum", "12.3")])
    assert bagit.parse_info(text.encode()) == {"bagging-date": "2026-11-28", "payload-oxum": "12.3"}
    assert bagit.parse_info(b"A: one\n  two\r\n") == {"a": "one two"}
    for wrong in (b"no colon", b"\xff: x"):
        with pytest.raises(Invalid):
            bagit.parse_info(wrong)


def test_a_payload_oxum_is_two_numbers() -> None:
    assert bagit.parse_oxum("12.3") == bagit.Oxum(12, 3)
    assert str(bagit.Oxum(12, 3)) == "12.3"
    for wrong in (None, "", "12", "12.3.4", "-1.2", "1e3.1", "1" * 40 + ".1"):
        with pytest.raises(Invalid):
            bagit.parse_oxum(wrong)
