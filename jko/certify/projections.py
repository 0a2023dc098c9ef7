r"""Brackets of single columns and of pairs of columns: where a model is wrong, and by at least how much.

A projection never raises KL, so a column or a pair of columns has a bracket of its own, at a finer resolution
than all columns together. Rows and samples are rounded to a lattice of spacing s/4, and the noise has the
normal law of that lattice. Rounding and blurring are done to both laws alike, so what the lower side says of
the rounded laws holds of the others, too. On the lattice one pass of a filter replaces all pairs of rows and
samples. Rows beyond :data:`REACH` standard deviations are moved there, again both laws alike. The lattice
itself ends where rows, their noise and samples do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import norm
from torch import Tensor

from jko.certify.bracket import log_above, put_together
from jko.certify.resolution import Bracket, Projection
from jko.core.seeds import counter_seed
from jko.statistics.kernel_sums import KernelMean, kernel_mean

Array = NDArray[np.float64]
Cells = NDArray[np.int64]
#: standard deviations of the noise for columns and for pairs
OF_COLUMNS, OF_PAIRS = (0.05, 0.1, 0.2, 0.4), (0.1, 0.2, 0.4)
#: cells of the lattice in s, standard deviations that the filter reaches, and that the lattice reaches
CELLS, TAPS, REACH = 4, 6, 6.0
#: cells of a line that one product of the filter makes
BAND = 32
#: all pairs up to so many columns, else the pairs of largest correlation, so many
ALL_COLUMNS, MOST_PAIRS = 30, 400
#: noisy points of a projection, about, and draws of the noise for a row
POINTS, MOST_DRAWS = 8192, 16
#: where the filter gives less than this part of a kernel's largest value, all centres are summed
EXACT = 1e-6
#: an exponent that is no overflow, with sums of such terms
HUGE = 600.0


def columns_of(
    held_out: Tensor, samples: Tensor, names: Sequence[str], *,
    resolutions: Sequence[float] = OF_COLUMNS, seed: int = 0,
) -> list[Projection]:  # fmt: skip
    """A bracket for every column.

    Args:
        held_out: rows that chose nothing, shape (m, d), standardised units.
        samples: of the model, shape (M, d), the same units.
        names: of the columns.
        resolutions: every s, within 0 and 1.
        seed: of the noise.

    Returns:
        In the order of the columns.
    """
    places = [(i,) for i in range(len(names))]
    return _projections(held_out, samples, names, places, resolutions, seed)


def pairs_of(
    held_out: Tensor, samples: Tensor, names: Sequence[str], *,
    resolutions: Sequence[float] = OF_PAIRS, seed: int = 0,
) -> list[Projection]:  # fmt: skip
    """A bracket for every pair of columns, or for the most correlated ones of many; see :func:`columns_of`.

    Returns:
        The pair that differs most comes first.
    """
    places = list(combinations(range(len(names)), 2))
    if len(names) > ALL_COLUMNS:
        related = np.abs(np.corrcoef(held_out.double().numpy(), rowvar=False))
        places = sorted(places, key=lambda pair: -np.nan_to_num(related[pair]))[:MOST_PAIRS]
    found = _projections(held_out, samples, names, places, resolutions, seed)
    return sorted(found, key=lambda one: -one.least)


def _projections(  # noqa: PLR0917
    held_out: Tensor,
    samples: Tensor,
    names: Sequence[str],
    places: Sequence[tuple[int, ...]],
    resolutions: Sequence[float],
    seed: int,
) -> list[Projection]:
    if not places:  # a single column has no pairs
        return []
    rows, drawn = held_out.double().numpy(), samples.double().numpy()
    level = float(norm.isf(0.05 / max(1, len(places) * len(resolutions))))
    found: list[list[Bracket]] = [[] for _ in places]
    for s in resolutions:
        lattice = _Lattice(s, len(places[0]))
        own, model = lattice.cells(rows), lattice.cells(drawn)
        noise = lattice.noise(len(own), counter_seed(seed, "lattice"))
        for one, place in zip(found, places, strict=True):
            one.append(_on_lattice(lattice, own[:, place], model[:, place], noise))
    made = []
    for one, place in zip(found, places, strict=True):
        lows = [(at.lower or 0.0) - level * (at.lower_se or 0.0) for at in one]
        columns = tuple(names[i] for i in place)
        made.append(Projection(columns=columns, bracket=tuple(one), least=max(0.0, *lows)))
    return made


class _Lattice:
    """Rows and samples on a lattice, and the sums of kernels there; :meth:`span` says how far it reaches.

    Args:
        s: width of the kernel.
        dim: 1 or 2.
    """

    def __init__(self, s: float, dim: int) -> None:
        self.s, self.dim, self.step, self.a = s, dim, s / CELLS, math.sqrt(1 - s * s)
        self.offsets = np.arange(-TAPS * CELLS, TAPS * CELLS + 1)
        self.kernel = np.exp(-((self.offsets / CELLS) ** 2) / 2)
        self.bands = _band(self.kernel), _band(self.kernel**2)
        self.peak = -dim * math.log(s * math.sqrt(2 * math.pi))

    def span(self, rows: Cells, samples: Cells) -> None:
        """Reach as far as the noise of the rows and the samples do, and to the end of a band."""
        self.lowest = np.minimum(rows.min(0) + self.offsets[0], samples.min(0))
        highest = np.maximum(rows.max(0) + self.offsets[-1], samples.max(0))
        self.shape = tuple(BAND * math.ceil(side / BAND) for side in highest - self.lowest + 1)

    def cells(self, rows: Array) -> Cells:
        """The cells of rows, of the same shape; 0 is the middle."""
        found: Cells = np.rint(self.a * np.clip(rows, -REACH, REACH) / self.step).astype(np.int64)
        return found

    def noise(self, rows: int, seed: int) -> Cells:
        """The noise of some draws a row, in cells, shape (draws, rows, dim)."""
        draws = max(1, min(MOST_DRAWS, POINTS // rows))
        chances, draw = self.kernel / self.kernel.sum(), np.random.default_rng(seed)
        return draw.choice(self.offsets, size=(draws, rows, self.dim), p=chances)

    def at(self, cells: Cells, beyond: int = 0) -> Cells:
        """The place of cells in a lattice with so many cells more at every end, line after line."""
        found: Cells = cells[:, 0] - (self.lowest[0] - beyond)
        if self.dim == 2:
            found *= self.shape[1] + 2 * beyond
            found += cells[:, 1]
            found -= self.lowest[1] - beyond
        return found

    def sums(self, cells: Cells, weights: Array | None = None, *, squares: bool = False) -> tuple[Array, ...]:
        """The sums of kernels around cells, and of their squares, on the whole lattice, shape (places,)."""
        beyond = TAPS * CELLS
        shape = tuple(side + 2 * beyond for side in self.shape)
        counts = np.bincount(self.at(cells, beyond), weights, minlength=math.prod(shape))
        grid: Array = counts.astype(float).reshape(shape)
        return tuple(_filtered(grid, band).ravel() for band in self.bands[: 1 + squares])


def _band(kernel: Array) -> Array:
    """What makes :data:`BAND` sums of a line of as many cells and the kernel's reach at both ends."""
    found = np.zeros((BAND + len(kernel) - 1, BAND))
    for i in range(BAND):
        found[i : i + len(kernel), i] = kernel
    return found


