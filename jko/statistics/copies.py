"""Whether samples are copies of training rows: distances to the nearest one, against those of test rows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jko.core.rows import at_most

Array = NDArray[np.float64]
#: rows whose nearest training row is looked up
SAMPLE = 2000
#: share of the test rows that are called near
NEAR = 0.01


@dataclass(frozen=True)
class Copies:
    """How near samples come to training rows, in standardised units.

    Args:
        ratio: median distance of samples to the nearest training row, over that of test rows; ``None`` where
            most test rows are equal to a training row.
        share: share of the samples that are as near to a training row as the nearest 1 % of test rows.
        share_se: its standard error, with that of the 1 % of test rows.
        usual: the same share of the test rows themselves: 1 %, more where many of them equal a training row
            or where they are few.
    """

    ratio: float | None
    share: float
    share_se: float
    usual: float


def copies(generated: Array, train: Array, test: Array) -> Copies:
    r"""Compare samples with training rows.

    Distances are Euclidean after every column is divided by its standard deviation in the training rows, so
    that no column drowns the others. With q the 1 % quantile of the test rows' distances, the share is
    :math:`P(\text{distance} \le q)`: about 1 % for a model that generalises, however many rows there are;
    with a share c of copies, at least c.

    Args:
        generated: samples, shape (n, d); 2000 of them are looked up.
        train: training rows, shape (N, d).
        test: rows never trained on, shape (m, d).

    Source: derived; tests of memorisation by nearest neighbours are common practice.
    """
    from sklearn.neighbors import NearestNeighbors

    spread = train.std(0)
    scale = np.where(spread > 0, spread, 1.0)
    near = NearestNeighbors(n_neighbors=1).fit(train / scale)

    def distances(rows: Array) -> Array:
        return np.asarray(near.kneighbors(at_most(rows, SAMPLE) / scale)[0][:, 0])

    ours, usual = distances(generated), distances(test)
    limit = float(np.quantile(usual, NEAR, method="higher"))
    share, own = float((ours <= limit).mean()), float((usual <= limit).mean())
    middle = float(np.median(usual))
    error = math.hypot(_binomial(share, len(ours)), _binomial(own, len(usual)))
    return Copies(float(np.median(ours)) / middle if middle > 0 else None, share, error, own)


def _binomial(share: float, count: int) -> float:
    """Standard error of a share, not zero where none or all were counted."""
    kept = (share * count + 1) / (count + 2)
    return math.sqrt(kept * (1 - kept) / count)
