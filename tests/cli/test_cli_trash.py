"""``datasette files restore`` and ``purge``, and the variables that name the site."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from datasette.cli import cli

from tests.conftest import disk_source


def test_files_of_the_trash_are_restored_or_purged_on_a_site_that_variables_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = {"docs": disk_source(tmp_path / "docs", trash_days=3)}
    config = tmp_path / "datasette.json"
    config.write_text(json.dumps({"plugins": {"datasette-files": {"sources": sources}}}))
    monkeypatch.setenv("DATASETTE_FILES_CONFIG", str(config))
    monkeypatch.setenv("DATASETTE_FILES_INTERNAL", str(tmp_path / "internal.db"))

    def run(*arguments: str, stdin: str | None = None) -> Result:
        ran = CliRunner().invoke(cli, ["files", *arguments], input=stdin)
        assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
        return ran

    ids = []
    for name in ("a.txt", "b.txt", "c.txt"):
        (tmp_path / name).write_text(name)
        ids.append(json.loads(run("put", "docs", str(tmp_path / name), "--json").stdout)["files"])
    one, two, three = (files[0]["id"] for files in ids)
    described = run("info", one).stdout
    assert "None" not in described
    assert "width:\n" in described

    assert run("rm", one, two).exit_code == 0
    assert "datasette files restore" in run("rm", one).stderr
    restored = run("restore", one, three)
    assert restored.stdout == f"{one}\ta.txt\n"
    assert restored.exit_code == 3
    assert f"Error (not_found): {three}: The file is not in the trash" in restored.stderr
    assert run("purge", two, stdin="n\n").exit_code == 1
    assert json.loads(run("purge", two, three, "--yes", "--json").stdout)["purged"] == [two]
    # A file outside of the trash stays.
    assert [line.split("\t")[0] for line in run("ls", "docs").stdout.splitlines()] == [one, three]
    assert sorted(path.read_text() for path in (tmp_path / "docs").rglob("*.txt")) == [
        "a.txt",
        "c.txt",
    ]
