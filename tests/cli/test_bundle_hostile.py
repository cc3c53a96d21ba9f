"""Bags that were harmed or forged: refused before anything is written."""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.bundles import Site, bundled, fill, refused, site_in, unbundled
from tests.support.faults.scene import held


@pytest.fixture
def make_site(tmp_path: Path) -> Callable[..., Site]:
    return site_in(tmp_path)


def retag(bag: Path) -> None:
    """Make manifests and Payload-Oxum that fit the bag, as a forger would."""

    def lines(paths: list[str]) -> str:
        return "".join(
            f"{hashlib.sha256((bag / path).read_bytes()).hexdigest()}  {path}\n" for path in paths
        )

    payload = sorted(path for path in held(bag) if path.startswith("data/"))
    (bag / "manifest-sha256.txt").write_text(lines(payload))
    size = sum((bag / path).stat().st_size for path in payload)
    info = f"Datasette-Files-Bundle: 1\nPayload-Oxum: {size}.{len(payload)}\n"
    (bag / "bag-info.txt").write_text(info)
    tags = sorted(held(bag) - {*payload, "tagmanifest-sha256.txt"})
    (bag / "tagmanifest-sha256.txt").write_text(lines(tags))


def _edit(path: str, old: str, new: str) -> Callable[[Path], None]:
    def edit(bag: Path) -> None:
        text = (bag / path).read_bytes().decode()
        assert old in text, text
        (bag / path).write_bytes(text.replace(old, new, 1).encode())

    return edit


def _forged(*edits: Callable[[Path], None]) -> Callable[[Path], None]:
    def forge(bag: Path) -> None:
        for edit in edits:
            edit(bag)
        retag(bag)

    return forge


UNSOUND: dict[str, tuple[Callable[[Path], None], str]] = {
    "one byte of a file": (_edit("data/files/a_b.txt", "first", "First"), "checksum_mismatch"),
    "one byte of the rows": (_edit("data/rows.csv", "quoted", "quotes"), "checksum_mismatch"),
    "one byte of the schema": (_edit("rows.schema.json", "REAL", "TEXT"), "checksum_mismatch"),
    "one byte of bag-info": (_edit("bag-info.txt", "files\n", "Files\n"), "checksum_mismatch"),
    "shorter": (_edit("data/files/a_b.txt", "first\n", ""), "invalid"),
    "a file too few": (lambda bag: (bag / "data/files/photo.PNG").unlink(), "invalid"),
    "a file too many": (lambda bag: (bag / "data/files/x").touch(), "invalid"),
    "an unknown tag file": (lambda bag: (bag / "x.txt").touch(), "invalid"),
    "no manifest": (lambda bag: (bag / "manifest-sha256.txt").unlink(), "invalid"),
    "no tag manifest": (lambda bag: (bag / "tagmanifest-sha256.txt").unlink(), "invalid"),
    "another BagIt": (_forged(_edit("bagit.txt", "1.0", "0.9")), "invalid"),
    "a path that escapes": (
        _edit("manifest-sha256.txt", "data/files/a_b.txt", "data/../../a_b.txt"),
        "invalid",
    ),
    "a link": (lambda bag: os.symlink("/etc/passwd", bag / "data/files/link"), "invalid"),
    "a folder that is a link": (lambda bag: os.symlink("/etc", bag / "data/etc"), "invalid"),
    "a pipe": (lambda bag: os.mkfifo(bag / "data/files/pipe"), "invalid"),
    "no bundle of ours": (
        lambda bag: (retag(bag), (bag / "bag-info.txt").write_text(""), None)[2],
        "invalid",
    ),
    "a listed file twice": (
        _forged(_edit("data/files.csv", "data/files/a_b.txt", "data/files/photo.PNG")),
        "invalid",
    ),
    "a wrong id": (_forged(_edit("data/files.csv", "df-", "dF-")), "invalid"),
    "a size that is none": (_forged(_edit("data/files.csv", ",6000,", ",-6000,")), "invalid"),
    "SQL for a type": (_forged(_edit("rows.schema.json", '"REAL"', '"REAL); DROP"')), "invalid"),
    "an unknown column type": (
        _forged(_edit("rows.schema.json", '"column_type": "file"', '"column_type": "x"')),
        "invalid",
    ),
    "an unusable config": (
        _forged(_edit("rows.schema.json", '"source": "docs"', '"source": "other"')),
        "invalid",
    ),
    "a table of SQLite": (
        _forged(_edit("rows.schema.json", '"table": "products"', '"table": "sqlite_x"')),
        "invalid",
    ),
    "JSON without end": (
        _forged(lambda bag: (bag / "rows.schema.json").write_text("[" * 100_000) and None),
        "invalid",
    ),
    "text for a number": (_forged(_edit("data/rows.csv", "1.5", "one")), "invalid"),
    "a cell too many": (_forged(_edit("data/rows.csv", "1.5", "1.5,2")), "invalid"),
    "an open quote": (_forged(_edit("data/rows.csv", "1.5", '"1.5')), "invalid"),
}


