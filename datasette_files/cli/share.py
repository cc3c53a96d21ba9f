"""``datasette files share``, ``shares`` and ``unshare``: links for people without an account."""

from __future__ import annotations

import click

from ..catalog.shares import Terms, as_json, share_json
from ..errors import FilesError, Invalid
from ..permissions.actions import Actor
from .output import Output, ids, link_line, seconds_of, text
from .site import Commands, Site


def register(commands: Commands) -> None:
    """Add the commands to ``datasette files``."""
    commands.command("share", short_help="Make a link to files")(_share)
    commands.command("shares", short_help="List the links")(_shares)
    commands.command("unshare", short_help="End links")(_unshare)


@click.argument("given", metavar="ID...", nargs=-1, required=True)
@click.option("--as", "maker", metavar="ACTOR", help="The id of the link's maker; not with --url")
@click.option("--days", type=float, help="Days until it ends; share_default_days without")
@click.option("--label", help="A text for its receivers")
@click.option("--max-downloads", type=int, help="Downloads until it ends")
@click.option("--site", "site_url", metavar="URL", default="", help="The site's address")
async def _share(
    site: Site,
    given: tuple[str, ...],
    maker: str | None,
    days: float | None,
    label: str | None,
    max_downloads: int | None,
    site_url: str,
) -> None:
    """Make a link by which people without an account see files and download them.

    The link gives what its maker, named by --as, may do at each moment: who has no right to view
    and to share the files cannot make it. Its address is printed once; without --site it begins
    with the path. An ID of - reads ids from standard input.
    """
    if maker is None:
        raise Invalid("--as is missing; name the actor who makes the link")
    files = await site.start()
    actor: Actor = {"id": text(maker, "--as")}
    terms = Terms(
        expires_in=seconds_of(days),
        label=None if label is None else text(label, "--label"),
        max_downloads=max_downloads,
    )
    share, wanted, token = await files.shares.share(actor, ids(given), terms)
    url = f"{site_url.rstrip('/')}{files.base_url}-/files/s/{token}"
    made = {**share_json(share, wanted), "url": url}
    site.show({"share": made}, f"{share.id}\t{url}")


async def _shares(site: Site) -> None:
    """List the links that have not ended: id, kind, maker, end, downloads or files, and label.

    A suspended link shows nothing until its maker has the lost right again.
    """
    files = await site.start()
    listed = [as_json(one) for one in await files.shares.all()]
    lines = [link_line(one) for one in listed]
    site.show({"shares": listed}, "\n".join(lines) or "There are no links")


@click.argument("given", metavar="SHARE...", nargs=-1, required=True)
async def _unshare(site: Site, given: tuple[str, ...]) -> int:
    """End links for good, by the ids that `datasette files shares` prints first in each line.

    A SHARE of - reads ids from standard input.
    """
    files = await site.start()
    output = Output(site)
    for share_id in ids(given):
        try:
            await files.shares.end(None, share_id)
        except FilesError as error:
            output.fail(share_id, error)
            continue
        output.add(share_id, share_id)
    return output.end("ended")
