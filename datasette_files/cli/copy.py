"""``datasette files copy`` and ``move``: from one source into another, also while a server runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import click

from ..app import Files
from ..db import selection
from ..db.selection import Selection
from ..errors import FilesError, NoSpace, NotFound, StorageUnavailable
from ..jobs.parallel import several
from ..models import FileRecord, SourceTotals
from ..transfer.copying import GRACE_SECONDS, Carried, Order
from .output import Output, count, ids, progress
from .selection import by_id, chosen_by, filters, walk
from .site import Commands, Site

_Function = TypeVar("_Function", bound=Callable[..., Any])

#: Files whose old bytes are deleted in one call.
_CLEAR_BATCH = 100

_SHARED = (
    click.argument("slug", metavar="SOURCE"),
    click.argument("target_slug", metavar="TARGET"),
    click.option(
        "--id",
        "given",
        metavar="ID",
        multiple=True,
        help="The id of a file; may be repeated; - reads ids from standard input",
    ),
    filters,
    click.option("--all", "everything", is_flag=True, help="Every file of SOURCE"),
    click.option(
        "--jobs",
        type=click.IntRange(1, 64),
        default=4,
        show_default=True,
        help="How many files are transferred at the same time",
    ),
    click.option(
        "--read-back", "reads_back", is_flag=True, help="Also read each file back from TARGET"
    ),
    click.option("--dry-run", is_flag=True, help="Show what would be done, and change nothing"),
)


def register(commands: Commands) -> None:
    """Add the commands to ``datasette files``."""
    commands.command("copy", short_help="Copy files into another source")(_copy)
    commands.command("move", short_help="Move files into another source; ids stay")(_move)


def _shared(function: _Function) -> _Function:
    for decorate in reversed(_SHARED):
        function = decorate(function)
    return function


@_shared
async def _copy(site: Site, slug: str, target_slug: str, reads_back: bool, **options: Any) -> int:
    """Copy files of SOURCE into TARGET. Each copy is a new file with its own id.

    Select files by --id, by filters, or with --all. A file must match all filters. Each file is
    streamed, verified by size and sha256, and done when it is durable. After an interruption, run
    the command again: it makes no second copy of a file. A server may run beside it.

    With --url the bytes pass through this machine, and the token's actor is the uploader.

    \b
    datasette files copy docs archive --type image -c datasette.yaml --internal internal.db
    """
    files = await site.start()
    source, target = files.sources.get(slug), files.sources.get(target_slug)
    return await _carry(site, files, Order(source, target, False, 0, reads_back), **options)


@_shared
@click.option(
    "--grace",
    type=click.FloatRange(0),
    default=GRACE_SECONDS,
    show_default="an hour",
    metavar="SECONDS",
    help="How long the old bytes stay for running downloads; 0 if no server runs",
)
async def _move(
    site: Site, slug: str, target_slug: str, reads_back: bool, grace: float, **options: Any
) -> int:
    """Move files of SOURCE into TARGET. They keep their ids, so rows and links stay valid.

    Select files by --id, by filters, or with --all. A file must match all filters. Each file is
    streamed, verified by size and sha256, and then switched at once, so that it can be read at any
    time. After an interruption, run the command again: it moves the remaining files. A server may
    run beside it. The server deletes the old bytes after --grace; they take space until then.

    With --url the server moves the files by itself.

    \b
    datasette files move docs s3 --all -c datasette.yaml --internal internal.db
    """
    files = await site.start()
    source, target = files.sources.get(slug), files.sources.get(target_slug)
    return await _carry(site, files, Order(source, target, True, grace, reads_back), **options)


@dataclass
class _Run:
    """A running command and its results."""

    order: Order
    files: Files
    output: Output
    states: dict[str, SourceTotals] = field(default_factory=dict)
    #: The error that stopped the command before the remaining files.
    stopped: FilesError | None = None
    #: Old paths of moved files, to be deleted without a grace period.
    old: list[str] = field(default_factory=list)
    #: Whether the user interrupted the command.
    interrupted: bool = False

    def note(self, state: str, size: int | None) -> None:
        before = self.states.get(state, SourceTotals())
        self.states[state] = SourceTotals(before.files + 1, before.bytes + (size or 0))

    async def done(self, before: FileRecord, carried: Carried) -> None:
        self.note(carried.state, carried.file.size)
        if carried.state == "moved" and self.order.grace <= 0:
            self.old.append(before.path)
            if len(self.old) >= _CLEAR_BATCH:
                await self.clear()

    async def clear(self) -> None:
        paths, self.old = self.old, []
        await self.files.copier.clear(self.order.source, paths)

    def as_json(self) -> dict[str, Any]:
        states = {state: asdict(totals) for state, totals in self.states.items()}
        stopped = None if self.stopped is None else self.stopped.code
        return {
            **self.output.failures,
            **({"ok": False} if self.interrupted else {}),
            "source": self.order.source.slug,
            "target": self.order.target.slug,
            "done": states,
            "stopped": "interrupted" if self.interrupted else stopped,
        }

    def as_text(self) -> str:
        verbs = {
            "moved": "Moved",
            "copied": "Copied",
            "present": "Already there:",
            "would": "Would move" if self.order.moves else "Would copy",
        }
        lines = [
            f"{verbs[state]} {count(totals.files, totals.bytes)}"
            for state, totals in self.states.items()
        ]
        if "moved" in self.states and self.order.grace > 0:
            lines.append(f"The server deletes the old bytes in {self.order.grace:g} seconds")
        if self.output.failed_count:
            lines.append(f"{count(self.output.failed_count)} failed")
        if self.stopped is not None:
            lines.append(
                "Stopped: the next file would fail too; correct the fault and run this again"
            )
        if self.interrupted:
            return "\n".join([*lines, "Interrupted; run this again to continue"])
        return "\n".join(lines) or "No file is selected"


async def _carry(
    site: Site,
    files: Files,
    order: Order,
    given: tuple[str, ...],
    everything: bool,
    jobs: int,
    dry_run: bool,
    **filtered: Any,
) -> int:
    chosen = None if given else chosen_by(order.source, **filtered)
    if sum((bool(given), any(filtered.values()), everything)) != 1:
        raise click.UsageError("Select files by --id, by filters, or with --all")
    order.check()
    run = _Run(order, files, Output(site))
    wanted = ids(given)
    if dry_run:
        async for file in _candidates(run, chosen, wanted):
            await _foresee(run, file)
    else:
        await files.copier.drop_dead_claims()
        size = await _size(run, chosen, wanted)
        try:
            with progress(site, size, order.target.slug) as tell:
                await _carry_all(run, _candidates(run, chosen, wanted), jobs, tell)
        except asyncio.CancelledError:
            run.interrupted = True
            site.show({**run.as_json(), "dry_run": False}, run.as_text())
            raise
    site.show({**run.as_json(), "dry_run": dry_run}, run.as_text())
    return run.output.status


def _candidates(
    run: _Run, chosen: Selection | None, wanted: list[str]
) -> AsyncIterator[FileRecord]:
    if chosen is not None:
        return walk(run.files, chosen)
    return _of_these_sources(run, by_id(run.files, wanted, run.output.fail))


async def _of_these_sources(
    run: _Run, found: AsyncIterator[FileRecord]
) -> AsyncIterator[FileRecord]:
    async for file in found:
        moved = run.order.moves and file.source_id == run.order.target.id
        if file.source_id == run.order.source.id or moved:
            yield file
        else:
            run.output.fail(file.id, NotFound(f"The file is in the source {file.source_slug!r}"))


async def _size(run: _Run, chosen: Selection | None, wanted: list[str]) -> int:
    """The bytes to transfer, for the progress bar."""
    if chosen is not None:
        totals = await run.files.catalog.query(lambda conn: selection.totals(conn, chosen))
        return totals.bytes
    found = by_id(run.files, wanted, lambda what, error: None)
    return sum([file.size or 0 async for file in found])


async def _foresee(run: _Run, file: FileRecord) -> None:
    if present := await run.files.copier.foreseen(run.order, file):
        run.note("present", present.size)
    elif refusal := run.order.refusal(file):
        run.output.fail(file.id, refusal)
    else:
        run.note("would", file.size)


async def _carry_all(
    run: _Run, candidates: AsyncIterator[FileRecord], jobs: int, tell: Callable[[int], None]
) -> None:
    async def one(file: FileRecord) -> tuple[FileRecord, Carried | FilesError]:
        try:
            return file, await run.files.carry(run.order, file, tell)
        except FilesError as error:
            return file, error

    try:
        async with aclosing(several(candidates, one, jobs)) as outcomes:
            async for file, outcome in outcomes:
                if not isinstance(outcome, FilesError):
                    await run.done(file, outcome)
                    continue
                run.output.fail(file.id, outcome)
                if isinstance(outcome, StorageUnavailable | NoSpace):
                    run.stopped = outcome
                    return
    finally:
        await run.clear()