@pytest.mark.parametrize("fault", UNSOUND)
def test_an_unsound_bag_is_refused_before_anything_is_written(
    kept_bag: Path, untouched: Site, tmp_path: Path, fault: str
) -> None:
    bag = tmp_path / "forged"
    shutil.copytree(kept_bag, bag)
    harm, code = UNSOUND[fault]
    harm(bag)
    refused(untouched, bag, code)
    assert not untouched.shop.exists()


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """One site for all that is refused, as nothing is written to it."""
    return site_in(tmp_path_factory.mktemp("untouched"))("new")


@pytest.fixture(scope="module")
def kept_bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One bag, to be copied by each test that forges it."""
    folder = tmp_path_factory.mktemp("kept")
    site = site_in(folder)("old")
    fill(site)
    bundled(site, folder / "bag")
    return folder / "bag"


def _zip(bag: Path, out: Path, method: int = zipfile.ZIP_DEFLATED) -> zipfile.ZipFile:
    archive = zipfile.ZipFile(out, "w", method)
    for path in sorted(held(bag)):
        archive.write(bag / path, f"bag/{path}")
    return archive


def test_a_zip_by_another_program_is_read(
    kept_bag: Path, make_site: Callable[..., Site], tmp_path: Path
) -> None:
    _zip(kept_bag, tmp_path / "x.zip").close()
    assert unbundled(make_site("new"), tmp_path / "x.zip")["stored"]["files"] == 4


def test_hostile_zip_files_are_refused(
    kept_bag: Path, untouched: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = untouched
    with _zip(kept_bag, tmp_path / "outside.zip") as archive:
        archive.writestr("bag/../../x", b"x")
    refused(new, tmp_path / "outside.zip", "invalid")
    with _zip(kept_bag, tmp_path / "two.zip") as archive:
        archive.writestr("other/x", b"x")
    refused(new, tmp_path / "two.zip", "invalid")
    with _zip(kept_bag, tmp_path / "link.zip") as archive:
        info = zipfile.ZipInfo("bag/data/files/link")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    refused(new, tmp_path / "link.zip", "invalid")
    with _zip(kept_bag, tmp_path / "bomb.zip") as archive:
        archive.writestr("bag/data/files/x", bytes(50_000_000))
    assert "far larger" in refused(new, tmp_path / "bomb.zip", "invalid")
    cut = (tmp_path / "bomb.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(cut[: len(cut) // 2])
    refused(new, tmp_path / "cut.zip", "invalid")
    monkeypatch.setattr("datasette_files.transfer.bag_reading.MAX_ZIP_FILES", 5)
    _zip(kept_bag, tmp_path / "many.zip").close()
    assert "unzip it first" in refused(new, tmp_path / "many.zip", "invalid")
