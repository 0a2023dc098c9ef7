"""Fixtures of the whole suite: one real Prefect server, real project folders, no mocks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
#: a chain small enough for seconds, with blocks long enough to be killed in
SMALL = ("--preset", "smoke")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--require-outside", action="store_true", help="fail where an outside program is absent")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Cheap tests first, so that a broken formula is seen before a server is started."""
    items.sort(key=lambda item: "flows" in item.path.parts)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for the servers' state; the environment of the embedded systems set once."""
    from tasks.adapters.environment import platform_environment

    folder = tmp_path_factory.mktemp("home")
    os.environ.pop("PREFECT_API_URL", None)
    os.environ["PREFECT_PROFILES_PATH"] = str(folder / "profiles.toml")
    platform_environment(folder)
    yield folder


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


Jko = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def jko(project: Path) -> Jko:
    """Run ``jko`` as a user does: a process of its own."""

    def call(*words: str, code: int | None = 0, **options: object) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "flows.cli.main", *words],
            capture_output=True,
            text=True,
            timeout=300,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            **options,  # type: ignore[call-overload]
        )
        assert code is None or done.returncode == code, done.stdout + done.stderr
        return done

    return call
