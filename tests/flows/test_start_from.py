"""``jko train --start-from``, and what Prefect's page shows of runs that end well and of one that fails."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from jko.core.errors import ChainInUseError, InputError
from jko.disk.commit import file_digest
from jko.disk.layout import Layout
from jko.disk.manifest import required_manifest, stored_config
from tasks.adapters.store.lock import chain_lock
from tasks.adapters.store.parent_chain import adopt_start, read_origin, tracked_run
from tests.flows.schedules import client_of
from tests.projects import ROUGH, call, trained_project

TINY = (
    "--preset", "smoke", "--set", "steps.count=2", "--set", "data.rows=300",
    "--set", "measure.critic_centres=3",
    "--set", "training.flow_matching_iterations=60", "--set", "training.iterations=10",
    "--set", "evaluation.samples=50", *ROUGH,
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, server: str) -> Path:
    """A project with a chain of two blocks, and one of three that started from it."""
    more = ("--set", "steps.count=3", "--seed", "1", "--start-from", "first", "--chain", "second")
    return trained_project(
        tmp_path_factory.mktemp("project"),
        ("train", *TINY, "--chain", "first", "--stop-after", "2"),
        ("train", *TINY, *more),
    )


@pytest.fixture
def inside(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(trained)
    return trained


def test_every_block_the_parent_has_starts_from_it(inside: Path) -> None:
    first, second = Layout(Path("first")), Layout(Path("second"))
    chain = required_manifest(first).fingerprints
    digests = tuple(file_digest(first.block(k, chain[k]) / "weights.safetensors") for k in (1, 2))
    config = stored_config(second)
    assert config.start.weights == digests
    assert [file_digest(second.start(k, digest)) for k, digest in enumerate(digests, start=1)] == list(
        digests
    )
    assert [config.start_of(k) for k in (1, 2, 3)] == [*digests, None]
    own = required_manifest(second).fingerprints
    stored = [json.loads((second.block(k, own[k]) / "block.json").read_text()) for k in (1, 2, 3)]
    assert [block["settings"].get("start") for block in stored] == [*digests, None]
    tags = {"jko.parent_chain": "first", "jko.parent": tracked_run(first)}
    assert read_origin(config, second).tags == tags


def test_the_same_command_again_has_nothing_to_do(
    inside: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("--set", "steps.count=3", "--seed", "1", "--chain", "second")
    assert call(monkeypatch, "train", *TINY, *more, "--start-from", "first") == 0
    assert "nothing to do: all 3 blocks" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--set", "network.hidden=[8]", "--chain", "x"), r"hidden (32, 32), .* hidden (8,), .* is wanted"),
        (("--set", "network.fourier=4", "--chain", "x"), r"fourier 0, .* fourier 4 is wanted"),
        (("--chain", "first"), "cannot start from itself"),
    ],
)
def test_a_start_that_cannot_be_is_refused_in_a_sentence(
    inside: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...], said: str,
) -> None:  # fmt: skip
    assert call(monkeypatch, "train", *TINY, *words, "--start-from", "first") == 2
    message = capsys.readouterr().err
    for part in said.split(" .* "):
        assert part in message
    assert not Path("x").exists()


def test_no_chain_to_start_from(inside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(monkeypatch, "train", *TINY, "--start-from", "nowhere", "--chain", "x") == 2


def test_weights_that_are_gone_are_told(inside: Path, tmp_path: Path) -> None:
    config = stored_config(Layout(Path("second")))
    with pytest.raises(InputError, match="no longer has the weights that block 1 starts from"):
        adopt_start(config, Layout(tmp_path / "third"), Layout(Path("second")), tmp_path)


def flow_runs(root: Path, chain: str, server: str) -> list[Any]:
    from prefect.client.schemas.sorting import FlowRunSort

    with client_of(server) as client:
        runs = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC)
    return [
        run
        for run in runs
        if run.parameters.get("root") == str(root) and run.parameters.get("chain") == chain
    ]


def artifacts(run: Any, layout: Layout, server: str) -> dict[str, Any]:
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

    from tasks.adapters.prefect.prefect_artifacts import key_of

    wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
    with client_of(server) as client:
        found = client.read_artifacts(artifact_filter=wanted)
    names = [str(artifact.key).removeprefix(f"{key_of(layout)}-") for artifact in found]
    assert len(set(names)) == len(names), "an artifact was made again instead of renewed"
    return dict(zip(names, found, strict=True))


def test_prefect_shows_progress_blocks_result_and_pictures(inside: Path, server: str) -> None:
    layout = Layout(Path("second"))
    (run,) = flow_runs(inside, "second", server)
    shown = artifacts(run, layout, server)
    assert set(shown) == {"progress", "blocks", "result", "samples", "guarantee", "progress-picture"}
    assert shown["progress"].data == 100
    rows = json.loads(shown["blocks"].data)
    assert [row["block"] for row in rows] == ["1", "2", "3"]
    measured = json.loads(layout.measures(3, required_manifest(layout).fingerprints[3]).read_text())
    assert rows[2]["NLL, nats"].startswith(f"{measured['nll']:.3f} ± ")
    assert f"{json.loads(layout.metrics.read_text())['test/nll']:.6g}" in shown["result"].data
    assert (layout.report / "report.html").resolve().as_uri() in shown["result"].data
    assert shown["samples"].data.startswith("data:image/png;base64,")


def test_a_failure_shows_block_cause_and_the_command_that_goes_on(
    inside: Path, server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows of another dimension are only known in the run; it fails before block 1 is trained."""
    other = ("--set", "data={source: gaussian, rows: 100, mean: [0, 0, 0], std: [1, 1, 1]}")
    assert call(monkeypatch, "train", *TINY, *other, "--start-from", "first", "--chain", "wide") == 2
    said = capsys.readouterr().err
    sentence = "weights of another network (dimension 2, hidden [32, 32]), and this chain's is dimension 3"
    assert sentence in said
    assert said.strip().endswith("to continue: jko resume wide")
    (run,) = flow_runs(inside, "wide", server)
    assert run.state is not None
    assert run.state.name == "Failed"
    message = str(run.state.message)
    assert message.startswith("block 1: InputError: ")
    assert sentence in message
    assert message.endswith("to continue: jko resume wide")
    shown = artifacts(run, Layout(Path("wide")), server)
    assert "# Failed: block 1\n" in shown["failure"].data
    assert sentence in shown["failure"].data
    assert "\njko resume wide\n" in shown["failure"].data


def test_a_run_can_wait_for_the_chain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layout = Layout(tmp_path / "chain")
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with chain_lock(layout, "jko train of someone"):
            held.set()
            done.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(10)
    with pytest.raises(ChainInUseError, match="jko train of someone"), chain_lock(layout, "me", wait=0.3):
        pass
    threading.Timer(0.3, done.set).start()
    begun = time.monotonic()
    with chain_lock(layout, "me", wait=10):
        assert 0.2 < time.monotonic() - begun < 5
    holder.join()
    assert "waiting for process" in capsys.readouterr().err
