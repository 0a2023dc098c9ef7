"""A Prefect server that is busy or lost costs a warning, neither the run nor its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field

import httpx
from prefect.client.schemas.objects import State
from prefect.events.clients import PrefectEventsClient
from prefect.events.worker import EventsWorker, emit_events_to_cloud, should_emit_events_to_running_server
from prefect.utilities.asyncutils import run_coro_as_sync

from jko.core.errors import was_interrupted
from tasks.adapters.system.environment import first_line
from tasks.listening import Result

#: what a flow returns: its result, or the state of its failure
Ended = Result | State[Exception]
log = logging.getLogger("jko.prefect")


@dataclass
class Course:
    """How far a flow came, whatever its server knows of it.

    Args:
        begun: whether its body began.
        alone: whether it runs without Prefect.
        left: its results and errors, the last one counts.
    """

    begun: bool = False
    alone: bool = False
    left: list[Result | Exception] = field(default_factory=list)


_COURSE: ContextVar[Course | None] = ContextVar("course", default=None)


def outlasting_server(call: Callable[[], Ended], alone: Callable[[], Ended]) -> Result:
    """Call a flow; one that cannot be begun on the server runs alone, of one not ended what it left counts.

    Args:
        call: calls a flow that uses :func:`begin` and :func:`leave`.
        alone: calls the same function without Prefect.

    Raises:
        Exception: the flow's own error.
    """
    if should_emit_events_to_running_server() and not emit_events_to_cloud():
        # Prefect would ask a lost server eleven times, seven seconds, for every single event, and wait
        # for all of them at exit. What could not be sent is kept and goes with the next reconnection.
        EventsWorker.set_client_override(PrefectEventsClient, reconnection_attempts=1)
    quiet_events()
    # Prefect's event loop for the end of a flow, begun while there is memory: where it cannot begin, a
    # flow would wait for it without a bound
    run_coro_as_sync(asyncio.sleep(0))
    course = Course()
    token = _COURSE.set(course)
    try:
        return _result(call())
    except Exception as error:
        if was_interrupted(error):
            raise
        if not course.begun:
            return _alone(course, alone, error)
        if not course.left or not isinstance(error, httpx.HTTPError):
            raise
        log.warning(
            "Prefect could not be told how the run ended (%s); the run itself is not affected",
            first_line(error),
        )
        return _outcome(course)
    finally:
        _COURSE.reset(token)


def quiet_events() -> None:
    """Keep Prefect from warning, after a command's last line, of events that it still sends.

    The queue's logger is named by its class alone, so that no level of Prefect's settings reaches it.
    """
    logging.getLogger(EventsWorker.__name__).setLevel(logging.ERROR)


def _alone(course: Course, call: Callable[[], Ended], why: Exception) -> Result:
    log.warning("Prefect cannot take this run on (%s); the run goes on without it", first_line(why))
    course.alone = True
    result = call()
    return _outcome(course) if course.left else _result(result)


def _outcome(course: Course) -> Result:
    last = course.left[-1]
    if isinstance(last, Exception):
        raise last from None
    return last


def _result(found: Ended) -> Result:
    if isinstance(found, Result):
        return found
    raise found.result(raise_on_failure=False)


def begin() -> None:
    """Tell :func:`outlasting_server` that the current flow's body has begun."""
    if (course := _COURSE.get()) is not None:
        course.begun = True


def leave(outcome: Result | Exception) -> None:
    """Leave the result or the error of the current flow, for :func:`outlasting_server`."""
    if (course := _COURSE.get()) is not None:
        course.left.append(outcome)


def runs_alone() -> bool:
    """Whether the current flow runs without Prefect."""
    course = _COURSE.get()
    return course is not None and course.alone
