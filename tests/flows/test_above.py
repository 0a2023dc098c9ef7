"""A chain of smoothed data whose law is known: ε² from above beside the exact one and the critic's."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import zarr

from jko.disk.layout import Layout
from jko.disk.manifest import stored_config
from jko.preparation.prepare import smoothing_noise
from tests.flows.test_partial import answer, jko
from tests.projects import ROUGH

CURVE = (
    "--preset", "smoke", "--set", "data={source: curve, rows: 9000, smoothing: 0.05}",
    "--set", "data.split={validation: 0.2, test: 0.3}",
    "--set", "evaluation={samples: 500, mixture_components: [1]}", *ROUGH, "--chain", "chain",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, server: str) -> Path:
    place = tmp_path_factory.mktemp("above")
    jko(place, "train", *CURVE)
    return place


def test_it_is_above_the_exact_error_and_near(folder: Path) -> None:
    found = answer(folder, "certify", "chain")
    above, blocks = found["chain"]["above"], found["blocks"]
    assert above["width"] == pytest.approx(math.sqrt(1 - math.exp(-0.1)))
    assert len(above["epsilon_squared"]) == len(above["fisher"]) == len(blocks)
    for block, value, se, fisher, fisher_se in zip(
        blocks, *(above[name] for name in ("epsilon_squared", "epsilon_squared_se", "fisher", "fisher_se")),
        strict=True,
    ):  # fmt: skip
        exact, error = block["epsilon_exact_squared"], block["epsilon_exact_squared_se"]
        assert exact - 3 * error < value + 2 * se
        assert value - 2 * se < 1.5 * exact + 3 * error
        assert block["fisher_exact"] - 3 * block["fisher_exact_se"] < fisher + 2 * fisher_se
    last = above["fisher"][-1] + 2 * above["fisher_se"][-1]
    assert above["kl_bound"] == pytest.approx(last / 2)
    assert above["kl_bound"] > found["chain"]["kl_measured"] - 2 * found["chain"]["kl_measured_se"]
    assert "no critic" in " ".join(jko(folder, "certify", "chain").split())
    assert (
        "Of the smoothed law, ε² of the last block is between"
        in next(folder.rglob("report.html")).read_text()
    )


def test_the_noise_of_the_rows_is_drawn_again(folder: Path) -> None:
    """Rows less their noise have nothing to do with it any more; with it they have."""
    layout = Layout(folder / "chain")
    (samples,) = (path for path in folder.rglob("samples.zarr") if path.parent.name.startswith("0"))
    rows = zarr.open_array(samples / "test", mode="r")[:].astype(float)
    noise = smoothing_noise(rows.shape, "test", stored_config(layout))
    width = math.sqrt(1 - math.exp(-0.1))
    plain = (rows - width * noise) / math.sqrt(1 - width**2)
    correlation = np.corrcoef(np.concatenate([plain, noise], 1).T)[:2, 2:]
    assert np.abs(correlation).max() < 0.06
    assert np.corrcoef(np.concatenate([rows, noise], 1).T)[0, 2] > 0.25


def test_rows_that_are_not_smoothed_give_the_reason(folder: Path) -> None:
    jko(folder, "train", *CURVE[:-2], "--set", "data={source: moons, rows: 1500, smoothing: 0}",
        "--chain", "plain", "--stop-after", "1")  # fmt: skip
    above = answer(folder, "certify", "plain")["chain"]["above"]
    assert "kl_bound" not in above
    assert "not smoothed" in above["reason"]
