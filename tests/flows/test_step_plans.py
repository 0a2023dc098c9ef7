"""``jko steps``, ``jko refine`` and ``jko reparametrise`` on a small real chain."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from flows.settings import build_request
from flows.step_plans import finished_blocks
from jko.disk.commit import file_digest
from jko.disk.layout import Layout
from jko.disk.manifest import required_manifest, stored_config
from jko.disk.weights import load_block
from jko.training.step_plan import refined, reparametrised
from tasks.adapters.store.chains import load_chain, read_curve
from tasks.adapters.store.lock import chain_lock
from tasks.adapters.store.parent_chain import read_origin
from tasks.adapters.store.plan import block_figures, keep_figures
from tests.projects import ROUGH, call, trained_project

TINY = (
    "--preset", "smoke", "--set", "steps.count=2", "--set", "data.rows=300",
    "--set", "measure.critic_centres=3", "--set", "blocks.2.learning_rate=0.003",
    "--set", "training.flow_matching_iterations=60", "--set", "training.iterations=10",
    "--set", "evaluation.samples=50", *ROUGH,
)  # fmt: skip
OLD = (0.3, 0.3 * 1.5)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, server: str) -> Path:
    """A project with a chain of two blocks, one refined and one reparametrised from it, and a partial one."""
    folder = tmp_path_factory.mktemp("project")
    trained_project(folder, ("train", *TINY, "--chain", "old", "--stop-after", "1"))
    shutil.copytree(folder / "old", folder / "partial")
    shutil.copytree(folder / "old.run", folder / "partial.run")
    return trained_project(
        folder,
        ("resume", "old"),
        ("refine", "old", "--chain", "fine"),
        ("reparametrise", "old", "--chain", "even"),
    )


@pytest.fixture
def inside(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(trained)
    return trained


def blocks_of(name: str) -> tuple[Any, Layout, tuple[str, ...]]:
    layout = Layout(Path(name))
    config = stored_config(layout)
    return config, layout, required_manifest(layout).fingerprints


def movements(name: str) -> list[float]:
    _, layout, chain = blocks_of(name)
    return [
        json.loads(layout.measures(k, chain[k]).read_text())["movement_validation"]
        for k in range(1, len(chain))
    ]


def answer(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_a_refined_chain_has_every_step_twice_and_the_old_data(inside: Path) -> None:
    config, layout, chain = blocks_of("fine")
    assert config.step_sizes == pytest.approx(refined(OLD), rel=1e-12)
    old_config, _, old_chain = blocks_of("old")
    assert chain[0] == old_chain[0]
    assert "0-" in next(iter(json.loads((layout.run / "taken.json").read_text())))
    # the second block's own setting belongs to both of its halves
    assert [config.training_of(k).learning_rate for k in (1, 2, 3, 4)] == [0.002, 0.002, 0.003, 0.003]
    same = ("training", "network", "solver", "seed", "data", "runtime", "evaluation", "measure")
    assert all(getattr(config, name) == getattr(old_config, name) for name in same)
    assert read_origin(config, layout).tags["jko.parent_chain"] == "old"


def test_reparametrised_steps_are_those_of_the_measured_movements(inside: Path) -> None:
    config, _, _ = blocks_of("even")
    assert config.step_sizes == pytest.approx(reparametrised(OLD, movements("old")), rel=1e-12)
    assert np.prod(np.add(config.step_sizes, 1)) == pytest.approx(1.3 * 1.45)
    assert config.step_sizes[0] != pytest.approx(OLD[0], rel=1e-3)


@pytest.mark.parametrize(("name", "sources"), [("fine", (1, 1, 2, 2)), ("even", None)])
def test_blocks_start_from_the_slowed_block_that_holds_them(
    inside: Path, name: str, sources: tuple[int, ...] | None
) -> None:
    config, layout, chain = blocks_of(name)
    old_config, old, old_chain = blocks_of("old")
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((50, 2))).float()
    for k in range(1, len(chain)):
        digest = config.start_of(k)
        assert digest is not None
        assert file_digest(layout.start(k, digest)) == digest
        stored = json.loads((layout.block(k, chain[k]) / "block.json").read_text())
        assert stored["settings"]["start"] == digest
        start = load_block(layout, config, k, chain[k], 2)
        from safetensors.torch import load_file

        start.load_state_dict(load_file(layout.start(k, digest)))
        source = k if sources is None else sources[k - 1]
        block = load_block(old, old_config, source, old_chain[source], 2)
        factor = np.log1p(config.step_sizes[k - 1]) / np.log1p(OLD[source - 1])
        with torch.no_grad():
            at = torch.tensor(0.3)
            torch.testing.assert_close(start.field(x, at), float(factor) * block.field(x, at))
            assert float((block.field(x, at)).abs().max()) > 0.05


def test_a_slowed_start_is_better_than_none(inside: Path) -> None:
    """The first two records of a curve are the start and the identity."""
    _, layout, chain = blocks_of("fine")
    for k in range(1, 3):
        curve = read_curve(layout.block(k, chain[k]))
        assert curve is not None
        start, identity = curve["objective"][:2]
        assert start < identity


def test_the_comparison_is_that_of_jko_compare(
    inside: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Given once more, the command has nothing to do and says the same."""
    before = (inside / "fine" / "chain.json").read_bytes()
    capsys.readouterr()
    assert call(monkeypatch, "refine", "old", "--chain", "fine", "--json") == 0
    said = capsys.readouterr()
    assert "nothing to do: all 4 blocks" in said.err
    found = json.loads(said.out)
    assert (inside / "fine" / "chain.json").read_bytes() == before
    assert call(monkeypatch, "compare", "old", "fine", "--json") == 0
    assert found["comparison"] == answer(capsys)
    assert found["sources"] == [1, 1, 2, 2]
    assert found["parent"]["step_sizes"] == list(OLD)
    assert found["status"]["state"] == "complete"
    (pair,) = found["comparison"]["paired"]
    assert pair["rows"] == 30
    steps = [(own["run"], own["name"]) for own in found["comparison"]["steps"]]
    for name in ("nll", "epsilon", "movement"):
        assert steps.count(("fine", name)) == 4
        assert steps.count(("old", name)) == 2


