"""The values of file columns: the pattern of an id, the bounds of a cell, and a column's options.

Leaves out how a stored value is read (types.py) and the look-up of the files (columns.py).
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ..errors import Invalid
from ..media.types import is_pattern
from ..naming import ID_PREFIX
from ..sources.limits import Limits

#: Ids in one cell; one request for their records takes the same number.
MAX_IDS = 200
#: The exact form of a file's id, stricter than ``naming.ID_PATTERN``, so that other text in a query
#: is not shown as a file: ``df-`` and a ULID, whose letters leave out i, l, o and u.
FILE_ID = re.compile(ID_PREFIX + r"[0-9a-hjkmnp-tv-z]{26}")
#: Characters of a cell's text that is read as JSON: room for the ids, quotes and spaces.
MAX_TEXT = MAX_IDS * 64
_EXTENSION = re.compile(r"\.[^\s,/]+", re.ASCII)


def _check_accept(accept: str) -> str:
    tokens = [token.strip() for token in accept.split(",")]
    for token in tokens:
        if not (_EXTENSION.fullmatch(token) or is_pattern(token)):
            raise ValueError(
                f"{token!r} is neither an extension such as .pdf, nor a content type or a pattern"
                " such as image/*; separate several by commas"
            )
    return ",".join(tokens).lower()


class ColumnOptions(BaseModel):
    """The ``config`` of a file column."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: The slug of the one source whose files it takes.
    source: str | None = None
    #: As HTML's ``accept``: extensions, content types and patterns, separated by commas.
    accept: Annotated[str, AfterValidator(_check_accept)] | None = None
    #: Bytes.
    max_size: Annotated[int, Field(gt=0, strict=True)] | None = None

    def check(self, source: str, filename: str, content_type: str, size: int | None) -> None:
        """Raises Invalid, BadType or FileTooLarge for a file that the column does not take.

        The messages tell the rule, and no fact of the file, which the reader may not be allowed to
        see.
        """
        if self.source not in (None, source):
            raise Invalid(
                f"This column takes files of the source {self.source!r}; upload the file there"
            )
        accept = None if self.accept is None else tuple(self.accept.split(","))
        limits = Limits("This column", self.max_size, accept, tells_type=False)
        limits.check(filename, content_type, size)
