"""The main job on real data: the bars of its quality. Minutes long, so only in ``make test-all``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.neighbors import NearestNeighbors
from sklearn.svm import SVC

from flows.cli.main import main
from jko.disk.facts import read_facts
from jko.disk.layout import Layout
from jko.disk.manifest import required_manifest
from jko.disk.sealed import read_json
from tasks.adapters.store.arrays import read_array, read_samples

pytestmark = pytest.mark.slow
SAMPLES = 500


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory, server: str) -> Layout:
    """The default run."""
    root = tmp_path_factory.mktemp("digits")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setattr("sys.argv", ["jko", "train", "--preset", "digits", "--chain", "chain"])
        main()
    return Layout(root / "chain")


@pytest.fixture(scope="module")
def rows(digits: Layout) -> dict[str, np.ndarray]:
    """Real training and test rows, and generated ones, grey values 0..16."""
    first = required_manifest(digits).fingerprints[0]
    source = load_digits()
    count = read_facts(digits, first).rows["source"]
    train = read_samples(digits, 0, first, "train_rows")[:count]
    test = read_samples(digits, 0, first, "test_rows")
    return {
        "train": source.data[train],
        "class": source.target[train],
        "test": source.data[test],
        "generated": read_array(digits.evaluation / "samples.zarr", "generated")[:SAMPLES],
    }


@pytest.fixture(scope="module")
def figures(digits: Layout) -> dict[str, Any]:
    return read_json(digits.evaluation / "figures.json")


def test_generated_digits_look_like_digits(rows: dict[str, np.ndarray]) -> None:
    """At least 60 % get a class with probability > .8, and every class at least 3 %."""
    classifier = CalibratedClassifierCV(SVC(), ensemble=False).fit(rows["train"] / 16, rows["class"])
    chance = classifier.predict_proba(rows["generated"] / 16)
    assert (chance.max(axis=1) > 0.8).mean() >= 0.6
    assert np.bincount(chance.argmax(axis=1), minlength=10).min() >= 0.03 * SAMPLES
    real = classifier.predict_proba(rows["test"] / 16)
    assert (real.max(axis=1) > 0.8).mean() > 0.85


def test_they_are_not_copies(rows: dict[str, np.ndarray]) -> None:
    near = NearestNeighbors(n_neighbors=1).fit(rows["train"])
    distance = {name: np.median(near.kneighbors(rows[name])[0]) for name in ("generated", "test")}
    assert distance["generated"] >= 0.8 * distance["test"]


def test_no_block_raises_the_test_nll(figures: dict[str, Any]) -> None:
    for cut in figures["cuts"][1:]:
        assert cut["change"] <= 2 * cut["change_se"]


def test_it_beats_the_gaussian_and_the_mixture(figures: dict[str, Any]) -> None:
    assert figures["test"]["nll"] < figures["baselines"]["mixture"]["nll"] - 5
    assert figures["test"]["nll"] < figures["baselines"]["gaussian"]["nll"] - 20


def test_it_inverts(figures: dict[str, Any]) -> None:
    assert figures["inversion_error_chain"] < 1e-3


def test_the_report_shows_images(digits: Layout) -> None:
    assert (digits.report / Path("samples.png")).stat().st_size > 20_000
