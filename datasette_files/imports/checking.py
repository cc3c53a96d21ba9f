"""The check that file columns take the values of an import, as Datasette's write API checks them.

Leaves out the rules of file columns, which columns/ has; it lies above, so app.py hands them in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from ..errors import Invalid
from ..tables.content import Content
from ..tables.distinct import distinct

#: Values that are checked with one look-up of files.
_BATCH = 500
#: ``(index, message)`` of the first value that the column does not take, or None.
Refusal = Callable[[list[str]], Awaitable[tuple[int, str] | None]]


class ColumnRules(Protocol):
    """The rules of file columns; ``Columns`` is one."""

    async def refusals(self, database: str, table: str) -> Mapping[str, Refusal]:
        """The checks of the table's file columns by name, even before the table is made."""


async def check_values(
    rules: ColumnRules, database: str, content: Content, proceed: Callable[[], None]
) -> None:
    """Raise Invalid, with row and column, for the first value that a file column does not take.

    ``proceed`` is called before each batch, and may raise.
    """
    for name, refusal in (await rules.refusals(database, content.table)).items():
        if name not in content.columns:
            continue
        batches = distinct(content.path, content.columns.index(name), _BATCH)
        try:
            while (batch := await asyncio.to_thread(next, batches, None)) is not None:
                proceed()
                refused = await refusal([value for value, _ in batch])
                if refused is not None:
                    index, message = refused
                    raise Invalid(
                        f"Row {batch[index][1]} has a value that the file column {name!r} does not"
                        f" take: {message}"
                    )
        finally:
            batches.close()
