"""Whatever a document holds, reading it takes work in proportion to its size.

A loop within a loop over these documents takes minutes; each is read in a few hundredths of a
second.
"""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest

from datasette_files.texts.worker import main
from datasette_files.texts.worker.pages import Pages

_MANY = 40_000
_SECONDS = 5.0

HOSTILE: dict[str, bytes] = {
    "quoted-ends.html": b'<a "> "' * _MANY,
    "single-quotes.html": b"<a '> '" * _MANY,
    "open-comments.html": b"<!--" * _MANY,
    "open-pictures.html": b'<img alt="' * _MANY,
    "parameters.eml": b'Subject: s\nContent-Disposition: attachment; x="'
    + b";" * 8 * _MANY
    + b"\n\n",
    "boundary.eml": b'Subject: s\nContent-Type: multipart/mixed; x="' + b";" * 8 * _MANY + b"\n\n",
    "hyphens.txt": b"a- " * _MANY,
    "lines.txt": b"\n \n " * _MANY,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_document_is_read_in_proportion_to_its_size(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasette_files.sandbox.confinement.allow_cpu", lambda seconds: None)
    path = tmp_path / name
    path.write_bytes(HOSTILE[name])
    kind = {"html": "html", "eml": "mail", "txt": "text"}[name.rpartition(".")[2]]
    begun = time.process_time()
    main._READERS[kind](path, Pages(io.BytesIO(), 1 << 24, 30))
    assert time.process_time() - begun < _SECONDS
