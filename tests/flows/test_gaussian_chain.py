"""A trained chain follows the closed forms of exact JKO steps, block by block.

The paper's case: p_0 = N((3, 3), I), γ = 0.5. Tolerances: .05 for means and standard
deviations, and for KL and W2² what such a change makes of them (.12 nats, .25).
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from flows.cli.main import main
from jko.disk.layout import Layout
from jko.disk.manifest import required_manifest
from jko.disk.sealed import read_json
from jko.laws import gaussian
from tasks.adapters.store.arrays import read_samples

pytestmark = pytest.mark.slow  # tests/jko/test_fit.py holds the same closed forms in seconds
STEPS = 3
GAMMA = 0.5


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory, server: str) -> Layout:
    root = tmp_path_factory.mktemp("gaussian")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setattr("sys.argv", ["jko", "train", "--preset", "gaussian", "--chain", "chain"])
        main()
    return Layout(root / "chain")


def exact(k: int) -> gaussian.Gaussian:
    law = gaussian.Gaussian.of([3.0, 3.0], [1.0, 1.0])
    for _ in range(k):
        law = gaussian.jko_step(law, GAMMA)
    return law


def trained(chain: Layout, k: int) -> gaussian.Gaussian:
    """Moments of the training particles, 16 000 of them, after block k."""
    fingerprint = required_manifest(chain).fingerprints[k]
    rows = read_samples(chain, k, fingerprint, "train").astype(float)
    return gaussian.Gaussian.of(rows.mean(0), np.sqrt(np.linalg.eigvalsh(np.cov(rows.T))))


@pytest.mark.parametrize(("k", "mean", "kl"), [(0, 3, 9), (1, 2, 4), (2, 1.333, 1.778), (3, 0.889, 0.790)])
def test_means_widths_kl_and_w2_are_those_of_the_exact_steps(
    chain: Layout, k: int, mean: float, kl: float
) -> None:
    found, law = trained(chain, k), exact(k)
    np.testing.assert_allclose(found.mean, mean, atol=0.05)
    np.testing.assert_allclose(found.std, law.std, atol=0.05)
    assert gaussian.kl(found) == pytest.approx(kl, abs=0.12 * max(1.0, math.sqrt(kl)))
    assert gaussian.w2_squared(found) == pytest.approx(gaussian.w2_squared(law), abs=0.25)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_measured_kl_drop_is_that_of_the_exact_step(chain: Layout, k: int) -> None:
    """Within 4 standard errors of the validation average and .05 nats of training error."""
    figures = read_json(chain.measures(k, required_manifest(chain).fingerprints[k]))
    drop = gaussian.kl(exact(k - 1)) - gaussian.kl(exact(k))
    sampling = 4 * drop * 2 / math.sqrt(2000)  # the drop is quadratic in the sampled mean
    assert abs(figures["kl_drop"] - drop) < sampling + 0.05


@pytest.mark.parametrize("k", [1, 2, 3])
def test_epsilon_is_small_after_training(chain: Layout, k: int) -> None:
    """ε² of doing nothing would be 18, 8 and 3.6."""
    figures = read_json(chain.measures(k, required_manifest(chain).fingerprints[k]))
    assert figures["epsilon_squared"] < 0.1
    assert figures["epsilon_squared_se"] < 0.05


def test_the_chain_is_where_it_was_put(chain: Layout) -> None:
    assert Path(chain.chain).is_dir()
    events = (chain.run / "events.jsonl").read_text().splitlines()
    assert len(events) == 3 * STEPS + 3
