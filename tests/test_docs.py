"""The docs hold what the code has, name nothing that it has not, and their examples run."""

import asyncio
import importlib.util
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from datasette.app import Datasette
from datasette.cli import cli
from datasette.plugins import pm
from pydantic import BaseModel

import datasette_files
from datasette_files import base, errors, hookspecs
from datasette_files import plugin as implementations
from datasette_files.columns import columns, uses
from datasette_files.columns import values as column_values
from datasette_files.columns.values import ColumnOptions
from datasette_files.config import IndexConfig, PluginConfig, SourceConfig, load_config
from datasette_files.events import EVENTS
from datasette_files.filesystem import FilesystemConfig
from datasette_files.permissions.actions import ACTIONS
from datasette_files.views import tables
from datasette_files.views.routes import ROUTES
from datasette_files_s3.config import S3Config
from tests.conftest import MakeDatasette, missing, upload
from tests.support.fixtures import fixture
from tests.support.neighbours import site
from tests.support.server import Server

ROOT = Path(__file__).resolve().parents[1]
STATIC = ROOT / "datasette_files" / "static"
DOCS = {
    path.relative_to(ROOT).as_posix(): path.read_text("utf-8")
    for path in (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")))
}
EVERYTHING = "\n".join(DOCS.values())
README = DOCS["README.md"]

FILE_ID = "df-01j5a3b4c5d6e7f8g9h0jkmnpq"


def section(doc: str, heading: str) -> str:
    """The text below a heading, up to the next of its level."""
    level = heading.split(" ", maxsplit=1)[0]
    _, found, rest = DOCS[doc].partition(f"\n{heading}\n")
    assert found, f"{doc} has no section {heading!r}"
    return re.split(rf"^{level} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def first_cells(text: str) -> list[str]:
    """The words in backquotes in the first column of each row of the tables."""
    rows = re.findall(r"^\|([^|]*)\|", text, flags=re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def blocks(doc: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCS[doc], flags=re.DOTALL | re.MULTILINE)


# What there is, and what the docs say there is


@pytest.mark.parametrize(
    ("doc", "heading", "model"),
    [
        ("docs/configuration.md", "## The plugin's keys", PluginConfig),
        ("docs/configuration.md", "## A source's keys", SourceConfig),
        ("docs/indexing.md", "## The keys of `index`", IndexConfig),
        ("docs/configuration.md", "## The filesystem storage's `config`", FilesystemConfig),
        ("docs/s3.md", "## The S3 storage's `config`", S3Config),
        ("docs/file-columns.md", "## Options", ColumnOptions),
    ],
)
def test_settings_are_those_of_the_model(doc: str, heading: str, model: type[BaseModel]) -> None:
    assert first_cells(section(doc, heading)) == list(model.model_fields)


def test_defaults_of_the_s3_storage_are_those_of_the_model() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| `([^`]+)` \|", section("docs/s3.md", "## The S3 storage's `config`"), re.M
    )
    fields = S3Config.model_fields
    documented = {name: yaml.safe_load(default) for name, default in rows if default not in fields}
    assert documented == {
        name: field.default for name, field in fields.items() if field.default not in (None, "")
    }


def test_defaults_of_settings_are_those_of_the_model() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| `([^`]+)`",
        section("docs/configuration.md", "## The plugin's keys"),
        flags=re.MULTILINE,
    )
    documented = {name: yaml.safe_load(default) for name, default in rows}
    fields = PluginConfig.model_fields
    assert documented == {name: fields[name].default for name in fields if name != "sources"}


def test_routes_are_those_of_the_table() -> None:
    documented = re.findall(r"^### `([A-Z]+) (/-/files\S*)`$", DOCS["docs/api.md"], re.MULTILINE)
    routed = [(method, route.path) for route in ROUTES for method in route.methods]
    assert sorted(documented) == sorted(routed)


@pytest.mark.parametrize("doc", DOCS)
def test_every_path_in_the_docs_is_routed(doc: str) -> None:
    # nginx alone answers /-/files-bytes/.
    for path in re.findall(r"/-/files(?!-bytes/)[^\s`\"'<>|)*\\]*", DOCS[doc]):
        concrete = re.sub(r"df-…", FILE_ID, path.split("?")[0]).rstrip(".,;:")
        names = {
            "source": "docs",
            "file_id": FILE_ID,
            "job": "1",
            "upload": "0" * 40,
            "share_id": "sh-1",
            "selection": "abc",
        }
        for name, value in names.items():
            concrete = concrete.replace(f"{{{name}}}", value)
        assert any(re.match(route.pattern, concrete) for route in ROUTES), path


def test_error_codes_are_those_of_the_classes() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| (\d+) \| `(\w+)` \|", section("docs/api.md", "## Errors"), re.MULTILINE
    )
    classes = errors.FilesError.__subclasses__()
    public = [cls for cls in classes if cls.__module__ == errors.__name__]
    assert rows == [(cls.code, str(cls.status), cls.__name__) for cls in public]


def test_codes_named_elsewhere_are_on_the_list() -> None:
    listed = set(first_cells(section("docs/api.md", "## Errors")))
    sentences = re.findall(r"Errors: ([^.]*)\.", DOCS["docs/api.md"])
    named = {code for sentence in sentences for code in re.findall(r"`([a-z_]+)`", sentence)}
    assert named
    assert named <= listed


def test_hooks_are_those_of_hookspecs() -> None:
    documented = re.findall(
        r"^### `(\w+)\(([^)]*)\)`$", DOCS["docs/hooks-and-events.md"], re.MULTILINE
    )
    specified = [
        (name, ", ".join(inspect.signature(function).parameters))
        for name, function in inspect.getmembers(hookspecs, inspect.isfunction)
        if hasattr(function, "datasette_spec")
    ]
    assert sorted(documented) == sorted(specified)


def test_hooks_that_we_implement_are_where_datasette_looks_and_in_the_docs() -> None:
    implemented, registered = (
        {name for name, one in vars(module).items() if hasattr(one, "datasette_impl")}
        for module in (implementations, datasette_files)
    )
    assert implemented == registered
    text = section("docs/hooks-and-events.md", "## The hooks of Datasette that we implement")
    ours = {name for name, one in vars(hookspecs).items() if hasattr(one, "datasette_spec")}
    assert set(re.findall(r"`(\w+)`", text)) == implemented - ours


def test_events_are_those_that_are_registered() -> None:
    text = section("docs/hooks-and-events.md", "## Events")
    rows = re.findall(r"^\| `([\w-]+)` \| `(\w+)` \|", text, re.MULTILINE)
    assert rows == [(event.name, event.__name__) for event in EVENTS]
    fields = EVENTS[0].__dataclass_fields__
    assert all(f"`{name}`" in text for name in fields)


def test_actions_are_those_that_are_registered() -> None:
    documented = re.findall(r"^\| `([\w-]+)` \|", DOCS["docs/permissions.md"], re.MULTILINE)
    assert documented == [action.name for action in ACTIONS]


def test_limits_of_file_columns_are_those_of_the_code() -> None:
    text = " ".join(DOCS["docs/file-columns.md"].split())
    assert f"at most {column_values.MAX_IDS} different ids" in text
    assert columns.MAX_CELL_FILES == 4  # "four pictures"
    assert f"At most {tables._MAX_FILES:,} files" in text
    assert (
        f"{uses._MAX_COLUMNS} columns, {uses._MAX_ROWS} rows and {uses._PASSES_MS[-1]} ms" in text
    )
    assert (uses._MAX_SECONDS, "a second in all" in text) == (1.0, True)


@pytest.mark.parametrize(
    ("doc", "module"),
    [
        ("docs/upload-element.md", "datasette-file-upload.js"),
        ("docs/file-picker.md", "file-picker.js"),
    ],
)
def test_the_elements_are_documented_as_they_are(doc: str, module: str) -> None:
    texts = [(STATIC / name).read_text("utf-8") for name in ("shared/files-element.js", module)]
    members = "".join(text.partition("export class")[2].partition("\n}\n")[0] for text in texts)

    attributes = set(re.findall(r'(?:get|has)Attribute\("([\w-]+)"\)', members))
    assert set(first_cells(section(doc, "## Attributes"))) == attributes

    methods = re.findall(r"^  (?:get )?([a-z]\w*)\(", members, re.MULTILINE)
    public = {*methods, *re.findall(r"^    this\.([a-z]\w*) = ", members, re.MULTILINE)}
    public -= {"constructor", "connectedCallback", "disconnectedCallback"}
    named = {name.split("(")[0] for name in first_cells(section(doc, "## Properties and methods"))}
    assert named == public

    events = set(re.findall(r'(?:_tell|CustomEvent)\("([\w-]+)"', members))
    assert set(first_cells(section(doc, "## Events"))) == events


def test_the_colours_of_the_upload_element_are_documented() -> None:
    properties = set(re.findall(r"var\((--upload-\w+)", (STATIC / "upload.css").read_text("utf-8")))
    looks = section("docs/upload-element.md", "## Looks")
    assert set(re.findall(r"`(--upload-\w+)`", looks)) == properties


@pytest.mark.parametrize("module", [datasette_files, base, errors])
def test_every_public_name_is_documented(module: ModuleType) -> None:
    undocumented = [name for name in module.__all__ if not re.search(rf"\b{name}\b", EVERYTHING)]
    assert undocumented == []


@pytest.mark.parametrize("cls", [base.Storage, base.StorageCapabilities, base.ThumbnailGenerator])
def test_every_member_of_the_contract_is_documented(cls: type) -> None:
    members = {name for name in (*vars(cls), *cls.__annotations__) if not name.startswith("_")}
    assert [name for name in sorted(members) if not re.search(rf"\b{name}\b", EVERYTHING)] == []


@pytest.mark.parametrize("doc", DOCS)
def test_links_lead_somewhere(doc: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", DOCS[doc]):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        aim = (ROOT / doc).parent / path
        assert aim.is_file(), target
        if not anchor:
            continue  # it may be a picture
        headings = re.findall(r"^#+ (.*)$", aim.read_text("utf-8"), re.MULTILINE)
        assert anchor in [heading.lower().replace(" ", "-") for heading in headings]


@pytest.mark.parametrize("doc", DOCS)
def test_modules_that_are_named_exist(doc: str) -> None:
    """A path in backquotes, such as `views/http.py`, is one below a package or tests/."""
    folders = [ROOT / name for name in ("datasette_files", "datasette_files_s3", "tests", ".")]
    for name in re.findall(r"`([\w/]+/\w+\.py)`", DOCS[doc]):
        assert any((folder / name).is_file() for folder in folders), name


def test_readme_links_every_doc() -> None:
    assert [doc for doc in DOCS if doc != "README.md" and f"({doc})" not in README] == []


def test_commands_are_those_of_the_group() -> None:
    ran = CliRunner().invoke(cli, ["files", "--help"])
    _, _, listed = ran.stdout.partition("Commands:\n")
    commands = [line.split()[0] for line in listed.splitlines() if line.strip()]
    text = section("docs/command-line.md", "## The commands")
    assert [cell.split()[0] for cell in first_cells(text)] == commands


# The repository


def test_readme_opens_with_two_commands_that_exist() -> None:
    # A block each: pasted together, the tests would wait for the server's end.
    server, tests = (block.strip() for block in blocks("README.md", "bash")[:2])
    assert README.index(server) < 100
    assert os.access(ROOT / server, os.X_OK)
    assert tests == "python3 -m venv .uv && .uv/bin/pip install --quiet uv && .uv/bin/uv run pytest"
    # What .ci/run looks for.
    assert [line for line in README.splitlines() if line.endswith("uv run pytest")] == [tests]


def repository_files() -> Iterator[Path]:
    """Every file that git would keep, whether or not this is a git checkout."""
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text("utf-8").splitlines()]
    for folder, folders, names in os.walk(ROOT):
        kept = [n for n in folders if n != ".git" and not any(fnmatch(n, i) for i in ignored)]
        folders[:] = kept
        for name in names:
            if name != ".git" and not any(fnmatch(name, pattern) for pattern in ignored):
                yield Path(folder, name)


def test_no_file_names_a_package_registry_or_a_place_on_a_machine() -> None:
    # Taken apart, so that this file does not name them itself.
    hosts = ("py" + r"pi\.org", "python" + "hosted", "npm" + "js", r"registry\.[a-z]+\." + "org")
    places = "|".join(("ro" + "ot", "ho" + "me", "wo" + "rk"))
    forbidden = re.compile("|".join((*hosts, rf"(?<![\w.-])/(?:{places})/\w")))
    found = []
    for path in repository_files():
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue  # a sample file of pixels or sound
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in forbidden.finditer(text)]
    assert found == []


