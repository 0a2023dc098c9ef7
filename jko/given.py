"""What users give and get back: tensors, arrays and data frames."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from jko.columns.cells import Dtype
from jko.columns.frames import in_lists, in_pandas, takes_holes, whole_types
from jko.columns.schema import Schema
from jko.core.errors import InputError
from jko.core.plain import shortened
from jko.given_columns import Columns, columns_of, is_foreign

if TYPE_CHECKING:
    from typing_extensions import TypeIs

WANTED = "rows of numbers are expected, as a tensor, an array or a data frame"
#: integers below this are exact in float64
LARGEST = 2**53
Kind = Literal["tensor", "array", "frame"]


class Frame(Protocol):
    """What is used of a data frame of pandas, which is not imported here."""

    @property
    def columns(self) -> Iterable[Hashable]:
        """Names of the columns."""

    @property
    def index(self) -> Iterable[Hashable]:
        """Names of the rows."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""

    @property
    def iloc(self) -> _Places:
        """Parts of it by number."""

    @property
    def dtypes(self) -> Iterable[np.dtype[np.generic]]:
        """The type of each column."""

    def to_numpy(self, *, dtype: type[np.float64], na_value: float) -> NDArray[np.float64]:
        """Its numbers."""

    def __len__(self) -> int:
        """Number of rows."""

    def __iter__(self) -> Iterator[Hashable]:
        """Names of the columns."""

    def __getitem__(self, name: str, /) -> object:
        """The column of a name."""


class _Places(Protocol):
    """Parts of a data frame by number."""

    def __getitem__(self, places: tuple[slice, list[int]], /) -> Frame: ...


class Series(Protocol):
    """What is used of a series of pandas: one column."""

    @property
    def name(self) -> Hashable:
        """Its name, if it has one."""

    @property
    def index(self) -> Iterable[Hashable]:
        """Names of the rows."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of rows."""

    def to_frame(self, name: Hashable) -> Frame:
        """A data frame of this column."""

    def __len__(self) -> int:
        """Number of rows."""


#: numbers of any type
Array: TypeAlias = NDArray[np.generic]
#: rows of numbers in, and rows out
Rows: TypeAlias = Tensor | Array | Frame | Series
#: one number a row
Values: TypeAlias = Tensor | Array | Series
#: what a flow is conditioned on: one number or class, one for each column, or rows of them
Context: TypeAlias = Rows | ArrayLike
#: the same with names: those of columns of a data frame, or columns by name
Named: TypeAlias = Context | dict[str, Context]


@dataclass(frozen=True)
class Form:
    """The form of what was given, in which results go back.

    Args:
        kind: tensor, array or data frame.
        dtype: of a tensor or array; ``None`` for that of the result.
        device: of a tensor.
        index: of a data frame.
        labels: the names of a data frame's columns as they were given: 3 and not ``"3"``.
        integers: columns of a data frame that held integers.
        shape: height and width, where every row is a picture.
        make: makes a data frame of columns by name, where it is not one of pandas.
        dtypes: the types of a data frame's columns by name, where these have kinds.
    """

    kind: Kind = "tensor"
    dtype: Any = None
    device: torch.device | None = None
    index: Iterable[Hashable] | None = None
    labels: tuple[Hashable, ...] = ()
    integers: tuple[str, ...] = ()
    shape: tuple[int, int] | None = None
    make: Callable[[Mapping[str, Any]], Rows] | None = None
    dtypes: Mapping[str, object] = field(default_factory=dict)

    def cells(self, cells: Mapping[str, Array], dtypes: Mapping[str, Dtype], schema: Schema) -> Any:
        """Cells of columns as a data frame; as they are where pandas is not installed.

        Args:
            cells: by name.
            dtypes: types of columns where these are none of numpy's; those of this form come before them.
            schema: of the columns: whole numbers with empty cells have a type of their own.
        """
        whole = whole_types(schema)
        own = {**whole, **dtypes}
        if self.make is not None:
            return self.make(in_lists(cells, own))
        if (pandas := _pandas()) is None:
            return cells
        here = {name: kind for name, kind in self.dtypes.items() if name not in whole or takes_holes(kind)}
        frame = in_pandas(pandas, cells, {**own, **here}, schema.ordered)
        labels = {str(label): label for label in self.labels}
        frame.columns = [labels.get(name, name) for name in frame.columns]
        return frame

    def rows(self, values: Tensor, columns: Sequence[str], whole: Sequence[str] = ()) -> Rows:
        """Rows of numbers, shape (rows, d), in this form; a data frame has these columns.

        Args:
            values: the numbers.
            columns: their names.
            whole: those that hold integers; in a data frame they have the type of integers if they came so.
        """
        if self.shape is not None:
            values = values.reshape(len(values), *self.shape)
        if self.kind == "tensor":
            return values.to(device=self.device, dtype=self.dtype)
        array = values.detach().cpu().numpy()
        if self.kind == "array":
            return array if self.dtype is None else array.astype(self.dtype)
        labels = {str(label): label for label in self.labels}
        made = {
            at: array[:, at].astype(np.int64)
            for at, name in enumerate(columns)
            if name in whole and name in self.integers and (abs(array[:, at]) < LARGEST).all()
        }
        if self.make is not None:
            return self.make({name: made.get(at, array[:, at]) for at, name in enumerate(columns)})
        if (pandas := _pandas()) is None:
            return values
        frame = pandas.DataFrame(array)
        for at, integers in made.items():
            frame[at] = integers
        frame.columns = [labels.get(name, name) for name in columns]
        return frame

    def values(self, values: Tensor) -> Values:
        """One number a row, shape (rows,), in this form; of pandas' data frame a series with its index."""
        if self.kind == "tensor":
            return values.to(device=self.device)
        array = values.detach().cpu().numpy()
        if self.kind == "array" or self.make is not None:
            return array
        return array if (pandas := _pandas()) is None else pandas.Series(array, index=self.index)


