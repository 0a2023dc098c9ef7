"""The context of rows as a table that people read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from jko.config.data_section import CLASS
from jko.preparation.context import by_class
from jko.preparation.table import Array


def context_table(context: Array, names: Sequence[str]) -> pd.DataFrame:
    """A context as people write it: an integer column ``class``, or its own columns.

    Args:
        context: shape (rows, c), data units.
        names: of its columns.
    """
    if not by_class(names):
        return pd.DataFrame(context, columns=list(names))
    values = np.array([int(name.partition("=")[2]) for name in names])
    return pd.DataFrame({CLASS: values[context.argmax(axis=1)]})
