r"""Upper bounds on KL(p_k ‖ q) and W2(p_k, q) from measured steps, q = N(0, I) or λ-convex.

Which pairing goes with which bound matters: :func:`theorem_bound` and :func:`sharp_bound` need ε in
OT pairing and are *false* with block pairing, where a step that is no gradient map can have ε = 0 and
still raise W2. :func:`theorem_bound_block` and :func:`sharp_bound_block` take the block's own ε, its
movement M² and its asymmetry κ. All bounds use nats and squared standardised units.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class StepBounds:
    """Upper bounds after a step.

    Args:
        w2: on W2(p_k, q).
        kl: on KL(p_k ‖ q), nats; negative means that the inputs contradict each other (ε was
            underestimated).
    """

    w2: float
    kl: float


def theorem_bound(
    w2_before: float, step_size: float, epsilon: float, *, convexity: float = 1.0
) -> StepBounds:
    r"""(A), the theorem's step with ε in OT pairing.

    .. math:: W_2^2(p_k, q) \le \frac{w_{k-1}^2 + 2\gamma\epsilon^2/\lambda}{1 + \gamma\lambda/2}, \quad
              KL_k \le \frac{w_{k-1}^2 + 2\gamma\epsilon^2/\lambda}{2\gamma}

    Args:
        w2_before: an upper bound of W2(p_{k−1}, q).
        step_size: γ.
        epsilon: ε, OT pairing.
        convexity: λ of V.

    Source: arXiv:2310.17582, one step of the convergence theorem, constants re-derived in theory.md.
    """
    return theorem_bound_block(w2_before, step_size, epsilon, movement=0.0, kappa=0.0, convexity=convexity)


def theorem_bound_block(
    w2_before: float,
    step_size: float,
    epsilon: float,
    *,
    movement: float,
    kappa: float,
    convexity: float = 1.0,
) -> StepBounds:
    r"""(A′): as :func:`theorem_bound` for the block's own ε, if sym ∇T ≻ 0.

    .. math:: (1 + \gamma\lambda/2) W_2^2(p_k, q) + 2\gamma KL_k + M^2 \le
              w_{k-1}^2 + 2\gamma\epsilon^2/\lambda + 2\gamma\kappa

    Args:
        w2_before: an upper bound of W2(p_{k−1}, q).
        step_size: γ.
        epsilon: ε, block pairing.
        movement: M = √E|Tx − x|².
        kappa: κ = E[log|det ∇T| − log det sym ∇T] ≥ 0.
        convexity: λ of V.

    Source: derived, see theory.md.
    """
    gamma, lam = step_size, convexity
    budget = w2_before**2 + 2 * gamma * epsilon**2 / lam + 2 * gamma * kappa - movement**2
    return StepBounds(math.sqrt(max(budget, 0.0) / (1 + gamma * lam / 2)), budget / (2 * gamma))


def sharp_bound(
    w2_before: float,
    step_size: float,
    epsilon: float,
    *,
    moved: float = 0.0,
    distance: float = 0.0,
    convexity: float = 1.0,
) -> StepBounds:
    r"""(B), the sharp recursion with ε in OT pairing; equality for exact steps on shifted Gaussians.

    .. math:: w_k \le \frac{\gamma\epsilon + \sqrt{\gamma^2\epsilon^2 + (1 + 2\gamma\lambda)
              (w_{k-1}^2 - m_k^2)_+}}{1 + 2\gamma\lambda}

    .. math:: KL_k \le \frac{1}{2\gamma}\Big[w_{k-1}^2 - m_k^2 + \frac{\gamma^2\epsilon^2}{1+\gamma\lambda}
              - (1 + \gamma\lambda)\Big(\ell - \frac{\gamma\epsilon}{1+\gamma\lambda}\Big)_+^2\Big]

    Args:
        w2_before: an upper bound of W2(p_{k−1}, q).
        step_size: γ.
        epsilon: ε, OT pairing.
        moved: a *lower* bound m of W2(p_{k−1}, p_k); never √E|Tx − x|² nor an optimal cost of samples.
        distance: a lower bound ℓ of W2(p_k, q).
        convexity: λ of V.

    Source: derived, see theory.md.
    """
    gamma, lam = step_size, convexity
    rest = w2_before**2 - moved**2
    gain = (1 + gamma * lam) * max(distance - gamma * epsilon / (1 + gamma * lam), 0.0) ** 2
    kl = (rest + gamma**2 * epsilon**2 / (1 + gamma * lam) - gain) / (2 * gamma)
    return StepBounds(_sharp_w2(rest, gamma, epsilon, lam), kl)


def sharp_bound_block(
    w2_before: float,
    step_size: float,
    epsilon: float,
    *,
    movement: float,
    kappa: float,
    convexity: float = 1.0,
) -> StepBounds:
    """(B′): as :func:`sharp_bound` for the block's own ε, if sym ∇T ≻ 0.

    With R = w_{k−1}² − M² + 2γκ in place of w_{k−1}² − m_k², and no ℓ.

    Args:
        w2_before: an upper bound of W2(p_{k−1}, q).
        step_size: γ.
        epsilon: ε, block pairing.
        movement: M = √E|Tx − x|².
        kappa: κ = E[log|det ∇T| − log det sym ∇T] ≥ 0.
        convexity: λ of V.

    Source: derived, see theory.md.
    """
    gamma, lam = step_size, convexity
    rest = w2_before**2 - movement**2 + 2 * gamma * kappa
    kl = (rest + gamma**2 * epsilon**2 / (1 + gamma * lam)) / (2 * gamma)
    return StepBounds(_sharp_w2(rest, gamma, epsilon, lam), kl)


def _sharp_w2(rest: float, gamma: float, epsilon: float, lam: float) -> float:
    grown = 1 + 2 * gamma * lam
    return (gamma * epsilon + math.sqrt((gamma * epsilon) ** 2 + grown * max(rest, 0.0))) / grown


def log_sobolev_bound(fisher: float, *, convexity: float = 1.0) -> float:
    r"""(C): :math:`KL \le I/(2\lambda)` with the relative Fisher information I = E|∇V + ∇log p|²."""
    return fisher / (2 * convexity)


def hwi_bound(fisher: float, w2: float, *, convexity: float = 1.0) -> float:
    r"""(C) sharpened: :math:`KL \le w\sqrt I - \lambda w^2/2`, :math:`w = \min(w_N, \sqrt I/\lambda)`.

    Args:
        fisher: I, the relative Fisher information.
        w2: an upper bound of W2(p, q).
        convexity: λ of V.
    """
    root = math.sqrt(max(fisher, 0.0))
    w = min(w2, root / convexity)
    return w * root - convexity * w**2 / 2


def propagated_bound(bounds: Sequence[float], drops: Sequence[float]) -> float:
    r"""StepBounds on KL(p_N ‖ q) through the KL drops: :math:`\min_k [C_k - \sum_{j>k} \Delta KL_j]`.

    Args:
        bounds: C_1 … C_N, a bound on KL(p_k ‖ q) after each block.
        drops: ΔKL_1 … ΔKL_N, the measured drop of each block.

    Source: derived, see theory.md.
    """
    return min(bound - math.fsum(drops[k + 1 :]) for k, bound in enumerate(bounds))


def entropy_interval(bounds: Sequence[float], nlls: Sequence[float]) -> tuple[float, float]:
    r"""Bracket of the data's entropy: :math:`\max_k (NLL_k - C_k) \le H(P) \le \min_k NLL_k`, nats.

    Args:
        bounds: C_1 … C_N.
        nlls: NLL of the chain cut after block 1 … N.
    """
    return max(nll - bound for nll, bound in zip(nlls, bounds, strict=True)), min(nlls)


def theorem_steps(w2_start: float, step_size: float, epsilon: float, *, convexity: float = 1.0) -> int:
    r"""(A)'s number of steps for W2 ≤ √5 ε/λ: :math:`2\log(\lambda w_0/\epsilon)/\log(1+\gamma\lambda/2)`."""
    return _steps(w2_start, epsilon, convexity, math.log1p(step_size * convexity / 2))


def sharp_steps(w2_start: float, step_size: float, epsilon: float, *, convexity: float = 1.0) -> int:
    r"""(B)'s number of steps for W2 ≤ 2 ε/λ: :math:`2\log(\lambda w_0/\epsilon)/\log(1+2\gamma\lambda)`."""
    return _steps(w2_start, epsilon, convexity, math.log1p(2 * step_size * convexity))


def _steps(w2_start: float, epsilon: float, lam: float, rate: float) -> int:
    if epsilon <= 0:
        raise ValueError(f"epsilon = {epsilon}: the number of steps is finite for a positive one only")
    return max(0, math.ceil(2 * math.log(max(w2_start * lam / epsilon, 1.0)) / rate))


def total_variation_bound(kl: float) -> float:
    """Pinsker: TV ≤ √(KL/2), at most 1."""
    return min(1.0, math.sqrt(max(kl, 0.0) / 2))