def _pandas() -> ModuleType | None:
    """Where data frames come from, if it is installed: the library does without it."""
    try:
        return import_module("pandas")
    except ModuleNotFoundError:
        return None


def path_of(folder: str | Path) -> Path:
    """A folder as a path.

    Raises:
        InputError: it is neither text nor a path.
    """
    if not isinstance(folder, str | Path) or not str(folder):
        raise InputError(f"folder = {shortened(folder)}: give the path of a folder")
    return Path(folder)


def is_frame(value: object) -> TypeIs[Frame | Series]:
    """Whether this is a data frame, or a series of pandas; no package is imported to find that out."""
    pandas = sys.modules.get("pandas")
    of_pandas = pandas is not None and isinstance(value, pandas.DataFrame | pandas.Series)
    return of_pandas or isinstance(value, Columns) or is_foreign(value)


def types_of(frame: Frame) -> dict[str, object]:
    """The type of each column of a data frame by name."""
    return dict(zip(map(str, frame.columns), frame.dtypes, strict=True))


def _is_series(value: Frame | Series) -> TypeIs[Series]:
    return len(value.shape) == 1


def frame_of(value: Frame | Series) -> Frame:
    """A data frame as it is; a series as a data frame of one column.

    Raises:
        InputError: two columns have the same name.
    """
    if is_foreign(value):
        return columns_of(value)
    if _is_series(value):
        value = value.to_frame("x0" if value.name is None else value.name)
    names = [str(name) for name in value.columns]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(f"two columns are named {twice[0]!r}; give every column a name of its own")
    return value


def taken(value: Context, columns: Sequence[str] = ()) -> tuple[Tensor, Form]:
    """Rows as a tensor of floating numbers, shape (rows, d), and the form they came in.

    Args:
        value: a tensor, an array, a data frame, or a series, which is a column of one.
        columns: those to take from a data frame; all of it by default.

    Raises:
        InputError: it is none of these, holds no numbers, or a column is missing.
    """
    if is_frame(value):
        return _of_frame(frame_of(value), columns)
    if isinstance(value, Tensor):
        if value.is_complex() or value.dtype == torch.bool:
            raise InputError(f"a tensor of {value.dtype} holds no rows of numbers")
        if value.layout != torch.strided or value.is_meta:
            raise InputError("a sparse or empty (meta) tensor holds no rows; give a dense one")
        floating = value if value.is_floating_point() else value.double()
        dtype = value.dtype if value.is_floating_point() else None
        return _table(floating), Form("tensor", dtype, value.device)
    array = _array(value)
    return _table(torch.from_numpy(array)), Form("array")


def numbers(value: Context) -> Tensor:
    """Numbers of any shape as a tensor of float64; a tensor keeps its gradient.

    Raises:
        InputError: they are no numbers.
    """
    if is_frame(value) or isinstance(value, Tensor):
        rows = taken(value.reshape(-1) if isinstance(value, Tensor) else value)[0].double()
        return rows.reshape(value.shape)
    return torch.from_numpy(_array(value))


def _array(value: Context) -> NDArray[np.float64]:
    """Numbers as an array of float64."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InputError(f"{WANTED} ({error})") from None
    if isinstance(value, str | Path):
        raise InputError(f"{WANTED}; {shortened(str(value))} is text: read a file first, or use flows.train")
    if array.dtype.kind not in "fiu":
        raise InputError(f"{WANTED}; this is {type(value).__name__} of {array.dtype}")
    if isinstance(value, np.ma.MaskedArray):
        # a masked cell is missing, whatever lies below it
        array = np.ma.filled(value.astype(np.float64), np.nan)
    own = np.asarray(array, dtype=np.float64, order="C")
    return own if own.flags.writeable else own.copy()  # torch warns of memory that it must not write to


def _table(rows: Tensor) -> Tensor:
    """A single column of numbers becomes rows of one."""
    if rows.ndim == 1:
        return rows[:, None]
    if rows.ndim != 2 or rows.shape[1] == 0:
        raise InputError(f"rows of shape (rows, columns) are expected, not {tuple(rows.shape)}")
    return rows


def _of_frame(frame: Frame, columns: Sequence[str]) -> tuple[Tensor, Form]:
    wanted = list(columns) or [str(name) for name in frame.columns]
    names = [str(name) for name in frame.columns]
    missing = [name for name in wanted if name not in names]
    if missing:
        raise InputError(f"the data frame has no column {missing[0]!r}; it has {', '.join(names[:10])}")
    taken_columns = frame.iloc[:, [names.index(name) for name in wanted]]
    for name, kind in zip(wanted, taken_columns.dtypes, strict=True):
        if getattr(kind, "kind", "O") not in "fiu":
            raise InputError(
                f"column {name!r} holds {kind}, not numbers; leave it out or turn it into numbers"
            )
    array = np.array(taken_columns.to_numpy(dtype=np.float64, na_value=np.nan), order="C")
    labels = tuple(frame.columns)
    kinds = zip(wanted, taken_columns.dtypes, strict=True)
    integers = tuple(name for name, kind in kinds if kind.kind in "iu")
    make = frame.make if isinstance(frame, Columns) else None
    form = Form("frame", index=frame.index, labels=labels, integers=integers, make=make)
    return _table(torch.from_numpy(array)), form
