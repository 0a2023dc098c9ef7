r"""A two-sided statement on KL(data ‖ model) at a resolution, from held-out rows and the model's samples.

For s in (0, 1) and a = √(1 − s²), ρ_s is the law of aX + sZ of the data, q_s the same of the model, Z
standard normal. From m held-out rows let p̂ = (1/m) Σ N(a x_i, s² I), p̂_{−i} the same without row i, and
y_i = a x_i + s z_i. Then

* U = mean of log p̂(y_i) − log q_s(y_i) has E U = KL(ρ_s‖q_s) + E KL(p̂‖ρ_s), so it lies above;
* L = mean of log p̂_{−i}(y_i) − log q_s(y_i) lies below, since no density r that is independent of y has
  E log r(y) > E log ρ_s(y).

No score, no critic, no density of the model and no convexity is used. KL(ρ_s‖q_s) falls with s, so U also
bounds every coarser resolution. U − L says whether m rows suffice.

Sources: the compensation identity; entropy of Gaussian-smoothed empirical laws, arXiv:1905.13576; the
contrastive bound on mutual information for as many candidates as rows, arXiv:1905.06922.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from jko.certify.resolution import WIDTH, Bracket
from jko.config.sections import RESOLUTIONS
from jko.core.errors import InputError
from jko.core.seeds import generator
from jko.statistics.kernel_sums import KernelMean, joined, kernel_mean

#: one-sided 95 % of a normal law; for the better of two lower sides each has half of the error
LEVEL, LEVEL_OF_TWO = 1.645, 1.96
#: noisy points that a bracket looks at, about, and draws of the noise for a row
POINTS, DRAWS = 4096, 4
#: so many samples that their noise moves the mean of log q̂ by less, nats
SAMPLE_NOISE = 0.002
#: samples that are taken at least, points that say how many are needed, and parts of the samples that say
#: how far a figure would move with others
FEWEST, PILOT, PARTS = 16_384, 256, 16
#: effective samples at a point from which on the delta method is used, and the error level of Bernstein's
#: inequality below
EFFECTIVE, MISSED = 10.0, 0.01

#: beyond so many rows it is not said how many are needed
MOST_ROWS = 10_000_000

#: log-density of rows in nats, shape (n, d) to (n,)
LogDensity = Callable[[Tensor], Tensor]


def bracket(
    held_out: Tensor,
    samples: Tensor | None = None,
    *,
    resolutions: Sequence[float] = RESOLUTIONS,
    densities: Mapping[float, LogDensity] | None = None,
    reference: Callable[[Tensor, float], Tensor] | None = None,
    blurred: float = 0.0,
    seed: int = 0,
) -> list[Bracket]:
    """Bracket KL(ρ_s‖q_s) at every resolution.

    Args:
        held_out: rows that chose nothing, neither weights nor settings, shape (m, d), standardised units.
        samples: of the model, shape (M, d), the same units.
        resolutions: every s, within 0 and 1.
        densities: the model's own log-density at some s, of rows smoothed by it; used instead of samples.
        reference: log-density of another law smoothed at s, of rows and s, that was fitted on none of the
            held-out rows; the lower side takes the better of it and the other held-out rows.
        blurred: s of the law that the samples are of, where a model was trained on rows blurred by it; they
            are blurred further to each coarser s.
        seed: of the noise.

    Returns:
        One bracket for every resolution, in the order given.

    Raises:
        InputError: fewer than two rows, shapes that do not fit, an s outside (0, 1), or one that is no
            coarser than the samples are.
    """
    densities = densities or {}
    _check(held_out, samples, resolutions, densities)
    finer = [s for s in resolutions if s not in densities and s <= blurred]
    if finer:
        raise InputError(f"resolution {finer[0]:g}: the samples are blurred by {blurred:g} already")
    rows = held_out.double()
    noise = _noise(rows, seed)
    return [
        _at(s, rows, None if s in densities else samples, noise, densities.get(s), reference, blurred)
        for s in resolutions
    ]


def rows_needed(held_out: Tensor, resolution: float, *, width: float = WIDTH, seed: int = 0) -> int | None:
    r"""How many held-out rows would bring U and L within ``width`` nats of each other.

    With m' rows in place of m, and k_i the kernel of row i at its own point,

    .. math:: U - L \approx \frac1m \sum_i \log\Big(1 + \frac{k_i(y_i)}{(m'-1)\, \hat p_{-i}(y_i)}\Big)

    which is exact for m' = m. The density at lonely points is estimated too low, so the answer is rather too
    large. No samples of a model are needed.

    Args:
        held_out: shape (m, d), standardised units.
        resolution: s.
        width: of the bracket, nats.
        seed: of the noise.

    Returns:
        m', at least m; ``None`` where it is above :data:`MOST_ROWS`.
    """
    rows = held_out.double()
    noise = _noise(rows, seed)
    _, others, own = _others(rows, noise, resolution)

    def found(count: float) -> float:
        return float(torch.log1p(torch.exp(own - others.log_mean) / (count - 1)).mean())

    if found(len(rows)) <= width:
        return len(rows)
    low, high = float(len(rows)), float(MOST_ROWS)
    if found(high) > width:
        return None
    while high - low > 1 and high / low > 1.01:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if found(middle) > width else (low, middle)
    return math.ceil(high)


def _check(
    held_out: Tensor, samples: Tensor | None, resolutions: Sequence[float], densities: Mapping[float, object]
) -> None:
    if held_out.ndim != 2 or len(held_out) < 2:
        raise InputError(f"a bracket needs two rows or more, shape (m, d), and not {tuple(held_out.shape)}")
    wrong = [s for s in resolutions if not 0 < s < 1]
    if wrong:
        raise InputError(f"resolution {wrong[0]:g}: a number above 0 and below 1 is needed")
    if samples is None and any(s not in densities for s in resolutions):
        raise InputError("give samples of the model, or its log-density at every resolution")
    if samples is not None and (samples.ndim != 2 or samples.shape[1] != held_out.shape[1]):
        raise InputError(f"samples of shape {tuple(samples.shape)} beside rows {tuple(held_out.shape)}")
    if samples is not None and len(samples) < 2:
        raise InputError("a bracket needs two samples or more")


def _noise(rows: Tensor, seed: int) -> Tensor:
    """The noise z of some draws a row, shape (draws, m, d)."""
    draws = max(1, min(DRAWS, POINTS // len(rows)))
    return torch.randn((draws, *rows.shape), generator=generator(seed, "bracket"), dtype=torch.float64)


def _others(rows: Tensor, noise: Tensor, s: float) -> tuple[Tensor, KernelMean, Tensor]:
    """The noisy points, draw by draw, p̂_{−i} there, and the logarithm of row i's own kernel."""
    centres = math.sqrt(1 - s * s) * rows
    y = (centres + s * noise).flatten(0, 1)  # point r·m + i is of row i
    others = kernel_mean(y, centres, s, torch.arange(len(rows)).repeat(len(noise)))
    return y, others, others.peak - noise.square().sum(-1).flatten() / 2


def _at(  # noqa: PLR0917
    s: float,
    rows: Tensor,
    samples: Tensor | None,
    noise: Tensor,
    density: LogDensity | None,
    reference: Callable[[Tensor, float], Tensor] | None,
    blurred: float,
) -> Bracket:
    """The bracket at one resolution."""
    y, others, _ = _others(rows, noise, s)
    beside = None if reference is None else reference(y, s).double()
    if density is not None:
        values = density(y).double()
        return put_together(s, others, noise, (values, values), beside=beside)
    assert samples is not None  # checked at the beginning
    keep = math.sqrt((1 - s * s) / (1 - blurred * blurred))  # the Ornstein-Uhlenbeck time that is left
    model, noise_se = _model(y, keep * samples, math.sqrt(1 - keep * keep))
    sides = (model.log_mean, log_above(model, noise))
    return put_together(s, others, noise, sides, noise_se=noise_se, samples=model.count, beside=beside)


def put_together(
    s: float,
    others: KernelMean,
    noise: Tensor,
    model: tuple[Tensor, Tensor],
    *,
    noise_se: float = 0.0,
    samples: int = 0,
    beside: Tensor | None = None,
) -> Bracket:
    """A bracket from what is known at the noisy points, point r·m + i of row i.

    Args:
        s: the resolution.
        others: p̂_{−i} at the points of row i.
        noise: z of every point, shape (draws, m, d).
        model: what log q_s lies above, on average, and what it lies below.
        noise_se: standard error of the mean of log q_s by the choice of samples.
        samples: how many of the model were used; 0 for its density.
        beside: log-density of another law, for the lower side.
    """
    below, above = model

    def by_row(values: Tensor) -> Tensor:
        return values.unflatten(0, noise.shape[:2]).mean(0)

    upper, upper_se = _mean(by_row(_with_own(others, noise) - below), noise_se)
    laws = [others.log_mean] if beside is None else [others.log_mean, beside]
    lower, lower_se = max(_mean(by_row(law - above), noise_se) for law in laws)
    level = LEVEL if beside is None else LEVEL_OF_TWO
    return Bracket(
        resolution=s, upper=upper, upper_se=upper_se, upper_95=upper + LEVEL * upper_se,
        lower=lower, lower_se=lower_se, lower_95=lower - level * lower_se,
        rows=noise.shape[1], samples=samples, density="samples" if samples else "model",
    )  # fmt: skip


def _model(y: Tensor, centres: Tensor, s: float) -> tuple[KernelMean, float]:
    """q̂ at the points, from as many samples as its noise asks for, and what that noise does to log q̂.

    Where even all samples leave fewer than :data:`EFFECTIVE` near most points, some say as little as all do.

    Returns:
        q̂, and the standard error that the mean of log q̂ over the points has by the choice of the samples.
    """
    pilot = kernel_mean(y[:: max(1, len(y) // PILOT)], centres, s)
    wanted = float(pilot.relative_variance.mean()) / (2 * SAMPLE_NOISE)
    in_vain = float((len(centres) / (1 + pilot.relative_variance)).median()) < EFFECTIVE
    used = int(min(len(centres), FEWEST if in_vain else max(FEWEST, math.ceil(wanted))))
    parts = [kernel_mean(y, part, s) for part in centres[:used].tensor_split(min(PARTS, used))]
    whole = joined(parts)
    # to first order in q̂_b − q̂; the logarithms of the parts themselves would be far off where few are near
    moved = torch.stack([torch.expm1(part.log_mean - whole.log_mean).mean() for part in parts])
    return whole, float(moved.std() / math.sqrt(len(parts)))


def _with_own(others: KernelMean, noise: Tensor) -> Tensor:
    """Log p̂ at the points of row i, from p̂_{−i} there and row i's own kernel."""
    own, m = others.peak - noise.square().sum(-1).flatten() / 2, others.count + 1
    return torch.logaddexp(others.log_mean + math.log(others.count), own) - math.log(m)


def log_above(model: KernelMean, noise: Tensor) -> Tensor:
    """A figure that log q_s lies below, from M samples, nats.

    The mean of log q̂ lies below log q by about Var/(2M q̂²), which is added where at least
    :data:`EFFECTIVE` samples are near; elsewhere the empirical Bernstein inequality at the level
    :data:`MISSED` (Maurer and Pontil, arXiv:0907.3740). Samples are not near, either, where a single one more
    at the point's own row would more than double q̂: of a column with few values all samples may be equally
    far away, and their terms then say nothing of a value that M samples have missed.

    Args:
        model: q̂ at the points.
        noise: z of every point, shape (draws, m, d).
    """
    m = model.count
    relative = model.relative_variance
    t = math.log(2 / MISSED)
    spread = (1 + torch.sqrt(2 * relative * t / m)).log()
    far = torch.logaddexp(
        model.log_mean + spread,
        torch.full_like(model.log_mean, model.peak + math.log(7 * t / (3 * (m - 1)))),
    )
    own = model.peak - noise.square().sum(-1).flatten() / 2
    near = (m / (1 + relative) >= EFFECTIVE) & (model.log_mean + math.log(m) >= own)
    return torch.where(near, model.log_mean + relative / (2 * m), far)


def _mean(values: Tensor, noise_se: float) -> tuple[float, float]:
    return float(values.mean()), math.hypot(float(values.std() / math.sqrt(len(values))), noise_se)
