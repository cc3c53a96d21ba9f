"""Names: ids, tokens, what a person may call a file, and the path it gets in its storage.

The one place where a person's file name is judged (``check_filename``) and where it becomes part
of a path (``storage_path``) or is shown (``plain``). Leaves out headers (protocol/disposition.py)
and HTML (templates).
"""

from __future__ import annotations

import hashlib
import re
import secrets
import unicodedata
from datetime import datetime, timezone

from ulid import ULID

from .errors import Invalid

ID_PREFIX = "df-"
TOKEN_PREFIX = "tok_"  # noqa: S105 - a prefix, not a token
#: UTF-8 bytes; of a person's name in the catalog, and of a name in a storage.
MAX_FILENAME_BYTES = 1024
MAX_STORED_NAME_BYTES = 200

# Names that Windows reserves, with any extension.
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
# A whole path, as some browsers' forms name a file of Windows: ``C:\\fakepath\\a.txt``.
_WINDOWS_PATH = re.compile(r"(?:[A-Za-z]:\\|\\\\)")
#: What changes how other characters are shown: controls, and the overrides and isolates of the
#: bidirectional algorithm (Unicode's UAX #9), by which "fdp.exe" looks like "exe.pdf".
_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def new_ulid() -> str:
    return str(ULID()).lower()


def new_claim() -> str:
    """Names one attempt at an upload."""
    return secrets.token_hex(8)


def new_token() -> str:
    """A key to one upload: 160 random bits."""
    return TOKEN_PREFIX + secrets.token_hex(20)


def token_digest(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def check_filename(name: object) -> str:
    """A person's name for a file, as the catalog keeps it. Raises Invalid.

    Almost anything is somebody's file name, so only what cannot be stored or shown is refused:
    nothing, NUL, broken Unicode, and names too long for any system. A path keeps its last part; a
    backslash is a part of the name.
    """
    if not isinstance(name, str):
        raise Invalid("filename must be a string")
    name = name.rpartition("/")[2] if name.strip("/") else ""
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        raise Invalid("filename is not valid Unicode") from None
    if not name.strip() or name in (".", ".."):
        raise Invalid("filename is empty; give the file a name")
    if "\x00" in name:
        raise Invalid("filename holds a NUL character")
    if length > MAX_FILENAME_BYTES:
        raise Invalid(f"filename has {length} bytes; at most {MAX_FILENAME_BYTES} are allowed")
    return name


def form_filename(name: str) -> str:
    """The name that a browser's form gives a file, without the folders of a Windows path."""
    return name.rpartition("\\")[2] if _WINDOWS_PATH.match(name) else name


def plain(text: str) -> str:
    """A person's text as what it is: each character that would change others' looks is a mark."""
    return _INVISIBLE.sub("\N{REPLACEMENT CHARACTER}", text)


def stored_name(name: str) -> str:
    """A name safe on any file system and in any URL: at most 200 UTF-8 bytes, extension kept."""
    name = unicodedata.normalize("NFC", name)
    name = "".join(c if unicodedata.category(c)[0] in "LN" or c in "._-" else "_" for c in name)
    name = re.sub(r"_{2,}", "_", name).strip("._- ") or "file"
    if _RESERVED.match(name):
        name = "_" + name
    stem, dot, extension = name.rpartition(".")
    if not dot or len(extension.encode()) > 20:
        return _cut(name, MAX_STORED_NAME_BYTES)
    return _cut(stem, MAX_STORED_NAME_BYTES - len(extension.encode()) - 1) + "." + extension


def _cut(text: str, size: int) -> str:
    return text.encode()[:size].decode(errors="ignore")


def storage_path(
    template: str, *, ulid: str, filename: str, source: str, actor_id: str | None
) -> str:
    """The template filled in. The result has no component that could mean another place."""
    now = datetime.now(timezone.utc)
    values = {
        "ulid": ulid,
        "filename": stored_name(filename),
        "shard": ulid[-2:],
        "year": f"{now.year:04}",
        "month": f"{now.month:02}",
        "day": f"{now.day:02}",
        "source": source,
        "actor": stored_name(actor_id) if actor_id is not None else "anonymous",
    }
    return re.sub(r"\{(\w+)\}", lambda match: values[match[1]], template)
