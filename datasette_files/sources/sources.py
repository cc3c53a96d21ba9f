"""Sources: storages that are made and configured from the yaml, brought up and retried.

Holds the life of each source in one process. A source whose storage cannot be brought up now is
down: it answers with StorageUnavailable and is retried with growing pauses; the others work. Leaves
out the use of a storage (the use cases) and the yaml's own rules (config.py).
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, get_args

from pydantic import SecretBytes, SecretStr
from pydantic import ValidationError as ModelError

from ..base import GetSecret, Storage, StorageCapabilities
from ..config import PLUGIN, PluginConfig, Setting, SourceConfig, max_file_size, validate
from ..errors import ConfigurationError, NotFound, NotSupported, StorageUnavailable
from ..jobs.places import Places
from ..jobs.rounds import backoff
from .limits import Limits

logger = logging.getLogger("datasette_files")

StorageTypes = dict[str, type[Storage]]

#: Seconds before a source that is down is tried again: the first pause, and the longest.
RETRY_SECONDS = (1.0, 60.0)
#: Errors of ``configure`` that only a person can correct, in the configuration.
_CONFIGURATION_ERRORS = (ConfigurationError, KeyError, ValueError, TypeError, ImportError)
#: The key in a storage's own ``config`` for the seconds that its signed URLs live.
PRESIGN = "presign_ttl_seconds"
_SIGNED_SECONDS = 300
#: Datasette's mask of a value that /-/config.json does not show.
_HIDDEN = "***"
#: In place of ``Source.place``: files were stored by 0.1a3, which did not record the place.
ADOPTED = "adopted"


@dataclass
class Source:
    """One configured source. ``storage`` raises StorageUnavailable while it is down."""

    slug: str
    #: The effective configuration: the yaml's, with its administrators' changes (settings.py).
    config: SourceConfig
    storage_type: type[Storage]
    #: The configuration without secrets, as JSON, to be stored and compared.
    redacted: str
    #: The keys of ``config`` that hold secrets.
    secrets: tuple[str, ...] = ()
    id: int = 0
    #: The ``place`` in which it was up before; ``ADOPTED`` for a source of the public release.
    provisioned: str | None = None
    capabilities: StorageCapabilities = field(default_factory=StorageCapabilities)
    #: The plugin's ``trash_days``, for a source that has none.
    plugin_trash_days: int = 0
    #: Seconds that a URL signed by the storage lives.
    signed_seconds: int = _SIGNED_SECONDS
    #: Whether the storage has the older ``receive_upload(path, content: bytes, content_type)``.
    takes_bytes: bool = False
    #: Whether the storage may answer prepare with a URL of its own.
    prepares_uploads: bool = False
    #: Whether the storage takes uploads that go on (``append_upload``).
    appends_uploads: bool = False
    #: Why the source is down, for an administrator; None while it is up.
    down: str | None = "not brought up yet"
    _storage: Storage | None = None
    #: Whether Datasette is stopping; a storage that comes up later is closed at once.
    closed: bool = False

    def __post_init__(self) -> None:
        #: The yaml's configuration.
        self.declared = self.config
        #: Those of downloads through Datasette.
        self.downloads = Places(self.storage_type.max_downloads)

    @property
    def label(self) -> str:
        return self.config.label or self.slug

    @property
    def max_file_size(self) -> int:
        """Bytes."""
        return max_file_size(self.config, self.capabilities.max_file_size, self.path)

    @property
    def limits(self) -> Limits:
        """The stored content types and the sizes that the source takes."""
        types = self.config.allowed_content_types
        accept = None if types is None else tuple(types)
        return Limits(f"The source {self.slug!r}", self.max_file_size, accept)

    def require_uploads(self) -> None:
        """Raises NotSupported; StorageUnavailable while it is down."""
        self.require_up()
        if not self.capabilities.can_upload:
            raise NotSupported(f"The source {self.slug!r} does not take uploads")

    @property
    def trash_days(self) -> int:
        """Days for which a deleted file can be restored; 0: not at all."""
        days = self.config.trash_days
        return self.plugin_trash_days if days is None else days

    @property
    def changeable(self) -> tuple[str, ...]:
        """The names of its settings; ``PRESIGN`` only if the storage's model has it."""
        model = self.storage_type.config_model
        signs = model is not None and PRESIGN in model.model_fields
        return tuple(name for name in get_args(Setting) if name != PRESIGN or signs)

    def apply(self, config: SourceConfig) -> None:
        """Use this configuration. Raises ConfigurationError if the storage's model refuses it."""
        if PRESIGN in self.changeable and self.storage_type.config_model is not None:
            model = validate(self.storage_type.config_model, config.config, f"{self.path}.config")
            self.signed_seconds = int(getattr(model, PRESIGN))
        self.config = config

    @property
    def storage(self) -> Storage:
        if self._storage is None:
            raise StorageUnavailable(
                f"The source {self.slug!r} is unavailable for now; try again in a minute"
            )
        return self._storage

    def require_up(self) -> None:
        """Raise StorageUnavailable while the source is down, when its powers are unknown."""
        _ = self.storage

    @property
    def place(self) -> str:
        """The part of the configuration that locates the files; the rest may change."""
        config = json.loads(self.redacted)
        config.pop("max_file_size", None)
        return json.dumps(config, sort_keys=True)

    @property
    def path(self) -> str:
        """The source's path in the yaml."""
        return f"plugins.{PLUGIN}.sources.{self.slug}"

    async def bring_up(self, get_secret: GetSecret) -> None:
        """Try once to bring the source up, with a new storage instance.

        Raises ConfigurationError where a person must correct it, else the storage's own error.
        """
        config = dict(self.config.config)
        known = self.provisioned in (self.place, ADOPTED)
        storage: Storage | None = None
        try:
            storage = self.storage_type()
            await (storage.resume if known else storage.configure)(config, get_secret)
            capabilities = storage.capabilities
            max_file_size(self.config, capabilities.max_file_size, self.path)
        except BaseException as error:
            if storage is not None:
                await _close(storage)
            if isinstance(error, _CONFIGURATION_ERRORS):
                raise ConfigurationError(f"{self.path}.config: {_reason(error)}") from error
            raise
        if self.declared.index is not None and self.declared.index.read_only:
            capabilities = replace(capabilities, can_upload=False, can_delete=False)
        self.capabilities = capabilities
        self.takes_bytes = "content" in inspect.signature(storage.receive_upload).parameters
        self.prepares_uploads = (
            type(storage).prepare_upload is not Storage.prepare_upload
            # That of 0.1a3, (filename, content_type, size), chooses the path: it is not asked.
            and "path" in inspect.signature(storage.prepare_upload).parameters
        )
        self.appends_uploads = type(storage).append_upload is not Storage.append_upload
        if self.closed:  # since the attempt began
            await _close(storage)
            return
        self._storage, self.down = storage, None

    async def close(self) -> None:
        storage, self._storage = self._storage, None
        self.closed, self.down = True, "closed"
        if storage is not None:
            await _close(storage)


