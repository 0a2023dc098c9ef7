"""The paper's experiment: every estimate against laws whose ε² is known, the files, the command."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML

from flows.cli.experiments import default_folder, tables
from flows.cli.main import main
from jko.laws.gaussian import epsilon_squared_of_moments
from tasks.experiments import cltx
from tasks.experiments.cltx_files import read_snapshots
from tasks.experiments.cltx_pictures import write_results
from tasks.experiments.cltx_records import Moment, Snapshot

ROOT = Path(__file__).resolve().parents[2]
MEAN, GAMMA = np.array([3.0, 3.0]), cltx.STEP_SIZE
KEYS = [
    "gaussian", "critic_affine_ot", "critic", "critic_se", "critic_rbf", "critic_rbf_se",
    "paper_kde", "paper_kde_l2", "paper_gradient", "paper_transport", "paper_score", "name",
]  # fmt: skip
#: name -> (matrix, mean): y = mean + matrix (x − (3, 3)), symmetric and so optimal
MAPS: dict[str, tuple[Any, Any]] = {
    "p0": (np.eye(2), [3.0, 3.0]),
    "p1_020_percent": ([[1.3, 0.4], [0.4, 0.8]], [2.6, 2.2]),
    "p1_060_percent": ([[1.1, -0.1], [-0.1, 1.0]], [2.1, 2.0]),
    "p1_090_percent": ([[1.02, 0.0], [0.0, 0.97]], [2.0, 2.0]),
    "p1_100_percent": (np.eye(2), [2.0, 2.0]),
}
TURN = [[math.cos(0.5), -math.sin(0.5)], [math.sin(0.5), math.cos(0.5)]]
SHORT = (0, 4, 8, 20)
PICTURES = {"curve.png", "norms.png", "quiver.png"}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread, few rows for the exact pairing, a short training in the command."""
    monkeypatch.setattr("jko.statistics.kernel_statistic.ROWS", 300)
    monkeypatch.setattr(cltx, "ROWS", 300)
    monkeypatch.setattr(cltx, "MOMENTS", SHORT)
    monkeypatch.setattr(cltx, "HELD_OUT", 1000)
    monkeypatch.setattr(cltx, "DRAWS", 3)
    torch.set_num_threads(1)


def arrays(rows: int = 10_000) -> dict[str, np.ndarray]:
    """Samples of N((3, 3), I) and their images under the maps, float32 as the authors' are."""
    z = np.random.default_rng(0).standard_normal((rows, 2))
    return {
        name: (np.array(mean) + z @ np.array(matrix).T).astype(np.float32)
        for name, (matrix, mean) in MAPS.items()
    }


def epsilon_squared(matrix: Any, mean: Any) -> float:
    """The true ε² of such a step."""
    matrix = np.array(matrix)
    return epsilon_squared_of_moments(MEAN, np.eye(2), mean, matrix @ matrix.T, GAMMA)


def stored(folder: Path, rows: int) -> Path:
    path = folder / "snapshots.npz"
    np.savez(path, **arrays(rows))
    return path


def test_every_estimate_agrees_with_the_true_law(tmp_path: Path) -> None:
    measured = [one.model_dump() for one in cltx.snapshots(read_snapshots(stored(tmp_path, 10_000)))]
    assert [list(entry) for entry in measured] == [KEYS] * len(MAPS)
    assert [entry["name"] for entry in measured] == list(MAPS)
    for entry in measured:
        true = epsilon_squared(*MAPS[entry["name"]])
        # the maps are optimal, so both pairings have the same ε²
        assert abs(entry["critic"] - true) < 4 * entry["critic_se"] + 1e-3
        assert abs(entry["gaussian"] - true) < 4 * entry["critic_se"] + 2e-3
        assert abs(entry["critic_affine_ot"] - entry["gaussian"]) < max(0.02 * entry["gaussian"], 0.005)
        assert entry["critic_rbf"] >= entry["critic"] - 2 * min(entry["critic_se"], entry["critic_rbf_se"])
        assert entry["paper_kde"] <= entry["paper_kde_l2"] <= math.sqrt(2) * entry["paper_kde"]
    assert measured[0]["gaussian"] == pytest.approx(18, rel=0.02)
    assert abs(measured[-1]["critic"]) < 0.005
    assert measured[-1]["paper_kde"] > 0.1  # its floor


