"""``jko up`` and ``jko down``: start, find and stop what keeps schedules running.

A supervisor process (:mod:`tasks.adapters.scheduling.supervisor`) owns an MLflow server and the worker that
runs what is due, and is a user of the Prefect server. ``.jko/up/up.json`` names it and its
children by pid and start time; so they are found again also after the supervisor was killed.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import filelock

from jko.core.errors import InputError, JkoError
from jko.disk.sealed import read_model
from tasks.adapters.scheduling.loopback import ask, is_free, unreachable
from tasks.adapters.scheduling.server import (
    NAMED_SECONDS,
    is_ours,
    require_named,
    running_server,
    stop_unused,
)
from tasks.adapters.scheduling.up_state import UpRecord, home_of, record_of, records_of_runs, state_of
from tasks.adapters.system.environment import named_mlflow, named_server, without_password
from tasks.adapters.system.processes import ProcessRecord, end_family, identity, lives

#: until everything must answer: Prefect and MLflow first migrate their databases
START_SECONDS = 240.0
#: for the supervisor to stop its family; a running scheduled run ends between two iterations
STOP_SECONDS = 60.0
#: a child that ended this often before all was up will not come up
TRIES = 3
WHAT = {"runner": "the runner of schedules", "mlflow": "MLflow's server"}


class UpError(JkoError):
    """The servers did not come up."""


def bring_up(root: Path, prefect_port: int | None, mlflow_port: int | None) -> tuple[UpRecord, bool]:
    """Start what schedules need, unless it runs already, and wait until all of it answers.

    Args:
        root: the project's folder.
        prefect_port: of Prefect's server and page; 4200 or any free one if not given.
        mlflow_port: of MLflow's; 5000 or any free one if not given.

    Returns:
        The supervisor's record, and whether it was up before.

    Raises:
        InputError: a port is taken, or a server that the user named cannot be reached.
        UpError: something does not answer; then all of it is stopped again.
    """
    home = home_of(root)
    _require_named()
    home.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(home / "lock", timeout=START_SECONDS + STOP_SECONDS):
        known = state_of(root)
        if known is not None:
            _refuse_other_ports(known, prefect_port, mlflow_port)
            supervisor: subprocess.Popen[bytes] | None = None
        else:
            clean(root)
            _refuse_taken(root, prefect_port, mlflow_port)
            supervisor = _start(root, prefect_port or 0, mlflow_port or 0)
        try:
            return _await_answers(root, supervisor), known is not None
        except BaseException:
            if supervisor is not None:
                end_family(identity(supervisor.pid) if supervisor.poll() is None else None, STOP_SECONDS)
                clean(root)
            raise


def take_down(root: Path) -> list[str]:
    """Stop the supervisor and everything that it or a killed one started.

    Returns:
        What was stopped, in words.
    """
    home = home_of(root)
    if not home.is_dir():
        return []
    with filelock.FileLock(home / "lock", timeout=START_SECONDS + STOP_SECONDS):
        record = record_of(root)
        children = record.children if record else {}
        stopped = [WHAT[name] for name, child in children.items() if lives(child)]
        server = running_server(root)
        end_family(record, STOP_SECONDS)
        stopped += [what for what in clean(root) if what not in stopped]
        if server is not None:
            ended = running_server(root) is None
            stopped += ["Prefect's server"] if ended else []
        return stopped


def clean(root: Path) -> list[str]:
    """End what a killed supervisor left: its children, their runs, the server nobody uses.

    Only with the lock of the ``up`` folder, and after the supervisor ended.

    Returns:
        What was still there.
    """
    home, found = home_of(root), []
    record = record_of(root)
    for name, child in (record.children if record else {}).items():
        if end_family(child, STOP_SECONDS / 4):
            found.append(WHAT[name])
    # records of runs stay: the next worker marks those that are not final as crashed
    runs = [read_model(path, ProcessRecord) for path in records_of_runs(root).glob("*.json")]
    if sum(end_family(run, STOP_SECONDS / 4) for run in runs):
        found.append("a scheduled run")
    (home / "up.json").unlink(missing_ok=True)
    stop_unused(root)
    return found


def answers(address: str) -> bool:
    """Whether a server answers with success at an address, or asks who we are."""
    try:
        status = ask(address, 2)
    except OSError:
        return False
    return 200 <= status < 400 or status in (401, 403)


def _require_named() -> None:
    """Refuse servers that the user named and that cannot be reached."""
    if address := named_server():
        require_named(address)
    page = named_mlflow()
    if page is not None and (why := unreachable(f"{page.rstrip('/')}/health", NAMED_SECONDS)):
        shown = f"MLflow's server at {without_password(page)} (MLFLOW_TRACKING_URI)"
        raise InputError(f"{shown} {why}; start it, or unset MLFLOW_TRACKING_URI to use the project's own")


def _refuse_taken(root: Path, prefect_port: int | None, mlflow_port: int | None) -> None:
    """A port that was asked for must be free, and of a server that is ours to start."""
    running = running_server(root)
    for name, wanted in (("--port", prefect_port), ("--mlflow-port", mlflow_port)):
        serving = name == "--port" and running is not None and urlsplit(running).port == wanted
        if wanted is not None and not serving and not is_free(wanted):
            raise InputError(f"{name} {wanted}: another program listens there; give a free one, or none")
    if prefect_port is not None and prefect_port == mlflow_port:
        raise InputError(f"--port and --mlflow-port are both {prefect_port}; give two")
    if prefect_port is not None and named_server() is not None:
        raise InputError("--port is of the embedded server, but PREFECT_API_URL names another; unset one")
    if mlflow_port is not None and named_mlflow() is not None:
        raise InputError("--mlflow-port: MLFLOW_TRACKING_URI names a server already; unset one")
    if prefect_port is not None and running is not None and urlsplit(running).port != prefect_port:
        raise InputError(f"--port {prefect_port}: a command uses the server at {running}; wait until it ends")


def _refuse_other_ports(known: UpRecord, prefect_port: int | None, mlflow_port: int | None) -> None:
    for name, wanted, page in (
        ("--port", prefect_port, known.prefect), ("--mlflow-port", mlflow_port, known.mlflow),
    ):  # fmt: skip
        if wanted is not None and urlsplit(page).port != wanted:
            raise InputError(f"{name} {wanted}: it is up already, at {page}; run jko down first")


def _start(root: Path, prefect_port: int, mlflow_port: int) -> subprocess.Popen[bytes]:
    words = ["tasks.adapters.scheduling.supervisor", str(root.resolve()), str(prefect_port), str(mlflow_port)]
    with (home_of(root) / "supervisor.log").open("a") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", *words],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip


def _await_answers(root: Path, supervisor: subprocess.Popen[bytes] | None) -> UpRecord:
    """Wait for Prefect, MLflow and the worker."""
    home = home_of(root)
    deadline = time.monotonic() + START_SECONDS
    missing = "the supervisor"
    while time.monotonic() < deadline:
        if supervisor is not None and supervisor.poll() is not None:
            raise UpError(f"jko up failed; see {home / 'supervisor.log'}")
        record = state_of(root)
        if record is not None:
            failing = [name for name, child in record.children.items() if child.ended >= TRIES]
            if failing:
                raise UpError(f"{WHAT[failing[0]]} does not start; see {home / failing[0]}.log")
            missing = _missing(root, record)
            if not missing:
                return record
        time.sleep(0.2)
    raise UpError(f"{missing} did not answer within {START_SECONDS:.0f} s; see {home}")


def _missing(root: Path, record: UpRecord) -> str:
    """What does not answer yet."""
    runner = record.children.get("runner")
    api, own = record.api, record.prefect_own
    if not (is_ours(api, root) if own else answers(f"{api}/health")):
        return "Prefect's server"
    if not answers(f"{record.mlflow}/health"):
        return WHAT["mlflow"]
    from tasks.adapters.scheduling.worker import answers_since

    polling = runner is not None and lives(runner) and answers_since(api, root, runner.started)
    return "" if polling else WHAT["runner"]
