"""Cells of columns as the data frame that users get: its types, and whole numbers with empty cells."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from jko.columns.cells import Cells, Dtype, read_cells
from jko.columns.column import Values
from jko.columns.missing import Missing
from jko.columns.schema import Schema

#: pandas' types of whole numbers beside which cells may be empty
NULLABLE = re.compile(r"U?Int\d+")


def whole_types(schema: Schema) -> dict[str, str]:
    """Pandas' types of the columns of whole numbers whose empty cells are part of the law, by name.

    NumPy has no whole numbers beside an empty cell, so that they are floats on the way.
    """
    found = {}
    for column in schema.kept:
        if isinstance(column, Missing):
            kind = column.value.decode(np.zeros((1, column.value.width))).dtype
            if kind.kind in "iu":
                found[column.name] = f"{'U' if kind.kind == 'u' else ''}Int{8 * kind.itemsize}"
    return found


def takes_holes(kind: object) -> bool:
    """Whether cells of a column of this type may be empty: not where it is one of NumPy's integers."""
    return not (isinstance(kind, np.dtype) and kind.kind in "iu")


def float_types(cells: Mapping[str, Cells], integers: Collection[str] = ()) -> dict[str, Dtype]:
    """Types of the columns of floats that are all whole and have empty cells: they come back as floats.

    Args:
        cells: of a data frame, which says the types of its columns; a file does not.
        integers: columns of integers, that only NumPy shows as floats.
    """
    return {
        name: str(own.values.dtype)
        for name, own in cells.items()
        if name not in integers
        and own.values.dtype.kind == "f"
        and not own.present.all()
        and bool((own.there == np.rint(own.there)).all())
    }


def in_lists(cells: Mapping[str, Values], kinds: Mapping[str, object]) -> dict[str, Any]:
    """Columns for other packages than pandas, which tell types from lists: of objects, and of whole numbers.

    Args:
        cells: by name.
        kinds: types of columns, by name, where something is said of them.
    """
    return {
        name: _objects(own).tolist()
        if own.dtype.kind == "O" or NULLABLE.fullmatch(str(kinds.get(name)))
        else own
        for name, own in cells.items()
    }


def _objects(cells: Values) -> Values:
    """Whole numbers, perhaps as floats with NaN, as integers and ``None``; objects as they are."""
    if cells.dtype.kind != "f":
        return cells
    own = read_cells(cells)
    found = np.full(len(cells), None, dtype=object)
    found[own.present] = own.there.astype(np.int64)
    return found


def in_pandas(
    pandas: ModuleType, cells: Mapping[str, Values], kinds: Mapping[str, object], ordered: Collection[str]
) -> Any:
    """Columns as a data frame of pandas.

    Args:
        pandas: the package.
        cells: by name.
        kinds: types of columns, by name: words, categories, or pandas' own; others are as they are.
        ordered: columns whose categories have an order.
    """
    frame = pandas.DataFrame(dict(cells))
    for name in frame.columns:
        kind: Any = kinds.get(name)
        if isinstance(kind, tuple):
            kind = pandas.CategoricalDtype(list(kind), ordered=name in ordered)
        if getattr(kind, "tz", None) is not None or (isinstance(kind, str) and ", " in kind):
            frame[name] = pandas.to_datetime(frame[name], utc=True).astype(kind)
        elif kind is not None and frame[name].dtype != kind:
            frame[name] = frame[name].astype(kind)
    return frame
