"""One run of a sweep: what is missing is found, locked, handed to Prefect."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from flows.sweeps.sweep_cells import await_leftovers, own_process
from flows.sweeps.sweep_plan import check_cells, steps_of, survey
from jko.core.errors import ChainInUseError
from jko.disk.commit import remove_temporary
from jko.disk.sealed import read_model, write_json
from tasks.adapters.system.environment import named_server, platform_environment
from tasks.adapters.system.processes import ProcessRecord, identity
from tasks.adapters.system.terminal import say, warn_on_stderr
from tasks.sweep.cells import Sweep, write_sweep


def run_sweep(sweep: Sweep, root: Path, *, runner: str, jobs: int, retry: bool) -> dict[str, str]:
    """Bring all cells of a sweep up.

    Args:
        sweep: the sweep; stored before anything is trained.
        root: the project's folder.
        runner: Prefect's task runner, ``threads`` or ``processes``.
        jobs: cells side by side.
        retry: try cells again that failed numerically.

    Returns:
        The sentences of the cells that have no result.

    Raises:
        InputError: the data of a cell cannot be used.
        ChainInUseError: another process runs this sweep.
    """
    standings = survey(sweep, root, retry=retry)
    if not steps_of(standings, jobs):
        write_sweep(sweep)
        say(f"nothing to do: all {len(sweep.cells)} cells of sweep {sweep.name} are finished", err=True)
        return {own.cell.name: own.failure for own in standings if own.failure}
    check_cells(sweep, root, standings)
    server = named_server()
    platform_environment(root)
    warn_on_stderr()
    from tasks.adapters.scheduling.server import prefect_server, wait_until_healthy

    with sweep_lock(sweep), prefect_server(root) as address:
        remove_temporary(sweep.folder / "sweep.json")
        write_sweep(sweep)
        from flows.sweep import RUNNERS, sweep_flow  # heavy imports run while the server comes up

        if count := await_leftovers(sweep):
            say(f"{count} processes of an earlier start have ended", err=True)
        wait_until_healthy(address, root)
        crew = RUNNERS[runner](jobs, own_process())
        return sweep_flow.with_options(task_runner=crew)(
            sweep.name, str(sweep.folder), str(root), jobs=jobs, retry=retry, server=server
        )


@contextmanager
def sweep_lock(sweep: Sweep) -> Iterator[None]:
    """Hold a sweep; the kernel releases it at any death of this process.

    Raises:
        ChainInUseError: another process runs it.
    """
    sweep.folder.mkdir(parents=True, exist_ok=True)
    lock, holder = filelock.FileLock(sweep.folder / "lock"), sweep.folder / "holder.json"
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        record = read_model(holder, ProcessRecord)
        who = "another process" if record is None else f"process {record.pid}"
        raise ChainInUseError(f"sweep {sweep.name} is being run by {who}; wait or stop it") from None
    try:
        write_json(holder, identity().plain())
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()