class Sources:
    """All configured sources of one Datasette, by slug."""

    def __init__(self, config: PluginConfig, types: StorageTypes) -> None:
        self._sources = {
            slug: _declare(slug, source, types) for slug, source in config.sources.items()
        }
        for source in self:
            source.plugin_trash_days = config.trash_days
            source.apply(source.declared)

    def __iter__(self) -> Any:
        return iter(self._sources.values())

    def get(self, slug: str) -> Source:
        """The source of this slug. Raises NotFound if it is not configured."""
        source = self._sources.get(slug)
        if source is None:
            raise NotFound(f"There is no source named {slug!r}; use one that is configured")
        return source

    def by_id(self, slugs: Container[str]) -> dict[int, Source]:
        """The sources among these slugs, by their id in the catalog."""
        return {source.id: source for source in self if source.slug in slugs}

    async def start(self, get_secret: GetSecret) -> None:
        """Try to bring all sources up, at the same time. Raises ConfigurationError."""
        outcomes = await asyncio.gather(
            *(self._try(source, get_secret) for source in self), return_exceptions=True
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                await self.close()
                raise outcome

    async def _try(self, source: Source, get_secret: GetSecret) -> bool:
        try:
            await source.bring_up(get_secret)
        except ConfigurationError:
            raise
        except Exception as error:  # noqa: BLE001 - any outage leaves this source down alone
            source.down = _reason(error)
            logger.warning("Source %r is down: %s", source.slug, source.down)
            return False
        return True

    async def keep_up(self, source: Source, get_secret: GetSecret) -> None:
        """Retry a source that is down until it is up."""
        failures = 1  # the attempt at start
        while source.down is not None and not source.closed:
            await asyncio.sleep(backoff(failures, *RETRY_SECONDS))
            failures += 1
            try:
                if await self._try(source, get_secret):
                    logger.warning("Source %r is up again", source.slug)
            except ConfigurationError as error:
                source.down = str(error)
                logger.error("Source %r stays down: %s", source.slug, error)  # noqa: TRY400

    def warn_of_shown_secrets(self, shown: Mapping[str, Any]) -> None:
        """Log one warning that names the literal secrets in ``shown``, as /-/config.json has it."""
        declared = ((shown.get("plugins") or {}).get(PLUGIN) or {}).get("sources") or {}
        # Datasette hides all of a source whose name looks like a secret's.
        configs = {
            str(slug): raw.get("config") or {}
            for slug, raw in declared.items()
            if isinstance(raw, dict)
        }
        found = [
            f'{source.path}.config.{name}: {{"$env": "{name.upper()}"}}'
            for source in self
            for name in source.secrets
            if configs.get(source.slug, {}).get(name, _HIDDEN) != _HIDDEN
            and isinstance(configs[source.slug][name], str)
        ]
        if found:
            logger.warning(
                "/-/config.json shows secrets that the configuration holds as text; keep each in an"
                " environment variable, and write %s",
                ", ".join(found),
            )

    async def close(self) -> None:
        await asyncio.gather(*(source.close() for source in self))


def storage_types(classes: list[type[Storage]]) -> StorageTypes:
    """The registered classes by type name. Raises ConfigurationError for a duplicate name."""
    types: StorageTypes = {}
    for cls in classes:
        name = _type_name(cls)
        if name in types and types[name] is not cls:
            raise ConfigurationError(
                f"plugins.{PLUGIN}: the storage type {name!r} is registered twice, by"
                f" {types[name].__module__}.{types[name].__qualname__} and"
                f" {cls.__module__}.{cls.__qualname__}; uninstall one of the plugins"
            )
        types[name] = cls
    return types


def _type_name(cls: type[Storage]) -> str:
    """The name of a storage type, which is a class attribute or a property."""
    declared = inspect.getattr_static(cls, "storage_type", None)
    if isinstance(declared, str):
        return declared
    try:
        return cls().storage_type
    except Exception as error:
        raise ConfigurationError(
            f"plugins.{PLUGIN}: the storage {cls.__module__}.{cls.__qualname__} cannot be used:"
            f" {_reason(error)}; correct or uninstall its plugin"
        ) from error


def _declare(slug: str, config: SourceConfig, types: StorageTypes) -> Source:
    path = f"plugins.{PLUGIN}.sources.{slug}"
    storage_type = types.get(config.storage)
    if storage_type is None:
        raise ConfigurationError(
            f"{path}.storage: unknown storage type {config.storage!r}; installed:"
            f" {', '.join(sorted(types)) or 'none'}"
        )
    redacted: dict[str, Any] = {}
    secrets: tuple[str, ...] = ()
    if storage_type.config_model is not None:
        model = validate(storage_type.config_model, config.config, f"{path}.config")
        values = model.model_dump(mode="json")
        secrets = tuple(
            name for name in values if isinstance(getattr(model, name), SecretStr | SecretBytes)
        )
        redacted = {name: value for name, value in values.items() if name not in secrets}
    max_file_size(config, None, path)
    return Source(slug, config, storage_type, json.dumps(redacted, sort_keys=True), secrets)


async def _close(storage: Storage) -> None:
    """Close an instance. A failure is logged, so that the others are closed too."""
    try:
        await storage.close()
    except Exception:
        logger.exception("Closing a storage failed")


def _reason(error: BaseException) -> str:
    """The error in one line. A KeyError's message is a bare key."""
    if isinstance(error, KeyError):
        return f"{error.args[0] if error.args else '?'} is required"
    if isinstance(error, ModelError):
        # Its own message would repeat the values.
        return "; ".join(
            f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
            for problem in error.errors(include_url=False, include_input=False)
        )
    return " ".join(str(error).split()) or type(error).__name__
