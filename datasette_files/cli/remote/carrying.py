"""``datasette files copy`` and ``move`` against a server.

The server moves by itself. A copy has no route of its own: its bytes pass through this machine.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from ...client import Record
from ...client.server import refusal
from ...errors import FilesError, NoSpace, NotFound, PermissionDenied, StorageUnavailable
from ...jobs.parallel import each, several
from ..output import Output, count, ids, progress
from .changing import bulk
from .selecting import selected
from .server import Remote, refuse, refuse_typed

if TYPE_CHECKING:
    from ..site import Commands


def register(commands: Commands) -> None:
    """Add the commands to those that work against a server."""
    commands.over_http |= {"copy": _copy, "move": _move}


def _check(given: tuple[str, ...], everything: bool, filtered: dict[str, Any]) -> None:
    if sum((bool(given), any(filtered.values()), everything)) != 1:
        raise click.UsageError("Select files by --id, by filters, or with --all")


async def _chosen(
    remote: Remote, output: Output, slug: str, given: tuple[str, ...], filtered: dict[str, Any]
) -> AsyncIterator[Record]:
    """The files of the source: those with these ids, or those that the filters select."""
    if not given:
        async with aclosing(selected(remote.client, slug, **filtered)) as files:
            async for file in files:
                yield file
        return
    for file_id in ids(given):
        try:
            file = await remote.client.file(file_id)
            if file["source_slug"] != slug:
                raise NotFound(f"The file is in the source {file['source_slug']!r}")
        except FilesError as error:
            output.fail(file_id, error)
        else:
            yield file


async def _move(
    remote: Remote,
    slug: str,
    target_slug: str,
    given: tuple[str, ...],
    everything: bool,
    reads_back: bool,
    dry_run: bool,
    jobs: int,
    grace: float,
    **filtered: Any,
) -> int:
    refuse(read_back=reads_back)
    refuse_typed("jobs", "grace")
    _check(given, everything, filtered)
    output = Output(remote)
    if dry_run:
        return await _count(remote, _chosen(remote, output, slug, given, filtered), output, "move")
    if given:
        return await bulk(remote, "move", ids(given), "files", to=target_slug)
    if filtered["name"] or filtered["prefix"]:
        # Known before the first one moves: a list has other pages afterwards.
        chosen = [one["id"] async for one in _chosen(remote, output, slug, given, filtered)]
        return await bulk(remote, "move", chosen, "files", to=target_slug)
    filters = {"source": slug, "q": filtered["search"], "content_type": list(filtered["types"])}
    answer = await remote.client.bulk(
        "move", filters={k: v for k, v in filters.items() if v}, to=target_slug
    )
    for one in answer["refused"]:
        output.fail(one["id"], refusal(one["code"]))
    remote.show({**output.failures, "done": answer["done"]}, f"{answer['done']:,} moved")
    return output.status


async def _count(remote: Remote, chosen: AsyncIterator[Record], output: Output, verb: str) -> int:
    """What would be done. Whether the target refuses a file, its server alone knows."""
    sizes = [one["size"] or 0 async for one in chosen]
    told = {"files": len(sizes), "bytes": sum(sizes)}
    line = f"Would {verb} {count(len(sizes), sum(sizes))}"
    remote.show({**output.failures, "done": {"would": told}, "dry_run": True}, line)
    return output.status


@dataclass
class _Copies:
    """A running copy: what the target holds already, and what was done."""

    remote: Remote
    output: Output
    target: str
    dry_run: bool
    #: The ids of the target's files, by name and size.
    there: dict[tuple[str, int | None], list[str]] = field(default_factory=dict)
    done: dict[str, list[int]] = field(default_factory=dict)
    stopped: FilesError | None = None
    #: Told the bytes of each step.
    tell: Callable[[int], None] = field(default=lambda size: None)

    async def look(self) -> None:
        async with aclosing(self.remote.client.files(self.target)) as files:  # type: ignore[type-var]
            async for file in files:
                self.there.setdefault((file["filename"], file["size"]), []).append(file["id"])

    async def one(self, file: Record) -> FilesError | None:
        """Copy a file, unless the target holds its bytes under its name."""
        try:
            state = await self._copied(await self.remote.client.file(file["id"]))
        except FilesError as error:
            self.output.fail(file["id"], error)
            return error
        self.done.setdefault(state, []).append(file["size"] or 0)
        return None

    async def _copied(self, record: Record) -> str:
        client, content = self.remote.client, record["content_hash"]
        for other in self.there.get((record["filename"], record["size"]), ()):
            if content is not None and (await client.file(other))["content_hash"] == content:
                return "present"
        if self.dry_run:
            return "would"
        copy = await client.copy(record["id"], self.target, progress=self.tell)
        if record["search_text"]:
            try:
                await client.update(copy["id"], search_text=record["search_text"])
            except PermissionDenied:
                self.output.note(f"{copy['id']}: copied without its description (files-edit)")
        return "copied"


async def _copy(
    remote: Remote,
    slug: str,
    target_slug: str,
    given: tuple[str, ...],
    everything: bool,
    reads_back: bool,
    dry_run: bool,
    jobs: int,
    **filtered: Any,
) -> int:
    """As beside the database, but that the copies belong to the token's actor."""
    refuse(read_back=reads_back)
    _check(given, everything, filtered)
    run = _Copies(remote, Output(remote), target_slug, dry_run)
    await run.look()
    chosen = [one async for one in _chosen(remote, run.output, slug, given, filtered)]
    with progress(remote, sum(one["size"] or 0 for one in chosen), target_slug) as run.tell:
        async with aclosing(several(each(chosen), run.one, jobs)) as outcomes:
            async for error in outcomes:
                if isinstance(error, StorageUnavailable | NoSpace):
                    run.stopped = error
                    break
    states = {name: {"files": len(s), "bytes": sum(s)} for name, s in run.done.items()}
    verbs = {"copied": "Copied", "present": "Already there:", "would": "Would copy"}
    lines = [f"{verbs[one]} {count(len(sizes), sum(sizes))}" for one, sizes in run.done.items()]
    if run.stopped is not None:
        lines.append("Stopped: the next file would fail too; correct the fault and run this again")
    stopped = None if run.stopped is None else run.stopped.code
    result = {"source": slug, "target": target_slug, "done": states, "stopped": stopped}
    told = "\n".join(lines) or "No file is selected"
    remote.show({**run.output.failures, **result, "dry_run": dry_run}, told)
    return run.output.status
