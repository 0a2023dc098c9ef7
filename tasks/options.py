"""What all tasks of the pipeline have in common."""

from __future__ import annotations

import time
from typing import Any, ParamSpec, TypeVar

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.states import Completed

from tasks.adapters.prefect.prefect_loss import runs_alone

P = ParamSpec("P")
R = TypeVar("R")


def is_io_error(task: Task[P, R], run: TaskRun, state: State[R]) -> bool:
    """Retry what a busy disk or network may cause; a numerical error never."""
    return isinstance(state.result(raise_on_failure=False), OSError)


#: The commit file on disk says what is done, so Prefect's own cache stays off.
DURABLE: dict[str, Any] = {
    "cache_policy": NO_CACHE,
    "persist_result": False,
    "retries": 2,
    "retry_delay_seconds": 1,
    "retry_condition_fn": is_io_error,
}


def skipped(reason: str, value: R) -> State[R]:
    """A completed state that says why nothing was done."""
    return Completed(name="Skipped", message=reason, data=value)


def done(step: Task[P, R | State[R]], *given: P.args, **named: P.kwargs) -> R:
    """What a task returns; where the flow runs without Prefect, its function is called in the same way."""
    if not runs_alone():
        return value_of(step(*given, **named))
    for _ in range(DURABLE["retries"]):
        try:
            return value_of(step.fn(*given, **named))
        except OSError:
            time.sleep(DURABLE["retry_delay_seconds"])
    return value_of(step.fn(*given, **named))


def value_of(result: R | State[R]) -> R:
    """What a task returned, also where it returned a state of :func:`skipped`."""
    return result.result() if isinstance(result, State) else result
