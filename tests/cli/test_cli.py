"""``datasette files``: what every command shares. The commands of plugins are tested with them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from datasette import hookimpl
from datasette.cli import cli
from datasette.plugins import pm

from datasette_files.errors import FileTooLarge, StorageUnavailable
from tests.conftest import disk_source

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """``run("sources", …)`` on a site with the disk source ``docs``."""
    config = {"plugins": {"datasette-files": {"sources": {"docs": disk_source(tmp_path / "docs")}}}}
    path = tmp_path / "datasette.json"
    path.write_text(json.dumps(config), "utf-8")

    def run_command(*arguments: str) -> Result:
        ran = CliRunner().invoke(cli, ["files", *arguments, "--config", str(path)])
        assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
        return ran

    return run_command


@contextmanager
def command(function: Callable[..., Any], *decorators: Any, name: str) -> Iterator[None]:
    """A plugin with one command."""

    class Plugin:
        @hookimpl
        def register_files_commands(self, commands: Any) -> None:
            commands.command(name)(function)

    for decorate in decorators:
        function = decorate(function)
    plugin = Plugin()
    pm.register(plugin, name=f"command-{id(plugin)}")
    try:
        yield
    finally:
        pm.unregister(plugin)


def test_sources_are_listed_and_none_is_brought_up(run: Run, tmp_path: Path) -> None:
    assert run("sources").stdout == "docs\tfilesystem\tdocs\n"
    listed = json.loads(run("sources", "--json").stdout)
    source = {"slug": "docs", "label": "docs", "storage_type": "filesystem"}
    assert listed == {"ok": True, "sources": [source]}
    assert not (tmp_path / "docs").exists()


def test_settings_and_directory_of_plugins_count_as_for_the_server(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "a_storage.py").write_text(
        "from datasette import hookimpl\n"
        "from tests.support.storages import MemoryStorage\n"
        "@hookimpl\n"
        "def register_files_storage_types(datasette):\n"
        "    return [MemoryStorage]\n"
    )
    more = ["-s", "plugins.datasette-files.sources.more.storage", "memory"]
    arguments = [*more, "--plugins-dir", str(tmp_path / "plugins")]
    try:
        assert run("sources", *arguments).stdout.splitlines()[1] == "more\tmemory\tmore"
    finally:
        pm.unregister(name="a_storage.py")


def test_a_wrong_configuration_is_one_line_and_status_1(run: Run, tmp_path: Path) -> None:
    ran = run("sources", "-s", "plugins.datasette-files.sources.docs.storage", "punched cards")
    assert (ran.exit_code, ran.stdout) == (1, "")
    assert ran.stderr.startswith(
        "Error (invalid): plugins.datasette-files.sources.docs.storage: unknown storage type"
    )
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "cannot be read as YAML or JSON"), ("[]", "must contain a mapping")],
)
def test_a_configuration_that_is_none_is_refused(
    tmp_path: Path, content: str, message: str
) -> None:
    (tmp_path / "wrong.yaml").write_text(content)
    arguments = ["files", "sources", "--config", str(tmp_path / "wrong.yaml")]
    ran = CliRunner().invoke(cli, arguments)
    assert (ran.exit_code, ran.stderr.count("\n")) == (1, 1)
    assert message in ran.stderr


def test_a_command_of_a_plugin_has_its_site_arguments_and_status(run: Run) -> None:
    async def greet(site: Any, whom: str, loud: bool) -> int:
        """Greet."""
        slugs = [source.slug for source in site.sources()]
        label = site.source(slugs[0]).label
        secret = await site.get_secret("NO_SUCH_SECRET")
        greeting = f"{whom}{'!' if loud else ''} {slugs} {label} {secret} {sorted(site.config)}"
        site.show({"greeting": greeting}, greeting)
        return 3

    options = (click.option("--loud", is_flag=True), click.argument("whom"))
    with command(greet, *options, name="greet"):
        ran = run("greet", "you", "--loud")
        assert (ran.stdout, ran.exit_code) == ("you! ['docs'] docs None ['plugins']\n", 3)
        assert "greet" in CliRunner().invoke(cli, ["files", "--help"]).stdout
        assert run("greet").exit_code == 2
    assert run("greet", "you").exit_code == 2


def test_errors_are_told_by_code(run: Run) -> None:
    async def fail(site: Any) -> None:
        raise StorageUnavailable("It is away; try again", "Its answer was 503")

    with command(fail, name="fail"):
        ran = run("fail")
        assert (ran.stdout, ran.exit_code) == ("", 1)
        line = "Error (storage_unavailable): It is away; try again; Its answer was 503\n"
        assert ran.stderr == line
        ran = run("fail", "--json")
    assert (json.loads(ran.stdout), ran.exit_code, ran.stderr) == (
        {
            "ok": False,
            "error": "It is away; try again",
            "errors": ["It is away; try again", "Its answer was 503"],
            "status": 503,
            "code": "storage_unavailable",
        },
        1,
        "",
    )


def test_a_source_that_is_not_configured_is_not_found(run: Run) -> None:
    async def look(site: Any) -> None:
        site.source("elsewhere")

    with command(look, name="look"):
        assert run("look").stderr == (
            "Error (not_found): There is no source named 'elsewhere'; use one that is configured\n"
        )


def test_two_commands_of_one_name_are_refused(run: Run) -> None:
    async def sources(site: Any) -> None:
        raise FileTooLarge("This is never run")

    with command(sources, name="sources"):
        ran = run("sources")
    assert ran.exit_code == 1
    assert "Two plugins define the command `datasette files sources`; uninstall one" in ran.stderr
