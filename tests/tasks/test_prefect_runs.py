"""Which server Prefect's clients use, in a process that trains more than once."""

from __future__ import annotations

import subprocess
import sys

import pytest
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL

from tasks.adapters.prefect.prefect_runs import settings_of_environment


def test_a_second_training_uses_its_own_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect reads the environment once; the server of the first training is gone by the second."""
    before = PREFECT_API_URL.value()
    for port in (4001, 4002):
        address = f"http://127.0.0.1:{port}/api"
        monkeypatch.setenv("PREFECT_API_URL", address)
        monkeypatch.setenv("PREFECT_API_AUTH_STRING", f"jko:{port}")
        with settings_of_environment():
            assert PREFECT_API_URL.value() == address
            secret = PREFECT_API_AUTH_STRING.value()
            assert (
                secret.get_secret_value() if hasattr(secret, "get_secret_value") else secret
            ) == f"jko:{port}"
        assert PREFECT_API_URL.value() == before


#: three events, each of which takes its time, and an end in the middle of them
LATE_EVENTS = """
import asyncio
from prefect.events.clients import NullEventsClient
from prefect.events.schemas.events import Event, Resource
from prefect.events.worker import EventsWorker
from tasks.adapters.prefect.prefect_loss import quiet_events

class Slow(NullEventsClient):
    async def _emit(self, event):
        await asyncio.sleep(0.3)

quiet_events()
EventsWorker.set_client_override(Slow)
worker = EventsWorker.instance()
for _ in range(3):
    worker.send(Event(event="x", resource=Resource({"prefect.resource.id": "x"})))
worker.drain()
"""


def test_events_that_are_late_are_not_told() -> None:
    """The last line of a command that was stopped is how to go on; Prefect would write below it."""
    run = subprocess.run([sys.executable, "-c", LATE_EVENTS], capture_output=True, text=True, check=True)
    assert not run.stderr
