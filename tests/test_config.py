"""Configuration: what stops the start and how it says so, secrets, sources that are down."""

from __future__ import annotations

import asyncio
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette
from datasette.utils import StartupError
from pydantic import BaseModel, ConfigDict, SecretStr

from datasette_files.app import Files
from datasette_files.base import StorageCapabilities
from datasette_files.config import SourceConfig, max_file_size
from datasette_files.errors import ConfigurationError, StorageUnavailable
from datasette_files.media.types import type_allowed
from datasette_files.sources import sources as sources_module
from tests.conftest import OPEN, MakeDatasette, disk_source, upload
from tests.support.server import Server
from tests.support.storages import BasicStorage, installed, storage_class

P = "plugins.datasette-files"
S = f"{P}.sources"
DISK = {"storage": "filesystem", "config": {"root": "/nowhere"}}

#: ``(what stands under plugins.datasette-files, how the one line begins)``
WRONG: list[tuple[Any, str]] = [
    ("text", f"{P}: must be a mapping"),
    ({"sauces": {}}, f"{P}.sauces: unknown key"),
    ({"two\nlines": 1}, f"{P}.two lines: unknown key"),
    ({"sources": []}, f"{S}: "),
    ({"sources": {"docs": None}}, f"{S}.docs: "),
    ({"sources": {"-docs": DISK}}, f"{S}.-docs: a source's name"),
    ({"sources": {"do cs": DISK}}, f"{S}.do cs: a source's name"),
    ({"sources": {"a\nb": DISK}}, f"{S}.a b: a source's name"),
    ({"sources": {"": DISK}}, f"{S}.: a source's name"),
    ({"sources": {"docs": {}}}, f"{S}.docs.storage: is required"),
    ({"sources": {"docs": {**DISK, "lable": "x"}}}, f"{S}.docs.lable: unknown key"),
    ({"sources": {"docs": {"storage": "ftp"}}}, f"{S}.docs.storage: unknown storage type 'ftp'"),
    ({"sources": {"docs": {"storage": "f\ntp"}}}, f"{S}.docs.storage: unknown storage type"),
    ({"sources": {"docs": {"storage": "filesystem"}}}, f"{S}.docs.config.root: is required"),
    (
        {"sources": {"docs": {"storage": "filesystem", "config": {"root": "/x", "toor": 1}}}},
        f"{S}.docs.config.toor: unknown key",
    ),
    ({"sources": {"docs": {**DISK, "config": "/x"}}}, f"{S}.docs.config: "),
    ({"sources": {"docs": {**DISK, "max_file_size": 0}}}, f"{S}.docs.max_file_size: "),
    ({"sources": {"docs": {**DISK, "max_file_size": "big"}}}, f"{S}.docs.max_file_size: "),
    (
        {
            "sources": {
                "docs": {
                    **DISK,
                    "max_file_size": 5,
                    "config": {"root": "/nowhere", "max_file_size": 6},
                }
            }
        },
        f"{S}.docs.max_file_size: 5, but {S}.docs.config.max_file_size is 6",
    ),
    (
        {"sources": {2024: DISK, "2024": DISK}},
        f"{S}.2024: there are two sources of this name",
    ),
    (
        {"sources": {"docs": {"storage": "memory", "config": {"max_file_size": "6"}}}},
        f"{S}.docs.config.max_file_size: must be a positive number",
    ),
    (
        {"sources": {"docs": {**DISK, "allowed_content_types": ["png"]}}},
        f"{S}.docs.allowed_content_types.0: 'png' is neither",
    ),
    (
        {"sources": {"docs": {**DISK, "allowed_content_types": ["image/*\n"]}}},
        f"{S}.docs.allowed_content_types.0: ",
    ),
    ({"owners_can_edit": "perhaps"}, f"{P}.owners_can_edit: "),
    ({"upload_expiry_seconds": 0}, f"{P}.upload_expiry_seconds: "),
    ({"thumbnail_concurrency": 0}, f"{P}.thumbnail_concurrency: "),
    ({"thumbnail_timeout_seconds": -1}, f"{P}.thumbnail_timeout_seconds: "),
    ({"thumbnail_max_pixels": 0}, f"{P}.thumbnail_max_pixels: "),
    (
        {"thumbnail_process_memory_limit_bytes": 1_000_000},
        f"{P}.thumbnail_process_memory_limit_bytes: ",
    ),
    ({"thumbnail_max_source_bytes": 0.5}, f"{P}.thumbnail_max_source_bytes: "),
    ({"upload_expiry_seconds": float("inf")}, f"{P}.upload_expiry_seconds: "),
    ({"upload_expiry_seconds": float("nan")}, f"{P}.upload_expiry_seconds: "),
    ({"thumbnail_timeout_seconds": float("inf")}, f"{P}.thumbnail_timeout_seconds: "),
    ({"thumbnail_max_source_bytes": float("inf")}, f"{P}.thumbnail_max_source_bytes: "),
    ({"sources": {True: DISK}}, f"{S}.1: "),
    ({"sources": {20.5: DISK}}, f"{S}.20.5: "),
    ({"sources": {"docs": {**DISK, "max_file_size": float("inf")}}}, f"{S}.docs.max_file_size: "),
]
TEMPLATES = [
    ("{filename}", "must contain {ulid}"),
    ("", "must contain {ulid}"),
    ("{ulid}/{name}", "unknown field {name}"),
    ("{ulid}/{0}", "unknown field {0}"),
    ("{ulid}/{ulid.__class__}", "unknown field"),
    ("{ulid}/{filename", "unbalanced"),
    ("{ulid}}", "unbalanced"),
    ("/{ulid}", "must be a relative path"),
    ("{ulid}/", "must be a relative path"),
    ("a//{ulid}", "must be a relative path"),
    ("../{ulid}", "must be a relative path"),
    ("./{ulid}", "must be a relative path"),
    ("a\\{ulid}", "must not hold control"),
    ("a\n{ulid}", "must not hold control"),
    ("a\x00{ulid}", "must not hold control"),
    (".datasette-files/{ulid}", "must not begin with .datasette-files"),
    ("{actor}{ulid}{filename}", "a segment can come to more than 255 bytes"),
    ("{year}/{actor}-{filename}/{ulid}", "a segment can come to more than 255 bytes"),
    ("ü" * 120 + "{ulid}", "a segment can come to more than 255 bytes"),
    ("{ulid}{filename}" + "x" * 30, "a segment can come to more than 255 bytes"),
]
WRONG += [
    (
        {"sources": {"docs": {**DISK, "path_template": template}}},
        f"{S}.docs.path_template: {why}",
    )
    for template, why in TEMPLATES
]


