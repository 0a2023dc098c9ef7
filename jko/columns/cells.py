"""The cells of a table's columns, whatever the table comes as: pandas, polars, a mapping of arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from jko.columns.column import Cell, Values
from jko.core.errors import InputError
from jko.preparation.names import listed, shown

#: a type of pandas in words, or the categories of a column that has some
Dtype = str | tuple[Cell, ...]
#: text as pandas holds it, which need not be said
TEXT = "str"
#: names of types whose only values say that there is none
NOTHING = ("NoneType", "NAType", "NaTType")
#: types of objects by the type of a column that holds them, and what stands there for an empty cell
TYPES: dict[str, tuple[type, ...]] = {
    "bool": (bool, np.bool_), "int64": (int, np.integer), "float64": (int, float, np.number),
    "datetime64[us]": (date,),
}  # fmt: skip
#: integers that float64 holds are below
EXACT = 2.0**53
EMPTY = {"bool": False, "int64": 0, "float64": math.nan}


class Frame(Protocol):
    """A data frame or a mapping: columns by name."""

    def __iter__(self) -> Iterator[object]:
        """The names of a mapping."""

    def __getitem__(self, name: str, /) -> object:
        """The column of a name."""


@dataclass(frozen=True)
class Cells:
    """The cells of one column.

    Args:
        values: bool, integers, floats, dates, or objects, shape (rows,).
        present: where there is a cell, shape (rows,).
        order: the levels of an ordered categorical, low to high; else nothing.
    """

    values: Values
    present: NDArray[np.bool_]
    order: tuple[object, ...] = ()

    @property
    def there(self) -> Values:
        """The cells that there are."""
        found: Values = self.values[self.present]
        return found


def names_of(frame: Frame) -> list[str]:
    """Names of all columns."""
    return [str(name) for name in _keys_of(frame)]


def _keys_of(frame: Frame) -> Iterable[Hashable]:
    """Names of all columns as the table has them; those of a table of Arrow stand elsewhere."""
    found: Iterable[Hashable] = getattr(frame, "column_names", getattr(frame, "columns", frame))
    return found


def cells_of(frame: Frame, names: Sequence[str] | None = None) -> dict[str, Cells]:
    """Cells of columns by name.

    Args:
        frame: the table.
        names: those to take; all by default.

    Raises:
        InputError: there is no such column, or columns are of different lengths.
    """
    known: dict[str, Any] = {str(key): key for key in _keys_of(frame)}
    missing = [name for name in names or () if name not in known]
    if missing:
        raise InputError(
            f"no column {shown(missing[0])}; there are {listed([shown(name) for name in known])}"
        )
    found = {name: read_cells(frame[known[name]]) for name in (known if names is None else names)}
    lengths = {len(own.values) for own in found.values()}
    if len(lengths) > 1:
        raise InputError(
            f"columns of {' and '.join(map(str, sorted(lengths)))} rows; all need the same number"
        )
    return found


def dtypes_of(frame: Frame) -> dict[str, Dtype]:
    """Types of columns that are none of numpy's: a word, or the categories."""
    found: dict[str, Dtype] = {}
    for key in getattr(frame, "columns", ()):
        kind: Any = getattr(frame[key], "dtype", None)
        categories = getattr(kind, "categories", None)
        plain = () if categories is None else tuple(categories.tolist())
        if categories is not None and all(isinstance(one, bool | int | float | str) for one in plain):
            found[str(key)] = plain
        elif categories is None and not isinstance(kind, np.dtype | None) and str(kind) != TEXT:
            found[str(key)] = str(kind)
    return found


def read_cells(column: object) -> Cells:
    """The cells of one column: an array, a list, or a series of a data frame."""
    kind: Any = getattr(column, "dtype", None)
    order = tuple(kind.categories.tolist()) if getattr(kind, "ordered", False) else ()
    convert: Callable[..., Values] = getattr(column, "to_numpy", lambda **_: np.asarray(column))
    values = convert(dtype="datetime64[ns]") if getattr(kind, "tz", None) is not None else convert()  # in UTC
    if values.ndim != 1:
        raise InputError(f"a column of shape {values.shape}; one number of rows is needed")
    if values.dtype.kind in "fc":
        return Cells(values, ~np.isnan(values), order)
    if values.dtype.kind == "M":
        return Cells(values, ~np.isnat(values), order)
    if values.dtype.kind in "biu":
        return Cells(values, np.ones(len(values), dtype=bool), order)
    values = values.astype(object)
    holes: Callable[[], Any] | None = getattr(column, "isna", None)  # of pandas, and many times as fast
    present = np.array([not is_nothing(cell) for cell in values] if holes is None else ~holes(), dtype=bool)
    return _of_one_type(Cells(values, present, order))


def with_holes(values: Values, present: NDArray[np.bool_]) -> Values:
    """Cells of one column with empty ones among them: NaN, NaT, or ``None``.

    Args:
        values: shape (n,); what stands where there is none does not count.
        present: where there is a cell, shape (n,).
    """
    if present.all():
        return values
    small = values.dtype.kind in "iu" and np.abs(values[present].astype(float)).max(initial=0) < EXACT
    found = values.astype(np.float64 if small else values.dtype if values.dtype.kind in "fM" else object)
    found[~present] = {"f": math.nan, "M": np.datetime64("NaT")}.get(found.dtype.kind)
    return found


def is_nothing(cell: object) -> bool:
    """Whether a cell is empty: ``None``, NaN, or what pandas has for that."""
    return type(cell).__name__ in NOTHING or (isinstance(cell, float) and math.isnan(cell))


def _of_one_type(cells: Cells) -> Cells:
    """Objects that are all truth values, numbers or dates, as columns with holes hold them, by their type."""
    kinds = {type(cell) for cell in cells.there}
    found = next((dtype for dtype, types in TYPES.items() if kinds and _all(kinds, types)), None)
    if found is None or (found == "int64" and any(abs(int(cell)) >= 2**63 for cell in cells.there)):
        return cells
    values = np.full(len(cells.values), EMPTY.get(found), dtype=object)
    values[cells.present] = cells.there
    return Cells(values.astype(found), cells.present, cells.order)


def _all(kinds: set[type], types: tuple[type, ...]) -> bool:
    """Whether kinds are some of these types; a truth value is no integer here."""
    return all(issubclass(kind, types) and (kind is not bool or bool in types) for kind in kinds)
