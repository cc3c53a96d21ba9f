"""The distributions: what is in their wheels, and what importing them does and does not do."""

import ast
import importlib
import os
import shutil
import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

import datasette_files
from tests.conftest import missing

ROOT = Path(__file__).resolve().parents[1]
PUBLIC_MODULES = ("datasette_files", "datasette_files.base", "datasette_files.errors")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, zipfile.ZipFile]:
    """Both wheels, by the name of their distribution."""
    # `uv run` names itself in the environment.
    uv = Path(os.environ.get("UV", ROOT / ".uv" / "bin" / "uv"))
    if not uv.exists():
        missing("uv")
    folder = tmp_path_factory.mktemp("wheels")
    # From a copy: what setuptools left of an earlier build would slip into the wheel.
    source = folder / "source"
    unwanted = shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__", "tests")
    shutil.copytree(ROOT, source, ignore=unwanted)
    command = [uv, "build", "--quiet", "--wheel", "--all-packages", "--out-dir", folder, source]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return {path.name.split("-")[0]: zipfile.ZipFile(path) for path in folder.glob("*.whl")}


def test_both_distributions_build(wheels: dict[str, zipfile.ZipFile]) -> None:
    assert set(wheels) == {"datasette_files", "datasette_files_s3"}


@pytest.mark.parametrize("package", ["datasette_files", "datasette_files_s3"])
def test_wheel_holds_every_file_of_the_package(
    wheels: dict[str, zipfile.ZipFile], package: str
) -> None:
    held = {name for name in wheels[package].namelist() if ".dist-info/" not in name}
    wanted = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix in (".py", ".typed", ".html", ".css", ".js")
        if not {"__pycache__", "build"} & set(path.parts)
    }
    assert {f"{package}/__init__.py", f"{package}/py.typed"} <= wanted
    assert held == wanted


@pytest.mark.parametrize(
    ("package", "name", "entry_point"),
    [
        ("datasette_files", "datasette-files", "files = datasette_files"),
        ("datasette_files_s3", "datasette-files-s3", "files_s3 = datasette_files_s3"),
    ],
)
def test_wheel_is_a_datasette_plugin_under_its_public_name(
    wheels: dict[str, zipfile.ZipFile], package: str, name: str, entry_point: str
) -> None:
    info = next(n for n in wheels[package].namelist() if n.endswith("/METADATA"))
    metadata = HeaderParser().parsestr(wheels[package].read(info).decode())
    assert metadata["Name"] == name
    assert metadata["License-Expression"] == "Apache-2.0"
    points = wheels[package].read(info.replace("METADATA", "entry_points.txt")).decode()
    assert points.split("\n")[:2] == ["[datasette]", entry_point]


def test_importing_the_s3_distribution_imports_no_sdk() -> None:
    program = (
        "import sys; before = set(sys.modules); import datasette_files_s3 as s3;"
        "sdk = ('boto', 'aiobotocore', 'aiohttp');"
        "print(s3.__all__, sorted(n for n in set(sys.modules) - before if n.startswith(sdk)))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert shown.stdout.strip() == (
        "['S3Storage', 'register_files_commands', 'register_files_storage_types'] []"
    )


def test_the_plugin_works_when_it_is_imported_before_datasette() -> None:
    program = (
        "import datasette_files; from datasette.plugins import pm;"
        "print(len(pm.get_hookcallers(pm.get_plugin('files'))))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert int(shown.stdout) == len(datasette_files.__all__) - len(("File", "get_file"))


@pytest.mark.parametrize("module", PUBLIC_MODULES)
def test_public_names_are_listed_once_and_exist(module: str) -> None:
    loaded = importlib.import_module(module)
    names: list[str] = loaded.__all__
    assert len(names) == len(set(names))
    assert all(hasattr(loaded, name) for name in names)


@pytest.mark.parametrize("module", PUBLIC_MODULES)
def test_every_public_definition_is_listed(module: str) -> None:
    loaded = importlib.import_module(module)
    assert loaded.__file__ is not None
    tree = ast.parse(Path(loaded.__file__).read_text("utf-8"))
    defined = {
        node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)
    } | {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and module == "datasette_files"
        for alias in node.names
    }
    assert {name for name in defined if not name.startswith("_")} <= set(loaded.__all__)


def test_the_development_server_and_ci_can_be_executed() -> None:
    assert all(os.access(ROOT / name, os.X_OK) for name in ("dev-server.sh", ".ci/run"))
