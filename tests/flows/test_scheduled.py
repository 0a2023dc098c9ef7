"""How a scheduled run ends: its state in Prefect says what happened and what to do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.sorting import FlowRunSort

from flows.settings import build_request
from jko.config import Config
from jko.disk.layout import Layout
from tests.flows.schedules import TINY, client_of

TINIEST = tuple(word for word in TINY[2:] if word != "--set")


def settings(root: Path, *assignments: str, preset: str | None = "smoke", file: str | None = None) -> Config:
    return build_request(root, preset=preset, file=file, assignments=(*TINIEST, *assignments)).config


def run(api: str, root: Path, name: str, config: Config) -> Any:
    """The final state of a scheduled run in this process."""
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    from flows.scheduled import jko_scheduled

    known = {PREFECT_API_URL: api, PREFECT_API_AUTH_STRING: os.environ["PREFECT_API_AUTH_STRING"]}
    with temporary_settings(known):
        return jko_scheduled(name, config, str(root), return_state=True)


def test_trained_then_nothing_to_do(server: str, project: Path) -> None:
    config = settings(project)
    first, second = (run(server, project, "fine", config) for _ in range(2))
    assert (first.type.value, first.name) == ("COMPLETED", "Completed")
    assert (second.type.value, second.name) == ("COMPLETED", "Skipped")
    assert second.message
    assert not list((project / ".jko" / "up" / "runs").iterdir()), "a finished run is not on record"


def test_a_numerical_failure_says_block_cause_and_command_and_is_not_retried(
    server: str, project: Path
) -> None:
    config = settings(project, "measure.inversion_limit=1e-12")
    state = run(server, project, "hard one", config)
    assert state.type.value == "FAILED"
    assert state.message.startswith("block 1: ")
    assert "1e-12" in state.message
    assert state.message.endswith(f"to continue, in {project}: jko resume '.jko/chains/hard one'")
    with client_of(server) as client:
        parent = state.state_details.flow_run_id
        newest = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC)
        (sub,) = [found for found in newest if found.parent_task_run_id is not None
                  and client.read_task_run(found.parent_task_run_id).flow_run_id == parent]  # fmt: skip
        own = FlowRunFilter.model_validate({"id": {"any_": [sub.id]}})
        tasks = client.read_task_runs(flow_run_filter=own)
    assert [found.state_type.value for found in tasks].count("FAILED") == 1
    assert {found.run_count for found in tasks} == {1}


def test_data_that_went_bad_fail_the_run_with_one_sentence(server: str, project: Path) -> None:
    rows = "\n".join(f"{i}.5,{i * i % 7}.25" for i in range(50))
    (project / "rows.csv").write_text(f"a,b\n{rows}\n")
    config = settings(project, preset=None, file=str(project / "rows.csv"))
    (project / "rows.csv").write_text(f"a,b\noops,1.0\n{rows}\n")
    state = run(server, project, "bad", config)
    assert state.type.value == "FAILED"
    assert "'oops'" in state.message
    assert "\n" not in state.message


def test_a_name_changed_in_the_page_cannot_leave_the_folder_of_chains(server: str, project: Path) -> None:
    state = run(server, project, "../../elsewhere", settings(project))
    assert state.type.value == "FAILED"
    assert "'../../elsewhere' cannot name a schedule" in state.message


def test_a_chain_in_use_is_left_to_its_holder(server: str, project: Path) -> None:
    from tasks.adapters.store.lock import chain_lock

    layout = Layout.of(project / ".jko" / "chains" / "shared", project)
    with chain_lock(layout, "jko resume .jko/chains/shared"):
        state = run(server, project, "shared", settings(project))
    assert (state.type.value, state.name) == ("COMPLETED", "Skipped")
    assert "in use by process" in state.message
    assert "jko resume .jko/chains/shared" in state.message


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_only_an_interruption_is_told_as_one(
    server: str, project: Path, monkeypatch: pytest.MonkeyPatch, interruption: type[BaseException]
) -> None:
    def stop(*words: Any) -> None:
        raise interruption

    monkeypatch.setattr("flows.scheduled.refresh", stop)
    if interruption is SystemExit:
        with pytest.raises(SystemExit):
            run(server, project, "stopped", settings(project))
        return
    state = run(server, project, "stopped", settings(project))
    assert state.type.value == "CANCELLED"
    assert "committed blocks are kept" in state.message