def test_block_pairing_sees_a_rotation_and_optimal_transport_does_not() -> None:
    """After the exact step turned by θ: B = (I − Rᵀ)/γ, so ε² = 4 (1 − cos θ)/γ² more, and 0."""
    x = torch.from_numpy(arrays()["p0"]).double()
    y = (x - 3) @ torch.tensor(TURN, dtype=torch.float64).T + 2
    entry = cltx.snapshots({"p0": x, "turned": y})[1]
    assert entry.critic == pytest.approx(4 * (1 - math.cos(0.5)) / GAMMA**2, rel=0.05)
    assert entry.critic_affine_ot == pytest.approx(0, abs=0.01)
    assert entry.gaussian == pytest.approx(0, abs=0.01)


def test_training_ends_near_the_exact_step_and_is_a_function_of_the_seed() -> None:
    told: list[Any] = []
    trained = cltx.training(0, moments=SHORT, rows=1000, tell=told.append)
    assert told == trained.moments
    moments = [one.model_dump() for one in trained.moments]
    assert [moment["iteration"] for moment in moments] == list(SHORT)
    assert [moment["percent"] for moment in moments] == [0, 20, 40, 100]
    assert moments[0]["exact"] == pytest.approx(18, abs=1e-4)
    assert moments[-1]["exact"] < 4
    for moment in moments:
        for name in ("critic", "critic_rbf"):
            assert abs(moment[name] - moment["exact"]) < 4 * moment[f"{name}_se"] + 0.02 * moment["exact"]
        assert moment["gaussian"] == pytest.approx(moment["critic_affine_ot"], rel=0.02, abs=0.005)
        assert set(KEYS) - {"name"} < set(moment)
    assert [field.iteration for field in trained.fields] == [0, 4, 20]
    start = trained.fields[0]
    torch.testing.assert_close(start.xi, torch.full_like(start.xi, 3.0), rtol=1e-5, atol=1e-5)
    first = cltx.training(0, moments=(0, 4), rows=500).moments
    assert cltx.training(0, moments=(0, 4), rows=500).moments == first
    assert cltx.training(1, moments=(0, 4), rows=500).moments != first


@pytest.mark.slow
def test_equal_results_are_written_as_equal_bytes(tmp_path: Path) -> None:
    trained, level = cltx.training(0, moments=(0, 4), rows=500), cltx.exact_step(0, rows=200, draws=3)
    bytes_of = [[path.read_bytes() for path in write_results(tmp_path, [], trained, level)] for _ in range(2)]
    assert bytes_of[0] == bytes_of[1]
    assert {path.name for path in tmp_path.iterdir()} == {"cltx.json", *PICTURES}


def test_the_parts_of_xi_have_their_closed_forms_at_the_start() -> None:
    """Under the identity ∇V + score is (3, 3) everywhere, nothing is moved, and E|score|² = 2."""
    (start,) = cltx.training(0, moments=(0, 1), rows=1000).moments[:1]
    assert start.exact_gradient == pytest.approx(18, abs=1e-4)
    assert start.exact_transport == pytest.approx(0, abs=1e-8)
    assert start.exact_score == pytest.approx(2, abs=4 * start.exact_score_se)
    assert start.paper_gradient == pytest.approx(math.sqrt(162), rel=0.1)


def test_the_level_of_an_exact_step_is_noise_around_its_parts() -> None:
    """N((3,3), I) to N((2,2), I): both parts of ξ are (2, 2), their difference is 0, and noise is left."""
    level = cltx.exact_step(1, rows=600, draws=4)
    assert level == cltx.exact_step(1, rows=600, draws=4)
    assert level != cltx.exact_step(2, rows=600, draws=4)
    assert level.paper_gradient == pytest.approx(math.sqrt(32), rel=0.15)
    assert level.paper_transport == pytest.approx(math.sqrt(32), rel=0.15)
    assert 0.2 < level.paper_kde < 2
    assert 0 < level.paper_kde_std < level.paper_kde


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr("sys.argv", ["jko", "experiment", "cltx", *words])
    main()


