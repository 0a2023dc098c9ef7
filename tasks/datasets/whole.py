"""Tables with all their columns, as people have them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from jko.config.data_section import Data
from jko.core.errors import InputError
from jko.preparation.names import check_names
from tasks.datasets.csv_table import Written
from tasks.datasets.files import read_frame
from tasks.datasets.parquet import PARQUET, read_parquet


def read_whole(path: Path) -> Written:
    """All columns of a CSV, NPY or Parquet file, with text, dates and empty cells as they are.

    Raises:
        InputError: no such file, another kind, no rows, or it cannot be read; names that are refused.
    """
    if path.suffix.lower() != PARQUET:
        return read_frame(path, Data(source="file", file=str(path)), None)
    frame: pd.DataFrame = read_parquet(path)
    check_names([str(name) for name in frame.columns], path)
    if frame.empty:
        raise InputError(f"{path}: the table has no rows")
    return Written(frame)
