"""The public contract for storage, thumbnail and import plugins.

Holds the classes that a plugin subclasses or returns: a storage (storage.py), the values that it
takes and gives (values.py), a generator of thumbnails. Leaves out every use of them. Import path,
names and signatures are fixed: a plugin written for the public 0.1a3 works unchanged. Newer powers
are optional methods whose defaults use the older ones.

How bytes are laid out is the storage's business. What the core relies on is listed here, and
``datasette_files.testing`` exports the suite that checks it:

* a path is a relative, ``/``-separated string chosen by the core, unique within a source;
* ``receive_upload`` is all or nothing: when it raises, or its task is cancelled, no object stays
  under the path; when it returns, the object is durable;
* reading a path that does not exist raises ``FileNotFoundError``;
* an exception raised by the upload stream comes through ``receive_upload`` unchanged;
* ``delete_file`` of a path that does not exist is not an error.
"""

from __future__ import annotations

from ..formats.base import ImportFormat, ImportProblem, ReadOptions, Table
from ..formats.extractor import TextExtractor
from .storage import Storage
from .thumbnails import ThumbnailGenerator, ThumbnailResult
from .values import (
    TIME_FORMAT,
    FileMetadata,
    GetSecret,
    SentPart,
    SignedPart,
    StorageCapabilities,
    UploadInstructions,
    UploadParts,
    WantedPart,
    signing_window,
)

__all__ = [
    "TIME_FORMAT",
    "FileMetadata",
    "GetSecret",
    "ImportFormat",
    "ImportProblem",
    "ReadOptions",
    "SentPart",
    "SignedPart",
    "Storage",
    "StorageCapabilities",
    "Table",
    "TextExtractor",
    "ThumbnailGenerator",
    "ThumbnailResult",
    "UploadInstructions",
    "UploadParts",
    "WantedPart",
    "signing_window",
]
