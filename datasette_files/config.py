"""The plugin's configuration: pydantic models of ``plugins.datasette-files``.

Holds the models and the one-line errors that name a yaml path; each storage owns the model of its
own ``config``. Leaves out secrets (``get_secret`` is in sources/) and the storages themselves.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from .errors import ConfigurationError
from .media.types import is_pattern
from .naming import MAX_STORED_NAME_BYTES

_Model = TypeVar("_Model", bound=BaseModel)

PLUGIN = "datasette-files"
DEFAULT_MAX_FILE_SIZE = 100 * 1024 * 1024
DEFAULT_PATH_TEMPLATE = "{ulid}/{filename}"

_SLUG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
#: The fields of a path template, and the most bytes of each; of a slug, in practice.
_FIELD_BYTES = {
    "ulid": 26,
    "filename": MAX_STORED_NAME_BYTES,
    "actor": MAX_STORED_NAME_BYTES,
    "source": 28,
    "shard": 2,
    "year": 4,
    "month": 2,
    "day": 2,
}
_MAX_SEGMENT_BYTES = 255


def _check_slug(slug: str) -> str:
    if not _SLUG.fullmatch(slug):
        raise ValueError(
            "a source's name holds only letters, digits, _ and -, and does not start with -"
        )
    return slug


def _check_template(template: str) -> str:
    fields = set(re.findall(r"\{(.*?)\}", template))
    if unknown := sorted(fields - set(_FIELD_BYTES)):
        raise ValueError(
            f"unknown field {{{unknown[0]}}}; known: "
            + ", ".join(f"{{{name}}}" for name in sorted(_FIELD_BYTES))
        )
    literal = re.sub(r"\{.*?\}", "", template)
    if "{" in literal or "}" in literal:
        raise ValueError("unbalanced { or }")
    if "{ulid}" not in template:
        raise ValueError("must contain {ulid}, so that no two files share a path")
    segments = template.split("/")
    if "" in segments or any(segment in (".", "..") for segment in segments):
        raise ValueError("must be a relative path without empty, . or .. segments")
    if segments[0] == ".datasette-files":
        raise ValueError("must not begin with .datasette-files, which holds unfinished uploads")
    if any(_max_bytes(segment) > _MAX_SEGMENT_BYTES for segment in segments):
        raise ValueError(
            f"a segment can come to more than {_MAX_SEGMENT_BYTES} bytes, the limit of disks; put"
            " a / between its fields"
        )
    if any(ord(c) < 32 or c == "\\" for c in template):
        raise ValueError("must not hold control characters or backslashes")
    return template


def _max_bytes(segment: str) -> int:
    """The most bytes that a segment of a template can come to."""
    longest = re.sub(r"\{(\w+)\}", lambda field: "x" * _FIELD_BYTES[field[1]], segment)
    return len(longest.encode())


def _check_pattern(pattern: str) -> str:
    if not is_pattern(pattern):
        raise ValueError(f"{pattern!r} is neither a content type nor a pattern such as image/*")
    return pattern.lower()


_MIN_MEMORY = 128 * 1024 * 1024
_Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
#: A hundred years: a moment that many days from now is still one that can be written.
_Days = Annotated[int, Field(ge=0, le=36500)]
_Quota = Annotated[int, Field(ge=0, lt=2**63)]
_LinkDays = Annotated[int, Field(ge=1, le=36500)]

#: Settings of a source that may change while it runs (sources/settings.py). The last is the
#: storage's own key.
Setting = Literal[
    "label",
    "max_file_size",
    "allowed_content_types",
    "path_template",
    "thumbnails",
    "trash_days",
    "quota_bytes",
    "quota_files",
    "quota_bytes_per_actor",
    "presign_ttl_seconds",
]


def _check_globs(globs: list[str]) -> list[str]:
    if any(not glob or glob.startswith("/") or "\x00" in glob for glob in globs):
        raise ValueError("a glob is a path relative to the source, such as photos/**")
    return globs


_Globs = Annotated[list[str], Field(max_length=100), AfterValidator(_check_globs)]


class IndexConfig(BaseModel):
    """``index`` of a source: what its storage holds becomes files."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Seconds between two walks; 0: only by command or button.
    interval_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0
    #: Globs over whole paths (maintenance/globs.py); no ``include``: all but hidden names.
    include: _Globs = []
    exclude: _Globs = []
    #: Whether the source takes no uploads and deletes nothing.
    read_only: bool = False


