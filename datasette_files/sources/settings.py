"""Settings of sources: administrators override the yaml while the server runs.

``config.Setting`` is the closed list of settings: no place, no credential. A value is checked by
the models that check the yaml. Overrides are in the internal database, and every hop to it begins
with ``refresh``: so a change takes effect at once, in every process, at the cost of one seek in a
hop that is made anyway. Leaves out the effects of the settings (the rooms that read a source's
``config``).
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from ..config import SourceConfig, problems
from ..db import settings as rows
from ..db.batching import Catalog
from ..db.settings import SettingChange
from ..errors import Conflict, Invalid
from ..naming import plain, storable
from ..permissions.actions import Actor, actor_id
from ..permissions.grants import Grant
from .sources import PRESIGN, Source, Sources

logger = logging.getLogger("datasette_files")

#: Changes shown on a page.
_MAX_SHOWN = 50
_MAX_LABEL = 200
_MAX_TYPES = 200


class InvalidSettings(Invalid):
    """Some values are refused; ``fields`` has the reasons, by setting."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__(*(f"{key}: {message}" for key, message in fields.items()))
        self.fields = fields


@dataclass(frozen=True)
class Value:
    """One setting of a source."""

    key: str
    value: Any
    #: The yaml's value, or its default.
    yaml: Any
    #: Whether the value overrides the yaml's.
    changed: bool
    #: Whether the yaml forbids a change.
    pinned: bool


@dataclass(frozen=True)
class SourceSettings:
    """All settings of a source, and its newest changes. ``version`` names this state of them."""

    version: int
    values: dict[str, Value]
    changes: list[SettingChange]


class Settings:
    """The settings of one Datasette's sources."""

    def __init__(self, database: Catalog, sources: Sources) -> None:
        self._catalog = database
        self._sources = sources
        self._version = -1
        self._lock = threading.Lock()

    def refresh(self, conn: sqlite3.Connection) -> None:
        """Apply the database's overrides. Runs at the beginning of every hop, in its thread."""
        if rows.version(conn) == self._version:
            return
        with self._lock:
            # Read in the lock, so that an older state cannot replace a newer one.
            version = rows.version(conn)
            if version == self._version:
                return
            found = rows.all_overrides(conn)
            for source in self._sources:
                source.apply(_effective(source, found.get(source.id, {}))[0])
            self._version = version

    async def of(self, source: Source, manage: Grant) -> SourceSettings:
        """The present settings. Raises PermissionDenied."""

        def look(conn: sqlite3.Connection) -> SourceSettings:
            manage.check(conn, source.slug)
            return _look(conn, source)

        return await self._catalog.read(look)

    async def change(
        self,
        source: Source,
        manage: Grant,
        actor: Actor,
        wanted: dict[str, Any],
        version: int | None,
    ) -> SourceSettings:
        """Change all of the wanted settings or none. ``version`` is the state that was changed.

        Raises PermissionDenied, InvalidSettings, Conflict if the state is another by now.
        """

        def write(conn: sqlite3.Connection) -> SourceSettings:
            manage.check(conn, source.slug)
            _require_version(conn, source, version)
            _check_names(source, wanted)
            before, overrides = _effective(source, rows.overrides(conn, source.id))
            after = _merged(source, {**overrides, **wanted})
            changed = {
                key: (old, new)
                for key in wanted
                if (old := _value(source, before, key)) != (new := _value(source, after, key))
            }
            for key, (_, new) in changed.items():
                overrides[key] = new
                if new == _value(source, source.declared, key):
                    del overrides[key]
            return _keep(conn, source, actor, overrides, changed, is_reset=False)

        return await self._catalog.write(write)

    async def reset(
        self, source: Source, manage: Grant, actor: Actor, version: int | None
    ) -> SourceSettings:
        """Reset every setting to the yaml's. Raises PermissionDenied, Conflict."""

        def write(conn: sqlite3.Connection) -> SourceSettings:
            manage.check(conn, source.slug)
            _require_version(conn, source, version)
            before, overrides = _effective(source, rows.overrides(conn, source.id))
            changed = {
                key: (_value(source, before, key), _value(source, source.declared, key))
                for key in overrides
            }
            return _keep(conn, source, actor, {}, changed, is_reset=True)

        return await self._catalog.write(write)


def _look(conn: sqlite3.Connection, source: Source) -> SourceSettings:
    config, overrides = _effective(source, rows.overrides(conn, source.id))
    values = {
        key: Value(
            key,
            _value(source, config, key),
            _value(source, source.declared, key),
            key in overrides,
            key in source.declared.pinned,
        )
        for key in source.changeable
    }
    version = rows.source_version(conn, source.id)
    return SourceSettings(version, values, rows.changes(conn, source.id, _MAX_SHOWN))


