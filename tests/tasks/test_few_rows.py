"""A table that has too few rows says so before anything else is asked of its columns."""

import numpy as np
import pytest

from jko.config import parse_config
from jko.core.errors import InputError
from jko.preparation.prepare import prepare
from jko.preparation.table import Table


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_few_rows_are_counted(rows: int) -> None:
    table = Table("t.csv", np.arange(2.0 * rows).reshape(rows, 2), ("a", "b"))
    with pytest.raises(InputError, match=rf"t\.csv: {rows} rows; at least 6 are needed"):
        prepare(table, parse_config({"data": {"source": "file", "file": "t.csv"}}))
