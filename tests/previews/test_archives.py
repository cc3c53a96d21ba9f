"""Listings of archives from a part of their bytes, honest, cut and hostile."""

from __future__ import annotations

import bz2
import gzip
import io
import struct
import tarfile
import zipfile

import pytest

from datasette_files.previews.archives import Entry, tar_listing, unpacked, zip_listing


def made_zip(members: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number in range(members):
            archive.writestr(f"folder/größe {number}.txt", b"x" * number)
    return out.getvalue()


def made_tar(names: list[str], size: int = 3, form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = 0 if name.endswith("/") else size
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            archive.addfile(info, io.BytesIO(b"x" * info.size))
    return out.getvalue()


def test_the_end_of_a_zip_is_enough() -> None:
    whole = made_zip(50)
    listing = zip_listing(whole[-6000:], 10)
    assert listing is not None
    assert listing.total == 50
    assert listing.entries[3] == Entry("folder/größe 3.txt", 3, False)
    assert len(listing.entries) == 10


@pytest.mark.parametrize("tail", [b"", b"PK\x05\x06", made_zip(50)[-2000:], made_zip(3)[:-30]])
def test_what_is_no_whole_directory_of_a_zip_has_no_listing(tail: bytes) -> None:
    assert zip_listing(tail, 10) is None


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_a_tar_is_read_from_its_beginning(form: int) -> None:
    long = "a" * 80 + "/" + ("b" * 120 if form != tarfile.USTAR_FORMAT else "b" * 60)
    names = ["docs/", "docs/größe.txt", long]
    listing = tar_listing(made_tar(names, form=form), 10)
    assert listing is not None
    assert [entry.name.rstrip("/") for entry in listing.entries] == [
        name.rstrip("/") for name in names
    ]
    assert [(entry.size, entry.folder) for entry in listing.entries] == [
        (0, True),
        (3, False),
        (3, False),
    ]
    assert listing.total == 3


def test_of_a_cut_tar_the_number_of_members_is_not_known() -> None:
    whole = made_tar([f"{number}.txt" for number in range(30)])
    listing = tar_listing(whole[:5000], 100)
    assert listing is not None
    assert listing.total is None
    assert [entry.name for entry in listing.entries] == [
        "0.txt",
        "1.txt",
        "2.txt",
        "3.txt",
        "4.txt",
    ]
    many = tar_listing(whole, 7)
    assert many is not None
    assert (len(many.entries), many.total) == (7, None)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"x" * 5000,
        b"\xff" * 512,
        made_tar(["a"]).replace(b"ustar", b"USTAR"),
        # A size that would lead backwards, or nowhere.
        made_tar(["a"])[:124] + b"\xff" * 12 + made_tar(["a"])[136:],
    ],
    ids=len,
)
def test_what_is_no_tar_has_no_listing(head: bytes) -> None:
    assert tar_listing(head, 10) is None


def test_packing_is_undone_within_bounds() -> None:
    content = b"\0" * 10_000_000
    for packed in (gzip.compress(content), bz2.compress(content)):
        assert unpacked(packed, 1000) == b"\0" * 1000
        damaged = packed[:4] + b"\xff" * 50
        assert unpacked(damaged, 1000) is None
    assert unpacked(b"plain", 1000) is None


@pytest.mark.parametrize("size", [b"-0000001000\0", b"-0000002000\0"])
@pytest.mark.parametrize("kind", [tarfile.XGLTYPE, tarfile.REGTYPE])
@pytest.mark.timeout(20)
def test_a_size_below_zero_ends_the_listing(kind: bytes, size: bytes) -> None:
    """As a step backwards it would be read again and again."""
    block = bytearray(made_tar(["a.txt"])[:512])
    block[124:136], block[156:157], block[148:156] = size, kind, b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    assert tar_listing(bytes(block) * 4, 10) is None


def test_a_member_of_a_zip_without_a_name_is_listed() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a", b"xyz")
    # The name's length in the directory, and the name: an extra field of one byte in its place.
    content = bytearray(out.getvalue())
    at = content.rfind(b"PK\x01\x02")
    content[at + 28 : at + 34] = b"\0\0\0\0\1\0"
    listing = zip_listing(bytes(content), 10)
    assert listing is not None
    assert listing.entries == [Entry("", 3, folder=False)]


def test_a_zip_with_offsets_beyond_all_files_is_none() -> None:
    end = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 5, 5, 2**64 - 1, 2**64 - 1)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, 0, 1)
    assert zip_listing(end + locator + b"PK\5\6" + b"\xff" * 16 + b"\0\0", 10) is None