async def start(plugin: Any, tmp_path: Path, **more: Any) -> Datasette:
    datasette = Datasette(
        memory=True,
        internal=str(tmp_path / "internal.db"),
        config={"plugins": {"datasette-files": plugin}, "permissions": OPEN},
        **more,
    )
    await datasette.invoke_startup()
    return datasette


@pytest.mark.parametrize("plugin, begins", WRONG, ids=lambda value: repr(value)[:60])
async def test_a_mistake_stops_the_start_with_one_line(
    tmp_path: Path, plugin: Any, begins: str
) -> None:
    with installed(storage_class()), pytest.raises(StartupError) as stopped:
        await start(plugin, tmp_path)
    message = str(stopped.value)
    assert message.startswith(begins)
    assert len(message.splitlines()) == 1
    assert not Path("/nowhere").exists()


async def test_several_mistakes_are_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(StartupError) as stopped:
        await start({"sauces": 1, "sources": {"docs": {"label": "x"}}}, tmp_path)
    message = str(stopped.value)
    assert f"{S}.docs.storage: is required" in message
    assert f"{P}.sauces: unknown key" in message
    assert "\n" not in message


async def test_a_storage_type_registered_twice_stops_the_start(tmp_path: Path) -> None:
    with installed(storage_class(), storage_class()), pytest.raises(StartupError) as stopped:
        await start({"sources": {}}, tmp_path)
    assert "'memory' is registered twice" in str(stopped.value)
    assert "\n" not in str(stopped.value)


