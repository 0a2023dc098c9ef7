"""Parquet files as tables."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from jko.core.errors import InputError

PARQUET = ".parquet"


def read_parquet(path: Path) -> pd.DataFrame:
    """All columns of a Parquet file.

    Raises:
        InputError: there is no such file, or it is none of this kind.
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
    return frame