def _keep(
    conn: sqlite3.Connection,
    source: Source,
    actor: Actor,
    overrides: rows.Overrides,
    changed: dict[str, tuple[Any, Any]],
    *,
    is_reset: bool,
) -> SourceSettings:
    if changed:
        rows.put(conn, source.id, overrides)
        written = [(key, old, new) for key, (old, new) in changed.items()]
        rows.record(conn, source.id, actor_id(actor), time.time(), written, is_reset=is_reset)
    return _look(conn, source)


def _require_version(conn: sqlite3.Connection, source: Source, version: int | None) -> None:
    if version is not None and version != rows.source_version(conn, source.id):
        raise Conflict(
            "The settings were changed by somebody else, so yours were not saved; check the present"
            " values and make your change again"
        )


def mistakes(source: Source, wanted: dict[str, Any]) -> dict[str, str]:
    """The faults of the wanted values, by setting; empty if they can be saved."""
    try:
        _check_names(source, wanted)
        _merged(source, wanted)
    except InvalidSettings as error:
        return error.fields
    return {}


def _check_names(source: Source, wanted: dict[str, Any]) -> None:
    """Raise InvalidSettings for unknown and for pinned settings."""
    wrong = {}
    for key in wanted:
        if key not in source.changeable:
            known = ", ".join(source.changeable)
            wrong[key[:100]] = f"is not a setting of this source; its settings are {known}"
        elif key in source.declared.pinned:
            wrong[key] = f"is pinned by the configuration; change it there, at {source.path}"
    if wrong:
        raise InvalidSettings(wrong)


def _effective(source: Source, stored: rows.Overrides) -> tuple[SourceConfig, rows.Overrides]:
    """The effective configuration, and the stored overrides still valid under the yaml."""
    kept = {
        key: value
        for key, value in stored.items()
        if key in source.changeable and key not in source.declared.pinned
    }
    while kept:
        try:
            return _merged(source, kept), kept
        except InvalidSettings as error:
            for key, message in error.fields.items():
                logger.warning(
                    "The setting %s of source %r is not used: %s", key, source.slug, message
                )
            kept = {key: value for key, value in kept.items() if key not in error.fields}
    return source.declared, kept


def _merged(source: Source, overrides: rows.Overrides) -> SourceConfig:
    """The yaml's configuration with these overrides. Raises InvalidSettings."""
    wrong = {key: message for key, value in overrides.items() if (message := _refused(key, value))}
    own = {key: value for key, value in overrides.items() if key != PRESIGN}
    try:
        raw = {**source.declared.model_dump(exclude={"config"}), **own}
        merged = SourceConfig.model_validate(raw, strict=True)
        merged = merged.model_copy(update={"config": _storage_config(source, overrides)})
        if PRESIGN in overrides and source.storage_type.config_model is not None:
            source.storage_type.config_model.model_validate(merged.config)
        if not wrong:
            return merged
    except ValidationError as error:
        for location, message in problems(error):
            name = location[0] if location and location[0] in overrides else ""
            told = message.replace("Input should be", "must be")
            wrong.setdefault(name or next(iter(overrides)), told)
    raise InvalidSettings(wrong)


def _storage_config(source: Source, overrides: rows.Overrides) -> dict[str, Any]:
    """The storage's own config with the overrides; a changed limit replaces its limit."""
    presign = {PRESIGN: overrides[PRESIGN]} if PRESIGN in overrides else {}
    replaced = "max_file_size" if "max_file_size" in overrides else None
    kept = {key: value for key, value in source.declared.config.items() if key != replaced}
    return {**kept, **presign}


def _refused(key: str, value: Any) -> str | None:
    """The reason to refuse a value that is accepted in a yaml, whose author is trusted."""
    if key == PRESIGN and (isinstance(value, bool) or not isinstance(value, int)):
        return "must be a whole number of seconds"
    if isinstance(value, list) and not 1 <= len(value) <= _MAX_TYPES:
        return f"must have 1 to {_MAX_TYPES} entries, or be nothing (null), which takes any"
    values = value if isinstance(value, list) else [value]
    texts = [text for text in values if isinstance(text, str)]
    if not all(_is_printable(text) for text in texts):
        return "must not hold control or invalid characters"
    if not all(text.strip() for text in texts):
        return "must not be blank"
    if key == "label" and any(len(text) > _MAX_LABEL for text in texts):
        return f"must have at most {_MAX_LABEL} characters"
    return None


def _is_printable(text: str) -> bool:
    return plain(text) == text and storable(text)


def _value(source: Source, config: SourceConfig, key: str) -> Any:
    """One setting's value in a configuration, as JSON."""
    if key == PRESIGN:
        model = source.storage_type.config_model
        return getattr(model.model_validate(config.config), PRESIGN) if model else None
    if key == "max_file_size":
        return config.max_file_size or config.config.get(key)
    return getattr(config, key)
