"""No certificate is violated by random affine chains with exact ε, in any dimension, rotated or not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from jko.certify.bounds import (
    StepBounds,
    entropy_interval,
    hwi_bound,
    log_sobolev_bound,
    propagated_bound,
    sharp_bound,
    sharp_bound_block,
    sharp_steps,
    theorem_bound,
    theorem_bound_block,
    theorem_steps,
    total_variation_bound,
)
from tests.affine_chains import REFERENCE, Law, chain, epsilon, transport, w2

CHAINS = 500
SLACK = 1e-7


def test_no_certificate_is_violated() -> None:
    ratios = []
    for seed in range(CHAINS):
        _, law, steps = chain(seed)
        target = REFERENCE[len(law.mean)]
        bounds = dict.fromkeys(("A", "A'", "B", "B'"), w2(law, target))
        sobolev, drops = [], []
        for gamma, matrix, mean in steps:
            before, law = law, Law(mean, matrix @ law.cov @ matrix.T)
            ot = epsilon(law, transport(law, before), before.mean, gamma)
            own = epsilon(law, np.linalg.inv(matrix), before.mean, gamma)
            shift = (matrix - np.eye(len(mean))) @ before.cov @ (matrix - np.eye(len(mean))).T
            moved = math.sqrt(float(np.sum((mean - before.mean) ** 2) + np.trace(shift)))
            symmetric = (matrix + matrix.T) / 2
            kappa = np.linalg.slogdet(matrix)[1] - np.linalg.slogdet(symmetric)[1]
            assert kappa > -SLACK
            block = {"movement": moved, "kappa": float(kappa)}
            apart, left = w2(before, law), w2(law, target)
            found: dict[str, StepBounds] = {
                "A": theorem_bound(bounds["A"], gamma, ot),
                "A'": theorem_bound_block(bounds["A'"], gamma, own, **block),
                "B": sharp_bound(bounds["B"], gamma, ot, moved=apart, distance=left),
                "B'": sharp_bound_block(bounds["B'"], gamma, own, **block),
            }
            for name, bound in found.items():
                assert bound.w2 >= left - SLACK, (seed, name)
                assert bound.kl >= law.kl - SLACK, (seed, name)
                bounds[name] = bound.w2
            sobolev.append(log_sobolev_bound(law.fisher))
            drops.append(before.kl - law.kl)
            assert sobolev[-1] >= hwi_bound(law.fisher, left) - SLACK
            assert hwi_bound(law.fisher, left) >= law.kl - SLACK, seed
            assert total_variation_bound(sobolev[-1]) <= 1
        if steps:
            propagated = propagated_bound(sobolev, drops)
            assert law.kl - SLACK <= propagated <= sobolev[-1] + SLACK
            if law.kl > 1e-3:
                ratios.append(propagated / law.kl)
    assert len(ratios) > 0.8 * CHAINS
    assert np.median(ratios) < 2


def test_the_counter_example_refutes_block_pairing_and_survives_the_correction() -> None:
    """q = p_0 = N(0, I_2), γ = 1, T = −½ Id: the block's ε is 0, yet W2 and KL grow."""
    matrix = -0.5 * np.eye(2)
    law = Law(np.zeros(2), matrix @ matrix.T)
    own = epsilon(law, np.linalg.inv(matrix), np.zeros(2), 1.0)
    assert own == pytest.approx(0.0, abs=1e-12)
    left = w2(law, REFERENCE[2])
    assert (left, law.kl) == (pytest.approx(0.7071, abs=1e-4), pytest.approx(0.636, abs=1e-3))
    assert theorem_bound(0.0, 1.0, own).w2 < left
    assert sharp_bound(0.0, 1.0, own).w2 < left
    assert np.linalg.eigvalsh(matrix)[0] < 0, "sym ∇T is not positive: (A′) and (B′) do not apply"
    ot = epsilon(law, transport(law, REFERENCE[2]), np.zeros(2), 1.0)
    assert theorem_bound(0.0, 1.0, ot).w2 >= left
    assert sharp_bound(0.0, 1.0, ot, distance=left).kl >= law.kl - SLACK


def test_the_sharp_bound_is_an_equality_for_exact_steps_on_shifted_gaussians() -> None:
    mean, gamma = 3.0, 0.5
    after = mean / (1 + gamma)
    bound = sharp_bound(mean, gamma, 0.0, moved=mean - after, distance=after)
    assert bound.kl == pytest.approx(after**2 / 2, rel=1e-12)


@pytest.mark.parametrize("gamma", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("error", [1e-3, 1e-1])
def test_the_numbers_of_steps_do_what_they_promise(gamma: float, error: float) -> None:
    """Constant γ and ε: iterating each recursion that often reaches its limit."""
    start = 10.0
    w = start
    for _ in range(theorem_steps(start, gamma, error)):
        w = theorem_bound(w, gamma, error).w2
    assert w <= math.sqrt(5) * error * (1 + 1e-9)
    assert theorem_bound(w, gamma, error).kl <= (5 + 2 * gamma) / (2 * gamma) * error**2 * (1 + 1e-9)
    w = start
    for _ in range(sharp_steps(start, gamma, error)):
        w = sharp_bound(w, gamma, error).w2
    assert w <= 2 * error * (1 + 1e-9)
    assert sharp_steps(start, gamma, error) < theorem_steps(start, gamma, error)


def test_the_entropy_bracket_holds_the_entropy() -> None:
    low, high = entropy_interval([0.5, 0.2], [2.3, 2.1])
    assert (low, high) == (pytest.approx(1.9), 2.1)


def test_no_steps_are_counted_for_a_perfect_epsilon() -> None:
    with pytest.raises(ValueError, match="epsilon = 0"):
        theorem_steps(1.0, 0.5, 0.0)
