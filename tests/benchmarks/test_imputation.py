"""Scores of holes, beside those of the law that the rows are of."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks.imputation import main, measured, setting, table

#: a chain that is its Gaussian start
GAUSSIAN = {
    "data.standardise": "whiten", "data.augment.copies": 1, "steps.sizes": [0.01], "training.iterations": 1,
    "training.flow_matching_iterations": 5, "network.hidden": [8],
}  # fmt: skip


def rows(count: int = 4000) -> np.ndarray:
    """Three columns of very different units, two of which go together."""
    covariance = np.array([[1.0, 0.9, 0.2], [0.9, 1.0, 0.0], [0.2, 0.0, 1.0]])
    return np.random.default_rng(0).multivariate_normal(np.zeros(3), covariance, size=count) * [1e-3, 1, 1e4]


def test_a_gaussian_law_scores_as_its_conditional_laws_do() -> None:
    """With one hole the mean log-density is −½ log 2πe σ², σ² the part that the others leave open."""
    x = rows()
    found = {one["method"]: one for one in measured(x, rows=300, holes=[1], seed=0, settings=GAUSSIAN)}
    precision = np.linalg.inv(np.corrcoef(x.T))
    left = 1 / np.diag(precision)
    best = float(np.mean(-0.5 * np.log(2 * math.pi * math.e * left)))
    crps = float(np.mean(np.sqrt(left / math.pi)))  # E|X − X'| / 2
    for name in ("chain", "iterative, Bayesian ridge"):  # both know this law
        one = found[name]
        assert one["log_score"] == pytest.approx(best, abs=4 * one["log_score_se"])
        assert one["crps"] == pytest.approx(crps, abs=4 * one["crps_se"])
    assert found["mean"]["log_score"] == pytest.approx(-1.42, abs=0.15)  # −½ log 2πe
    lines = table(list(found.values()))
    assert len(lines) == 6
    assert lines[2].startswith("| 1 | chain | ")


def test_the_command_reads_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header = "a,b,c,name"
    lines = [",".join(f"{value:.17g}" for value in row) + ",0" for row in rows(900)]
    (tmp_path / "rows.csv").write_text("\n".join([header, *lines]))
    words = [word for key, value in GAUSSIAN.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    main([str(tmp_path / "rows.csv"), "--rows", "20", "--holes", "2", "--drop", "name", "--json", *words])
    found = json.loads(capsys.readouterr().out)
    assert [one["holes"] for one in found] == [2] * 4
    assert found[0]["rows"] == 20


def test_a_setting_is_json_or_a_word() -> None:
    assert setting("network.hidden=[8, 8]") == ("network.hidden", [8, 8])
    assert setting("data.standardise=whiten") == ("data.standardise", "whiten")
