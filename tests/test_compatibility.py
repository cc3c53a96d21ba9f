"""What we use of Datasette beyond its documentation is listed, with what to ask for instead."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from datasette.utils import functions_marked_as_documented

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("datasette_files", "datasette_files_s3")
#: Names that Datasette's documentation tells plugins to import, by module.
DOCUMENTED = {
    "datasette": {"hookimpl", "actor_matches_allow"},
    "datasette.app": {"Datasette"},
    "datasette.column_types": {"ColumnType", "SQLiteType"},
    "datasette.database": {"Database", "Results"},
    "datasette.events": {"Event", "CreateTableEvent", "UpdateRowEvent"},
    "datasette.jump": {"JumpSQL"},
    "datasette.permissions": {"Action", "PermissionSQL", "Resource"},
    "datasette.plugins": {"pm"},
    "datasette.resources": {"DatabaseResource", "QueryResource", "TableResource"},
    "datasette.telemetry": {"request_span"},
    "datasette.telemetry_registry": {
        *("Attribute", "COUNTER", "HISTOGRAM", "MetricName", "SpanName", "URL_PATH"),
    },
    "datasette.utils": {one.__name__ for one in functions_marked_as_documented},
    "datasette.utils.asgi": {"Forbidden", "NotFound", "Request", "Response"},
}
#: How our code names an object of Datasette's, and its class.
OBJECTS = {
    **dict.fromkeys(("datasette", "_datasette", "ds", "site"), "Datasette"),
    **dict.fromkeys(("database", "_database", "db", "Database"), "Database"),
    **dict.fromkeys(("request", "response"), "Request"),
}


def _trees() -> Iterator[ast.Module]:
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            yield ast.parse(path.read_text("utf-8"))


def _imported(tree: ast.Module) -> Iterator[str]:
    """``module.name`` of all that is imported from Datasette, and read from its modules."""
    modules = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for one in node.names:
                assert not one.name.startswith("datasette."), "import the names, to have them here"
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            if node.module.partition(".")[0] != "datasette":
                continue
            for one in node.names:
                if (node.module, one.name) == ("datasette", "utils"):
                    modules[one.asname or one.name] = "datasette.utils"
                elif one.name not in DOCUMENTED.get(node.module, ()):
                    yield f"{node.module}.{one.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = modules.get(node.value.id)
            if module is not None and node.attr not in DOCUMENTED[module]:
                yield f"{module}.{node.attr}"


def _private(tree: ast.Module) -> Iterator[str]:
    """``Class._name`` of every private name that is read or written on an object of Datasette's."""
    inherited = {
        id(node): OBJECTS[base.id]
        for one in ast.walk(tree)
        if isinstance(one, ast.ClassDef)
        for base in one.bases
        if isinstance(base, ast.Name) and base.id in OBJECTS
        for node in ast.walk(one)
    }
    own = {node.attr for node in ast.walk(tree) if _is_set(node)}
    own |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or not re.match("_[a-z]", node.attr):
            continue
        if node.attr.startswith("_datasette_files"):
            continue
        last = ast.unparse(node.value).rpartition(".")[2]
        if last in OBJECTS and last != "Database":
            yield f"{OBJECTS[last]}.{node.attr}"
        elif last == "self" and id(node) in inherited and node.attr not in own:
            yield f"{inherited[id(node)]}.{node.attr}"


def _is_set(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)


def test_what_is_used_beyond_the_documentation_is_listed() -> None:
    used = {name for tree in _trees() for name in (*_imported(tree), *_private(tree))}
    text = (ROOT / "docs" / "compatibility.md").read_text("utf-8")
    listed = re.findall(r"^\| `([\w.]+)` \|", text, re.MULTILINE)
    assert listed == sorted(listed, key=lambda name: (name.startswith("datasette."), name))
    assert used, "the scan found nothing, so it is broken"
    assert set(listed) == used