class SourceConfig(BaseModel):
    """One entry of ``sources``. ``config`` is the storage's own and passed to it whole."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    storage: str
    label: str | None = None
    #: Holds secrets, and Datasette's tracebacks show every variable where ``rich`` is installed.
    config: dict[str, Any] = Field(default_factory=dict, repr=False)
    #: Bytes; no file of any storage has more.
    max_file_size: Annotated[int, Field(gt=0, lt=2**63)] | None = None
    allowed_content_types: list[Annotated[str, AfterValidator(_check_pattern)]] | None = None
    path_template: Annotated[str, AfterValidator(_check_template)] = DEFAULT_PATH_TEMPLATE
    #: Whether files get thumbnails instead of icons.
    thumbnails: bool = True
    #: Whether the text of files is extracted, so that a search finds words inside them.
    text: bool = True
    #: Whether the files stand in a database of their own, ``files_{slug}``.
    tables: bool = True
    #: Whether it is told where a picture was taken. The original keeps what it holds.
    location: Literal["hide", "show"] = "hide"
    #: None: the plugin's ``trash_days``.
    trash_days: _Days | None = None
    #: Bytes and files that the source holds at most, and one actor's bytes; None: any number.
    quota_bytes: _Quota | None = None
    quota_files: _Quota | None = None
    quota_bytes_per_actor: _Quota | None = None
    #: None: walks are made only by command or button.
    index: IndexConfig | None = None
    #: Days after which a file that is missing from the storage leaves the catalog; 0: never.
    missing_days: _Days = 0
    #: Days within which every byte is verified once; 0: never.
    verify_days: _Days = 0
    #: Settings that the source's settings page may not change.
    pinned: list[Setting] = Field(default_factory=list)


class PluginConfig(BaseModel):
    """All of ``plugins.datasette-files``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sources: dict[Annotated[str, AfterValidator(_check_slug)], SourceConfig] = Field(
        default_factory=dict
    )
    owners_can_edit: bool = False
    owners_can_delete: bool = False
    #: Whether uploaders may make share links to their files.
    owners_can_share: bool = False
    #: How long an upload may stay unfinished after the last byte received.
    upload_expiry_seconds: _Seconds = 3600
    #: How long a deleted file can be restored; 0: it is deleted at once.
    trash_days: _Days = 0
    #: Bytes; a larger file gets an icon.
    thumbnail_max_source_bytes: PositiveInt = 64 * 1024 * 1024
    #: Width times height; a larger image gets an icon.
    thumbnail_max_pixels: PositiveInt = 60_000_000
    #: Thumbnails made at the same time, each in a process of its own.
    thumbnail_concurrency: PositiveInt = 2
    thumbnail_timeout_seconds: _Seconds = 10
    #: Bytes of address space of each such process, which needs the minimum to start.
    thumbnail_process_memory_limit_bytes: Annotated[int, Field(ge=_MIN_MEMORY)] = 512 * 1024 * 1024
    #: Whether thumbnails are made right after an upload, rather than when first asked for.
    thumbnail_eager: bool = True
    #: Bytes of text that are extracted from one file, in UTF-8.
    text_max_bytes: Annotated[int, Field(gt=0, le=64 * 1024 * 1024)] = 8 * 1024 * 1024
    #: tesseract's names of the languages in which it reads pictures and scanned pages; none: off.
    text_ocr_languages: list[Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_/]{0,40}$")]] = [
        "eng"
    ]
    #: Imports that run at the same time, in all processes that share the internal database.
    import_concurrency: PositiveInt = 2
    #: Bytes of one file that an import reads, unpacked; its rows may take twice as many on the disk
    #: of the system's temporary folder.
    import_max_bytes: PositiveInt = 4 * 1024 * 1024 * 1024
    #: Bytes of all live tables' databases, of which the least recently used are removed first; and
    #: their folder, which no other site may use. None: beside the internal database.
    live_tables_bytes: PositiveInt = 2 * 1024 * 1024 * 1024
    live_tables_path: str | None = None
    #: How long a server that ends waits for clients that still send or receive.
    shutdown_grace: _Seconds = 10
    #: The longest life of a share link or an upload link, and the life of one made without a time.
    share_max_days: _LinkDays = 30
    share_default_days: _LinkDays = 7
    #: Days after which an entry of the audit is deleted; 0: never.
    audit_days: _Days = 365
    #: Whether the audit has downloads too; it always has those by a link.
    audit_downloads: bool = False
    #: Whether Datasette's home page has the sources and the newest pictures.
    homepage: bool = True
    #: Let the proxy before Datasette send local files.
    sendfile: Literal["x-accel"] | None = None


