r"""Upper limits of means that few rows carry, where mean + 2 SE is far too low.

Of rows :math:`X \ge 0` and every :math:`1 < p \le 2`, :math:`e^{-y} \le 1 - y + c\,y^p` gives for their mean

.. math:: P\big(\bar X \le EX - K \|X\|_p (\ell/n)^{1-1/p}\big) \le e^{-\ell}, \quad
          K = p\, c^{1/p} (p-1)^{1/p-1}, \quad \|X\|_p = (E X^p)^{1/p},

and so :math:`EX \le \bar X / (1 - K (\|X\|_p/EX) (\ell/n)^{1-1/p})` with that probability. No variance is
asked for, which is what such rows do not show: estimators that need one (Catoni's, the median of means) keep
too low a limit with the rows' own. At p = 1.2 the ratio :math:`\|X\|_p/EX` is mild, and that of the rows
themselves is put in its place: this, and independent rows, is what is assumed. The inequality is exact, the
ratio is not. Loads nothing heavy.

Source of the argument: the exponential bounds behind O. Catoni, Challenging the empirical mean and empirical
variance, Annales de l'Institut Henri Poincaré 48 (2012), here for a p-th moment and for one side.
"""

from __future__ import annotations

import math
from statistics import NormalDist

#: p, and the least c for it: the supremum of :math:`(e^{-y} - 1 + y)/y^p`
POWER, FACTOR = 1.2, 0.58267


def upper_limit(value: float, se: float, tail: float, margin: float) -> float:
    r"""An upper limit of a mean of rows that are at least 0.

    .. math:: \max\Big(\bar x + z\,SE,\; \frac{\bar x}{1 - \tau \ell^{1-1/p}}\Big), \quad
              \ell = -\log \Phi(-z)

    Args:
        value: the mean.
        se: its standard error.
        tail: :func:`jko.statistics.tails.tail_of` its rows.
        margin: z; the level is that of a normal law, .977 for 2.

    Returns:
        ``inf`` where the rows are too few for any limit: one of them, or few, are all of the mean.
    """
    plain = value + margin * se
    if tail <= 0 or value <= 0:
        return plain
    part = tail * (-math.log(NormalDist().cdf(-margin))) ** (1 - 1 / POWER)
    return max(plain, value / (1 - part)) if part < 1 else math.inf


def margin_of(count: int, margin: float = 2.0) -> float:
    r"""The margin at which each of several limits is kept, so that all hold at once at the level of another.

    .. math:: z = -\Phi^{-1}(\Phi(-margin)/count)

    Args:
        count: number of limits, of which the best may be chosen.
        margin: standard errors.
    """
    law = NormalDist()
    return margin if count <= 1 else -law.inv_cdf(law.cdf(-margin) / count)
