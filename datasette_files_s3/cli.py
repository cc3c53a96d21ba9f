"""``datasette files s3-cors`` and ``s3-check``: help for the administrator of a bucket.

Holds the commands' arguments and output. Leaves out their work (cors.py, rights.py, policy.py).
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import click
from pydantic import ValidationError

from datasette_files.errors import (
    ConfigurationError,
    Invalid,
    PermissionDenied,
    StorageError,
    StorageUnavailable,
)

from . import cors
from .client import Connection
from .config import Folder, S3Config
from .policy import policy
from .rights import Trial

_CREDENTIALS = (
    *("access_key_id", "secret_access_key", "session_token"),
    *("credentials_url", "credentials_url_secret"),
)


def register(commands: Any) -> None:
    """Add the commands to ``datasette files``."""
    commands.command("s3-cors", short_help="Print or apply the CORS rules for direct uploads")(
        _s3_cors
    )
    commands.command("s3-check", short_help="Try each right that a source needs in its bucket")(
        _s3_check
    )


@click.argument("slug", metavar="SOURCE")
@click.option(
    "--origin",
    "origins",
    multiple=True,
    help="The address of the site, such as https://files.example.org; may be repeated",
)
@click.option("--apply", "applies", is_flag=True, help="Write the rules to the bucket")
@click.option(
    "--sdk-credentials",
    is_flag=True,
    help="Use credentials of the environment or a profile instead of the source's own",
)
async def _s3_cors(
    site: Any, slug: str, origins: tuple[str, ...], applies: bool, sdk_credentials: bool
) -> None:
    """Print the CORS rules that SOURCE's bucket needs for direct uploads, or apply them.

    Other rules of the bucket stay. A change needs s3:GetBucketCORS and s3:PutBucketCORS, which the
    source itself does not need: see --sdk-credentials.
    """
    if not origins:
        raise Invalid(
            "Give the address of the site, as --origin https://files.example.org; Datasette's"
            " configuration does not contain it"
        )
    allowed = [cors.origin_of(origin) for origin in origins]
    config = _config_of(site, slug)
    if not applies:
        rules = {"CORSRules": [cors.rule(allowed, config.prefix)]}
        site.show({"cors": rules, "applied": False}, json.dumps(rules, indent=2))
        return
    if sdk_credentials:
        config = await _without_credentials(config)
    async with _connected(config) as (connection, folder):
        rule = cors.rule(allowed, folder.prefix)
        rules = {"CORSRules": await _applied(connection.client, folder.bucket, rule)}
    site.show(
        {"cors": rules, "applied": True},
        f"{json.dumps(rules, indent=2)}\nThe bucket {folder.bucket} now has these rules",
    )


async def _without_credentials(config: S3Config) -> S3Config:
    """The config with the SDK's own credentials. A broker is asked only for its folder."""
    update: dict[str, Any] = dict.fromkeys(_CREDENTIALS)
    if config.credentials_url is not None:
        async with _connected(config) as (_, folder):
            update |= {"bucket": folder.bucket, "prefix": folder.prefix}
    return config.model_copy(update=update)


async def _applied(client: Any, bucket: str, rule: cors.Rule) -> list[cors.Rule]:
    """Store the rule. Raises PermissionDenied, StorageError, StorageUnavailable."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    try:
        return await cors.apply(client, bucket, rule)
    except ClientError as error:
        told = error.response.get("Error", {})
        if told.get("Code") in ("AccessDenied", "403"):
            raise PermissionDenied(
                f"These credentials may not change the CORS rules of {bucket}. Use others with"
                " --sdk-credentials, or run this without --apply and give the printed rules to"
                " the bucket's administrator"
            ) from error
        raise StorageError(f"{told.get('Code')}: {told.get('Message')}") from error
    except (BotoCoreError, OSError) as error:
        raise StorageUnavailable(f"The store cannot be reached: {error}") from error


@click.argument("slug", metavar="SOURCE")
@click.option("--policy", "only_policy", is_flag=True, help="Only print the policy")
async def _s3_check(site: Any, slug: str, only_policy: bool) -> int:
    """Try each right that SOURCE needs in its bucket, and show which are missing.

    Trial objects are stored below the source's prefix and deleted again. If a right is missing, the
    exit status is 1 and the least policy with all rights is printed.
    """
    config = _config_of(site, slug)
    async with _connected(config) as (connection, folder):
        needed = policy(folder, config.region, config)
        if only_policy:
            site.show({"policy": needed}, json.dumps(needed, indent=2))
            return 0
        trial = Trial(connection, folder)
        await trial.run()
    _report(site, slug, trial, needed)
    return 1 if trial.missing else 0


def _report(site: Any, slug: str, trial: Trial, needed: dict[str, Any]) -> None:
    folder = trial.folder
    lines = [f"{slug}: bucket {folder.bucket}, prefix {folder.prefix or '(none)'}"]
    for finding in trial.findings:
        lines.append(f"{finding.state:<10}{finding.name:<38}{', '.join(finding.actions)}")
        if finding.problem:
            lines.append(f"{'':<10}  {finding.problem}")
    if trial.left:
        lines.append(f"Delete these by hand; the trial could not: {', '.join(trial.left)}")
    if trial.missing:
        lines += ["", "The least policy with all rights:", json.dumps(needed, indent=2)]
    findings = [
        {
            "right": finding.name,
            "actions": list(finding.actions),
            "state": finding.state,
            "problem": finding.problem,
        }
        for finding in trial.findings
    ]
    result = {"ok": not trial.missing, "bucket": folder.bucket, "prefix": folder.prefix}
    site.show(
        {**result, "rights": findings, "left": trial.left, "policy": needed}, "\n".join(lines)
    )


def _config_of(site: Any, slug: str) -> S3Config:
    """The source's config. Raises NotFound for no source, Invalid for one on another storage."""
    source = site.source(slug).config
    if source.storage != "s3":
        raise Invalid(f"The source {slug!r} is not on S3; its storage is {source.storage!r}")
    try:
        return S3Config.model_validate(source.config)
    except ValidationError as error:
        raise ConfigurationError(f"The config of the source {slug!r} is wrong") from error


@asynccontextmanager
async def _connected(config: S3Config) -> AsyncIterator[tuple[Connection, Folder]]:
    """A connection and its folder. Raises ConfigurationError, StorageUnavailable."""
    connection = await Connection.open(config)
    try:
        yield connection, await connection.folder()
    finally:
        await connection.close()
