"""The contract of a text extractor, public as ``datasette_files.base.TextExtractor``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any


class TextExtractor(ABC):
    """Finds the text of the files it knows, such as a transcript; plugins' are asked before ours.

    Its methods run in the server's event loop, so they must not block.
    """

    #: Kept beside each text.
    name: str
    #: Raise it when the extractor finds more: then its files are read again.
    version: int = 1

    @abstractmethod
    async def can_extract(self, content_type: str, filename: str) -> bool:
        """Tell whether this extractor may find text in a file of this type and name."""

    @abstractmethod
    async def extract(self, file: dict[str, Any]) -> list[str] | None:
        """The text of each page, or None if this extractor finds none.

        ``file`` is the file's record; ``datasette_files.get_file`` reads its bytes. Raise
        ValueError with a reason that people may read if the file cannot be read.
        """
