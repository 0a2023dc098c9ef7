"""Which rows are for training, which choose, and which are held out for figures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jko.config.data_section import Data
from jko.core.errors import InputError
from jko.core.seeds import counter_seed


def split_rows(count: int, settings: Data, seed: int, name: str) -> dict[str, NDArray[np.int64]]:
    """Indices of the training, validation and test rows, by seed.

    Args:
        count: of all rows.
        settings: the shares.
        seed: of the split.
        name: of the data.

    Raises:
        InputError: too few rows.
    """
    split = settings.split
    held = {"validation": round(count * split.validation), "test": round(count * split.test)}
    held = {part: max(2, number) for part, number in held.items()}
    if count - sum(held.values()) < 2:
        raise InputError(f"{name}: {count} rows; at least 6 are needed to train, validate and test")
    order = np.random.default_rng(counter_seed(seed, "split")).permutation(count)
    test, validation, train = np.split(order, np.cumsum([held["test"], held["validation"]]))
    return {"train": np.sort(train), "validation": np.sort(validation), "test": np.sort(test)}
