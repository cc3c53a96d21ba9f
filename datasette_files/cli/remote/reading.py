"""Commands against a server that change nothing there: sources, ls, info, get, shares, verify."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...client import Record
from ...db.verify import Share
from ...errors import Conflict, FilesError, Invalid
from ...naming import stored_name
from ..output import Output, count, finding_line, ids, link_line, progress, shown, text, verified
from .selecting import selected
from .server import Remote

if TYPE_CHECKING:
    from ..site import Commands


def register(commands: Commands) -> None:
    """Add the commands to those that work against a server."""
    commands.over_http |= {
        **{"sources": _sources, "ls": _ls, "info": _info, "get": _get},
        **{"shares": _shares, "verify": _verify},
    }


def line_of(file: Record) -> str:
    """Id, bytes, type, time added and name, separated by tabs."""
    size = "" if file["size"] is None else str(file["size"])
    cells = (file["id"], size, file["content_type"] or "", file["created_at"], file["filename"])
    return "\t".join(map(shown, cells))


async def _sources(remote: Remote) -> None:
    listed = await remote.client.sources()
    lines = [f"{one['slug']}\t{one['storage_type']}\t{shown(one['label'])}" for one in listed]
    remote.show({"sources": listed}, "\n".join(lines) or "There is no source for this token")


async def _ls(remote: Remote, slug: str, limit: int, after: str, **filtered: Any) -> None:
    output, listed, size = Output(remote), 0, 0
    found = selected(remote.client, slug, after=text(after, "--after"), **filtered)
    last: Record = {}
    more = False
    async with aclosing(found) as files:
        async for file in files:
            if more := listed == limit:
                break
            output.add(file, line_of(file))
            listed, size, last = listed + 1, size + (file["size"] or 0), file
    following = last.get("path") if more else None  # a list by paths alone has them
    remote.show({"files": output.results, "more": more, "next": following})
    output.note(count(listed, size))
    if following is not None:
        output.note(f"There are more: continue with --after {shown(following)!r}")
    elif more:
        output.note("There are more: raise --limit")


async def _info(remote: Remote, given: tuple[str, ...]) -> int:
    output = Output(remote)
    for file_id in ids(given):
        try:
            record = await remote.client.file(file_id)
        except FilesError as error:
            output.fail(file_id, error)
            continue
        record.pop("ok", None)
        lines = [
            f"{name}: {'' if value is None else shown(str(value))}".rstrip()
            for name, value in record.items()
        ]
        output.add(record, "\n".join(lines) + "\n")
    return output.end()


async def _get(remote: Remote, given: tuple[str, ...], output: str, force: bool) -> int:
    wanted, results, folder = ids(given), Output(remote), Path(output)
    if output == "-":
        if len(wanted) != 1 or remote.as_json:
            raise Invalid("Standard output takes one file only, without --json; name a directory")
        await remote.client.read_into(wanted[0], sys.stdout.buffer)
        await asyncio.to_thread(sys.stdout.buffer.flush)
        return 0
    is_folder = await asyncio.to_thread(folder.is_dir)
    if len(wanted) != 1 and not is_folder:
        raise Invalid(f"--output: {output} must be a directory, because there are several files")
    written: set[Path] = set()
    for file_id in wanted:
        try:
            record = await remote.client.file(file_id)
            path = folder / stored_name(record["filename"]) if is_folder else folder
            if path in written:
                raise Conflict(f"{path} holds another of these files; download this one alone")
            with progress(remote, record["size"] or 0, file_id) as tell:
                await remote.client.get(file_id, path, replace=force, progress=tell)
        except FilesError as error:
            results.fail(file_id, error)
            continue
        written.add(path)
        results.add({"id": file_id, "path": str(path), "size": record["size"]}, shown(str(path)))
    return results.end()


async def _shares(remote: Remote) -> None:
    listed = await remote.client.shares()
    lines = [link_line(one) for one in listed]
    remote.show({"shares": listed}, "\n".join(lines) or "There are no links")


async def _verify(
    remote: Remote, slug: str, data: bool, share: Share, max_duration: float | None
) -> int:
    """The server verifies as a job. The findings are the open ones of what it looked at."""
    job, found = await remote.client.verify(
        slug, data=data, share=f"{share.number}/{share.of}", max_duration=max_duration
    )
    if job["status"] != "finished":
        job["problems"].append(job["error"] or f"The verification was {job['status']}")
    kinds = ("missing", "size", "unknown", *(("sha256",) if data else ()))
    findings = [one for one in found if one["kind"] in kinds and share.has(one["path"])]
    if not remote.as_json:
        for one in findings:
            click.echo(finding_line(one))
    names = ("complete", "files", "bytes_read", "without_sha256", "problems")
    report = {"source": slug, **{name: job[name] for name in names}, "findings": findings}
    return verified(remote, report, data=data)
