"""The contract of a generator of thumbnails."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar


@dataclass
class ThumbnailResult:
    """An encoded thumbnail: its bytes, their type, its size in pixels."""

    thumb_bytes: bytes
    content_type: str
    width: int
    height: int


class ThumbnailGenerator(ABC):
    """Makes thumbnails for the kinds of file it knows; plugins' are asked before ours."""

    #: Kept beside each cached thumbnail.
    name: str
    #: Whether its methods must run in the server's event loop, as they share what belongs to that
    #: loop: then they must not block. Else they run in a thread with a loop of the generator's own.
    on_server_loop: ClassVar[bool] = False

    @abstractmethod
    async def can_generate(self, content_type: str, filename: str) -> bool:
        """Tell whether this generator may be able to picture a file of this type and name."""

    @abstractmethod
    async def generate(
        self,
        file_bytes: bytes,
        content_type: str,
        filename: str,
        max_width: int = 200,
        max_height: int = 200,
    ) -> ThumbnailResult | None:
        """A thumbnail of at most ``max_width`` by ``max_height`` pixels, or None."""
