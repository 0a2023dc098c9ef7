"""Samples for jko judge: equal rows, and contexts of the held-out rows beside them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

pytest.importorskip("zuko")

from benchmarks.samples import main


@pytest.mark.parametrize("context", [pytest.param([], marks=pytest.mark.slow), ["sex"]])
def test_both_models_have_samples_in_files(context: list[str], tmp_path: Path) -> None:
    words = [word for name in context for word in ("--context", name)]
    name = "diabetes" if context else "moons"
    done = CliRunner().invoke(
        main, [name, str(tmp_path), "--rows", "200", "--samples", "300", "--seconds", "1",
               "--preset", "smoke", *words],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    tables = {path.stem: pd.read_csv(path) for path in tmp_path.glob("*.csv")}
    assert set(tables) == {"held_out", "train", "nsf", "ours"}
    assert len({tuple(table.columns) for table in tables.values()}) == 1
    assert len(tables["held_out"]) == len(tables["train"]) == 100
    assert len(tables["nsf"]) == len(tables["ours"]) == 300
    for table in tables.values():
        assert table.notna().all(axis=None)
    for column in context:
        for model in ("nsf", "ours"):
            assert sorted(tables[model][column].unique()) == sorted(tables["held_out"][column].unique())


def test_another_set_is_refused_in_a_sentence(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["iris", str(tmp_path)])
    assert done.exit_code == 2
    assert "iris: no such set; there are moons, diabetes, breast_cancer" in done.output
