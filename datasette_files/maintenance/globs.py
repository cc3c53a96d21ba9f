"""Globs over whole paths: ``*`` and ``?`` stop at ``/``, ``**`` does not, ``[…]`` is a set."""

from __future__ import annotations

import re
from collections.abc import Iterable

_TOKENS = re.compile(r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]/]*\]|.", re.DOTALL)
_SPECIAL = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def matcher(globs: Iterable[str]) -> re.Pattern[str]:
    """A pattern for ``fullmatch`` that matches the paths that any of the globs matches."""
    return re.compile("|".join(map(_expression, globs)) or r"(?!)", re.DOTALL)


def _expression(glob: str) -> str:
    return "".join(map(_one, _TOKENS.findall(glob)))


def _one(token: str) -> str:
    if token in _SPECIAL:
        return _SPECIAL[token]
    if len(token) > 2 and token.startswith("["):
        negated = token[1] == "!"
        inner = re.sub(r"([\\\[\]^&~|])", r"\\\1", token[2 if negated else 1 : -1])
        return f"[{'^/' if negated else ''}{inner}]"
    return re.escape(token)


class Chosen:
    """The paths that an index takes: included, not excluded, and without a hidden part.

    A name that begins with ``.`` is hidden, unless a glob of ``include`` that names such a part
    matches its path.
    """

    def __init__(self, include: Iterable[str], exclude: Iterable[str]) -> None:
        included = list(include)
        self._all = not included
        self._include = matcher(included)
        self._hidden = matcher(glob for glob in included if _is_hidden(glob))
        self._exclude = matcher(exclude)

    def __contains__(self, path: str) -> bool:
        if self._exclude.fullmatch(path):
            return False
        if _is_hidden(path):
            return self._hidden.fullmatch(path) is not None
        return self._all or self._include.fullmatch(path) is not None


def _is_hidden(path: str) -> bool:
    return path.startswith(".") or "/." in path
