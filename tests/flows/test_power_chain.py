"""A chain that descends a power energy: porous medium in a quadratic well, towards Barenblatt's profile.

On the line G(ρ) = ∫ (x²/2) ρ + ∫ ρ² is least at ρ = (C − x²/2)₊/2 with mass 1, C = (9/8)^{1/3}.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import zarr

from tests.flows.test_partial import answer, jko
from tests.projects import ROUGH

POWER = (
    "--preset", "smoke", "--set", "data={source: gaussian, mean: [0], std: [1], rows: 4000}",
    "--set", "data.standardise=off",
    "--set", "target={potential: standard_gaussian, entropy: off, power: 2}",
    "--set", "steps={count: 3, sizes: [0.5, 1.0, 2.0]}", "--set", "network.hidden=[32, 32]",
    "--set", "training={iterations: 150, learning_rate: 0.01, batch_size: 500, validate_every: 50}",
    "--set", "evaluation={samples: 500, mixture_components: [1]}",
    *ROUGH, "--chain", "chain",
)  # fmt: skip
LEVEL = (9 / 8) ** (1 / 3)
#: tests/jko/energies holds the same energy and the objective of its steps
pytestmark = pytest.mark.slow
#: G of N(0, 1): E x²/2 + ∫ ρ²
START = 0.5 + 0.5 / math.sqrt(math.pi)


def least() -> float:
    """The smallest G, by quadrature."""
    x = np.linspace(-math.sqrt(2 * LEVEL), math.sqrt(2 * LEVEL), 200_001)
    density = (LEVEL - x**2 / 2) / 2
    assert np.trapezoid(density, x) == pytest.approx(1, abs=1e-6)
    return float(np.trapezoid(x**2 / 2 * density + density**2, x))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, server: str) -> Path:
    place = tmp_path_factory.mktemp("power")
    jko(place, "train", *POWER)
    return place


def test_the_drops_lead_to_the_least_energy_and_not_below(folder: Path) -> None:
    blocks = [block["metrics"] for block in answer(folder, "status", "chain")["blocks"]]
    drops, error = sum(b["kl_drop"] for b in blocks), sum(b["kl_drop_se"] for b in blocks)
    left = START - drops - least()
    assert -3 * error < left < 0.02 + 3 * error
    assert START - least() > 0.15  # there was something to descend
    assert blocks[0]["potential_before"] == pytest.approx(START, abs=4 * blocks[0]["potential_before_se"])


def test_the_particles_have_barenblatts_spread(folder: Path) -> None:
    name = answer(folder, "status", "chain")["blocks"][-1]["name"]
    (samples,) = (folder / "chain").rglob(f"{name}/samples.zarr")
    rows = zarr.open_array(samples / "train", mode="r")[:]
    assert float(np.var(rows)) == pytest.approx(2 * LEVEL / 5, rel=0.08)
    assert float(np.abs(rows).max()) < 1.6 * math.sqrt(2 * LEVEL)  # of N(0, 1) the largest is beyond 3


def test_c_bounds_what_is_left_and_nothing_is_compared_with_the_gaussian(folder: Path) -> None:
    whole = answer(folder, "certify", "chain")["chain"]
    blocks = [block["metrics"] for block in answer(folder, "status", "chain")["blocks"]]
    drops, error = sum(b["kl_drop"] for b in blocks), sum(b["kl_drop_se"] for b in blocks)
    assert whole["certificate_c"] > START - drops - least() - 3 * error
    assert whole["certificate_c"] < 0.05
    for name in ("certificate_a", "certificate_b"):
        assert START - drops - least() - 3 * error < whole[name] < 1
    assert whole["evidence"] is None
    assert "the functional is no KL divergence" in whole["reasons"]["tv"]
    assert "G of the law of the samples less the least that any law has ≤" in whole["mixed"]["says"]
    assert whole["two_sample"] is None
    found = answer(folder, "train", *POWER)["metrics"]
    assert "target/log_z" not in found


def test_it_is_verified(folder: Path) -> None:
    jko(folder, "verify", "chain")


def test_in_parts_it_is_the_chain_in_one_go(folder: Path) -> None:
    other = ("--chain", "parts")
    jko(folder, "train", *POWER[:-2], *other, "--stop-after", "1")
    jko(folder, "resume", "parts")
    digests = [answer(folder, "status", name)["digest"] for name in ("chain", "parts")]
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("target={power: 1}", "target.power"),
        ("target={potential: banana, power: 2, correction: 0.2}", "no target.power"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, setting: str, sentence: str) -> None:
    assert sentence in jko(tmp_path, "plan", *POWER, "--set", setting, code=2)
