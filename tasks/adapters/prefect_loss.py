"""A Prefect server that is lost in the middle of a run costs a warning, not the run and not its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import httpx
from prefect.events.clients import PrefectEventsClient
from prefect.events.worker import EventsWorker, emit_events_to_cloud, should_emit_events_to_running_server
from prefect.utilities.asyncutils import run_coro_as_sync

#: where a flow leaves its result or its error, should its server be gone when it ends
_LEFT: ContextVar[list[Any] | None] = ContextVar("left", default=None)
log = logging.getLogger("jko.prefect")


def outlasting_server(call: Callable[[], Any]) -> Any:
    """Call a flow; where its run cannot be ended on the server, what it left counts.

    Args:
        call: calls a flow that uses :func:`leave`.

    Raises:
        Exception: the flow's own error.
    """
    if should_emit_events_to_running_server() and not emit_events_to_cloud():
        # Prefect would ask a lost server eleven times, seven seconds, for every single event, and wait
        # for all of them at exit. What could not be sent is kept and goes with the next reconnection.
        EventsWorker.set_client_override(PrefectEventsClient, reconnection_attempts=1)
    # Prefect's event loop for the end of a flow, begun while there is memory: where it cannot begin, a
    # flow would wait for it without a bound
    run_coro_as_sync(asyncio.sleep(0))
    left: list[Any] = []
    token = _LEFT.set(left)
    try:
        return call()
    except httpx.HTTPError as error:
        if not left:
            raise
        log.warning("Prefect could not be told how the run ended (%s); the run itself is not affected", error)
        if isinstance(left[-1], Exception):
            raise left[-1] from None
        return left[-1]
    finally:
        _LEFT.reset(token)


def leave(outcome: Any) -> None:
    """Leave the result or the error of the current flow, for :func:`outlasting_server`."""
    left = _LEFT.get()
    if left is not None:
        left.append(outcome)
