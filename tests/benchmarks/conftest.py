"""What tests of the benchmark share."""

from __future__ import annotations

import pytest

from benchmarks import preparation
from jko.config import Config
from jko.preparation.auto_choices import Choice, choose
from jko.preparation.table import Table


@pytest.fixture(autouse=True)
def short_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trials that settle start and copies are real, with a chain of one small block."""

    def small(table: Table, config: Config) -> Choice:
        tiny = {"steps": {"sizes": [1.0]}, "network": {"hidden": [4]}, "blocks": {}}
        values = {**config.model_dump(mode="json"), **tiny}
        values["training"] |= {"flow_matching_iterations": 10, "iterations": 10, "batch_size": 32}
        return choose(table, Config.model_validate(values))

    monkeypatch.setattr(preparation, "choose", small)
