"""Names: ids, tokens, a file's name, and its path in the storage.

The one place where a person's file name is checked (``check_filename``), becomes part of a path
(``storage_path``) or is made visible (``plain``). Leaves out headers (protocol/disposition.py) and
HTML (templates).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import unicodedata
from datetime import datetime, timezone

from ulid import ULID

from .errors import Invalid

ID_PREFIX = "df-"
#: An id in a request: looser than ``df-`` and a ULID, so that a mistyped one is "not found".
ID_PATTERN = ID_PREFIX + "[A-Za-z0-9]{1,100}"
TOKEN_PREFIX = "tok_"  # noqa: S105 - a prefix, not a token
#: UTF-8 bytes of a name in the catalog, and in a storage.
MAX_FILENAME_BYTES = 1024
MAX_STORED_NAME_BYTES = 200
#: Characters of a folder, and of a tag; tags of a file.
MAX_FOLDER_CHARACTERS = 1000
MAX_TAG_CHARACTERS = 100
MAX_TAGS = 50

# Names that Windows reserves, with any extension.
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
# A whole path, as some browsers' forms name a file of Windows: ``C:\\fakepath\\a.txt``.
_WINDOWS_PATH = re.compile(r"(?:[A-Za-z]:\\|\\\\)")
#: Characters that change how others are shown: controls, and the overrides and isolates of the
#: bidirectional algorithm (Unicode's UAX #9), with which "fdp.exe" looks like "exe.pdf".
_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


#: A field of a path template.
_FIELD = re.compile(r"\{(\w+)\}")
#: Names of live tables' databases: ``file_`` and the ULID of the file's id.
_LIVE = re.compile("file_([0-9a-z]{26})")


def live_database(file_id: str) -> str | None:
    """The name of the database of a file's live tables; None for an id without a ULID."""
    name = f"file_{file_id.removeprefix(ID_PREFIX)}"
    return name if _LIVE.fullmatch(name) else None


def live_file(database: str) -> str | None:
    """The id of the file whose live tables the database of this name has; None for others."""
    found = _LIVE.fullmatch(database)
    return f"{ID_PREFIX}{found[1]}" if found else None


#: For each byte, the digit of a ULID that its lowest five bits are (Crockford's Base32).
_DIGITS = bytes(b"0123456789abcdefghjkmnpqrstvwxyz"[byte % 32] for byte in range(256))
#: Digits of a ULID's time; the other 16 are random.
_TIME_DIGITS, _RANDOM_DIGITS = 10, 16


def new_ulid() -> str:
    return str(ULID()).lower()


def new_ulids(count: int) -> list[str]:
    """ULIDs of this moment in ascending order: a tenth of the cost of as many ``new_ulid``."""
    time, size = new_ulid()[:_TIME_DIGITS], _RANDOM_DIGITS
    digits = os.urandom(count * size).translate(_DIGITS).decode()
    return sorted(time + digits[at : at + size] for at in range(0, count * size, size))


def new_claim() -> str:
    """A random name for one attempt at an upload."""
    return secrets.token_hex(8)


def new_token() -> str:
    """A key to one upload: 160 random bits."""
    return TOKEN_PREFIX + secrets.token_hex(20)


def token_digest(token: str) -> str:
    """The digest by which a token is stored."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


_REPEATABLE = "once/"


def repeatable_token(source_id: int, actor_id: str | None, key: str) -> str:
    """The token of an upload in one request, by the key under which its client may repeat it."""
    return f"{_REPEATABLE}{json.dumps([source_id, actor_id, key])}"


def is_repeatable(token: str) -> bool:
    """Tell whether the token is that of an upload in one request."""
    return token.startswith(_REPEATABLE)


_RESUMABLE = "resumable/"


def new_resumable_id() -> str:
    """The last segment of the address of an upload that goes on: 160 random bits."""
    return secrets.token_hex(20)


def resumable_id_of(token: str) -> str:
    """The id of the upload that takes the place of the prepared one with this token."""
    return hashlib.sha256(f"{_RESUMABLE}{token}".encode("utf-8", "surrogatepass")).hexdigest()[:40]


def resumable_token(resumable_id: str) -> str:
    """The token of that upload; no other upload has a token of this form."""
    return f"{_RESUMABLE}{resumable_id}"


def is_resumable(token: str) -> bool:
    """Tell whether the token is that of an upload that goes on."""
    return token.startswith(_RESUMABLE)


def storable(text: str) -> bool:
    """Tell whether SQLite can store the text: lone surrogates, as in JSON, have no UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_filename(name: object) -> str:
    """A person's name for a file, as the catalog stores it. Raises Invalid.

    Refuses only names that cannot be stored or shown: empty ones, NUL, broken Unicode, and more
    than ``MAX_FILENAME_BYTES``. A path keeps its last part; a backslash is a part of the name.
    """
    if not isinstance(name, str):
        raise Invalid("filename must be a string")
    name = name.rpartition("/")[2] if name.strip("/") else ""
    if not storable(name):
        raise Invalid("filename is not valid Unicode; rename the file")
    if not name.strip() or name in (".", ".."):
        raise Invalid("filename is empty; give the file a name")
    if "\x00" in name:
        raise Invalid("filename holds a NUL character; rename the file")
    if (length := len(name.encode())) > MAX_FILENAME_BYTES:
        raise Invalid(f"filename has {length} bytes; at most {MAX_FILENAME_BYTES} are allowed")
    return name


