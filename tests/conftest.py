"""Fixtures of the whole suite: one real Prefect server, real project folders, no mocks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--require-outside", action="store_true", help="fail where an outside program is absent")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Cheap tests first, so that a broken formula is seen before a server is started."""
    items.sort(key=lambda item: "flows" in item.path.parts)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the servers' state; the environment of the embedded systems set once."""
    from tasks.adapters.environment import platform_environment

    folder = tmp_path_factory.mktemp("home")
    os.environ.pop("PREFECT_API_URL", None)
    os.environ["PREFECT_PROFILES_PATH"] = str(folder / "profiles.toml")
    platform_environment(folder)
    return folder


@pytest.fixture(scope="session")
def server(home: Path) -> Iterator[str]:
    """A real Prefect server on loopback, shared by the session and stopped at its end."""
    from tasks.adapters.server import prefect_server, wait_until_healthy

    with prefect_server(home) as address:
        wait_until_healthy(address)
        yield address


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project folder as working directory."""
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path
