"""Parquet files, read by pyarrow a batch of rows at a time.

The rules: integers, floats, booleans, text and bytes stay as they are. Dates and times become text
in SQLite's form, an instant in UTC with ``+00:00``, a duration h:mm:ss; a date outside the years 1
to 9999 stays the number that the file holds. A decimal number becomes a number if that is exact,
else text. Lists, structs and maps become JSON, bytes in them hexadecimal. Not a number is NULL.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from .base import (
    BATCH_BYTES,
    BATCH_ROWS,
    MAX_FIELD,
    ImportFormat,
    ImportProblem,
    ReadOptions,
    Table,
    column_names,
)

#: Bytes of a column's data that are read at once.
_BUFFER = 64 * 1024
#: Bytes of a text, and elements of a list, in the file's metadata.
_MAX_STRING, _MAX_ELEMENTS = 16 * 1024 * 1024, 1_000_000


def is_installed() -> bool:
    """Tell whether the extra ``parquet`` is installed."""
    return importlib.util.find_spec("pyarrow") is not None


class Parquet(ImportFormat):
    """The table of a Parquet file."""

    name = "parquet"
    label = "Parquet"
    extensions = (".parquet", ".parq", ".pq")
    content_types = ("application/vnd.apache.parquet",)
    seeks = True

    def read(self, stream: BinaryIO, options: ReadOptions) -> Table:
        if not is_installed():
            raise ImportProblem(
                "Parquet files need datasette-files[parquet]; ask the administrator to install it,"
                " or export the table as CSV"
            )
        # Others reserve address space by the GiB, of which this process has little.
        os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"
        import pyarrow  # noqa: PLC0415 - in the import's process alone
        from pyarrow import parquet  # noqa: PLC0415

        pyarrow.set_cpu_count(1)
        pyarrow.set_io_thread_count(1)
        try:
            file = parquet.ParquetFile(
                stream,
                buffer_size=_BUFFER,
                pre_buffer=False,
                thrift_string_size_limit=_MAX_STRING,
                thrift_container_size_limit=_MAX_ELEMENTS,
            )
            names = file.schema_arrow.names
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise _explained(error) from None
        if not names:
            raise ImportProblem("The Parquet file has no columns; export it anew")
        columns = column_names(names)
        return Table(columns, (), batches=_batches(file, columns))


def _explained(error: Exception) -> Exception:
    """The problem to raise. Lack of memory stays what it is."""
    if isinstance(error, MemoryError):
        return error
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    if "encrypted" in reason.lower() or "decrypt" in reason.lower():
        return ImportProblem("The Parquet file is encrypted; export it without encryption")
    return ImportProblem(f"The Parquet file cannot be read ({reason}); export it anew")


def _batches(file: Any, columns: Sequence[str]) -> Iterator[list[Sequence[Any]]]:
    """Yield the rows in batches, smaller ones if the file says that its rows are large."""
    from pyarrow import ArrowException  # noqa: PLC0415

    from . import arrow  # noqa: PLC0415

    known = file.metadata
    size = sum(known.row_group(one).total_byte_size for one in range(known.num_row_groups))
    rows = BATCH_BYTES * max(known.num_rows, 1) // max(size, 1)
    done = 0
    try:
        for batch in file.iter_batches(batch_size=max(1, min(rows, BATCH_ROWS)), use_threads=False):
            values = [
                _checked(arrow.values(array), done, name, arrow.is_text(array))
                for array, name in zip(batch.columns, columns, strict=True)
            ]
            done += len(batch)
            yield list(zip(*values, strict=True))
    except (ArrowException, OSError, UnicodeDecodeError) as error:
        problem = _explained(error)
        if isinstance(problem, ImportProblem):
            problem.row = done + 1
        raise problem from None


def _checked(values: list[Any], done: int, column: str, is_text: bool) -> list[Any]:
    """Raise ImportProblem for a value that SQLite cannot hold, or one too long."""
    if not is_text or all(value is None for value in values):
        return values
    for number, value in enumerate(values, done + 1):
        if isinstance(value, str) and "\x00" in value:
            raise ImportProblem("holds a NUL; mend the cell", number, column)
        if value is not None and len(value) > MAX_FIELD:
            raise ImportProblem(
                f"has a value of more than {MAX_FIELD:,} characters", number, column
            )
    return values
