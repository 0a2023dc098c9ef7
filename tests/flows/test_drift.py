"""Which rows of new data a chain has seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from flows.scheduling import drift
from flows.scheduling.drift import as_stored, own_rows, unseen
from jko.columns.infer import infer
from jko.disk.commit import committing
from jko.disk.layout import Layout
from jko.preparation.facts import DataFacts
from jko.preparation.prepare import dequantise
from tasks.adapters.store.arrays import write_arrays

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
    rows = dequantise(table[100:], np.array(facts.grid), 0)
    return rows[unseen(rows, layout, facts, table[100])]


@pytest.fixture(autouse=True)
def _manifest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "required_manifest", lambda _: SimpleNamespace(fingerprints=(NAME,)))


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
    assert not unseen(rows, layout, facts, table[0]).any()
    assert not unseen(rows[:700], layout, facts, table[0]).any()


def test_a_chain_s_own_rows_are_those_of_all_parts_rounded_as_new_ones_are(tmp_path: Path) -> None:
    """An atom would else move by a last bit, which ranks see."""
    table = gridded(1000, 4, 3)
    layout, facts = remembered(tmp_path, table)
    facts = replace(facts, rows={"source": 800})
    new = facts.in_data_units(as_stored(dequantise(table, np.array(facts.grid), 0), facts))
    np.testing.assert_array_equal(own_rows(layout, facts), new)


def test_a_row_of_kinds_is_recognised_in_another_place(tmp_path: Path) -> None:
    """Its noise goes by the place, its cells do not."""
    rng = np.random.default_rng(2)
    cells = {
        "n": rng.integers(0, 900, 1100), "c": rng.choice(np.array(["a", "b"], dtype=object), 1100),
        "x": rng.normal(size=1100), "paid": np.where(rng.random(1100) < 0.5, 0.0, rng.gamma(2, 30, 1100)),
    }  # fmt: skip
    kinds = infer(cells)
    dim = kinds.width
    facts = DataFacts(
        name="table", columns=kinds.encoded_names, shift=(3.0,) * dim, scale=(7.0,) * dim, grid=(0.0,) * dim,
        notes=(), rows={}, entropy=None, image_shape=None, kinds=kinds,
    )  # fmt: skip
    first = kinds.encode({name: values[:1000] for name, values in cells.items()}, 0).values
    layout = Layout(tmp_path / "chain")
    with committing(layout.block(0, NAME), NAME, {}) as folder:
        standard = as_stored(first, facts)
        parts = {"train": standard[:800], "validation": standard[800:900], "test": standard[900:]}
        write_arrays(folder / "samples.zarr", parts, {})
    later = kinds.encode({name: values[100:] for name, values in cells.items()}, 0).values
    new = np.flatnonzero(unseen(later, layout, facts, np.zeros(dim)))
    assert set(range(900, 1000)) <= set(new)
    assert len(new) <= 105
