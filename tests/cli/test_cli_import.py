"""``datasette files import``: a table made, a newer file compared and merged, a refusal told."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from click.testing import CliRunner, Result
from datasette.cli import cli

from tests.conftest import disk_source
from tests.support.imports import site


def test_a_file_becomes_a_table_and_a_newer_one_is_merged_whatever_the_permissions(
    tmp_path: Path,
) -> None:
    config = tmp_path / "datasette.json"
    sources = {"docs": disk_source(tmp_path / "docs")}
    plugins = {"datasette-files": {"sources": sources}}
    config.write_text(json.dumps({"plugins": plugins, "permissions": {"insert-row": False}}))
    database = tmp_path / "shop.db"
    sqlite3.connect(database).close()

    def run(*arguments: str) -> Result:
        options = ["--config", str(config), "--internal", str(tmp_path / "internal.db")]
        ran = CliRunner().invoke(cli, ["files", *arguments, *options])
        assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
        return ran

    def put(name: str, content: str) -> str:
        (tmp_path / name).write_text(content)
        record = json.loads(run("put", "docs", str(tmp_path / name), "--json").stdout)["files"][0]
        return str(record["id"])

    def bring(file_id: str, *options: str) -> Result:
        return run("import", file_id, "--database", str(database), *options)

    old = put("prices.csv", "sku;price\na;1\nb;2\n")
    made = bring(old, "--key", "sku")
    assert (made.exit_code, made.stdout) == (0, f"{old}\tshop/prices\t2 rows\n")
    assert site.rows(database, "prices") == [("a", 1), ("b", 2)]
    again = bring(old)
    assert again.exit_code == 1
    assert "There is a table 'prices' already" in again.stderr
    new = put("prices-2.csv", "sku;price\nb;3\nc;4\n")
    to = ("--table", "prices", "--json", "--mode")
    counts = json.loads(bring(new, *to, "compare").stdout)["imports"][0]
    assert (counts["added"], counts["changed"], counts["removed"]) == (1, 1, 1)
    assert bring(new, *to, "merge", "--removes").exit_code == 0
    assert site.rows(database, "prices") == [("b", 3), ("c", 4)]
    wrong = bring(put("broken.csv", "a,b\n1,2,3\n"), "--delimiter", ",")
    assert wrong.exit_code == 1
    assert "Row 1: has 3 values" in wrong.stderr
    assert site.tables(database) == {"prices", "sqlite_autoindex_prices_1"}
