"""Secrets that the configuration holds as text, and Datasette's page of it shows, are named."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from tests.conftest import MakeDatasette
from tests.support.storages import BasicStorage


class Settings(BaseModel):
    broker: SecretStr | None = None
    password: SecretStr | None = None
    region: str = "here"


class Vault(BasicStorage):
    storage_type = "vault"
    config_model = Settings


async def test_a_secret_that_the_page_shows_is_named_once_with_the_form_to_use(
    make_datasette: MakeDatasette,
    register_storages: Any,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BROKER", "https://of:the-environment@broker.invalid")
    register_storages(Vault)
    shown = "https://me:hunter2@broker.invalid"
    hidden: dict[str, Any] = {"password": "hunter2", "region": "there"}
    datasette = await make_datasette(
        {
            "one": {"storage": "vault", "config": {"broker": shown, **hidden}},
            "two": {"storage": "vault", "config": {"broker": shown}},
            "good": {"storage": "vault", "config": {"broker": {"$env": "BROKER"}, **hidden}},
        }
    )
    (warning,) = [one.getMessage() for one in caplog.records if "config.json" in one.getMessage()]
    for slug in ("one", "two"):
        path = f"plugins.datasette-files.sources.{slug}.config.broker"
        assert f'{path}: {{"$env": "BROKER"}}' in warning
    assert "good" not in warning
    assert "password" not in warning
    assert "hunter2" not in warning
    assert "hunter2" in (await datasette.client.get("/-/config.json")).text


async def test_no_shown_secret_no_warning(
    make_datasette: MakeDatasette, register_storages: Any, caplog: pytest.LogCaptureFixture
) -> None:
    register_storages(Vault)
    await make_datasette({"one": {"storage": "vault", "config": {"password": "hunter2"}}})
    assert "config.json" not in caplog.text
