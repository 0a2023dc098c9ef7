"""Fixtures of the whole suite: one real Prefect server, real project folders, no mocks."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from tests.campaign.sample import Part, part_of
from tests.together import begin, made_once

#: tests of minutes that share nothing with their file
APART = "::test_campaign_of_"
#: files whose tests come one after the other: a worker of Prefect that one starts takes the other's runs
IN_A_ROW = ("tests/flows/test_deploy.py", "tests/flows/test_schedule.py")
#: the longer ones begin first, so that no worker is left with one at the end
LONG = ("tests/test_types.py", "tests/campaign/", "tests/flows/", "tests/test_")


class Scheduling(LoadFileScheduling):
    """A file at a time to each worker, in the order of collection; long tests each on their own."""

    def _split_scope(self, nodeid: str) -> str:
        if APART in nodeid:
            return nodeid
        file = super()._split_scope(nodeid)
        return IN_A_ROW[0] if file in IN_A_ROW else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    return Scheduling(config, log)


def pytest_configure(config: pytest.Config) -> None:
    """Little of what is imported while tests are collected is garbage; to look for it takes seconds."""
    if not config.getoption("numprocesses", None):  # else this process collects no tests
        gc.disable()


def pytest_collection_finish() -> None:
    """What is imported now stays: no collection of garbage looks through it any more."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: (APART not in item.nodeid, rank(item.nodeid)))


def rank(nodeid: str) -> int:
    """The place in :data:`LONG` of what a name begins with; the last for all others."""
    return next((place for place, begin in enumerate(LONG) if nodeid.startswith(begin)), len(LONG))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--require-outside", action="store_true", help="fail where an outside program is absent")
    parser.addoption("--whole", action="store_true", help="every case of the campaigns, not one in so many")
    parser.addoption("--sample", type=int, default=0, help="a number: other cases of the campaigns for each")


@pytest.fixture(scope="session")
def part(pytestconfig: pytest.Config) -> Callable[[int], Part]:
    """Cases of a campaign: one in so many, all with ``--whole``."""
    return part_of(pytestconfig)


@pytest.fixture(scope="session", autouse=True)
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this run share (:mod:`tests.together`)."""
    return begin(tmp_path_factory)


@pytest.fixture(scope="session")
def home(together: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the server's state, of all workers; the environment of the embedded systems set once.

    The store of MLflow is each worker's own: there are tests that count its runs.
    """
    from tasks.adapters.system.environment import platform_environment
    from tests.projects import new_store

    folder = together / "home"
    folder.mkdir(exist_ok=True)
    # a test before this one may have called the command line, which sets what is not set
    for name in ("PREFECT_API_URL", "PREFECT_HOME", "MLFLOW_TRACKING_URI"):
        os.environ.pop(name, None)
    os.environ["PREFECT_PROFILES_PATH"] = str(folder / "profiles.toml")
    platform_environment(folder)
    own = tmp_path_factory.mktemp("own") / ".jko" / "mlflow.db"
    os.environ["MLFLOW_TRACKING_URI"] = new_store(own)
    return folder


@pytest.fixture(scope="session")
def server(home: Path) -> Iterator[str]:
    """A real Prefect server on loopback, shared by all workers and stopped with the last one's end."""
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
def smoke_project(server: str) -> Path:
    """A project with a complete chain ``c`` of two small blocks; to be copied, not changed."""
    from tests.projects import new_store, trained_project

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MLFLOW_TRACKING_URI", new_store(folder / ".jko" / "mlflow.db"))
            trained_project(folder, ("train", "--preset", "smoke", "--chain", "c", "--set", "steps.count=2"))

    return made_once("smoke", make)


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
