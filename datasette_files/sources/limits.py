"""Whether a place takes a file: the one answer, by size, content type and name.

A source is such a place, and a file column. Prepare, receiving, copying, columns and the upload
page all ask here. Leaves out who may put a file there (permissions/).
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import BadType, FileTooLarge, Invalid
from ..media.types import type_allowed


@dataclass(frozen=True)
class Limits:
    """What a place takes. None: anything."""

    #: As it begins the sentence of a refusal.
    place: str
    #: Bytes.
    max_size: int | None = None
    #: Content types, patterns such as ``image/*``, and extensions such as ``.pdf``, in lower case.
    accept: tuple[str, ...] | None = None
    #: Whether a refusal may say which type the file has.
    tells_type: bool = True

    def check(self, filename: str, content_type: str, size: int | None) -> None:
        """Raises FileTooLarge, BadType for a file that the place does not take."""
        self.check_size(size)
        self.check_type(filename, content_type)

    def check_size(self, size: int | None) -> None:
        """Raises FileTooLarge. A size that is not known yet passes."""
        if size is not None and self.max_size is not None and size > self.max_size:
            raise FileTooLarge(
                f"{self.place} takes files of at most {self.max_size:,} bytes; choose a smaller one"
            )

    def check_type(self, filename: str, content_type: str) -> None:
        """Raises BadType."""
        if self.accept is None:
            return
        extensions = tuple(token for token in self.accept if token.startswith("."))
        types = [token for token in self.accept if "/" in token]
        if not filename.lower().endswith(extensions) and not type_allowed(content_type, types):
            other = f", and not {content_type}" if self.tells_type else ""
            raise BadType(f"{self.place} takes {','.join(self.accept)}{other}; choose another file")

    def as_json(self) -> dict[str, int | str]:
        """For the browser, which refuses before a byte is sent; ``accept`` as HTML has it."""
        rules: dict[str, int | str] = {}
        if self.max_size is not None:
            rules["max_size"] = self.max_size
        if self.accept is not None:
            rules["accept"] = ",".join(self.accept)
        return rules


def check_declared_size(declared: int | None, size: int) -> None:
    """Raises Invalid where other bytes came than a client declared; nothing declared passes."""
    if declared is not None and size != declared:
        raise Invalid(
            f"{declared:,} bytes were declared, but {'only ' if size < declared else ''}"
            f"{size:,}{' or more' if size > declared else ''} arrived; send the file again"
        )
