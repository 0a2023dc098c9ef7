r"""A safety net under the density of a chain: a small share of the model is a broad law.

.. math:: q = (1 - \eta)\, q_{chain} + \eta\, q_{broad}

No row scores below :math:`\log\eta + \log q_{broad}`, whatever the blocks do to it, and for every law p

.. math:: KL(p\|q) \le KL(p\|q_{chain}) - \log(1 - \eta), \qquad TV(p, q) \le TV(p, q_{chain}) + \eta

Source: Hesterberg, Technometrics 37 (1995) 185–194, of proposals in importance sampling; the bounds are
derived: q is at least (1 − η) times the chain's density, and the total variation is convex.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from jko.core.rows import drawn
from jko.core.seeds import counter_seed
from jko.laws.student_t import StudentT, fit_student_t
from jko.maps.start_map import StartMap

#: rows that the law is fitted to, and chosen by, at most
FITTED_ROWS, CHOOSING_ROWS = 20_000, 5000
#: numbers in all of the rows times a row: what more columns leave room for
MOST_PRODUCTS = 2e9
#: rows that are fitted to however many columns there are
FEWEST_ROWS = 1000


class Defence(nn.Module):
    """The broad law of a model and its share.

    Args:
        share: η, in (0, 1).
        law: q_broad of the state, in start coordinates where the start map is affine far out, else in
            standardised units: its density must be known wherever a row may be.
    """

    def __init__(self, share: float, law: StudentT) -> None:
        super().__init__()
        self.share, self.law = share, law

    def mixed(self, values: Tensor, errors: Tensor, broad: Tensor) -> tuple[Tensor, Tensor]:
        """Log-densities of the model and their standard errors.

        The blocks have no density where theirs is not finite: such a row is far beyond what their numbers
        hold, and has that of the broad law.

        Args:
            values: log q_chain in nats, shape (rows,).
            errors: their standard errors, shape (rows,).
            broad: log q_broad in nats of the same rows in the same units, shape (rows,).

        Returns:
            log q, and its standard error to first order, that of log q_chain times the chain's part in q.
        """
        chain = torch.where(values.isfinite(), values, -math.inf).double() + math.log1p(-self.share)
        found = torch.logaddexp(chain, broad + math.log(self.share))
        part = (chain - found).exp()
        return found, torch.where(part > 0, part * errors, 0.0)

    def carried(self, values: Tensor, broad: Tensor) -> Tensor:
        """Whether the broad law has the larger part in the density of a row, shape (rows,)."""
        chain = torch.where(values.isfinite(), values, -math.inf) + math.log1p(-self.share)
        return broad + math.log(self.share) > chain

    def draws(self, rows: int, seed: int) -> tuple[Tensor, Tensor]:
        """Which of some samples are of the broad law, and those.

        Args:
            rows: how many samples are drawn.
            seed: of the draws.

        Returns:
            Numbers of the rows, shape (n,), and their positions as ``law`` has them, float64, shape (n, d).
        """
        draw = np.random.default_rng(counter_seed(seed, "defence"))
        chosen = np.flatnonzero(draw.random(rows) < self.share)
        return torch.from_numpy(chosen), self.law.sample(len(chosen), draw)


def broad_law(
    train: NDArray[np.generic], validation: NDArray[np.generic], start: StartMap | None
) -> StudentT:
    """The broad law of a model, fitted to training rows and chosen by validation rows.

    Args:
        train: the state of training rows without copies, start coordinates, shape (rows, d).
        validation: the same of validation rows.
        start: the start map; ``None`` for the identity.
    """
    most = int(min(FITTED_ROWS, max(FEWEST_ROWS, MOST_PRODUCTS / train.shape[1] ** 2)))
    pairs = ((train, most), (validation, CHOOSING_ROWS))
    chosen = [drawn(rows, count).astype(float) for rows, count in pairs]
    with threadpool_limits(1):  # equal bits whatever the number of threads
        if start is not None and not start.affine_tails:
            chosen = [start.inverse(torch.from_numpy(rows)).numpy() for rows in chosen]
        return fit_student_t(*chosen)


def price(share: float) -> float:
    """The most that a share η adds to a KL divergence or a mean NLL, −log(1 − η), nats."""
    return -math.log1p(-share)


def total_variation(tv: float, share: float) -> float:
    """Bound on TV(p, q) from one on TV(p, q_chain), at most 1."""
    return min(1.0, (1 - share) * tv + share)
