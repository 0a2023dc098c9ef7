"""A sweep as one Prefect flow: a task for each step, as many side by side as asked."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.states import Completed, Failed
from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner

from flows.sweeps.sweep_cells import STOPPING, Outcome, begin_worker, own_process, run_step, stop_all
from flows.sweeps.sweep_plan import Standing, steps_of, survey
from jko.core.display import figure, finite
from jko.core.errors import NumericalError
from tasks.adapters.system.terminal import say
from tasks.sweep.cells import Sweep, known_failure, remember_failure, stored_sweep
from tasks.sweep.prefixes import Step
from tasks.sweep.results import figures_of

#: how the sentence of a numerical failure begins
FAILED_BLOCK = re.compile(r"block (\d+)\b")
#: task runner by name -> how to make it for a number of jobs and the process they end with
RUNNERS: dict[str, Callable[[int, tuple[int, float]], TaskRunner[Any]]] = {
    "threads": lambda jobs, parent: ThreadPoolTaskRunner(max_workers=jobs),
    "processes": lambda jobs, parent: ProcessPoolTaskRunner(
        max_workers=jobs, initializer=begin_worker, initargs=parent
    ),
}


@task(name="cell", task_run_name="{step.name}", cache_policy=NO_CACHE, persist_result=False)
def train_cell(folder: str, step: Step, server: str | None, parent: tuple[int, float]) -> State[Outcome]:
    """One step of a sweep; its state shows how it ended."""
    outcome = run_step(stored_sweep(Path(folder)), step, server, parent)
    if outcome.code:
        return Failed(message=outcome.sentence, data=outcome)
    return Completed(data=outcome)


@flow(name="jko-sweep", flow_run_name="{name}", validate_parameters=False)
def sweep_flow(
    name: str, folder: str, root: str, *, jobs: int = 1, retry: bool = False, server: str | None = None
) -> dict[str, str]:
    """Bring every cell of a stored sweep up; what is committed is skipped.

    Args:
        name: shown in Prefect.
        folder: the sweep's folder.
        root: the project's folder.
        jobs: cells that are trained side by side.
        retry: try cells again that failed numerically.
        server: address of a Prefect server that the user chose.

    Returns:
        The sentences of the cells that failed.
    """
    sweep = stored_sweep(Path(folder))
    standings = survey(sweep, Path(root), retry=retry)
    board = Board(sweep, standings, Path(root), steps_of(standings, jobs))
    finished: SimpleQueue[str] = SimpleQueue()
    futures: dict[str, PrefectFuture[State[Outcome]]] = {}
    try:
        while board.waiting or board.running:
            for step in board.ready()[: max(jobs - len(board.running), 0)]:
                before = [futures[step.after]] if step.after in board.well else []
                future = train_cell.submit(
                    folder, step, server, own_process(), wait_for=before, return_state=False
                )
                future.add_done_callback(partial(_note, finished, step.name))
                futures[step.name] = future
                board.start(step)
            if board.running:
                ended = finished.get()
                board.end(ended, outcome_of(futures[ended]))
    except BaseException:
        STOPPING.asked = True
        stop_all(sweep)
        raise
    return board.failures


def _note(finished: SimpleQueue[str], name: str, future: PrefectFuture[State[Outcome]]) -> None:
    finished.put(name)


def outcome_of(future: PrefectFuture[State[Outcome]]) -> Outcome:
    """How a step ended, also where the task runner lost it."""
    try:
        found: object = future.result(raise_on_failure=False)
    except Exception as error:
        found = error
    return found if isinstance(found, Outcome) else Outcome(1, f"the task runner lost it: {found}")


class Board:
    """What waits, runs and has ended in a sweep; says so on standard error.

    Args:
        sweep: the sweep.
        standings: how far every cell was at the start.
        root: the project's folder.
        steps: of the plan.
    """

    def __init__(self, sweep: Sweep, standings: list[Standing], root: Path, steps: list[Step]) -> None:
        self.sweep, self.root = sweep, root
        self.standings = {standing.cell.name: standing for standing in standings}
        self.waiting = {step.name: step for step in steps}
        self.running: dict[str, Step] = {}
        self.well: set[str] = set()
        self.ended: set[str] = set()
        self.failures = {name: own.failure for name, own in self.standings.items() if own.failure}
        self.best: tuple[float, str] | None = None
        self.done = len(self.failures)
        for name, own in self.standings.items():
            if own.chain.finished and not own.failure:
                self.done += 1
                self._improve(name)
        if self.done:
            say(f"{self.done} of {len(self.standings)} cells were finished earlier", err=True)

    def ready(self) -> list[Step]:
        """Steps that can start; those that would only repeat a failure end here."""
        for step in list(self.waiting.values()):
            if step.cell in self.failures:
                self._count(self.waiting.pop(step.name), Outcome(1, self.failures[step.cell]))
            elif step.after in self.ended and (sentence := self._inherited(step)):
                self._count(self.waiting.pop(step.name), Outcome(NumericalError.exit_code, sentence))
        return [step for step in self.waiting.values() if step.after is None or step.after in self.ended]

    def start(self, step: Step) -> None:
        """A step was handed to the task runner."""
        self.running[step.name] = self.waiting.pop(step.name)

    def end(self, name: str, outcome: Outcome) -> None:
        """A step's process has ended."""
        self._count(self.running.pop(name), outcome)

    def _count(self, step: Step, outcome: Outcome) -> None:
        self.ended.add(step.name)
        cell = self.sweep.cell(step.cell)
        if outcome.code == 0:
            self.well.add(step.name)
            self.sweep.failure(step.cell).unlink(missing_ok=True)  # tried again, and well now
        else:
            self.failures[step.cell] = outcome.sentence
        if outcome.code == NumericalError.exit_code:
            remember_failure(self.sweep, cell, self.standings[step.cell].source_key, outcome.sentence)
        if step.stop_after is not None:
            if outcome.code == 0:
                say(f"trained once for several cells: {step.name}", err=True)
            return
        self.done += 1
        head = f"cell {self.done}/{len(self.standings)}  {self.sweep.label(cell)}"
        say(f"{head}: {outcome.sentence or self._figures(step.cell)}", err=True)

    def _figures(self, name: str) -> str:
        value = self._improve(name)
        best = "" if self.best is None else f"; best so far {self.best[0]:.4g}"
        return f"{self.sweep.by} {figure(value, '.4g') if finite(value) else 'unknown'}{best}"

    def _improve(self, name: str) -> float | None:
        value = figures_of(self.sweep.cell(name), self.sweep.layout(name)).get(self.sweep.by)
        if value is not None and (self.best is None or value < self.best[0]):
            self.best = (value, name)
        return value

    def _inherited(self, step: Step) -> str:
        """The failure of the cell that trains the shared blocks, if it is sure to come again."""
        if step.source is None or step.source not in self.failures:
            return ""
        lead, cell = self.sweep.cell(step.source), self.sweep.cell(step.cell)
        sentence, key = self.failures[step.source], self.standings[step.source].source_key
        block = FAILED_BLOCK.match(sentence)
        if known_failure(self.sweep, lead, key) is None or block is None or int(block[1]) >= step.shared:
            return ""
        same = lead.config.measure == cell.config.measure  # its limit on the round trip makes some failures
        return f"{sentence} (in blocks shared with cell {lead.name})" if same else ""
