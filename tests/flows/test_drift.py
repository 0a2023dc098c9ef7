"""Which rows of new data a chain has seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from flows import drift
from flows.drift import compared, unseen, words
from tasks.adapters.commit import committing
from tasks.adapters.layout import Layout
from tasks.adapters.store import DataFacts, write_arrays
from tasks.datasets.prepare import dequantise

STEP, NAME = 0.5, "f" * 64


def remembered(folder: Path, rows: NDArray[np.float64]) -> tuple[Layout, DataFacts]:
    """A chain's data, on a grid with an offset, dequantised by seed 0."""
    dim = rows.shape[1]
    facts = DataFacts(
        name="table", columns=tuple("abcdefgh"[:dim]), shift=(3.0,) * dim, scale=(7.0,) * dim,
        grid=(STEP,) * dim, notes=(), rows={}, entropy=None, image_shape=None,
    )  # fmt: skip
    standard = ((dequantise(rows, np.array(facts.grid), 0) - 3.0) / 7.0).astype(np.float32)
    parts = {"train": standard[:800], "validation": standard[800:900], "test": standard[900:]}
    layout = Layout(folder / "chain")
    with committing(layout.block(0, NAME), NAME, {}) as folder:
        write_arrays(folder / "samples.zarr", parts, {})
    return layout, facts


def gridded(count: int, dim: int, levels: int) -> NDArray[np.float64]:
    return 0.2 + STEP * np.random.default_rng(1).integers(0, levels, (count, dim))


def rolled(folder: Path, table: NDArray[np.float64]) -> NDArray[np.float64]:
    """New rows of a file whose first hundred rows are gone and that has a hundred more."""
    layout, facts = remembered(folder, table[:1000])
    return unseen(dequantise(table[100:], np.array(facts.grid), 0), layout, facts, table[100])


@pytest.fixture(autouse=True)
def _manifest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "read_manifest", lambda _: {"fingerprints": [NAME]})


def test_a_row_of_a_rolling_file_is_recognised_in_another_place(tmp_path: Path) -> None:
    """Noise goes by the place in the file, the point of the grid does not."""
    table = gridded(1100, 4, 100)
    found = rolled(tmp_path, table)
    np.testing.assert_allclose(found, table[1000:], atol=STEP / 2)


def test_rows_that_are_alike_on_their_grid_are_not_taken_for_each_other(tmp_path: Path) -> None:
    """With five values a row is recognised only where it lay, by its noise."""
    assert len(rolled(tmp_path, gridded(1100, 1, 5))) > 700


def test_a_file_that_did_not_change_has_no_new_row(tmp_path: Path) -> None:
    table = gridded(1000, 4, 100)
    layout, facts = remembered(tmp_path, table)
    rows = dequantise(table, np.array(facts.grid), 0)
    assert len(unseen(rows, layout, facts, table[0])) == 0
    assert len(unseen(rows[:700], layout, facts, table[0])) == 0


def test_without_two_new_rows_no_drift_is_told_but_why() -> None:
    assert words({"drift/rows": 0.0, "drift/seen_left_out": 1.0}).startswith(
        "no drift is known: none of their"
    )
    assert "1 of their rows is new" in words({"drift/rows": 1.0, "drift/seen_left_out": 1.0})
    assert words({}) == "they cannot be scored under the last chain"


def test_a_smoothed_chain_says_that_rows_it_has_seen_count() -> None:
    found = compared(np.array([1.0, 2.0, 3.0]), 1.5, 0.1)
    assert words(found | {"drift/seen_left_out": 1.0}) == (
        "NLL 2 ± 0.58 nats under the last chain, +0.5 ± 0.59 against its own test rows"
    )
    assert "rows it has seen count, too" in words(found | {"drift/seen_left_out": 0.0})
