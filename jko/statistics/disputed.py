"""Two scores of a row that disagree: a low one is a sign of an anomaly only where models can be trusted."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
#: nats from which two scores of a row disagree, and what each column adds where that is more
DISAGREES, EACH_COLUMN = 100.0, 4.0


def limit_of(columns: int) -> float:
    """Nats from which two scores of a row disagree: the more columns, the more two good models differ by.

    >>> limit_of(4), limit_of(64)
    (100.0, 256.0)
    """
    return max(DISAGREES, EACH_COLUMN * columns)


def differences(blocks: Array, mixture: Array) -> Array:
    """Scores of the blocks less those of the mixture; −∞ where the blocks have none, 0 where neither has.

    Args:
        blocks: log-densities of rows under a chain's blocks without a defence, nats, shape (rows,).
        mixture: the same under a Gaussian mixture of the training rows.
    """
    ours, theirs = (np.where(np.isfinite(values), values, -math.inf) for values in (blocks, mixture))
    with np.errstate(invalid="ignore"):
        apart: Array = ours - theirs
    return np.where(np.isnan(apart), 0.0, apart)
