"""The records of files in a bundle's data/files.csv, checked, and the ids under which they return.

Leaves out the order of the work (unbundling.py).
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from .. import naming
from ..errors import Invalid
from ..media import sniffing
from ..tables.bag_index import FILE_COLUMNS
from .bag_layout import FILES, FILES_CSV, INTEGERS

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
#: A file's id as bundles have it: ``df-`` and a ULID.
_ID = re.compile(naming.ID_PREFIX + f"[{_ALPHABET}]{{26}}")
_SHA256 = re.compile("[0-9a-f]{64}")
_NUMBER = re.compile("[0-9]{1,18}", re.ASCII)
#: Characters of a short text in data/files.csv, such as an actor's id.
_MAX_TEXT = 1000


def parse(row: list[str]) -> dict[str, Any]:
    """A row of data/files.csv, checked. Raises Invalid."""
    if len(row) != len(FILE_COLUMNS):
        raise Invalid(f"{FILES_CSV} has a row with more or fewer cells than columns")
    file: dict[str, Any] = {
        name: text or None for name, text in zip(FILE_COLUMNS, row, strict=True)
    }
    for name in INTEGERS:
        if file[name] is not None and not _NUMBER.fullmatch(file[name]):
            raise Invalid(f"{FILES_CSV} has a wrong {name}")
        file[name] = None if file[name] is None else int(file[name])
    wrong = not _ID.fullmatch(file["id"] or "") or not _SHA256.fullmatch(file["sha256"] or "")
    if wrong or not (file["path"] or "").startswith(FILES) or file["size"] is None:
        raise Invalid(f"{FILES_CSV} has a file with a wrong id, sha256, path or size")
    for name in ("source", "content_type", "uploaded_by", "created_at"):
        if len(file[name] or "") > _MAX_TEXT:
            raise Invalid(f"{FILES_CSV} has a file whose {name} is too long")
    file["source"], file["created_at"] = file["source"] or "", file["created_at"] or ""
    file["filename"] = naming.check_filename(file["filename"] or "")
    file["folder"] = naming.check_folder(file["folder"] or "")
    tags(file)
    file["content_type"] = sniffing.declared_type(file["content_type"], file["filename"])
    return file


def tags(row: dict[str, Any]) -> tuple[str, ...]:
    """The tags of a row of data/files.csv. Raises Invalid."""
    try:
        found = json.loads(row["tags"] or "[]")
    except (ValueError, RecursionError):
        raise Invalid(f"{FILES_CSV} has tags that are not JSON") from None
    return naming.check_tags(found)


def next_id(row: dict[str, Any], attempt: int) -> str:
    """The file's own id at first; then ids that follow from it and its sha256."""
    file_id: str = row["id"]
    if attempt == 0:
        return file_id
    seed = f"{file_id} {row['sha256']} {attempt}".encode()
    number = int.from_bytes(hashlib.sha256(seed).digest()[:10], "big")  # 80 bits
    letters = "".join(_ALPHABET[number >> 5 * place & 31] for place in range(16))
    # A ULID's first ten letters are its time, which stays.
    return file_id[: len(naming.ID_PREFIX) + 10] + letters
