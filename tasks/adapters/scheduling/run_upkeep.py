"""Scheduled runs themselves: on record while they work, dead ones marked, overdue ones cancelled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, FlowRunFilter
from prefect.client.schemas.objects import State
from prefect.runtime import deployment, flow_run
from prefect.states import Cancelled, Crashed

from jko.disk.sealed import read_model, write_json
from tasks.adapters.scheduling.up_state import records_of_runs
from tasks.adapters.system.processes import ProcessRecord, identity, lives

OPEN = ["PENDING", "RUNNING", "CANCELLING"]
#: how long Prefect waits for a submitted run's process before it gives its turn to another
GRACE_SECONDS = 60
PAGE = 100
#: more than a schedule can miss between two looks: the scheduler plans 100 runs ahead
PAGES = 100


@contextmanager
def run_on_record(root: Path) -> Iterator[None]:
    """Leave pid and start time of this run's process where ``jko up`` and ``jko down`` look."""
    path = records_of_runs(root) / f"{flow_run.get_id()}.json"
    write_json(path, identity().plain())
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def cancel_overdue() -> int:
    """Cancel the other runs that this run's schedule should have started before now.

    Runs that somebody asked for by hand are left.

    Returns:
        How many there were.
    """
    own = deployment.get_id()
    if own is None:
        return 0
    said = f"overdue when run {flow_run.get_id()} started: one run stands for all that were missed"
    cancelled: State[None] = Cancelled(message=said)
    overdue = {
        "state": {"type": {"any_": ["SCHEDULED"]}},
        "expected_start_time": {"before_": datetime.now(UTC)},
        "tags": {"all_": ["auto-scheduled"]},
    }
    count = 0
    with get_client(sync_client=True) as client:
        for _ in range(PAGES):
            runs = client.read_flow_runs(
                deployment_filter=DeploymentFilter.model_validate({"id": {"any_": [own]}}),
                flow_run_filter=FlowRunFilter.model_validate(overdue), limit=PAGE,
            )  # fmt: skip
            for run in runs:
                client.set_flow_run_state(run.id, cancelled)
            count += len(runs)
            if len(runs) < PAGE:
                break
    return count


def close_dead_runs(client: SyncPrefectClient, root: Path, queue: str, *, alone: bool) -> list[str]:
    """Mark runs whose process died as crashed, which also gives their turn to the next.

    Args:
        client: of the server.
        root: the project's folder.
        queue: this project's queue of the work pool.
        alone: whether no other worker can have taken runs from it, as on an embedded server.

    Returns:
        Their ids.
    """
    records = {path.stem: path for path in records_of_runs(root).glob("*.json")}
    alive = {name for name, path in records.items() if lives(read_model(path, ProcessRecord))}
    open_runs = client.read_flow_runs(
        flow_run_filter=FlowRunFilter.model_validate(
            {"state": {"type": {"any_": OPEN}}, "work_queue_name": {"any_": [queue]}}
        )
    )
    closed = []
    for run in open_runs:
        name = str(run.id)
        if run.state is not None and name not in alive and (alone or name in records or too_old(run.state)):
            crashed: State[None] = Crashed(message="its process ended without a word")
            client.set_flow_run_state(run.id, crashed, force=True)
            closed.append(name)
    for name in records.keys() - alive:
        records[name].unlink(missing_ok=True)
    return closed


def too_old(state: State[None]) -> bool:
    """Whether a process should long have started."""
    return state.is_pending() and datetime.now(UTC) - state.timestamp > timedelta(seconds=GRACE_SECONDS)
