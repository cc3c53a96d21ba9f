"""Media types (RFC 9110, section 8.3) without their parameters, and their patterns."""

import re

from .aliases import meant

_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_ESSENCE = re.compile(f"{_NAME}/{_NAME}")
_MAX_CHARACTERS = 255
_PATTERN = re.compile(r"[\w.+-]+/(\*|[\w.+-]+)|\*/\*", re.ASCII)


def essence(value: str) -> str | None:
    """Return `type/subtype` in lower case, without parameters; None if `value` has none."""
    found = value.partition(";")[0].strip().lower()
    return found if len(found) <= _MAX_CHARACTERS and _ESSENCE.fullmatch(found) else None


def is_pattern(text: str) -> bool:
    """Tell whether `text` is a content type, or a pattern such as `image/*`."""
    return _PATTERN.fullmatch(text) is not None


def type_allowed(content_type: str, patterns: list[str] | None) -> bool:
    """Tell whether a content type, such as `image/png`, matches a pattern; None takes any.

    The one place that interprets a pattern. An alias counts as the type that it means, in both.
    """
    if patterns is None:
        return True
    plain = meant(content_type.partition(";")[0].strip().lower())
    family = plain.partition("/")[0]
    return any(meant(pattern) in ("*/*", plain, f"{family}/*") for pattern in patterns)
