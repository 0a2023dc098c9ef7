"""Prefect's record of our flow runs: remembered while open, marked when their process died."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_CLIENT_CSRF_SUPPORT_ENABLED,
    temporary_settings,
)
from prefect.states import Crashed

from jko.core.records import Record
from jko.disk.layout import Layout
from jko.disk.sealed import read_model, write_json
from tasks.adapters.system.environment import first_line

log = logging.getLogger("jko.prefect")


@contextmanager
def settings_of_environment() -> Iterator[None]:
    """Use the server that the environment names now: Prefect read it once, when it was imported.

    A second training of a process may have another server than the first, which is gone.
    """
    settings = (PREFECT_API_URL, PREFECT_API_AUTH_STRING, PREFECT_CLIENT_CSRF_SUPPORT_ENABLED)
    named = {setting: os.environ[setting.name] for setting in settings if setting.name in os.environ}
    with temporary_settings(named):
        yield


class OpenRun(Record):
    """The flow run that works on a chain; empty where there is none."""

    flow_run: str


@contextmanager
def open_run(layout: Layout) -> Iterator[str]:
    """Remember the current flow run with the chain until it ends in any way Python sees."""
    path = layout.run / "prefect.json"
    run_id = flow_run.get_id() or ""
    write_json(path, OpenRun(flow_run=run_id).plain())
    try:
        yield run_id
    finally:
        path.unlink(missing_ok=True)


def close_crashed_run(layout: Layout) -> str | None:
    """Mark a remembered run as crashed; only for the holder of the chain's lock.

    Returns:
        The id of the crashed run, if there was one.
    """
    path = layout.run / "prefect.json"
    record = read_model(path, OpenRun)
    if record is None or not record.flow_run:
        return None
    try:
        with get_client(sync_client=True) as client:
            run = client.read_flow_run(UUID(record.flow_run))
            if run.state is not None and not run.state.is_final():
                crashed: State[None] = Crashed(
                    message="its process ended without a word; a later run took over"
                )
                client.set_flow_run_state(run.id, crashed, force=True)
    except Exception as error:  # the scheduler's record must not stop a resume
        log.warning("could not mark the crashed run in Prefect: %s", first_line(error))
    path.unlink(missing_ok=True)
    return record.flow_run
