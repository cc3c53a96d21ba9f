"""The S3 storage of datasette-files, as its own distribution: ``storage: s3``.

Holds the hooks only. The storage is in storage.py, the commands are in cli.py; the SDK is imported
when a source or a command needs it.
"""

from __future__ import annotations

from typing import Any

from datasette import hookimpl

__all__ = ["S3Storage", "register_files_commands", "register_files_storage_types"]


def __getattr__(name: str) -> Any:
    """``S3Storage``, which 0.1a2 exports here, loaded at its first use."""
    if name == "S3Storage":
        from .storage import S3Storage  # noqa: PLC0415

        return S3Storage
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@hookimpl
def register_files_storage_types(datasette: Any) -> list[Any]:
    from .storage import S3Storage  # noqa: PLC0415 - pydantic models only where Datasette runs

    return [S3Storage]


@hookimpl
def register_files_commands(commands: Any) -> None:
    from . import cli  # noqa: PLC0415 - only where somebody administers

    cli.register(commands)