@pytest.mark.parametrize(
    "error, says",
    [
        (KeyError("bucket"), "bucket is required"),
        (ValueError("region\nis wrong"), "region is wrong"),
        (TypeError("no"), "no"),
        (ImportError("no SDK"), "no SDK"),
        (ConfigurationError("bucket: no such"), "bucket: no such"),
    ],
)
async def test_an_error_for_a_person_in_configure_stops_the_start(
    tmp_path: Path, error: Exception, says: str
) -> None:
    async def configure(self: Any, config: Any, get_secret: Any) -> None:
        raise error

    with installed(storage_class(configure=configure)), pytest.raises(StartupError) as stopped:
        await start({"sources": {"docs": {"storage": "memory"}}}, tmp_path)
    assert str(stopped.value) == f"{S}.docs.config: {says}"


def test_max_file_size_is_the_sources_then_the_storages_and_always_capped() -> None:
    def limit(own: int | None, inner: int | None, capability: int | None) -> int:
        config = {} if inner is None else {"max_file_size": inner}
        source = SourceConfig(storage="x", max_file_size=own, config=config)
        return max_file_size(source, capability, "path")

    assert limit(None, None, None) == 104857600
    assert limit(None, None, 7) == 7
    assert limit(5, None, None) == 5
    assert limit(None, 6, None) == 6
    assert limit(6, 6, None) == 6
    assert limit(500, None, 7) == 7
    assert limit(None, 500, 7) == 7
    assert limit(5, None, 7) == 5


async def test_the_capability_caps_what_is_uploaded(
    make_datasette: MakeDatasette,
) -> None:
    cls = storage_class(capabilities=StorageCapabilities(can_upload=True, max_file_size=4))
    with installed(cls):
        datasette = await make_datasette({"docs": {"storage": "memory", "max_file_size": 9}})
    await upload(datasette, b"four")
    answer = await datasette.client.put("/-/files/upload/docs/a.txt", content=b"fives")
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    "content_type, patterns, allowed",
    [
        ("image/png", None, True),
        ("image/png", [], False),
        ("image/png", ["image/*"], True),
        ("image/png", ["image/png"], True),
        ("IMAGE/PNG; q=1", ["image/png"], True),
        ("imagefake/png", ["image/*"], False),
        ("text/plain", ["image/*", "*/*"], True),
    ],
)
def test_type_patterns(content_type: str, patterns: list[str] | None, allowed: bool) -> None:
    assert type_allowed(content_type, patterns) is allowed