def test_the_command_prints_json_only_and_writes_the_same(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(monkeypatch, "--snapshots", str(stored(project, 800)), "--json", "-o", "here")
    said = capsys.readouterr()
    printed = json.loads(said.out)
    assert list(printed) == ["snapshots", "training", "exact_step"]
    assert [list(entry) for entry in printed["snapshots"]] == [KEYS] * len(MAPS)
    assert printed["exact_step"]["draws"] == 3
    assert "step 20" in said.err
    assert json.loads((project / "here" / "cltx.json").read_text()) == printed
    assert all((project / "here" / name).is_file() for name in PICTURES)
    tables({
        "the snapshots": [Snapshot.model_validate(one) for one in printed["snapshots"]],
        "our training": [Moment.model_validate(one) for one in printed["training"]],
    })  # fmt: skip
    shown = capsys.readouterr().out
    assert all(part in shown for part in ("p1_060_percent", "step 20", "affine critic", "move exact"))
    assert "…" not in shown  # it fits


def test_only_the_plain_command_writes_what_dvc_owns(project: Path, tmp_path: Path) -> None:
    assert default_folder(project, plain=True) == project / "docs" / "cltx"
    assert default_folder(project, plain=False) == project / ".jko" / "experiments" / "cltx"
    nowhere = tmp_path / "nowhere"
    assert default_folder(nowhere, plain=True) == nowhere / "cltx"


def saved(**given: Any) -> Callable[[Path], None]:
    return lambda path: np.savez(path, **given)


def with_value(value: float) -> np.ndarray:
    rows = np.random.default_rng(0).standard_normal((200, 2))
    rows[6, 1] = value
    return rows


GOOD = with_value(0.0)
BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (lambda path: None, "no such file"),
    "folder": (lambda path: path.mkdir(), "no such file"),
    "empty": (lambda path: path.write_bytes(b""), "not a readable NPZ"),
    "text": (lambda path: path.write_text("hello"), "not a readable NPZ"),
    "cut off": (lambda path: path.write_bytes(b"PK\x03\x04 and no more"), "not a readable NPZ"),
    "npy": (lambda path: np.save(path.open("wb"), GOOD), "not a readable NPZ"),
    "pickled objects": (saved(p0=np.array([{}, []], dtype=object)), "not a readable NPZ"),
    "no p0": (saved(p1=GOOD), "no array p0"),
    "no arrays": (saved(), "no array p0"),
    "three columns": (saved(p0=np.zeros((200, 3))), "p0 has shape (200, 3)"),
    "one axis": (saved(p0=np.zeros(200)), "p0 has shape (200,)"),
    "other shape": (saved(p0=GOOD, p1=GOOD[:150]), "p1 has shape (150, 2) and p0 (200, 2)"),
    "not finite": (saved(p0=GOOD, p1=with_value(np.nan)), "p1 holds a value that is not finite, in row 7"),
    "words": (saved(p0=np.full((200, 2), "x")), "not an array of real numbers"),
    "few rows": (saved(p0=GOOD[:99]), "99 rows"),
    "on a line": (saved(p0=GOOD, p1=np.c_[GOOD[:, 0], GOOD[:, 0]]), "p1 has rows on a line"),
    "constant": (saved(p0=GOOD, p1=np.ones((200, 2))), "p1 has rows on a line"),
    "too large": (saved(p0=with_value(1e200)), "too large"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_in_one_sentence(
    name: str, project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make, sentence = BAD[name]
    make(project / "f.npz")
    before = sorted(project.rglob("*"))
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, "--snapshots", "f.npz")
    said = capsys.readouterr().err.strip().splitlines()
    assert stop.value.code == 2
    assert len(said) == 1
    assert "f.npz" in said[0]
    assert sentence in said[0]
    assert sorted(project.rglob("*")) == before


def test_a_file_is_no_folder_for_the_results(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "taken").write_text("")
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, "-o", "taken/below")
    assert stop.value.code == 2
    assert "no folder can be made" in capsys.readouterr().err


def test_the_results_in_git_are_those_of_the_code() -> None:
    """Else ``dvc status`` is not clean after a clone: run ``dvc repro experiment`` and commit."""
    lock = YAML(typ="safe").load((ROOT / "dvc.lock").read_text())["stages"]["experiment"]
    recorded = {part["path"]: part["md5"] for part in lock["deps"] + lock["outs"]}
    found = {name: hashlib.md5((ROOT / name).read_bytes()).hexdigest() for name in recorded}
    assert found == recorded, "run dvc repro experiment"