# The examples


@pytest.mark.parametrize("doc", DOCS)
def test_yaml_examples_are_valid_configuration(doc: str) -> None:
    for block in blocks(doc, "yaml"):
        config = yaml.safe_load(block)
        assert set(config) <= {"plugins", "permissions", "databases"}
        load_config(config.get("plugins", {}).get("datasette-files"))
        assert set(config.get("permissions", {})) <= {action.name for action in ACTIONS}
        for database in config.get("databases", {}).values():
            for table in database["tables"].values():
                for kind in table["column_types"].values():
                    ColumnOptions.model_validate({} if isinstance(kind, str) else kind["config"])


def run_block(source: str) -> ModuleType:
    """A Python example as a module."""
    module = ModuleType("an_example")
    exec(compile(source, "example", "exec"), vars(module))
    return module


@contextmanager
def plugin(source: str) -> Iterator[ModuleType]:
    """A Python example as an installed plugin."""
    module = run_block(source)
    pm.register(module, name="an-example")
    try:
        yield module
    finally:
        pm.unregister(module)


async def test_readme_example_reads_the_head_of_a_file(datasette: Datasette) -> None:
    example = run_block(blocks("README.md", "python")[0])
    file = await upload(datasette, b"x" * 5000)
    assert await example.first_kilobyte(datasette, file["id"]) == b"x" * 1024
    assert await example.first_kilobyte(datasette, FILE_ID) == b""


