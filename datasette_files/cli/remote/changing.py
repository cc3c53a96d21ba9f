"""Commands against a server that change what it holds: put, rm, restore, purge and others.

Leaves out copy and move (carrying.py).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from ...client import Record, Unreachable
from ...client.server import refusal
from ...errors import FilesError, Invalid, NoSpace
from .. import disk
from ..output import Output, ids, seconds_of, shown
from ..putting import put_found
from .server import Remote, refuse

if TYPE_CHECKING:
    from ..site import Commands

_BATCH = 200


def register(commands: Commands) -> None:
    """Add the commands to those that work against a server."""
    commands.over_http |= {
        **{"put": _put, "rm": _rm, "restore": _restore, "purge": _purge},
        **{"import": _import, "share": _share, "unshare": _unshare, "sync": _sync},
    }


async def _put(
    remote: Remote,
    slug: str,
    paths: tuple[str, ...],
    recursive: bool,
    name: str | None,
    content_type: str | None,
    uploader: str | None,
    jobs: int | None,
) -> int:
    refuse(uploaded_by=uploader)
    disk.check_name(paths, name, recursive=recursive)
    output = Output(remote)
    if paths == ("-",):
        chunks = disk.read(sys.stdin.buffer)
        stored = await remote.client.put_stream(slug, chunks, name or "", content_type=content_type)
        output.add(stored, stored["id"])
        return output.end()

    async def put(item: disk.Found, tell: Callable[[int], None]) -> Record:
        return await remote.client.put(
            slug, item.path, name=name, content_type=content_type, progress=tell
        )

    found = partial(disk.found, paths, recursive)
    await put_found(remote, found, jobs, output, put, (Unreachable, NoSpace))
    return output.end()


async def bulk(remote: Remote, action: str, wanted: list[str], name: str, **more: Any) -> int:
    """One action on these files, and the output of each."""
    output = Output(remote)
    trashed: list[str] = []
    for start in range(0, len(wanted), _BATCH):
        chosen = wanted[start : start + _BATCH]
        answer = await remote.client.bulk(action, chosen, **more)
        refused = {one["id"]: one["code"] for one in answer["refused"]}
        trashed += answer["trashed"]
        for file_id in chosen:
            if file_id in refused:
                output.fail(file_id, refusal(refused[file_id]))
            else:
                kept = "\tin the trash" if file_id in answer["trashed"] else ""
                output.add(file_id, f"{file_id}{kept}")
    return output.end(name, **({"trashed": trashed} if action == "delete" else {}))


async def _rm(remote: Remote, given: tuple[str, ...]) -> int:
    return await bulk(remote, "delete", ids(given), "deleted")


async def _restore(remote: Remote, given: tuple[str, ...]) -> int:
    return await bulk(remote, "restore", ids(given), "restored")


async def _purge(remote: Remote, given: tuple[str, ...], yes: bool) -> int:
    wanted = ids(given)
    if not yes:
        number = f"{len(wanted):,} file{'' if len(wanted) == 1 else 's'}"
        click.confirm(f"Delete {number} for good?", abort=True, err=True)
    return await bulk(remote, "purge", wanted, "purged")


async def _import(
    remote: Remote, file_id: str, path: str, table: str | None, mode: str, **options: Any
) -> int:
    if table is None:
        raise Invalid("--table is missing; name the table")
    names = {"form": "format", "encoding": "encoding", "delimiter": "delimiter", "member": "member"}
    form = {field: str(options[name]) for name, field in names.items() if options[name]}
    form |= {"primary_key": options["key"]} if options["key"] else {}
    form |= {"removes": "1"} if options["removes"] else {}
    job = await remote.client.import_table(file_id, path, table, mode=mode, **form)
    output = Output(remote)
    counts = {"rows": job["row_count"], **{k: job[k] for k in ("added", "changed", "removed")}}
    told = [f"{number:,} {name}" for name, number in counts.items() if number is not None]
    place = {"database": path, "table": table, "mode": mode}
    line = f"{file_id}\t{shown(path)}/{shown(table)}\t{', '.join(told)}"
    output.add({"id": file_id, **place, **counts}, line)
    return output.end("imports")


async def _share(
    remote: Remote,
    given: tuple[str, ...],
    maker: str | None,
    days: float | None,
    label: str | None,
    max_downloads: int | None,
    site_url: str,
) -> None:
    refuse(**{"as": maker, "site": site_url})
    made = await remote.client.share(
        ids(given),
        expires_in=seconds_of(days),
        label=label,
        max_downloads=max_downloads,
    )
    remote.show({"share": made}, f"{made['id']}\t{made['url']}")


async def _unshare(remote: Remote, given: tuple[str, ...]) -> int:
    output = Output(remote)
    for share_id in ids(given):
        try:
            await remote.client.revoke(share_id)
        except FilesError as error:
            output.fail(share_id, error)
        else:
            output.add(share_id, share_id)
    return output.end("ended")


async def _sync(remote: Remote, slug: str, accept_missing: bool, restored: bool) -> int:
    refuse(restored=restored)
    walk = await remote.client.index(slug, accept_missing=accept_missing)
    told = ", ".join(f"{number:,} {name}" for name, number in walk["counts"].items())
    remote.show({"source": slug, "complete": walk["problem"] is None, **walk}, told or "No files")
    if not remote.as_json:
        for one in walk["failures"]:
            click.echo(f"{shown(one['path'])}: {shown(one['reason'])}", err=True)
        if walk["problem"] is not None:
            click.echo(f"Stopped: {walk['problem']}", err=True)
    if walk["problem"] is not None:
        return 1
    return 3 if walk["counts"].get("failed") else 0
