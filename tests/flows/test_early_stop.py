"""SIGTERM at every stage of a start: one sentence, and nothing complains of what was not opened yet."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.commands import Command
from tests.flows.schedules import TINY

#: what is there when a stage begins, in order
STAGES = {
    "the lock is taken": "chain.run/holder.json",
    "the flow runs": "chain.run/prefect.json",
    "the data are prepared": "chain/chain.json",
    "the store opens": ".jko/tracking.lock",
    "the run is tracked": "chain.run/tracking/*.json",
}


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_stop_in_the_beginning_is_one_sentence(project: Path, server: str, stage: str) -> None:
    words = ["train", *TINY, "--set", "training.iterations=100000", "--chain", "chain"]
    # a store that is made only now takes seconds to open
    own = {"MLFLOW_TRACKING_URI": f"sqlite:///{project}/.jko/mlflow.db"}
    run = Command(project, *words, log=project / "log.txt", environment=own)
    deadline = time.monotonic() + 120
    while not list(project.glob(STAGES[stage])):
        assert run.poll() is None, (project / "log.txt").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    run.send_signal(signal.SIGTERM)
    code, said = run.wait(60), (project / "log.txt").read_text()
    assert code == 130, said
    for complaint in ("Traceback", "NoneType", "warning:", "Error"):
        assert complaint not in said
    assert said.count("jko: interrupted; committed blocks are kept") == 1
    assert not (project / "chain.run" / "holder.json").exists()