async def test_digest_example_gives_the_digest(datasette: Datasette) -> None:
    example = run_block(blocks("docs/hooks-and-events.md", "python")[2])
    file = await upload(datasette, b"hello")
    assert await example.digest(datasette, file["id"]) == sha256(b"hello").hexdigest()
    assert await example.digest(datasette, FILE_ID) is None


async def test_file_actions_example_shows_its_link_on_a_pdf_alone(
    make_datasette: MakeDatasette,
) -> None:
    with plugin(blocks("docs/hooks-and-events.md", "python")[0]):
        datasette = await make_datasette()
        text = await upload(datasette)
        pdf = await upload(datasette, fixture("documents/one-page.pdf").path.read_bytes(), "a.pdf")
        assert "Read aloud" in (await datasette.client.get(pdf["url"])).text
        assert "Read aloud" not in (await datasette.client.get(text["url"])).text


def test_command_example_tells_what_is_free(tmp_path: Path) -> None:
    config = ["-s", "plugins.datasette-files.sources.docs.config.root", str(tmp_path)]
    config += ["-s", "plugins.datasette-files.sources.docs.storage", "filesystem"]
    with plugin(blocks("docs/hooks-and-events.md", "python")[1]):
        ran = CliRunner().invoke(cli, ["files", "disk-space", "docs", "--json", *config])
    assert json.loads(ran.stdout)["free"] > 0
    assert ran.exit_code == 0


