"""The bytes around the members of a zip: every range of an archive, and what needs zip64."""

import io
import zipfile
import zlib
from collections.abc import Iterable
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasette_files.protocol.zipfile64 import (
    Data,
    Entry,
    Member,
    Totals,
    central_piece,
    end_piece,
    member_pieces,
)

MOMENT = datetime(2026, 3, 31, 12, 30, 58, tzinfo=timezone.utc)


def placed(members: Iterable[Member]) -> tuple[list[Entry], Totals]:
    totals, entries = Totals(), []
    for member in members:
        entry, totals = totals.with_member(member)
        entries.append(entry)
    return entries, totals


def between(contents: dict[str, bytes], start: int, end: int) -> tuple[bytes, int]:
    """Those bytes of the archive, and its length."""
    entries, totals = placed(
        Member(name, name, len(content), zlib.crc32(content), MOMENT)
        for name, content in contents.items()
    )
    pieces: list[bytes | Data] = []
    for entry in entries:
        pieces += member_pieces(entry, start, end)
    pieces += [central_piece(entry, totals, start, end) for entry in entries]
    pieces.append(end_piece(totals, start, end))
    made = [
        one if isinstance(one, bytes) else contents[one.member.key][one.start : one.end]
        for one in pieces
    ]
    return b"".join(made), totals.length


NAMES = ["a.txt", "folder/\u00e9t\u00e9.txt", "\u65e5\u672c\u8a9e/\u0627\u0644\u0639", "empty"]


def test_python_reads_an_archive_with_names_and_times() -> None:
    contents = dict(zip(NAMES, (b"one", b"two" * 500, bytes(70_000), b""), strict=True))
    whole, length = between(contents, 0, 2**63)
    assert len(whole) == length
    with zipfile.ZipFile(io.BytesIO(whole)) as packed:
        assert packed.testzip() is None
        assert {name: packed.read(name) for name in packed.namelist()} == contents
        info = packed.getinfo("a.txt")
    assert (info.date_time, info.compress_type) == ((2026, 3, 31, 12, 30, 58), zipfile.ZIP_STORED)
    assert info.flag_bits == 0x0800
    assert info.external_attr >> 16 == 0o100644
    assert b"UT\x05\x00\x01" + int(MOMENT.timestamp()).to_bytes(4, "little") == info.extra


@given(
    sizes=st.lists(st.integers(0, 40), max_size=5),
    cuts=st.tuples(st.integers(0, 700), st.integers(0, 700)),
)
def test_a_range_is_a_part_of_the_whole(sizes: list[int], cuts: tuple[int, int]) -> None:
    contents = {f"{n}.bin": bytes([n + 1]) * size for n, size in enumerate(sizes)}
    start, end = sorted(cuts)
    whole, _ = between(contents, 0, 2**63)
    assert between(contents, start, end)[0] == whole[start:end]


@pytest.mark.parametrize("moment", [None, datetime(1601, 1, 1), datetime(2200, 1, 1)])
def test_a_time_that_a_zip_cannot_hold_is_its_first_day(moment: datetime | None) -> None:
    _, totals = placed([Member("a", "a", 0, 0, moment)])
    entry = Entry(Member("a", "a", 0, 0, moment), 0, 0)
    whole = b"".join(
        [
            *(one for one in member_pieces(entry, 0, 2**63) if isinstance(one, bytes)),
            central_piece(entry, totals, 0, 2**63),
            end_piece(totals, 0, 2**63),
        ]
    )
    with zipfile.ZipFile(io.BytesIO(whole)) as packed:
        assert packed.getinfo("a").date_time == (1980, 1, 1, 0, 0, 0)


def test_zip64_is_used_where_a_field_is_too_small() -> None:
    large = Member("large", "large.bin", 5 * 2**30, 7, MOMENT)
    small = Member("small", "small.txt", 3, 8, MOMENT)
    entries, totals = placed([large, small])
    directory = b"".join(central_piece(one, totals, 0, 2**63) for one in entries)
    end = end_piece(totals, 0, 2**63)
    # zipfile takes what stands before the directory for something else, and so reads it alone.
    with zipfile.ZipFile(_Tail(totals.members, directory + end)) as packed:
        infos = packed.infolist()
    assert [(one.filename, one.file_size, one.CRC) for one in infos] == [
        ("large.bin", 5 * 2**30, 7),
        ("small.txt", 3, 8),
    ]
    assert [one.header_offset for one in infos] == [0, entries[1].start]
    assert [one.extract_version for one in infos] == [45, 45]
    assert len(end) == 56 + 20 + 22


class _Tail(io.BytesIO):
    """A file of which only the end is there."""

    def __init__(self, before: int, content: bytes) -> None:
        super().__init__(content)
        self.before = before

    def seek(self, place: int, whence: int = 0) -> int:
        return super().seek(place - self.before * (whence == 0), whence) + self.before

    def tell(self) -> int:
        return super().tell() + self.before
