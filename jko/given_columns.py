"""Data frames of other packages than pandas, taken by Arrow's interface: those of polars, tables of Arrow."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, overload

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from typing_extensions import TypeIs

Array = NDArray[np.generic]
#: how other packages call types of integers, in small letters
INTEGERS = re.compile(r"u?int\d+")


class Foreign(Protocol):
    """What is used of a data frame of another package."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Its columns as Arrow exchanges them."""

    def __getitem__(self, name: str, /) -> object:
        """The column of a name."""

    def __len__(self) -> int:
        """Number of rows."""


@dataclass(frozen=True)
class Columns:
    """Columns by name, with what is used of a data frame of pandas.

    Args:
        arrays: by name, of one length.
        make: makes a data frame of the kind that they came as.
        integers: those of integers, which are floats here where cells are empty.
    """

    arrays: dict[str, Array]
    make: Callable[[Mapping[str, Any]], Any] | None = None
    integers: tuple[str, ...] = ()

    @property
    def columns(self) -> list[Hashable]:
        """Their names."""
        return list(self.arrays)

    @property
    def index(self) -> Iterable[Hashable]:
        """Numbers of the rows."""
        return range(len(self))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self), len(self.arrays)

    @property
    def dtypes(self) -> list[np.dtype[np.generic]]:
        """The type of each column."""
        return [array.dtype for array in self.arrays.values()]

    @property
    def iloc(self) -> Columns:
        """Parts of it by number: see :meth:`__getitem__`."""
        return self

    @overload
    def __getitem__(self, places: str, /) -> Array: ...

    @overload
    def __getitem__(self, places: tuple[slice, list[int]], /) -> Columns: ...

    def __getitem__(self, places: str | tuple[slice, list[int]], /) -> Array | Columns:
        """A column by name, or some rows of some columns by number."""
        if isinstance(places, str):
            return self.arrays[places]
        rows, numbers = places
        names = list(self.arrays)
        arrays = {names[number]: self.arrays[names[number]][rows] for number in numbers}
        return Columns(arrays, self.make, self.integers)

    def __len__(self) -> int:
        """Number of rows."""
        return len(next(iter(self.arrays.values()), np.empty(0)))

    def __iter__(self) -> Iterator[Hashable]:
        """Names of the columns."""
        return iter(self.arrays)

    def __array__(self, dtype: object = None, copy: bool | None = None) -> Array:
        """All cells, shape (rows, columns)."""
        return np.stack([array.astype(object) for array in self.arrays.values()], axis=1)

    def to_numpy(self, *, dtype: type[np.float64], na_value: float) -> NDArray[np.float64]:
        """Their numbers; a missing one is NaN in them already."""
        found = [array.astype(dtype) for array in self.arrays.values()]
        return np.stack(found, axis=1) if found else np.empty((0, 0))


def is_foreign(value: object) -> TypeIs[Foreign]:
    """Whether this is a data frame of another package than pandas.

    It has Arrow's interface and columns with names; a column of polars has no names.
    """
    pandas = sys.modules.get("pandas")
    if not hasattr(value, "__arrow_c_stream__") or not hasattr(value, "__getitem__"):
        return False
    if pandas is not None and isinstance(value, pandas.DataFrame | pandas.Series):
        return False
    names = names_of(value)
    return bool(names) and all(isinstance(name, str) for name in names)


def names_of(value: object) -> list[object]:
    """Names of the columns of a data frame; a table of Arrow has its columns themselves as ``columns``."""
    found: Iterable[object] = getattr(value, "column_names", getattr(value, "columns", ()))
    return list(found)


def columns_of(value: Foreign) -> Columns:
    """The columns of such a data frame as arrays; integers with holes are floats."""
    make: Callable[[Mapping[str, Any]], Any] = getattr(type(value), "from_pydict", type(value))
    columns = {str(name): value[str(name)] for name in names_of(value)}
    integers = tuple(name for name, own in columns.items() if INTEGERS.fullmatch(_type_of(own)))
    return Columns({name: np.asarray(own) for name, own in columns.items()}, make, integers)


def _type_of(column: object) -> str:
    """The type of a column in words: polars calls it dtype, Arrow type."""
    return str(getattr(column, "dtype", getattr(column, "type", ""))).lower()