async def test_thumbnail_example_makes_a_png_of_a_text(make_datasette: MakeDatasette) -> None:
    with plugin(blocks("docs/thumbnail-plugins.md", "python")[0]):
        datasette = await make_datasette()
        file = await upload(datasette)
        thumbnail = await datasette.client.get(file["thumbnail_url"])
    assert thumbnail.headers["content-type"] == "image/png"
    assert thumbnail.content.startswith(b"\x89PNG")


async def test_storage_example_keeps_files(make_datasette: MakeDatasette, tmp_path: Path) -> None:
    config = yaml.safe_load(blocks("docs/storage-plugins.md", "yaml")[0])
    sources = config["plugins"]["datasette-files"]["sources"]
    sources["notes"]["config"]["database"] = str(tmp_path / "blobs.db")
    content = os.urandom(300_000)
    with plugin(blocks("docs/storage-plugins.md", "python")[0]) as example:
        datasette = await make_datasette(sources=sources)
        file = await upload(datasette, content, "notes.bin", source="notes")
        assert (await datasette.client.get(file["download_url"])).content == content
        part = await datasette.client.get(
            file["download_url"], headers={"Range": "bytes=1000-1999"}
        )
        assert (part.status_code, part.content) == (206, content[1000:2000])

        over = 16 * 1024 * 1024 + 1
        prepared = {"filename": "large.bin", "size": over}
        refused = await datasette.client.post("/-/files/upload/notes/-/prepare", json=prepared)
        assert refused.json()["code"] == "too_large"

        assert (await datasette.client.delete(file["url"])).status_code == 204
        storage = example.BlobStorage()
        await storage.configure(sources["notes"]["config"], None)
        assert await storage.list_files() == ([], None)


