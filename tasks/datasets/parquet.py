"""Parquet files as tables."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from jko.core.errors import InputError

PARQUET = ".parquet"


def read_parquet(path: Path) -> pd.DataFrame:
    """All columns of a Parquet file.

    Raises:
        InputError: there is no such file, it is none of this kind, or it has no rows.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        frame = pd.read_parquet(path)
    except Exception as error:  # whatever pyarrow raises
        raise InputError(
            f"{path}: this is no table in Parquet's format: {str(error).splitlines()[0]}"
        ) from None
    frame.columns = pd.Index([str(name) for name in frame.columns])
    if frame.empty:
        raise InputError(f"{path}: the table has no rows")
    return frame
