r"""Monotone splines with linear tails.

Between knots :math:`(u_i, z_i)` with slopes :math:`\delta_i > 0`, with :math:`\Delta` the slope of the
chord and :math:`\theta = (u - u_i) / (u_{i+1} - u_i)`,

.. math:: z = z_i + (z_{i+1} - z_i)
    \frac{\Delta\theta^2 + \delta_i\theta(1 - \theta)}
    {\Delta + (\delta_i + \delta_{i+1} - 2\Delta)\theta(1 - \theta)}

and a straight line beyond the first and the last knot. The inverse is a root of a quadratic equation.

Source: Gregory, Delbourgo, IMA J. Numer. Anal. 2 (1982) 123–130; as a layer of flows Durkan et al.,
arXiv:1906.04032.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jko.core.errors import InputError

Array = NDArray[np.float64]
#: knots, values and slopes of c splines, shape (c, K) each; splines with fewer knots repeat their last one
Tables = tuple[Tensor, Tensor, Tensor]


def spline(tables: Tables, u: Tensor) -> tuple[Tensor, Tensor]:
    """Images z and log dz/du, shape (c, n) each.

    Args:
        tables: of c splines.
        u: n numbers for each, shape (c, n), float64.
    """
    knots, values, slopes = tables
    left, right, z0, z1, d0, d1 = _pieces(tables, knots, u)
    width, rise = right - left, z1 - z0
    chord = rise / width
    t = ((u - left) / width).clamp(0, 1)
    both = t * (1 - t)
    below = chord + (d0 + d1 - 2 * chord) * both
    z = z0 + rise * (chord * t**2 + d0 * both) / below
    slope = chord**2 * (d1 * t**2 + 2 * chord * both + d0 * (1 - t) ** 2) / below**2
    first, last = u < knots[:, :1], u > knots[:, -1:]
    z = torch.where(first, values[:, :1] + slopes[:, :1] * (u - knots[:, :1]), z)
    z = torch.where(last, values[:, -1:] + slopes[:, -1:] * (u - knots[:, -1:]), z)
    slope = torch.where(first, slopes[:, :1], torch.where(last, slopes[:, -1:], slope))
    return z, slope.log()


def spline_inverse(tables: Tables, z: Tensor) -> Tensor:
    """Numbers u for images z, in closed form, shape (c, n)."""
    knots, values, slopes = tables
    left, right, z0, z1, d0, d1 = _pieces(tables, values, z)
    width, rise = right - left, z1 - z0
    chord = rise / width
    bend, gone = d0 + d1 - 2 * chord, (z - z0).clamp(min=0)
    gone = torch.minimum(gone, rise)
    a = rise * (chord - d0) + gone * bend
    b = rise * d0 - gone * bend
    c = -chord * gone
    t = 2 * c / (-b - (b**2 - 4 * a * c).clamp(min=0).sqrt())
    u = left + width * t.clamp(0, 1)
    first, last = z < values[:, :1], z > values[:, -1:]
    u = torch.where(first, knots[:, :1] + (z - values[:, :1]) / slopes[:, :1], u)
    return torch.where(last, knots[:, -1:] + (z - values[:, -1:]) / slopes[:, -1:], u)


def _pieces(tables: Tables, edges: Tensor, at: Tensor) -> list[Tensor]:
    """Knots, values and slopes at both ends of the piece that each number lies in, each (c, n)."""
    knots = tables[0]
    count = (knots[:, 1:] > knots[:, :-1]).sum(1, keepdim=True)  # pieces that are none repeat
    index = torch.searchsorted(edges, at, right=True).sub(1).clamp(min=0)
    index = torch.minimum(index, count - 1)
    return [table.gather(1, index + side) for table in tables for side in (0, 1)]


def check_increasing(knots: Tensor, values: Tensor, slopes: Tensor) -> None:
    """Refuse tables that make no increasing functions.

    Raises:
        InputError: they are no finite tables of one shape, or do not increase.
    """
    shape = knots.shape
    fits = knots.ndim == 2 and shape[1] >= 2 and values.shape == shape == slopes.shape
    if not (fits and all(bool(table.isfinite().all()) for table in (knots, values, slopes))):
        raise InputError("the start map's knots, values and slopes must be finite tables of one shape (d, K)")
    wider, higher = knots.diff(dim=1), values.diff(dim=1)
    padded = (wider == 0) & (higher == 0)
    late = padded[:, :-1] & ~padded[:, 1:]
    rising = padded | ((wider > 0) & (higher > 0))
    if bool((~rising).any() or late.any() or (slopes <= 0).any() or padded[:, 0].any()):
        raise InputError("the start map does not increase: its knots, values and slopes are damaged")


def smooth_slopes(knots: Array, values: Array, *, sweeps: int = 200, tolerance: float = 1e-7) -> Array:
    r"""Slopes that make the spline of one column twice continuously differentiable.

    With widths :math:`h_i` and chords :math:`\Delta_i` the second derivatives at knot i agree where

    .. math:: \delta_i^2 (w_i + w_{i-1}) + \delta_i \Bigl(w_i\delta_{i+1} + w_{i-1}\delta_{i-1}
        - \tfrac1{h_i} - \tfrac1{h_{i-1}}\Bigr) = \frac{\Delta_i}{h_i} + \frac{\Delta_{i-1}}{h_{i-1}},
        \quad w_i = \frac1{h_i\Delta_i}

    At the ends they are zero, as on the tails. Positive roots are taken in turn until they stay.

    Args:
        knots: u_i, ascending, shape (K,).
        values: z_i, ascending, shape (K,).
        sweeps: at most so many turns.
        tolerance: largest relative change at which they stay.

    Returns:
        δ_i > 0, shape (K,).

    Source: Delbourgo, Gregory, IMA J. Numer. Anal. 3 (1983) 141–152; the condition is derived from the form
    above.
    """
    width = np.diff(knots)
    chord = np.diff(values) / width
    w_left, w_right = _beside(1 / (width * chord))
    constant, linear = np.add(*_beside(chord / width)), np.add(*_beside(1 / width))
    square = w_left + w_right
    slopes: Array = constant / linear  # means of the chords
    padded = np.zeros(len(knots) + 2)
    turns = (slice(0, None, 2), slice(1, None, 2))  # neighbours of one turn stay
    for _ in range(sweeps):
        old = slopes.copy()
        for turn in turns:
            padded[1:-1] = slopes
            middle = (w_left * padded[:-2] + w_right * padded[2:] - linear)[turn]
            root = np.sqrt(middle**2 + 4 * square[turn] * constant[turn])
            slopes[turn] = np.where(  # without cancellation
                middle > 0, 2 * constant[turn] / (middle + root), (root - middle) / (2 * square[turn])
            )
        if (np.abs(slopes - old) <= tolerance * old).all():
            break
    return slopes


def _beside(pieces: Array) -> tuple[Array, Array]:
    """For each knot the number of the piece left of it, and of that right of it; 0 where there is none."""
    return np.concatenate([[0.0], pieces]), np.concatenate([pieces, [0.0]])
