"""Limits of a place for files: the size, content types and names that it takes.

A place is a source or a file column. This is the one check for prepare, receiving, copying, columns
and the upload page. Leaves out permissions (permissions/).
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import BadType, FileTooLarge, Invalid
from ..media.types import type_allowed


@dataclass(frozen=True)
class Limits:
    """The limits of one place. None: no limit."""

    #: The place's name, as the first words of an error message.
    place: str
    #: Bytes.
    max_size: int | None = None
    #: Content types, patterns such as ``image/*``, and extensions such as ``.pdf``, in lower case.
    accept: tuple[str, ...] | None = None
    #: Whether a refusal may say which type the file has.
    tells_type: bool = True

    def check(self, filename: str, content_type: str, size: int | None) -> None:
        """Raise FileTooLarge or BadType for a file that the place does not take."""
        self.check_size(size)
        self.check_type(filename, content_type)

    def check_size(self, size: int | None) -> None:
        """Raise FileTooLarge for a larger file. An unknown size passes."""
        if size is not None and self.max_size is not None and size > self.max_size:
            raise FileTooLarge(
                f"{self.place} takes files of at most {self.max_size:,} bytes; choose a smaller one"
            )

    def check_type(self, filename: str, content_type: str) -> None:
        """Raise BadType for another type and another extension."""
        if self.accept is None:
            return
        extensions = tuple(token for token in self.accept if token.startswith("."))
        types = [token for token in self.accept if "/" in token]
        if not filename.lower().endswith(extensions) and not type_allowed(content_type, types):
            other = f", and not {content_type}" if self.tells_type else ""
            raise BadType(f"{self.place} takes {','.join(self.accept)}{other}; choose another file")

    def as_json(self) -> dict[str, int | str]:
        """Return the limits for the browser; ``accept`` is in the form of HTML's attribute."""
        rules: dict[str, int | str] = {}
        if self.max_size is not None:
            rules["max_size"] = self.max_size
        if self.accept is not None:
            rules["accept"] = ",".join(self.accept)
        return rules


def check_declared_size(declared: int | None, size: int) -> None:
    """Raise Invalid if ``size`` is not the declared one. No declared size passes."""
    if declared is not None and size != declared:
        raise Invalid(
            f"{declared:,} bytes were declared, but {'only ' if size < declared else ''}"
            f"{size:,}{' or more' if size > declared else ''} arrived; send the file again"
        )
