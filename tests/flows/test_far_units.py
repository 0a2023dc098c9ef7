"""Columns near 1e44 and 1e-31: trained, evaluated, drawn, sampled and scored as those near 1."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from flows.views.models import draw_samples
from flows.views.scoring import score_file
from jko.config import Config, parse_config
from jko.disk.layout import Layout
from jko.disk.sealed import read_json
from jko.preparation.facts import data_digest
from jko.training.listener import Listeners
from tasks.adapters.store.chain_store import ChainStore
from tasks.adapters.store.plan import write_manifest
from tasks.certify import certify_chain
from tasks.compare.pictures import _densities, _planes
from tasks.evaluate import SAMPLE_ROWS, evaluate_chain, shown_rows
from tasks.measure import measure_block
from tasks.options import value_of
from tasks.prepare import prepare_data
from tasks.push import push_block
from tasks.report.drawing import labelled, png, unit_of
from tasks.report.make import make_report
from tasks.train import train_block

UNITS = np.array([1e-31, 1e44])
ROWS = np.exp(np.random.default_rng(0).normal(0, 0.5, (600, 2)))


def settings(file: Path) -> Config:
    return parse_config(
        {
            "data": {"source": "file", "file": str(file)}, "steps": {"count": 1, "first": 0.5},
            "network": {"hidden": [16]}, "solver": {"steps": 2},
            "training": {"flow_matching_iterations": 40, "iterations": 5, "batch_size": 64},
            "evaluation": {"samples": 60, "mixture_components": [1]},
        }
    )  # fmt: skip


def trained(rows: NDArray[np.float64], name: str) -> Layout:
    """A chain with everything that is made of it."""
    pd.DataFrame(rows, columns=["flux", "lum"]).to_csv(f"{name}.csv", index=False)
    config, layout = settings(Path(f"{name}.csv")), Layout(Path(name))
    chain = write_manifest(config, layout, value_of(prepare_data.fn(config, layout)))
    store = ChainStore(config, layout, chain)
    train_block.fn(store, 1, listener=Listeners())
    push_block.fn(store, 1)
    measure_block.fn(store, 1)
    certify_chain.fn(store)
    evaluate_chain.fn(store)
    make_report.fn(store)
    return layout


@pytest.mark.slow
@pytest.mark.filterwarnings("error:overflow")
def test_far_units_end_where_near_ones_do(project: Path) -> None:
    near, far = trained(ROWS, "near"), trained(ROWS * UNITS, "far")
    shift = np.log(UNITS).sum()
    one, two = (read_json(layout.metrics) for layout in (near, far))
    assert two["test/nll"] == pytest.approx(one["test/nll"] + shift, abs=0.01)
    assert two["test/nll_gaussian"] == pytest.approx(one["test/nll_gaussian"] + shift, abs=0.01)
    shown = pd.read_parquet(far.evaluation / SAMPLE_ROWS)
    assert np.isfinite(shown[["x0", "x1"]].to_numpy()).all()
    for layout, unit in ((near, np.ones(2)), (far, UNITS)):
        draw_samples(layout, 50, 0, Path("s.csv"))
        drawn = pd.read_csv("s.csv").to_numpy() / unit
        assert 0.3 < np.median(drawn) < 3
        score_file(layout, Path("s.csv"), Path("scores.csv"))
        found = pd.read_csv("scores.csv")["log_density"] + np.log(unit).sum()
        assert -6 < found.mean() < 0


def test_data_in_other_far_units_are_other_data() -> None:
    arrays = {"train": ROWS.astype(np.float32)}
    scales = [np.array([1.0, scale]) for scale in (1.0, 1e44, 2e44, 1e-44, 2e-44, 1e80)]
    assert len({data_digest(arrays, np.zeros(2), scale) for scale in scales}) == len(scales)
    near = data_digest(arrays, np.zeros(2), np.array([1.0, 3e44]))
    assert near == data_digest(arrays, np.zeros(2), np.array([1.0, np.nextafter(3e44, 1e45)]))


def test_rows_are_kept_in_float32_where_that_holds_them() -> None:
    assert shown_rows({"test": ROWS})["x0"].dtype == np.float32
    far = shown_rows({"test": ROWS * UNITS})
    np.testing.assert_array_equal(np.sort(far["x1"]), np.sort(ROWS[:, 1] * UNITS[1]))


def test_comparisons_are_drawn_in_far_units() -> None:
    subject = SimpleNamespace(label="a")
    rows = ROWS * UNITS
    assert png(_planes([(0, subject)], {0: rows}, {0: rows}, ("flux", "lum")))
    assert png(_densities([(0, subject)], {0: rows[:, 1:]}, rows[:, 1:]))
    assert [labelled("lum", unit_of(rows[:, i])) for i in range(2)][1].startswith("lum / 1e+4")
    assert unit_of(np.array([1234.5])) == 1.0