async def test_storage_example_lists_in_pages_and_leaves_nothing_when_cancelled(
    tmp_path: Path,
) -> None:
    storage = run_block(blocks("docs/storage-plugins.md", "python")[0]).BlobStorage()
    await storage.configure({"database": str(tmp_path / "blobs.db")}, None)

    async def stream() -> Any:
        yield b"some "
        yield b"bytes"

    for number in range(5):
        await storage.receive_upload(f"a/{number}", stream(), "text/plain")
    await storage.receive_upload("b/0", stream(), "text/plain")
    found, cursor = await storage.list_files("a/", limit=3)
    rest, end = await storage.list_files("a/", cursor, limit=3)
    assert [file.path for file in found + rest] == [f"a/{number}" for number in range(5)]
    assert end is None

    cancelled = asyncio.create_task(storage.receive_upload("c/0", stream(), "text/plain"))
    await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert await storage.get_file_metadata("c/0") is None
    with pytest.raises(FileNotFoundError):
        await storage.read_file("c/0")


@pytest.mark.full
def test_storage_example_passes_the_conformance_suite_as_documented(tmp_path: Path) -> None:
    if importlib.util.find_spec("datasette_files.testing") is None:
        missing("datasette_files.testing")
    storage, suite = blocks("docs/storage-plugins.md", "python")
    (tmp_path / "blob_storage.py").write_text(storage, "utf-8")
    (tmp_path / "test_blob_storage.py").write_text(suite, "utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-o",
        "asyncio_mode=auto",
        "-p",
        "no:cacheprovider",
    ]
    ran = subprocess.run(
        [*command, tmp_path],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout


def test_readme_configuration_and_uploads_work_as_shown(tmp_path: Path) -> None:
    """The yaml, the three ways to upload by curl, and the shell that they need."""
    if shutil.which("curl") is None:
        missing("curl")
    config = yaml.safe_load(blocks("README.md", "yaml")[0])
    source = config["plugins"]["datasette-files"]["sources"]["my-files"]
    source["config"]["root"] = str(tmp_path / "uploads")
    shutil.copy(fixture("photos/phone.jpg").path, tmp_path / "photo.jpg")
    token = subprocess.run(
        [sys.executable, "-m", "datasette", "create-token", "alice", "--secret", "test"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    commands = [block for block in blocks("README.md", "bash") if "curl" in block]
    with Server(tmp_path, config) as server:
        for block in commands:
            ran = subprocess.run(
                [
                    "bash",
                    "-euo",
                    "pipefail",
                    "-c",
                    block.replace("http://localhost:8001", server.url),
                ],
                cwd=tmp_path,
                env={**os.environ, "TOKEN": token},
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert ran.returncode == 0, ran.stderr
        files = server.get_json("/-/files/source/my-files.json")["files"]
    assert len(commands) == 3
    assert [(file["filename"], file["uploaded_by"]) for file in files] == [
        ("photo.jpg", "alice")
    ] * 3


def test_the_plugins_that_were_tried_together_are_those_of_the_test() -> None:
    text = " ".join(section("docs/neighbours.md", "## Tried together").split())
    tried = text.partition("or an error: ")[2].partition(" These faults")[0]
    listed = re.findall(r"([a-z0-9-]+) (\d[\w.]*)[,.]", tried)
    named = [f"datasette-{name.removeprefix('datasette-')}=={one}" for name, one in listed]
    assert named == list(site.PLUGINS)
