"""Tables as spreadsheets (.xlsx): the only user of openpyxl, which need not be installed."""

from __future__ import annotations

import io
import re
from importlib.util import find_spec
from typing import Final

import pandas as pd

from jko.core.errors import InputError
from jko.preparation.names import shown
from tasks.adapters.system.output import safe_frame

#: what pandas writes spreadsheets with
PACKAGE: Final = "openpyxl"
#: lines and columns of a sheet at most
LINES, COLUMNS = 2**20, 2**14
#: letters that a cell holds
LETTERS = 32_767
#: control characters, which no cell may hold
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
#: spreadsheets count days from here on
FIRST = pd.Timestamp("1900-03-01")


def check_package() -> None:
    """Refuse where no spreadsheet can be written.

    Raises:
        InputError: the package is not installed.
    """
    if find_spec(PACKAGE) is None:
        raise InputError(f"a spreadsheet needs a package: pip install {PACKAGE}")


def spreadsheet(frame: pd.DataFrame) -> bytes:
    """A table as the content of a spreadsheet in which no name and no text begins as a formula does.

    Moments with a time zone, and columns with a date before March 1900, are text: spreadsheets have none.

    Raises:
        InputError: it is too large for a sheet, or a cell holds text that it cannot.
    """
    if len(frame) >= LINES or frame.shape[1] > COLUMNS:
        raise InputError(
            f"{len(frame)} rows of {frame.shape[1]} columns are too many for a spreadsheet, which has "
            f"{LINES} lines and {COLUMNS} columns; give a .csv or .parquet"
        )
    safe = safe_frame(frame)
    for place, kind in enumerate(safe.dtypes):
        if kind.kind == "M":
            safe.isetitem(place, _moments(safe.iloc[:, place]).array)
        elif kind.kind == "O" or str(kind) in ("str", "string", "category"):
            _refuse_text(safe.iloc[:, place])
    _refuse_text(safe.columns.to_series())
    stream = io.BytesIO()
    safe.to_excel(stream, index=False, engine=PACKAGE)
    return stream.getvalue()


def _moments(column: pd.Series) -> pd.Series:
    """Dates and times as spreadsheets have them, or as text."""
    if getattr(column.dtype, "tz", None) is None and not (column < FIRST).any():
        return column
    return column.map(lambda moment: None if pd.isna(moment) else moment.isoformat()).astype(object)


def _refuse_text(cells: pd.Series) -> None:
    """Refuse text that no spreadsheet holds as it is.

    Raises:
        InputError: names the first such text.
    """
    for cell in pd.unique(cells):
        if isinstance(cell, str) and CONTROL.search(cell):
            raise InputError(
                f"{shown(cell)} holds a control character, which no spreadsheet takes; give a .csv"
            )
        if isinstance(cell, str) and len(cell) > LETTERS:
            raise InputError(f"{shown(cell)} has more than {LETTERS} letters; give a .csv or .parquet")
