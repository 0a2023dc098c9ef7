"""Chains with corrections: the law that is sampled is the law whose density is given."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from jko.build import new_block
from jko.chain.chain import Chain
from jko.chain.corrected import Particles, corrected, drawn_before, pushed, stages, started
from jko.chain.correction import Correction, fit_correction
from jko.chain.importance import importance_report
from jko.chain.sampling import draw, log_density, target_figures
from jko.config import parse_config
from jko.core.errors import InputError
from jko.laws.densities import DiagonalGaussian
from jko.laws.targets import isotropic_mixture
from tests.oracles import affine_residual, normal

START = DiagonalGaussian(np.array([0.5]), np.array([1.5]))
TARGET = isotropic_mixture(torch.tensor([[-2.5], [2.5]]), 0.6)
RATES = (0.2, 0.3)
#: slope less one, and offset
MAPS = ((0.3, 0.2), (0.1, -0.4))


def plain() -> Chain:
    """Two affine maps on the line, behind a standardisation."""
    shift, scale = torch.tensor([0.3], dtype=torch.float64), torch.tensor([1.2], dtype=torch.float64)
    blocks = [affine_residual(torch.tensor([[a]]).double(), torch.tensor([b]).double()) for a, b in MAPS]
    return Chain(blocks, shift, scale, lambda z: -TARGET.potential(z))


def fitted(rows: int, *, seed: int) -> Chain:
    """The same with two corrections, each fitted to draws of the law before it."""
    made = plain()
    for k, rate in enumerate(RATES, start=1):
        before = drawn_before(made, k, START, rows, seed=seed + k)
        found = fit_correction(before.log_weights(made), rate)
        corrections = [*made.corrections[: k - 1], found, *made.corrections[k:]]
        made = Chain(made.blocks, made.shift, made.scale, made.reference, corrections=corrections)
    return made


@pytest.fixture(scope="module")
def chain() -> Chain:
    return fitted(50_000, seed=100)


def grid_density(chain: Chain) -> tuple[torch.Tensor, torch.Tensor]:
    z = torch.linspace(-12, 12, 6001, dtype=torch.float64)
    return z, log_density(chain, START, z[:, None])[0]


def test_the_density_has_mass_one_up_to_the_error_of_its_acceptances(chain: Chain) -> None:
    z, log_p = grid_density(chain)
    error = math.hypot(*(one.acceptance_se for one in chain.corrections if one))
    assert float(log_p.exp().sum() * (z[1] - z[0])) == pytest.approx(1, abs=4 * error)
    assert error < 0.004


def test_samples_are_of_that_density(chain: Chain) -> None:
    """Kolmogorov–Smirnov against the cumulated density."""
    z, log_p = grid_density(chain)
    cumulated = log_p.exp().cumsum(0) / log_p.exp().sum()
    drawn = draw(chain, START, 20_000, seed=3)
    found = stats.kstest(drawn.y[:, 0].numpy(), lambda x: np.interp(x, z.numpy(), cumulated.numpy()))
    assert found.pvalue > 1e-3
    without = draw(plain(), START, 20_000, seed=3)
    assert (
        stats.kstest(without.y[:, 0].numpy(), lambda x: np.interp(x, z.numpy(), cumulated.numpy())).pvalue
        < 1e-6
    )  # so many rows can tell the laws apart


def test_the_density_of_samples_is_that_at_given_rows(chain: Chain) -> None:
    drawn = draw(chain, START, 500, seed=4)
    found, error = log_density(chain, START, drawn.y)
    torch.testing.assert_close(found, drawn.log_density, rtol=0, atol=1e-4)
    assert not error.any()


def test_kl_falls_and_weights_give_the_normaliser(chain: Chain) -> None:
    """KL(p_N ‖ q) by quadrature, with and without corrections; log Z = 0 within its error."""

    def divergence(of: Chain) -> float:
        z, log_p = grid_density(of)
        return float((log_p.exp() * (log_p + TARGET.potential(z[:, None]))).sum() * (z[1] - z[0]))

    assert divergence(chain) < 0.6 * divergence(plain())
    drawn = draw(chain, START, 4000, seed=5)
    found = target_figures(drawn, TARGET)
    assert abs(found.importance.log_normaliser.value) < 4 * found.importance.log_normaliser.se
    assert found.importance.share > 1.2 * target_figures(draw(plain(), START, 4000), TARGET).importance.share
    sure = target_figures(replace(drawn, mass_se=0.0), TARGET).importance.log_normaliser.se
    assert found.importance.log_normaliser.se == pytest.approx(math.hypot(sure, drawn.mass_se))


def test_the_error_of_the_normaliser_is_its_spread() -> None:
    """Corrections fitted to few rows, so that the error of ᾱ is most of it."""
    errors, mass = [], []
    for seed in range(60):
        made = fitted(400, seed=10_000 + 10 * seed)
        drawn = draw(made, START, 4000, seed=seed)
        found = importance_report(drawn.log_weights(TARGET)).log_normaliser
        errors.append(found.value / math.hypot(found.se, drawn.mass_se))
        mass.append(drawn.mass_se / found.se)
    assert min(mass) > 1.5
    assert abs(np.mean(errors)) < 0.5
    assert 0.6 < np.std(errors) < 1.2  # rather too large: E_q[1/f] is below 1 as long as p is not q


def test_about_as_many_rows_are_drawn_again_as_were_to_be(chain: Chain) -> None:
    x = torch.from_numpy(START.sample(20_000, np.random.default_rng(0)))
    shares = [float(rows.redrawn.double().mean()) for rows in stages(chain, START, x, seed=6)]
    assert shares == pytest.approx([0.0, *RATES], abs=0.015)


def test_rows_that_are_kept_are_images(chain: Chain) -> None:
    x = torch.from_numpy(START.sample(300, np.random.default_rng(1)))
    now = started(chain, START, x)
    image = pushed(chain, 1, now)
    after = corrected(chain, 1, image, START, seed=7)
    kept = ~after.redrawn
    assert torch.equal(after.y[kept], image.y[kept])
    assert not (after.y[after.redrawn] == image.y[after.redrawn]).any()


def test_draws_are_functions_of_their_seed(chain: Chain) -> None:
    one, two, other = (draw(chain, START, 200, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.y, two.y)
    assert torch.equal(one.log_density, two.log_density)
    assert not (one.y == other.y).any()
    again = torch.cat([one.y, draw(chain, START, 2000, seed=2).y])
    assert len(again.unique()) == len(again), "a row that is drawn again repeats another"


def test_a_correction_of_certain_rows_changes_nothing() -> None:
    """The level below every weight: all rows are kept, and their density stays."""
    chain = plain()
    sure = Chain(
        chain.blocks, chain.shift, chain.scale, chain.reference,
        corrections=[Correction(-1e4, 1.0, 0.0), None],
    )  # fmt: skip
    one, two = (draw(of, START, 100, seed=1) for of in (chain, sure))
    torch.testing.assert_close(one.y, two.y)
    torch.testing.assert_close(one.log_density, two.log_density)


def test_what_a_corrected_chain_cannot_say(chain: Chain) -> None:
    with pytest.raises(InputError, match="no law at its beginning"):
        chain.log_prob(normal(3, 1, seed=0))
    with pytest.raises(InputError, match="no law at its beginning"):
        chain.sample(3)
    with pytest.raises(InputError, match="1 corrections for 2 blocks"):
        Chain(chain.blocks, chain.shift, chain.scale, corrections=[None])
    assert isinstance(next(stages(chain, START, normal(3, 1, seed=0))), Particles)


@pytest.mark.parametrize(
    ("network", "solver", "dim", "refused"),
    [
        ({}, {}, 50, False),
        ({}, {"divergence": "hutchinson"}, 2, True),
        ({"fourier": 4}, {}, 10, True),
        ({"fourier": 4}, {"divergence": "exact"}, 10, False),
        ({"kind": "residual"}, {}, 2, False),
        ({"kind": "residual"}, {}, 10, True),
    ],
)
def test_blocks_that_estimate_their_log_determinants_take_no_correction(
    network: dict, solver: dict, dim: int, refused: bool
) -> None:
    data = {"source": "gaussian", "mean": [0] * dim, "std": [1] * dim, "standardise": "off"}
    target = {"potential": "funnel", "correction": 0.1}
    config = parse_config({"data": data, "target": target, "network": network, "solver": solver})
    if refused:
        with pytest.raises(InputError, match=r"target.correction = 0.1 needs exact .* in (2|10) dimensions"):
            new_block(config, 1, dim)
    else:
        assert new_block(config, 1, dim).dim == dim
    without = config.model_copy(update={"target": config.target.model_copy(update={"correction": 0.0})})
    assert new_block(without, 1, dim).dim == dim
