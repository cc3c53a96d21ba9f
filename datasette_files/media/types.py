"""Media types (RFC 9110, section 8.3) without their parameters."""

import re

_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_ESSENCE = re.compile(f"{_NAME}/{_NAME}")
_MAX_CHARACTERS = 255


def essence(value: str) -> str | None:
    """Return `type/subtype` in lower case, without parameters; None if `value` has none."""
    found = value.partition(";")[0].strip().lower()
    return found if len(found) <= _MAX_CHARACTERS and _ESSENCE.fullmatch(found) else None