def _filtered(grid: Array, band: Array) -> Array:
    """A symmetric filter along every axis, by products of pieces of its lines with a band.

    All terms are at least 0, so each sum is as exact as its terms.

    Args:
        grid: a line or a plane, with the kernel's reach more at every end.
        band: shape (BAND + reach, BAND).
    """
    pieces = range(0, grid.shape[-1] - len(band) + 1, BAND)
    found = np.concatenate([grid[..., i : i + len(band)] @ band for i in pieces], -1)
    if found.ndim == 1:
        return found
    pieces = range(0, len(grid) - len(band) + 1, BAND)
    return np.concatenate([band.T @ found[i : i + len(band)] for i in pieces])


def _on_lattice(lattice: _Lattice, own: Cells, model: Cells, noise: Cells) -> Bracket:
    """The bracket of rounded rows and samples at one resolution, by cells and the noise of rows in cells."""
    lattice.span(own, model)
    points = (own + noise).reshape(-1, lattice.dim)
    of_noise = torch.from_numpy(noise / CELLS)
    apart = torch.exp(-of_noise.square().sum(-1) / 2).numpy().reshape(-1)
    left_out = np.tile(np.arange(len(own)), len(noise)), apart
    others = _means(lattice, points, own, left_out, spread=False)
    drawn = _means(lattice, points, model, None)
    # what one sample adds to the mean over the points, to first order: its spread is the samples' noise
    # the exponent is cut where no sample is within the filter's reach, so that a huge share meets zeros alone
    shares = np.exp(np.minimum(lattice.peak - drawn.log_mean.numpy(), HUGE)) / len(points)
    effects = lattice.sums(points, shares)[0][lattice.at(model)]
    return put_together(
        lattice.s, others, of_noise, (drawn.log_mean, log_above(drawn, of_noise)),
        noise_se=float(effects.std() / math.sqrt(len(model))), samples=len(model),
    )  # fmt: skip


def _means(
    lattice: _Lattice,
    points: Cells,
    centres: Cells,
    without: tuple[Cells, Array] | None,
    *,
    spread: bool = True,
) -> KernelMean:
    """The mean of kernels around centres at the points.

    Args:
        lattice: of both.
        points: shape (n, dim).
        centres: shape (M, dim).
        without: of every point the centre that is left out, and the value of its kernel there.
        spread: whether the relative variance is asked for; else it is not a number.
    """
    where, count = lattice.at(points), len(centres)
    sums, *more = (one[where] for one in lattice.sums(centres, squares=spread))
    squares = more[0] if spread else np.full(len(sums), np.nan)
    if without is not None:
        sums, squares, count = sums - without[1], squares - without[1] ** 2, count - 1
    far = np.flatnonzero(sums < EXACT)
    safe = np.maximum(sums, EXACT)
    log_mean = np.log(safe) + lattice.peak - math.log(count)
    relative = np.maximum(count * squares / safe**2 - 1, 0)
    if len(far):  # beyond the reach of the filter, or near the row that is left out alone
        exact = kernel_mean(
            torch.from_numpy(points[far] * lattice.step), torch.from_numpy(centres * lattice.step), lattice.s,
            None if without is None else torch.from_numpy(without[0][far]),
        )  # fmt: skip
        log_mean[far], relative[far] = exact.log_mean.numpy(), exact.relative_variance.numpy()
    return KernelMean(torch.from_numpy(log_mean), torch.from_numpy(relative), lattice.peak, count)
