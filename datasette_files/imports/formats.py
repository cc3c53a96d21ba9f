"""The registered import formats, and the choice of one for a file."""

from __future__ import annotations

from ..errors import BadType, Invalid
from ..formats.base import ImportFormat
from ..formats.excel import Workbook
from ..formats.parquet import Parquet
from ..models import FileRecord

_PACKED = (".gz", ".gzip", ".zip", ".zst")
_PACKED_TYPES = (*("application/gzip", "application/x-gzip", "application/zip"), "application/zstd")


class Formats:
    """The import formats of one Datasette."""

    def __init__(self) -> None:
        #: The formats of the hook, set at start. Plugins' formats come before ours.
        self.registered: list[ImportFormat] = []

    def find(self, content_type: str, filename: str) -> ImportFormat | None:
        """Choose a format by type and name; for a packed file, by the name without ``.gz``."""
        name, kind = filename.lower(), content_type
        for end in _PACKED:
            if name.endswith(end):
                name = name.removesuffix(end)
                kind = "application/octet-stream"
        for one in self.registered:
            if one.matches(kind, name):
                return one
        if content_type in _PACKED_TYPES and filename.lower().endswith(_PACKED):
            return self._named("csv")
        return None

    def of(self, file: FileRecord, name: str | None) -> ImportFormat:
        """Return the format of this name, else the file's own, else CSV.

        Raises Invalid, BadType.
        """
        found = self.find(file.type, file.filename)
        for extra in () if found or name else (Workbook, Parquet):
            if file.filename.lower().endswith(extra.extensions):
                raise BadType(
                    f"Files of the format {extra.label} need datasette-files[{extra.name}]; ask the"
                    " administrator to install it, or export the table as CSV"
                )
        chosen = self._named(name) if name else found or self._named("csv")
        if chosen is None and name:
            raise Invalid(
                f"There is no format {name!r}; there are:"
                f" {', '.join(one.name for one in self.registered)}"
            )
        if chosen is None:
            raise BadType("No import format reads files of this type; choose a format")
        return chosen

    def _named(self, name: str) -> ImportFormat | None:
        return next((one for one in self.registered if one.name == name), None)