def load_config(raw: object) -> PluginConfig:
    """The validated configuration. Raises ConfigurationError, in one line."""
    path = f"plugins.{PLUGIN}"
    if raw is None:
        return PluginConfig()
    if not isinstance(raw, dict):
        raise ConfigurationError(f"{path}: must be a mapping")
    sources = raw.get("sources")
    if isinstance(sources, dict):
        # YAML reads a source called 2024 as a number.
        if twice := [key for key in sources if isinstance(key, int) and str(key) in sources]:
            raise ConfigurationError(
                f"{path}.sources.{twice[0]}: there are two sources of this name"
            )
        raw = {**raw, "sources": {_name(key): value for key, value in sources.items()}}
    return validate(PluginConfig, raw, path)


def _name(key: object) -> object:
    return str(key) if isinstance(key, int) and not isinstance(key, bool) else key


def config_of(datasette: Any) -> PluginConfig:
    """The configuration of one Datasette, read once. Raises ConfigurationError."""
    config: PluginConfig | None = getattr(datasette, "_datasette_files_config", None)
    if config is None:
        config = load_config(datasette.plugin_config(PLUGIN))
        datasette._datasette_files_config = config
    return config


def validate(model: type[_Model], raw: dict[str, Any], path: str) -> _Model:
    """``raw`` as ``model``. Raises ConfigurationError, one line naming the yaml path."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise ConfigurationError(_one_line(error, path)) from None


def _one_line(error: ValidationError, path: str) -> str:
    return "; ".join(
        ".".join([path, *location]) + f": {message}" for location, message in problems(error)
    )


def problems(error: ValidationError) -> list[tuple[list[str], str]]:
    """``(location, message)`` of each problem, without any value."""
    found = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        # "[key]" closes the location of an error in a mapping's key, not in its value.
        # A key of the yaml may hold a line break.
        location = [" ".join(str(part).split()) for part in problem["loc"] if part != "[key]"]
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = "unknown key"
        elif problem["type"] == "missing":
            message = "is required"
        found.append((location, message))
    return found


def max_file_size(source: SourceConfig, capability: int | None, path: str) -> int:
    """The source's limit in bytes: its own key, else its storage's, capped by the capability.

    Raises ConfigurationError when the two places name different values.
    """
    inner = source.config.get("max_file_size")
    if inner is not None and (not isinstance(inner, int) or isinstance(inner, bool) or inner <= 0):
        raise ConfigurationError(f"{path}.config.max_file_size: must be a positive number of bytes")
    if inner is not None and source.max_file_size is not None and inner != source.max_file_size:
        raise ConfigurationError(
            f"{path}.max_file_size: {source.max_file_size}, but {path}.config.max_file_size is"
            f" {inner}; set one of them"
        )
    configured = source.max_file_size or inner
    if configured is None:
        return capability if capability is not None else DEFAULT_MAX_FILE_SIZE
    return configured if capability is None else min(configured, capability)
