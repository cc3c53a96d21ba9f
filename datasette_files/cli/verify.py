"""``datasette files verify`` and ``manifest``: whether every byte is still there."""

from __future__ import annotations

import re
import time

import click

from ..db.verify import WHOLE, Finding, Share
from ..maintenance import manifest
from ..maintenance.verify import Order
from ..permissions.actions import MANAGE
from ..permissions.grants import administrator
from .output import ManifestOutput, finding_line, verified
from .site import Commands, Site

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def _share(ctx: click.Context, param: click.Parameter, value: str | None) -> Share:
    if value is None:
        return WHOLE
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", value, re.ASCII)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise click.BadParameter(f"{value!r} is no share; write for example 2/7", ctx, param)
    return Share(int(found[1]), int(found[2]))


def _seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([smhd]?)", value, re.ASCII)
    if not found:
        raise click.BadParameter(f"{value!r} is no duration; write 90, 90s, 30m or 2h", ctx, param)
    return float(found[1]) * _UNITS[found[2]]


def register(commands: Commands) -> None:
    """Add the commands to ``datasette files``."""
    # 1 would mean that there are findings.
    command = commands.command(
        "verify", error_status=2, short_help="Compare a source's storage with the catalog"
    )
    command(_verify)
    commands.command("manifest", short_help="Print the files for `sha256sum -c`")(_manifest)


@click.argument("slug", metavar="SOURCE")
@click.option("--data", is_flag=True, help="Also read every byte and compare the sha256")
@click.option(
    "--share", metavar="N/M", callback=_share, help="Only part N of M of the files, for example 2/7"
)
@click.option("--max-duration", metavar="TIME", callback=_seconds, help="Stop after 90s, 30m or 2h")
async def _verify(
    site: Site, slug: str, data: bool, share: Share, max_duration: float | None
) -> int:
    """Compare the storage of SOURCE with the catalog, and repair nothing.

    Finds files that are missing or have another size, objects that the catalog does not know and,
    with --data, files with another sha256. A line has the kind, the file's id, since when it is
    known, when the file was last seen sound, and the path, separated by tabs.

    With --max-duration, the next such run continues reading where this one stopped.

    The exit status is 0 if all that was looked at is sound, 1 if there are findings, and 2 if it
    could not be told.
    """
    files = await site.start()
    deadline = None if max_duration is None else time.time() + max_duration
    order = Order(files.sources.get(slug), data=data, share=share, deadline=deadline)

    def tell(finding: Finding) -> None:
        if not site.as_json:
            click.echo(finding_line(finding.as_json()))

    report = await files.verifier.verify(order, tell)
    result = {
        "source": slug,
        "complete": report.complete,
        "files": report.files,
        "bytes_read": report.bytes,
        "without_sha256": report.without_sha256,
        "problems": report.problems,
        "findings": [one.as_json() for one in report.findings],
    }
    return verified(site, result, data=data)


@click.argument("slug", metavar="SOURCE")
async def _manifest(site: Site, slug: str) -> int:
    """Print the sha256 and path of each file of SOURCE, for `sha256sum -c` in its root.

    A file whose sha256 is not known is named on standard error; then the exit status is 1.
    """
    files = await site.start()
    source = files.sources.get(slug)
    output = ManifestOutput(site)
    async for entries in manifest.pages(files.catalog, administrator(MANAGE, source.slug), source):
        for one in entries:
            output.add(one)
    return output.end()
