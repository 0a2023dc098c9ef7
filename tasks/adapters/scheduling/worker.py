"""The worker that runs what is due, and its place in Prefect: a work pool, a queue a project.

Run as ``python -m tasks.adapters.scheduling.worker ROOT`` with ``PREFECT_API_URL`` set; started by
``tasks.adapters.scheduling.supervisor``. It prepares the queue and becomes ``prefect worker start``.
"""

from __future__ import annotations

import hashlib
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.objects import WorkPool
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_CLIENT_CSRF_SUPPORT_ENABLED,
    temporary_settings,
)
from prefect.settings.legacy import Setting
from prefect.workers.process import ProcessWorker

from jko.core.errors import InputError
from tasks.adapters.scheduling.credential import client_environment
from tasks.adapters.scheduling.run_upkeep import close_dead_runs
from tasks.adapters.scheduling.server import running_server, wait_until_healthy

#: a worker of this pool anywhere may take the runs: ``prefect worker start --pool jko``
POOL = "jko"
#: all that this pool runs: `python` is the one first on the worker's path, with the project installed;
#: -P keeps the working directory from shadowing it
COMMAND = "python -P -m prefect.engine"
OWN_SETTINGS = (PREFECT_API_URL, PREFECT_API_AUTH_STRING, PREFECT_CLIENT_CSRF_SUPPORT_ENABLED)


def queue_of(root: Path) -> str:
    """This project's queue: on a shared server, every project's own worker takes its own runs."""
    return f"{root.name[:60] or 'root'}-{hashlib.sha256(str(root).encode()).hexdigest()[:8]}"


def name_of_worker(root: Path) -> str:
    """What Prefect's page calls the worker of ``jko up``."""
    return f"{socket.gethostname()}-{queue_of(root)}"


def pool_template() -> dict[str, Any]:
    """What Prefect fills in to start a run: neither its command nor its environment can be asked for.

    With Prefect's own template a run may bring any shell command along.
    """
    template = ProcessWorker.get_default_base_job_template()
    for name in ("command", "env"):
        del template["variables"]["properties"][name]
    template["job_configuration"]["command"] = COMMAND
    # even into an empty one Prefect would put what a run brings along
    del template["job_configuration"]["env"]
    return template


def takes_commands(pool: WorkPool) -> bool:
    """Whether runs of a pool may bring their own command along."""
    return "{{" in str((pool.base_job_template or {}).get("job_configuration", {}).get("command", "{{"))


def ensure_pool(client: SyncPrefectClient, root: Path) -> tuple[WorkPool, str]:
    """Create the work pool and this project's queue in it where they are missing.

    On the project's own server a pool that takes commands, as earlier versions made it, is changed
    to one that does not; one on a server that the user named is left as it is.

    Returns:
        The pool and the queue.

    Raises:
        InputError: there is a pool of that name and another type.
    """
    try:
        pool = client.read_work_pool(POOL)
    except ObjectNotFound:
        wanted = WorkPoolCreate(
            name=POOL, type="process", base_job_template=pool_template(), description="Scheduled runs of jko."
        )
        try:
            pool = client.create_work_pool(wanted)
        except ObjectAlreadyExists:  # another command was faster
            pool = client.read_work_pool(POOL)
    if pool.type != "process":
        raise InputError(
            f"Prefect's work pool {POOL!r} is of type {pool.type!r}; schedules need one of type 'process'"
        )
    if takes_commands(pool) and running_server(root) == str(client.api_url).rstrip("/"):
        client.update_work_pool(POOL, WorkPoolUpdate(base_job_template=pool_template()))
        pool = client.read_work_pool(POOL)
    queue = queue_of(root)
    try:
        client.read_work_queue_by_name(queue, work_pool_name=POOL)
    except ObjectNotFound:
        client.create_work_queue(queue, work_pool_name=POOL, description=f"Schedules of {root}.")
    return pool, queue


@contextmanager
def client_at(api: str, root: Path) -> Iterator[SyncPrefectClient]:
    """A client of a server, with the project's credential if it is the project's own.

    Also where Prefect was imported before either was in the environment.
    """
    with temporary_settings(settings_of(api, root)), get_client(sync_client=True) as client:
        yield client


def settings_of(api: str, root: Path) -> dict[Setting, str]:
    """Prefect's settings for a server, as :func:`prefect.settings.temporary_settings` takes them."""
    if running_server(root) != api:
        known = os.environ.get("PREFECT_API_AUTH_STRING")
        return {PREFECT_API_URL: api, **({PREFECT_API_AUTH_STRING: known} if known else {})}
    own = client_environment(root, api)
    return {setting: own[setting.name] for setting in OWN_SETTINGS}


def answers_since(api: str, root: Path, started: float) -> bool:
    """Whether this project's worker has told the server that it polls.

    Args:
        api: address of the server.
        root: the project's folder.
        started: when the worker's process began, seconds since the epoch.
    """
    try:
        with client_at(api, root) as client:
            workers = client.read_workers_for_work_pool(POOL)
    except (ObjectNotFound, httpx.HTTPError):  # a busy server is asked again
        return False
    beats = [worker.last_heartbeat_time for worker in workers if worker.name == name_of_worker(root)]
    return any(beat is not None and beat.timestamp() >= started for beat in beats)


def work(root: Path) -> None:
    """Wait for the server, prepare the queue, close what died, and become Prefect's worker."""
    api = os.environ["PREFECT_API_URL"]
    wait_until_healthy(api, root)
    alone = running_server(root) == api
    with get_client(sync_client=True) as client:
        _, queue = ensure_pool(client, root)
        for run in close_dead_runs(client, root, queue, alone=alone):
            print(f"marked run {run} as crashed: its process had ended", file=sys.stderr, flush=True)
    words = ["worker", "start", "--pool", POOL, "--type", "process", "--work-queue", queue]
    command = [sys.executable, "-P", "-m", "prefect", *words, "--name", name_of_worker(root)]
    os.execv(sys.executable, command)


if __name__ == "__main__":
    work(Path(sys.argv[1]))
