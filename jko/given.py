"""What users give and get back: tensors, arrays and data frames."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from jko.core.errors import InputError

WANTED = "rows of numbers are expected, as a tensor, an array or a data frame"
Kind = Literal["tensor", "array", "frame"]


@dataclass(frozen=True)
class Form:
    """The form of what was given, in which results go back.

    Args:
        kind: tensor, array or data frame.
        dtype: of a tensor or array; ``None`` for that of the result.
        device: of a tensor.
        index: of a data frame.
    """

    kind: Kind = "tensor"
    dtype: Any = None
    device: Any = None
    index: Any = None

    def rows(self, values: Tensor, columns: Sequence[str]) -> Any:
        """Rows of numbers, shape (rows, d), in this form; a data frame has these columns."""
        if self.kind == "tensor":
            return values.to(device=self.device, dtype=self.dtype)
        array = values.detach().cpu().numpy()
        if self.kind == "array":
            return array if self.dtype is None else array.astype(self.dtype)
        return sys.modules["pandas"].DataFrame(array, columns=list(columns))

    def values(self, values: Tensor) -> Any:
        """One number a row, shape (rows,), in this form; a data frame gives a series with its index."""
        if self.kind == "tensor":
            return values.to(device=self.device)
        array = values.detach().cpu().numpy()
        if self.kind == "array":
            return array
        return sys.modules["pandas"].Series(array, index=self.index)


def is_frame(value: Any) -> bool:
    """Whether this is a data frame of pandas, which is not imported to find that out."""
    frames = sys.modules.get("pandas")
    return frames is not None and isinstance(value, frames.DataFrame)


def taken(value: Any, columns: Sequence[str] = ()) -> tuple[Tensor, Form]:
    """Rows as a tensor of floating numbers, shape (rows, d), and the form they came in.

    Args:
        value: a tensor, an array, or a data frame.
        columns: those to take from a data frame; all of it by default.

    Raises:
        InputError: it is none of these, holds no numbers, or a column is missing.
    """
    if is_frame(value):
        return _of_frame(value, columns)
    if isinstance(value, Tensor):
        if value.is_complex() or value.dtype == torch.bool:
            raise InputError(f"a tensor of {value.dtype} holds no rows of numbers")
        floating = value if value.is_floating_point() else value.double()
        dtype = value.dtype if value.is_floating_point() else None
        return _table(floating), Form("tensor", dtype, value.device)
    array = _array(value)
    return _table(torch.from_numpy(array)), Form("array")


def _array(value: Any) -> np.ndarray[Any, np.dtype[Any]]:
    """Numbers as an array of float64."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InputError(
            f"rows of numbers are expected, as a tensor, an array or a data frame ({error})"
        ) from None
    if array.dtype.kind not in "fiu":
        raise InputError(f"{WANTED}; this is {type(value).__name__} of {array.dtype}")
    return np.ascontiguousarray(array, dtype=np.float64)


def _table(rows: Tensor) -> Tensor:
    """A single column of numbers becomes rows of one."""
    if rows.ndim == 1:
        return rows[:, None]
    if rows.ndim != 2 or rows.shape[1] == 0:
        raise InputError(f"rows of shape (rows, columns) are expected, not {tuple(rows.shape)}")
    return rows


def _of_frame(frame: Any, columns: Sequence[str]) -> tuple[Tensor, Form]:
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
    array = np.ascontiguousarray(taken_columns.to_numpy(dtype=np.float64, na_value=np.nan))
    return _table(torch.from_numpy(array)), Form("frame", index=frame.index)
