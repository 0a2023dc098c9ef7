"""Which server Prefect's clients use, in a process that trains more than once."""

from __future__ import annotations

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
