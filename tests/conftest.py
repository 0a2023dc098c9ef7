"""Fixtures of the whole suite: one real Prefect server, real project folders, no mocks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from tests.campaign.sample import Part, part_of

#: tests of minutes that share nothing with their file
APART = "::test_campaign_of_"
#: the longer ones begin first, so that no worker is left with one at the end
LONG = ("tests/campaign/", "tests/flows/", "tests/test_")


class Scheduling(LoadFileScheduling):
    """A file at a time to each worker, in the order of collection; long tests each on their own."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid if APART in nodeid else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: (APART not in item.nodeid, not item.nodeid.startswith(LONG)))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--require-outside", action="store_true", help="fail where an outside program is absent")
    parser.addoption("--whole", action="store_true", help="every case of the campaigns, not one in so many")
    parser.addoption("--sample", type=int, default=0, help="a number: other cases of the campaigns for each")


@pytest.fixture(scope="session")
def part(pytestconfig: pytest.Config) -> Callable[[int], Part]:
    """Cases of a campaign: one in so many, all with ``--whole``."""
    return part_of(pytestconfig)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the servers' state; the environment of the embedded systems set once."""
    from tasks.adapters.system.environment import platform_environment
    from tests.projects import new_store

    folder = tmp_path_factory.mktemp("home")
    # a test before this one may have called the command line, which sets what is not set
    for name in ("PREFECT_API_URL", "PREFECT_HOME", "MLFLOW_TRACKING_URI"):
        os.environ.pop(name, None)
    os.environ["PREFECT_PROFILES_PATH"] = str(folder / "profiles.toml")
    platform_environment(folder)
    new_store(folder / ".jko" / "mlflow.db")
    return folder


@pytest.fixture(scope="session")
def server(home: Path) -> Iterator[str]:
    """A real Prefect server on loopback, shared by the session and stopped at its end."""
    from tasks.adapters.scheduling.server import prefect_server, wait_until_healthy

    with prefect_server(home) as address:
        wait_until_healthy(address, home)
        yield address


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project folder as working directory."""
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def smoke_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a complete chain ``c`` of two small blocks; to be copied, not changed."""
    from tests.projects import trained_project

    folder = tmp_path_factory.mktemp("smoke")
    return trained_project(folder, ("train", "--preset", "smoke", "--chain", "c", "--set", "steps.count=2"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test that needs an outside program: not run where it is absent, failed in ``make test-all``."""
    marker = item.get_closest_marker("outside")
    if marker is None or shutil.which(marker.args[0]):
        return
    reason = f"needs {marker.args[0]}, get it by {marker.args[1]}"
    if item.config.getoption("--require-outside"):
        pytest.fail(reason)
    pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List at the very end what was not run."""
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        terminalreporter.write_line(f"not run: {reason.removeprefix('Skipped: ')} ({report.nodeid})")