def check_folder(folder: object) -> str:
    """A file's folder: "" or ``a/b``, in Unicode's form NFC. Raises Invalid.

    Refuses empty parts, ``.``, ``..``, NUL, broken Unicode and more than ``MAX_FOLDER_CHARACTERS``.
    """
    if not isinstance(folder, str):
        raise Invalid("folder must be a string")
    if storable(folder):
        folder = unicodedata.normalize("NFC", folder)
    if len(folder) > MAX_FOLDER_CHARACTERS:
        raise Invalid(f"folder has {len(folder):,} characters; at most 1,000 are allowed")
    if not storable(folder) or "\x00" in folder:
        raise Invalid("folder holds characters that cannot be stored; rename the folder")
    if folder and not {"", ".", ".."}.isdisjoint(folder.split("/")):
        raise Invalid('folder must be "" or names such as a/b, none of them empty, "." or ".."')
    return folder


def check_tags(tags: object) -> tuple[str, ...]:
    """A file's tags, trimmed, in Unicode's form NFC, each once, without empty ones.

    Raises Invalid for anything but a list of texts, more than ``MAX_TAGS``, and a tag of more than
    ``MAX_TAG_CHARACTERS``.
    """
    if not isinstance(tags, list | tuple) or not all(isinstance(tag, str) for tag in tags):
        raise Invalid('tags must be a list of strings, such as ["draft", "2026"]')
    if not all(storable(tag) and "\x00" not in tag for tag in tags):
        raise Invalid("a tag holds characters that cannot be stored; rename the tag")
    found = dict.fromkeys(unicodedata.normalize("NFC", tag).strip() for tag in tags)
    found.pop("", None)
    if len(found) > MAX_TAGS:
        raise Invalid(f"{len(found)} tags were sent; a file has at most {MAX_TAGS}")
    if any(len(tag) > MAX_TAG_CHARACTERS for tag in found):
        raise Invalid(f"a tag has more than {MAX_TAG_CHARACTERS} characters; shorten it")
    return tuple(found)


def form_filename(name: str) -> str:
    """The name that a browser's form gives a file, without the folders of a Windows path."""
    return name.rpartition("\\")[2] if _WINDOWS_PATH.match(name) else name


def plain(text: str) -> str:
    """The text with U+FFFD in place of each character that changes how others are shown."""
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
    """The template filled in. No component of the result is ``.`` or ``..``."""
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
    return _FIELD.sub(lambda match: values[match[1]], template)


def ulid_in_path(template: str, path: str) -> str | None:
    """The ULID of a path that ``storage_path`` has made of the template; None for another path."""
    # The odd parts are the names of the fields; the ULID is the same wherever it stands.
    parts = _FIELD.split(template)
    seen: set[str] = set()
    pattern = ""
    for place, part in enumerate(parts):
        if place % 2 == 0:
            pattern += re.escape(part)
        elif part == "ulid" and part in seen:
            pattern += "(?P=ulid)"
        else:
            pattern += "(?P<ulid>[0-9a-hjkmnp-tv-z]{26})" if part == "ulid" else "[^/]+"
            seen.add(part)
    found = re.fullmatch(pattern, path, re.DOTALL)
    return found["ulid"] if found else None
