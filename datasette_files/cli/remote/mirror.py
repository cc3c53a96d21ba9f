"""``datasette files sync-up`` and ``sync-down``: a local folder and a server's source in step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ...client import Unreachable
from ...client.folder import Folder
from ...client.mirroring import Known, Local, Remote, Sides, Step, down, up
from ...client.server import refusal
from ...errors import Conflict, FilesError, Invalid, NoSpace
from ...jobs.parallel import each, several
from ..output import Output, shown
from . import server

if TYPE_CHECKING:
    from ..site import Commands, Site

_Function = TypeVar("_Function", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--dry-run", is_flag=True, help="Show what would be done, and change nothing"),
    click.option(
        "--delete", "deletes", is_flag=True, help="Also delete what was deleted on the other side"
    ),
    click.option(
        "--jobs",
        type=click.IntRange(1, 64),
        default=4,
        show_default=True,
        help="How many files are transferred at the same time",
    ),
)
_WORDS = {
    **{"send": "upload", "fetch": "download", "remove": "delete", "conflict": "changed on both"},
    **{"other": "left", "adopt": "same", "same": "same"},
}


def register(commands: Commands) -> None:
    """Add the commands to ``datasette files``."""
    commands.command("sync-up", short_help="Bring a source in step with a folder")(_sync_up)
    commands.command("sync-down", short_help="Bring a folder in step with a source")(_sync_down)
    commands.over_http |= {"sync-up": _up, "sync-down": _down}


def _shared(function: _Function) -> _Function:
    for decorate in reversed(_OPTIONS):
        function = decorate(function)
    return function


@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("slug", metavar="SOURCE")
@_shared
async def _sync_up(site: Site, **_: Any) -> None:
    """Upload what is new or changed in DIR to SOURCE of a server, with its folders.

    A changed file becomes a new version of the old one. A file that changed on both sides since the
    last run is left as it is, and the exit status is 3. Without --delete nothing is deleted; with
    it only what an earlier run had brought there, and nobody has changed since. DIR keeps a small
    file about the last run.

    \b
    datasette files sync-up photos docs --url https://data.example.org/ --token dstok_…
    """
    raise Invalid("sync-up works against a server; name it with --url")


@click.argument("slug", metavar="SOURCE")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@_shared
async def _sync_down(site: Site, **_: Any) -> None:
    """Download what is new or changed in SOURCE of a server into DIR, with its folders.

    A file that changed on both sides since the last run is left as it is, and the exit status is 3.
    Without --delete nothing is deleted; with it only what an earlier run had brought there, and
    nobody has changed since. DIR keeps a small file about the last run.
    """
    raise Invalid("sync-down works against a server; name it with --url")


async def _up(remote: server.Remote, **options: Any) -> int:
    return await _Run(remote, **options).run(up)


async def _down(remote: server.Remote, **options: Any) -> int:
    return await _Run(remote, **options).run(down)


@dataclass
class _Run:
    """One synchronization."""

    remote: server.Remote
    folder: Path
    slug: str
    dry_run: bool
    deletes: bool
    jobs: int

    async def run(self, plan: Callable[..., Iterator[Step]]) -> int:
        output = Output(self.remote)
        folder = Folder(self.folder, self.remote.client.url, self.slug)
        self.local = await asyncio.to_thread(folder.scan, output.fail)
        await asyncio.to_thread(folder.load)
        there = await self._there()
        sides = Sides(self.local, there, folder.known, folder.read)
        steps = await asyncio.to_thread(lambda: list(plan(sides, deletes=self.deletes)))
        try:
            await self._do(folder, steps, output)
        finally:
            if not self.dry_run:
                for path in folder.known.keys() - there.keys() - self.local.keys():
                    del folder.known[path]
                await asyncio.to_thread(folder.save)
        return output.end("steps", dry_run=self.dry_run)

    async def _there(self) -> dict[str, Remote]:
        """The newest file at each path of the source."""
        found: dict[str, Remote] = {}
        async with aclosing(self.remote.client.files(self.slug)) as files:  # type: ignore[type-var]
            async for file in files:
                path = f"{file['folder']}/{file['filename']}".lstrip("/")
                if file["missing_since"] is None:
                    found.setdefault(path, Remote(file["id"], file["size"], file["crc32"]))
        return found

    async def _do(self, folder: Folder, steps: list[Step], output: Output) -> None:
        async def one(step: Step) -> tuple[Step, FilesError | None]:
            try:
                await self._step(folder, step)
            except FilesError as error:
                return step, error
            return step, None

        async with aclosing(several(each(steps), one, self.jobs)) as done:
            async for step, error in done:
                if error is not None:
                    output.fail(step.path, error)
                    if isinstance(error, Unreachable | NoSpace):
                        return
                elif step.kind not in ("same", "adopt"):
                    line = f"{_WORDS[step.kind]}\t{shown(step.path)}"
                    output.add({"action": _WORDS[step.kind], "path": step.path}, line)

    async def _step(self, folder: Folder, step: Step) -> None:
        if step.kind == "conflict":
            raise Conflict("It changed on both sides; rename or delete one of them, then try again")
        if self.dry_run:
            return
        if step.kind == "send":
            await self._send(folder, step)
        elif step.kind == "fetch" and step.remote is not None:
            await self._fetch(folder, step.path, step.remote)
        elif step.kind in ("adopt", "same") and step.remote is not None:
            await asyncio.to_thread(self._remember, folder, step.path, step.remote.id)
        elif step.kind == "remove":
            await self._remove(folder, step)

    async def _send(self, folder: Folder, step: Step) -> None:
        parent, _, name = step.path.rpartition("/")
        stored = await self.remote.client.put(
            self.slug,
            folder.at(step.path),
            name=name,
            folder=parent,
            replaces=step.remote.id if step.remote else None,
        )
        # The file may have changed since it was found: what was stored is what both sides have.
        algorithm, _, sha256 = (stored["content_hash"] or "").partition(":")
        if algorithm == "sha256":
            local = self.local[step.path]
            folder.known[step.path] = Known(stored["id"], stored["size"], local.mtime_ns, sha256)
        else:
            await asyncio.to_thread(self._remember, folder, step.path, stored["id"])

    async def _fetch(self, folder: Folder, path: str, there: Remote) -> None:
        place = folder.at(path)
        before = self.local.get(path)
        await asyncio.to_thread(place.parent.mkdir, parents=True, exist_ok=True)
        if before is not None:
            info = await asyncio.to_thread(place.stat)
            if (info.st_size, info.st_mtime_ns) != (before.size, before.mtime_ns):
                raise Conflict("It changed meanwhile; run the command again")
        await self.remote.client.get(there.id, place, replace=before is not None)
        info = await asyncio.to_thread(place.stat)
        self.local[path] = Local(info.st_size, info.st_mtime_ns)
        folder.forget_read(path)
        await asyncio.to_thread(self._remember, folder, path, there.id)

    async def _remove(self, folder: Folder, step: Step) -> None:
        if step.remote is None:
            await asyncio.to_thread(folder.at(step.path).unlink, missing_ok=True)
            self.local.pop(step.path, None)
        else:
            # Else the version before it would be there again.
            versions = await self.remote.client.versions(step.remote.id)
            answer = await self.remote.client.bulk("delete", [one["id"] for one in versions])
            for one in answer["refused"]:
                raise refusal(one["code"])
        folder.known.pop(step.path, None)

    def _remember(self, folder: Folder, path: str, file_id: str) -> None:
        """Both sides have the same bytes now."""
        local, known = self.local[path], folder.known.get(path)
        now = (file_id, local.size, local.mtime_ns)
        if known is not None and (known.id, known.size, known.mtime_ns) == now:
            return
        sha256 = folder.read(path).sha256
        folder.known[path] = Known(file_id, local.size, local.mtime_ns, sha256)
