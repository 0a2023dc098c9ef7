"""The flow behind every schedule; its parameters are the validated settings, a form in Prefect's page."""

from __future__ import annotations

import shlex
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import httpx
from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed

from flows.refresh import OnChange, Outcome, chain_at_work, refresh
from jko.config import Config
from jko.core.errors import InputError, JkoError, was_interrupted
from tasks.adapters.scheduling.run_upkeep import cancel_overdue, run_on_record
from tasks.adapters.scheduling.schedules import parse_name

STOPPED = "stopped while it worked; committed blocks are kept, and the next run goes on from there"


@flow(name="jko-scheduled", flow_run_name="{name}")
def jko_scheduled(
    name: str, config: Config, root: str, on_change: OnChange = "retrain"
) -> State[Mapping[str, float]]:
    """Bring the chain of a schedule up to date, once, however many runs were missed.

    Args:
        name: of the schedule; its chain is ``.jko/chains/<name>``.
        config: validated settings.
        root: the project's folder, relative to the working directory of the worker if not absolute.
        on_change: what new data lead to: training from scratch, from the last chain, or scores only.

    Returns:
        ``Completed``, named ``Skipped`` where nothing was done, with the reason; or ``Failed`` with
        the cause and the command that continues.
    """
    folder = Path(root).resolve()
    with run_on_record(folder):
        try:
            with suppress(httpx.HTTPError):  # a server that does not answer now must not stop the run
                cancel_overdue()
            # again: Prefect's page lets parameters be changed for one run
            outcome = refresh(parse_name(name), config, folder, on_change)
        except BaseException as error:
            if was_interrupted(error):  # jko down, or cancelled in Prefect's page
                return Cancelled(message=STOPPED)
            if not isinstance(error, Exception):
                raise
            if not isinstance(error, JkoError):
                traceback.print_exc(file=sys.stderr)
            return Failed(message=failure(name, folder, error))
        return ended(outcome)


def ended(outcome: Outcome) -> State[Mapping[str, float]]:
    """The state in which a run ends that did not fail."""
    label = "Skipped" if outcome.action in ("skipped", "busy") else "Completed"
    return Completed(name=label, message=outcome.reason, data=outcome.metrics)


def failure(name: str, root: Path, error: Exception) -> str:
    """One sentence: the cause, and the command that continues where there is something to continue."""
    said = str(error) if isinstance(error, JkoError) else f"{type(error).__name__}: {error}"
    layout = chain_at_work(root, name)
    if isinstance(error, InputError) or not layout.manifest.exists():
        return said
    chain = shlex.quote(str(layout.chain.relative_to(root)))
    return f"{said}; to continue, in {root}: jko resume {chain}"
