r"""ε² and the Fisher information from above, for data that were smoothed: no critic, no known law.

Rows are :math:`w_i = a x_i + s z_i` with known :math:`z_i \sim N(0, I)`, and S is the set of all x_j. Given
w_i and S, row i is any of S, by the weights of :math:`\hat p = \frac1m\sum_j N(a x_j, s^2 I)`, so

.. math:: \nabla\log p_0(w_i) = E[-z_i/s \mid w_i] = E\Big[\nabla\log\hat p(w_i) \mid w_i\Big],

p̂ *with* row i. Behind the blocks F the score is affine in it, by a map of w_i only. So by Jensen

.. math:: \epsilon^2 = E|\xi|^2 \le
          E\Big|u + \nabla F^{-T}\Big(\nabla\log\hat p(w) - \nabla\log\det\nabla F\Big)\Big|^2

and the same for E|∇V + ∇log p_k|² with u = ∇V. It needs rows that chose nothing. The excess is
E|∇F^{-T}(∇log p̂ − ∇log p_0)|², which falls with the number of rows and rises fast with d and 1/s. With one
row alone it is about d/s², and says nothing.

All rows share p̂, so their spread is not the error of the mean: groups of rows are left out in turn, from p̂
and from the mean (a jackknife). Over sixty draws of seven laws it was .97 to 1.5 times the true deviation.

Source: derived, see theory.md; p̂ with its own row is the upper side of the bracket on KL, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from jko.core.errors import InputError
from jko.laws.densities import Estimate
from jko.laws.score import score_after
from jko.maps.invertible import InvertibleBlock
from jko.measure.residual import residual_data

#: rows at which the score is taken through the blocks
ROWS = 1000
#: distances held at a time
PAIRS = 2**22
#: groups of rows that are left out in turn
GROUPS = 20
#: share of p̂ below which its mean is rounding
LEAST = 1e-9


@dataclass(frozen=True)
class FromAbove:
    """What a block's error is at most, on average over rows; its own chance error is not in it.

    Args:
        epsilon_squared: ε² ≤, block pairing.
        fisher: E|∇V + ∇log p_k|² ≤, for V = |x|²/2.
    """

    epsilon_squared: Estimate
    fisher: Estimate


def from_above(
    blocks: Sequence[InvertibleBlock], noisy: Tensor, noise: Tensor, width: float
) -> list[FromAbove]:
    """Upper bounds of ε² and the Fisher information after every block of a chain to N(0, I).

    Args:
        blocks: T_1 … T_k.
        noisy: w, shape (m, d), standardised units; independent rows that had no part in the training.
        noise: z, shape (m, d).
        width: s, in (0, 1); a = √(1 − s²).

    Returns:
        One for each block, of the first :data:`ROWS` rows with all m in p̂.

    Raises:
        InputError: for shapes that do not match, or another width.
    """
    if noisy.dim() != 2 or noisy.shape != noise.shape or len(noisy) < 2:
        raise InputError(f"rows and their noise are (m, d) with m ≥ 2, not {noisy.shape} and {noise.shape}")
    if not 0 < width < 1:
        raise InputError(f"the width of the smoothing is between 0 and 1, not {width}")
    centres = noisy.double() - width * noise.double()
    x = noisy[:ROWS].double()
    scores, found = kernel_scores(x, centres, width), []
    for block in blocks:
        dtype = next(block.parameters()).dtype
        with torch.no_grad():
            y = block.push_forward(x.to(dtype)).double()
        scores = _carried(block, y, scores)
        known = residual_data(x, y, block.step_size)
        found.append(FromAbove(_mean_square(known + scores), _mean_square(y + scores)))
        x = y
    return found


def _carried(block: InvertibleBlock, y: Tensor, scores: Tensor) -> Tensor:
    """Several scores behind a block: each is the same affine map of the one before it, row by row."""
    constant = score_after([block], y, torch.zeros_like)
    columns = []
    for i in range(y.shape[1]):
        axis = torch.zeros_like(y)
        axis[:, i] = 1
        columns.append(score_after([block], y, axis.to) - constant)
    return torch.einsum("kni,ind->knd", scores, torch.stack(columns)) + constant


def _mean_square(fields: Tensor) -> Estimate:
    """E|field|² of all rows, with the error that leaving out groups shows; fields (groups + 1, n, d)."""
    squares = fields.square().sum(-1)
    groups, index = len(fields) - 1, torch.arange(squares.shape[1]) % (len(fields) - 1)
    without = torch.stack([squares[g + 1][index != g].mean() for g in range(groups)])
    spread = (without - without.mean()).square().sum() * (groups - 1) / groups
    return Estimate(float(squares[0].mean()), math.sqrt(float(spread)))


def kernel_scores(x: Tensor, centres: Tensor, width: float, groups: int = GROUPS) -> Tensor:
    r"""∇log p̂ at rows, :math:`\hat p = \frac1m \sum_j N(c_j, s^2 I)`, and that without each group of centres.

    Args:
        x: shape (n, d).
        centres: c_j, shape (m, d); number j is in group j modulo the number of groups.
        width: s.
        groups: how many.

    Returns:
        Shape (groups + 1, n, d), the whole p̂ first.
    """
    groups = min(groups, len(centres))
    parts = []
    for rows in x.split(max(1, PAIRS // len(centres))):
        square = torch.cdist(rows, centres, compute_mode="donot_use_mm_for_euclid_dist").square()
        near = torch.softmax(-square / (2 * width**2), 1)
        mass = torch.stack([near[:, g::groups].sum(1) for g in range(groups)])
        moment = torch.stack([near[:, g::groups] @ centres[g::groups] for g in range(groups)])
        # where a row has no other group near it, it keeps its own centre's
        rest = (1 - mass).clamp(min=0)[..., None]
        without = torch.where(rest > LEAST, (moment.sum(0) - moment) / rest.clamp(min=LEAST), moment.sum(0))
        parts.append((torch.cat([moment.sum(0)[None], without]) - rows) / width**2)
    return torch.cat(parts, 1)
