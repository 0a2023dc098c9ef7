"""Detectors beside one another: the split, the figure, the published score, and the program on tiny sets."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.metrics import roc_auc_score

from benchmarks import anomalies, detectors
from benchmarks.anomalies import Found, auroc, main, parts_of, ranks_of, read_set, table
from benchmarks.detectors import DETECTORS, OURS, Detector, ecod
from jko.core.errors import InputError


def cloud(count: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """A cloud and a tenth of the rows far from it."""
    draw = np.random.default_rng(0)
    labels = np.arange(count) % 10 == 0
    return np.where(labels[:, None], 9.0, 0.0) + draw.normal(size=(count, 3)), labels


def test_parts_are_stratified_and_constants_left_out() -> None:
    rows, labels = cloud()
    parts = parts_of(np.c_[rows, np.ones(120)], labels, 0)
    assert parts.train.shape == (84, 3)
    assert parts.test.shape == (36, 3)
    assert parts.odd.sum() in (3, 4)
    assert not np.array_equal(parts.test, parts_of(np.c_[rows, np.ones(120)], labels, 1).test)


def test_the_figure_is_that_of_scikit_learn() -> None:
    draw = np.random.default_rng(0)
    scores, odd = draw.integers(0, 9, 200).astype(float), draw.random(200) < 0.2
    assert auroc(scores, odd) == pytest.approx(roc_auc_score(odd, scores), abs=1e-12)


def test_ecod_by_hand() -> None:
    """Four numbers, skewed to the right: the left tails of 1 and 10 are ¼ and 1, the right ones 1 and ¼."""
    found = ecod(np.array([[1.0], [2.0], [3.0]]), np.array([[10.0], [2.0]]), 0)["ECOD"]
    both = np.array([1.0, 2.0, 3.0, 10.0, 2.0])
    left, right = (np.array([(sign * both <= sign * x).mean() for x in (10.0, 2.0)]) for sign in (1, -1))
    np.testing.assert_allclose(found, -np.log(np.minimum(left, right)))
    assert found[0] == pytest.approx(math.log(5))


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda one: one.__name__)
def test_every_detector_finds_what_is_plain(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detectors, "ITERATIONS", 5)
    first, *_ = anomalies.found(parts_of(*cloud(), 0), detector, 0).values()
    assert first.auroc > 0.95


def write(path: Path, rows: np.ndarray, labels: np.ndarray) -> None:
    np.savez(path, X=rows, y=labels.astype(int))


def test_the_program_keeps_its_figures_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def counted(train: np.ndarray, rows: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        asked.append(seed)
        (scores,) = ecod(train, rows, seed).values()
        return {OURS: scores, "ours, in another way": -scores}

    monkeypatch.setattr(anomalies, "SETS", {"one": "1.npz"})
    monkeypatch.setattr(anomalies, "DETECTORS", (counted, ecod))
    write(tmp_path / "1.npz", *cloud())
    readme = tmp_path / "README.md"
    readme.write_text("<!-- anomalies -->\n<!-- /anomalies -->\n")
    words = ["--data", str(tmp_path), "--results", str(tmp_path), "--readme", str(readme)]
    for _ in range(2):
        done = CliRunner().invoke(main, words, catch_exceptions=False)
        assert done.exit_code == 0
    assert asked == list(anomalies.SEEDS)
    lines = readme.read_text().splitlines()
    assert lines[2] == "| set | ours | ours, in another way | ECOD |"
    assert lines[4].startswith("| one | ")
    assert lines[5] == "| median rank | **1.5** | **2** | **1.5** |"


def test_ranks_are_by_the_median_of_the_seeds_and_ours_is_one_detector(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(anomalies, "SETS", {"one": "1.npz"})
    values = {OURS: (0.9, 0.1, 0.8), "ours, else": (0.6, 0.6, 0.6), "b": (0.7, 0.7, 1.0)}
    known = {
        f"one/{seed}": {name: Found(auroc=own[seed], se=0.1, seconds=1.0) for name, own in values.items()}
        for seed in anomalies.SEEDS
    }
    ranks = {name: ranks_of(known, ["one"], name) for name in values}
    assert ranks == {OURS: [1.0], "ours, else": [2.0], "b": [2.0]}
    assert "| one | 0.800 (0.100 … 0.900) | 0.600 (0.600 … 0.600) | 0.700 (0.700 … 1.000) |" in table(known)
    alone = {"one/0": known["one/0"]}
    assert "| one | 0.900 ± 0.100 | 0.600 ± 0.100 | 0.700 ± 0.100 |" in table(alone)
    monkeypatch.setattr(anomalies, "SETS", {"one": "1.npz", "two": "2.npz"})
    assert table(known) == "No figures yet."


def test_what_is_no_set_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X=np.array([[1.0, np.nan]]), y=[0])
    np.savez(tmp_path / "b.npz", rows=np.ones((2, 2)))
    (tmp_path / "c.npz").write_text("version https://git-lfs.github.com/spec/v1\n")
    for name in ("a", "b", "c", "d"):
        with pytest.raises(InputError, match=rf"{name}\.npz"):
            read_set(tmp_path / f"{name}.npz")