def test_people_are_shown_steps_and_figures(
    inside: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert call(monkeypatch, "reparametrise", "old", "--chain", "even") == 0
    said = capsys.readouterr().out
    for part in ("from block", "test/nll", "ε, error of the step", "movement", "even against old:"):
        assert part in said


@pytest.mark.slow
def test_a_new_chain_stopped_half_way_is_gone_on_with(inside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after its weights were written and the first block trained: the same command, the same bits."""
    from flows import step_plans

    config, layout, chain = blocks_of("fine")
    found = step_plans.changed_chain("refine", Layout(Path("old")), Layout(Path("again")))
    assert found.config == config
    step_plans.keep_start_of(found, Layout(Path("again")), "test")
    assert call(monkeypatch, "refine", "old", "--chain", "again") == 0
    _, again, other = blocks_of("again")
    assert other == chain
    weights = [place.block(4, chain[4]) / "weights.safetensors" for place in (layout, again)]
    assert file_digest(weights[0]) == file_digest(weights[1])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("old", "--chain", "old"), "is the chain itself"),
        (("nowhere", "--chain", "x"), "no chain there"),
        (("partial", "--chain", "x"), "block 2 missing (not trained yet); run jko resume partial"),
        (("old", "--chain", "even"), "holds a chain of other settings"),
        (("old", "--chain", "data/chain"), "is the chain of params.yaml"),
        (("old",), "missing option '--chain'; see jko refine --help"),
    ],
)  # fmt: skip
def test_what_cannot_be_refined_is_refused_in_a_sentence(
    inside: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...], said: str,
) -> None:  # fmt: skip
    assert call(monkeypatch, "refine", *words) == 2
    assert said in capsys.readouterr().err
    assert not Path("x").exists()


def test_a_folder_of_something_else_is_left_alone(
    inside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert call(monkeypatch, "refine", "old", "--chain", str(tmp_path)) == 2
    assert "not a chain's folder (it holds 'notes.txt')" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_chain_in_use_is_refused(
    inside: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with chain_lock(Layout(Path("old")), "jko train of someone"):
            held.set()
            done.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(10)
    try:
        assert call(monkeypatch, "refine", "old", "--chain", "x") == 4
    finally:
        done.set()
        holder.join()
    assert "old is in use by a run" in capsys.readouterr().err
    assert not Path("x").exists()


def test_movements_that_are_not_there_are_asked_for(
    inside: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, layout, chain = blocks_of("old")
    place = layout.measures(2, chain[2])
    kept, figures = place.read_bytes(), block_figures(layout, 2, chain[2])
    assert figures is not None
    still = figures.model_copy(update={"movement_validation": 0.0})
    for change, said in (
        (lambda: place.write_bytes(b"{}"), "block 2 is not measured under its settings; run jko resume old"),
        (lambda: keep_figures(layout, 2, chain[2], still), "block 2 moves nothing"),
    ):
        change()
        try:
            assert call(monkeypatch, "reparametrise", "old", "--chain", "x") == 2
        finally:
            place.write_bytes(kept)
        assert said in capsys.readouterr().err


def test_two_halves_are_nearly_the_old_block(inside: Path) -> None:
    """As started, before any training: two slowed blocks in a row against the one they came from."""
    from jko.training.warm_start import slowed

    config, layout, _ = blocks_of("old")
    chain = finished_blocks(config, layout)
    block = load_chain(layout, config, chain).blocks[0]
    half = slowed(block, 0.5)
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((200, 2))).float()
    with torch.no_grad():
        old, new = block.push_forward(x), half.push_forward(half.push_forward(x))
        plain = block.push_forward(old)
    moved = (old - x).norm()
    assert (new - old).norm() < 0.1 * moved < (plain - old).norm()


def test_fitted_steps_are_words_that_train_takes(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--preset", "smoke", "--set", "data.rows=500")
    assert call(monkeypatch, "steps", *words, "--json") == 0
    found = answer(capsys)
    sizes = tuple(step["step_size"] for step in found["steps"])
    assert found["rows"] == 400
    assert found["steps"][0]["blurs"] == pytest.approx(found["width"], rel=1e-3)
    assert found["steps"][-1]["time"] == pytest.approx(found["time"], rel=1e-3)
    assignments = [word.strip("'") for word in found["set"].split() if word != "--set"]
    config = build_request(project, preset="smoke", assignments=assignments).config
    assert config.step_sizes == sizes
    assert call(monkeypatch, "steps", *words, "--count", "4") == 0
    said = capsys.readouterr().out
    assert said.startswith("4 steps for 400 rows")
    assert "--set 'steps.sizes=[" in said.splitlines()[-1]


def test_fitted_steps_ignore_smoothed_copies_and_take_a_chain_s_data(
    inside: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    found = []
    for words in (("--chain", "old"), TINY, (*TINY, "--set", "data.augment={copies: 4, width: 0.01}")):
        assert call(monkeypatch, "steps", *words, "--json") == 0
        found.append(answer(capsys))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--preset", "mons"), "unknown preset 'mons'"),
        (("--data", "none.csv"), "no such file"),
        (("--chain", "old", "--seed", "1"), "a chain has its own data; leave one out"),
        (("--chain", "nowhere"), "no chain there"),
        (("--preset", "smoke", "--count", "0"), "'--count'"),
        (("--preset", "smoke", "--ratio", "1"), "'--ratio'"),
        (("--preset", "smoke", "--ratio", "1.0000001"), "no plan can be fitted: more than 1000 steps"),
    ],
)
def test_what_cannot_be_fitted_is_refused_in_a_sentence(
    inside: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...], said: str,
) -> None:  # fmt: skip
    assert call(monkeypatch, "steps", *words) == 2
    assert said in capsys.readouterr().err