async def test_each_field_of_a_path_template_is_filled_in(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    template = "{source}/{year}-{month}-{day}/{shard}/{actor}/{ulid}.{filename}"
    datasette = await make_datasette(
        {"docs": disk_source(tmp_path / "docs", path_template=template)}
    )
    for actor, name in [({"id": "../é /x"}, "é_x"), (None, "anonymous")]:
        file = await upload(datasette, filename="r%C3%A9sum%C3%A9%20%7Bulid%7D.txt", actor=actor)
        record = (await datasette.client.get(f"{file['url']}.json")).json()
        ulid = file["id"].removeprefix("df-")
        day = file["created_at"][:10]
        assert record["path"] == f"docs/{day}/{ulid[-2:]}/{name}/{ulid}.résumé_ulid_.txt"
        assert record["filename"] == "résumé {ulid}.txt"
        assert (tmp_path / "docs" / record["path"]).read_bytes() == b"hello"


SECRET = "hunter2-correct-horse"


class SecretModel(BaseModel):
    """A storage's configuration with a secret at its top and one inside."""

    model_config = ConfigDict(extra="forbid")

    class Inner(BaseModel):
        token: SecretStr

    bucket: str
    password: SecretStr
    inner: Inner


def everything_stored(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("internal.db*"))


@pytest.mark.parametrize("model", [SecretModel, None], ids=["model", "no model"])
async def test_secrets_reach_neither_the_database_nor_a_page(
    make_datasette: MakeDatasette,
    tmp_path: Path,
    model: type[BaseModel] | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = {"bucket": "shown", "password": SECRET, "inner": {"token": SECRET}}
    with installed(storage_class(config_model=model)):
        datasette = await make_datasette({"docs": {"storage": "memory", "config": config}})
    file = await upload(datasette)
    texts = [
        (await datasette.client.get(path)).text
        for path in ("/-/files", "/-/files/sources.json", "/-/files/source/docs", file["url"])
    ]
    assert Files.of(datasette).sources.get("docs").storage.config == config  # type: ignore[attr-defined]
    assert SECRET not in "".join(texts) + caplog.text
    stored = everything_stored(tmp_path)
    assert SECRET.encode() not in stored
    row = (
        await datasette.get_internal_database().execute(
            "SELECT config FROM datasette_files_sources"
        )
    ).single_value()
    assert ("shown" in row) is (model is not None)


@pytest.mark.parametrize(
    "config",
    [
        {"bucket": "b", "password": SECRET},
        {"bucket": ["b"], "password": SECRET, "inner": {"token": SECRET}},
        {"bucket": "b", "password": [SECRET], "inner": {"token": SECRET}},
        {"bucket": "b", "password": SECRET, "inner": SECRET},
    ],
)
async def test_secrets_are_not_in_the_error_that_stops_the_start(
    tmp_path: Path, config: dict[str, Any]
) -> None:
    with installed(storage_class(config_model=SecretModel)), pytest.raises(StartupError) as stopped:
        await start({"sources": {"docs": {"storage": "memory", "config": config}}}, tmp_path)
    assert f"{S}.docs.config." in str(stopped.value)
    assert SECRET not in str(stopped.value)
    assert SECRET.encode() not in everything_stored(tmp_path)


def asking(name: str, answers: list[str | None]) -> type[BasicStorage]:
    async def configure(self: Any, config: Any, get_secret: Any) -> None:
        answers.append(await get_secret(name))

    return storage_class(configure=configure)


async def test_get_secret_reads_the_environment(
    make_datasette: MakeDatasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", SECRET)
    answers: list[str | None] = []
    with installed(
        asking("MY_KEY", answers),
    ):
        await make_datasette({"docs": {"storage": "memory"}})
    assert answers == [SECRET]


async def test_get_secret_asks_datasette_secrets_first_and_registers_the_name(
    make_datasette: MakeDatasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {"MY_KEY": "from the vault"}

    class Secret:
        def __init__(self, name: str, description: str) -> None:
            self.name = name

    async def get_secret(datasette: Any, name: str) -> str | None:
        return known.get(name)

    module = types.ModuleType("datasette_secrets")
    monkeypatch.setattr(module, "Secret", Secret, raising=False)
    monkeypatch.setattr(module, "get_secret", get_secret, raising=False)
    monkeypatch.setitem(sys.modules, "datasette_secrets", module)
    monkeypatch.setenv("MY_KEY", "from the environment")
    answers: list[str | None] = []
    with installed(asking("MY_KEY", answers)):
        datasette = await make_datasette({"docs": {"storage": "memory"}})
    from datasette_files.plugin import register_secrets

    assert answers == ["from the vault"]
    assert [secret.name for secret in register_secrets(datasette)] == ["MY_KEY"]


async def test_a_source_that_is_down_answers_503_and_recovers_by_itself(
    make_datasette: MakeDatasette, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources_module, "RETRY_SECONDS", (0.02, 0.05))
    outage, instances = [True], []
    objects: dict[str, bytes] = {}

    async def configure(self: Any, config: Any, get_secret: Any) -> None:
        instances.append(self)
        self.objects = objects
        if outage[0]:
            raise StorageUnavailable(f"cannot reach {SECRET}")

    cls = storage_class(configure=configure)
    both = {"docs": {"storage": "memory"}, "disk": disk_source(tmp_path / "disk")}
    with installed(cls):
        outage[0] = False
        datasette = await make_datasette(both)
        file = await upload(datasette)
        await datasette.invoke_shutdown()
        outage[0] = True
        datasette = await make_datasette(both)
    client = datasette.client
    form = {"files": {"file": ("a.txt", b"a")}}
    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", "/-/files/upload/docs", {}),
        ("POST", "/-/files/upload/docs", form),
        ("PUT", "/-/files/upload/docs/a.txt", {"content": b"a"}),
        ("POST", "/-/files/upload/docs/-/prepare", {"json": {"filename": "a.txt"}}),
        ("GET", file["download_url"], {}),
        ("GET", file["url"] + "/inline", {}),
        ("GET", "/-/files/import/" + file["id"], {}),
        ("DELETE", file["url"], {}),
        ("POST", file["url"] + "/-/delete", {"json": {}}),
    ]
    for method, url, body in requests:
        as_json = await client.request(method, url, headers={"Accept": "application/json"}, **body)
        assert as_json.status_code == 503, f"{method} {url}"
        assert as_json.json()["code"] == "storage_unavailable"
        as_page = await client.request(method, url, headers={"Accept": "text/html"}, **body)
        assert as_page.status_code == 503
        assert "<h1>Error 503</h1>" in as_page.text
        assert SECRET not in as_json.text + as_page.text
    assert (await client.get("/-/files")).text.count("unavailable for now") == 1
    assert (await client.get(f"{file['url']}.json")).status_code == 200
    await upload(datasette, source="disk")
    outage[0] = False
    for _ in range(200):
        if (await client.get(file["download_url"])).status_code == 200:
            break
        await asyncio.sleep(0.02)
    assert (await client.get(file["download_url"])).content == b"hello"
    await upload(datasette)
    assert len(instances) == len({id(instance) for instance in instances}) > 2


async def test_two_datasettes_in_one_process_do_not_see_each_other(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    one = await make_datasette({"docs": disk_source(tmp_path / "one")}, internal="one.db")
    two = await make_datasette(
        {"docs": disk_source(tmp_path / "two", label="Two")}, {}, internal="two.db"
    )
    file = await upload(one)
    assert Files.of(one) is not Files.of(two)
    assert (await one.client.get(file["download_url"])).status_code == 200
    assert (await two.client.get(f"{file['url']}.json")).status_code == 404
    assert (await two.client.get("/-/files/sources.json")).json()["sources"] == []
    assert list((tmp_path / "two").rglob("*.txt")) == []


@pytest.mark.full
def test_settings_on_the_command_line_configure_a_source(tmp_path: Path) -> None:
    prefix = "plugins.datasette-files.sources.docs"
    arguments = [
        *("-s", f"{prefix}.storage", "filesystem"),
        *("-s", f"{prefix}.config.root", str(tmp_path / "docs")),
        *("-s", f"{prefix}.max_file_size", "1000"),
        *("-s", "permissions.files-browse", "1"),
        *("-s", "permissions.files-upload.docs.allow", "1"),
    ]
    with Server(tmp_path, {}, arguments=arguments) as server:
        sources = server.get_json("/-/files/sources.json")["sources"]
    assert [(s["slug"], s["can_browse"], s["can_upload"]) for s in sources] == [
        ("docs", True, True)
    ]


async def test_settings_as_the_command_line_parses_them(
    tmp_path: Path,
) -> None:
    from datasette.utils import pairs_to_nested_config

    prefix = "plugins.datasette-files.sources.docs"
    config = pairs_to_nested_config(
        [
            (f"{prefix}.storage", "filesystem"),
            (f"{prefix}.config.root", str(tmp_path / "docs")),
            (f"{prefix}.max_file_size", "5"),
            (f"{prefix}.allowed_content_types", '["text/*"]'),
            ("plugins.datasette-files.owners_can_delete", "true"),
            ("permissions.files-upload.docs.allow", "1"),
            ("permissions.files-browse", "1"),
        ]
    )
    datasette = Datasette(memory=True, internal=str(tmp_path / "internal.db"), config=config)
    await datasette.invoke_startup()
    await upload(datasette)
    assert (await datasette.client.get("/-/files/search.json")).json()["total"] == 1
    refused = await datasette.client.put("/-/files/upload/docs/a.txt", content=b"sixsix")
    assert refused.status_code == 413
    await datasette.invoke_shutdown()
