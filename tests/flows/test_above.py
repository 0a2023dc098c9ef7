"""A chain of smoothed data whose law is known: ε² from above beside the exact one and the critic's."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import zarr

from jko.certify.guarantee import candidates
from jko.disk.layout import Layout
from jko.disk.manifest import stored_config
from jko.preparation.prepare import smoothing_noise
from jko.statistics.upper_limit import margin_of
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


@pytest.mark.slow
def test_rows_that_are_not_smoothed_give_the_reason(folder: Path) -> None:
    jko(folder, "train", *CURVE[:-2], "--set", "data={source: moons, rows: 1500, smoothing: 0}",
        "--chain", "plain", "--stop-after", "1")  # fmt: skip
    above = answer(folder, "certify", "plain")["chain"]["above"]
    assert "kl_bound" not in above
    assert "not smoothed" in above["reason"]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, server: str) -> Path:
    """A chain of a smoothed file, whose law nobody knows."""
    place = tmp_path_factory.mktemp("table")
    draw = np.random.default_rng(0)
    rows = draw.choice([-1.5, 1.5], 8000)[:, None] * [1, 0.5] + 0.4 * draw.normal(size=(8000, 2))
    np.savetxt(place / "rows.csv", rows, delimiter=",", header="a,b", comments="")
    jko(place, "train", "--preset", "smoke", "--data", "rows.csv", "--set", "data.smoothing=0.15",
        "--set", "data.split={validation: 0.2, test: 0.4}", "--set", "steps.count=2",
        "--set", "evaluation={samples: 500, mixture_components: [1]}", *ROUGH,
        "--chain", "chain")  # fmt: skip
    return place


def test_the_chain_s_bounds_need_no_critic(table: Path) -> None:
    found = answer(table, "certify", "chain")
    whole, last = found["chain"], found["blocks"][-1]
    above = whole["above"]
    assert whole["basis"] == "test rows and the noise that smoothed them"
    assert whole["kl_estimate"] is None
    for name in ("certificate_c", "kl_bound", "w2_bound", "tv"):
        assert whole["statuses"][name] == "measured"
    # (C) is half of I, two standard errors up; the smallest bound is kept farther out, so that all hold
    plain = (above["fisher"][-1] + 2 * above["fisher_se"][-1]) / 2
    assert whole["certificate_c"] == pytest.approx(plain) == above["kl_bound"]
    price = (whole["defence"] or {"price": 0})["price"]
    margin = margin_of(candidates(2))
    assert 0 < whole["kl_bound"] <= (above["fisher"][-1] + margin * above["fisher_se"][-1]) / 2 + price + 1e-9
    # of a block it stays what a critic sees, from below
    assert last["statuses"]["certificate_c"] == "estimated"
    assert last["kl_estimate"] < whole["kl_bound"]
    said = " ".join(jko(table, "certify", "chain").split())
    assert f"≤ {whole['kl_bound']:.3g} nats (whatever the law, by test rows and the noise that" in said
    assert f"a critic estimates {last['kl_estimate']:.3g}, from below" in said
    page = next(table.rglob("report.html")).read_text()
    assert "The bound needs no critic and no known law" in page
    assert "The law of the data is known" not in page
