"""What every kind of column can do: become real columns, and be itself again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

from jko.columns.conditions import Condition
from jko.columns.regions import Constraint
from jko.core.cell_line import CellLine
from jko.core.errors import InputError
from jko.core.records import Record
from jko.preparation.names import shown
from jko.preparation.table import Array

#: cells of one column as they stand in a table
Values = NDArray[np.generic]
#: a cell that YAML and JSON can hold
Cell = StrictBool | StrictInt | StrictFloat | StrictStr
Finite = Annotated[float, Field(allow_inf_nan=False)]
Above0 = Annotated[float, Field(gt=0, allow_inf_nan=False)]
#: whether one draw of the noise gives the log-probability, or less than it on average
Exactness = Literal["exact", "bound"]
#: what the probability of a cell is
Meaning = Literal["density", "mass", "mixed", "none"]


class Seen(Record):
    """What a column's cells are like.

    Args:
        missing: share of the rows without a cell.
        distinct: different cells.
        low: smallest number or earliest date, as text for dates; ``None`` for other cells.
        high: the largest or latest.
        atoms: cells that many rows share, with their share of the cells, the commonest first.
        warnings: sentences.
    """

    model_config = ConfigDict(extra="forbid")

    missing: Annotated[float, Field(ge=0, le=1)] = 0.0
    distinct: int = 0
    low: Cell | None = None
    high: Cell | None = None
    atoms: tuple[tuple[Cell, float], ...] = ()
    warnings: tuple[str, ...] = ()


def value_named(given: object) -> object:
    """What is written of a column around a value: the value has its name, which need not be written twice."""
    if isinstance(given, dict) and isinstance(value := given.get("value"), dict) and "name" not in value:
        return {**given, "value": {"name": given.get("name"), **value}}
    return given


class Column(Record):
    """A column of a table, of one kind.

    A kind turns a cell x into ``width`` real numbers z. Where x is discrete, or lies on a circle, it takes
    noise u, uniform on (0, 1), beside it. Every z, whatever it is, belongs to one cell: the decoded one. For
    a law with density p on the z,

        log P(x) = log p(z) + log_det                    where the kind is ``exact``,
        log P(x) ≥ E_u [ log p(z) + log_det ]            where it is a ``bound``,

    since −log_det is then the log-density q(z | x) of the encoded noise, and P(x) = E_q [p(z) / q(z | x)]
    over the z of x (Theis, van den Oord & Bethge 2016; Ho et al. 2019). The mean of exp(log p + log_det)
    over draws is P(x) where q reaches all z of x, and less where it does not. With ``sheets`` many u to one
    z,

        log_det = log |det ∂z / ∂(x, u)| − log sheets.

    Args:
        name: of the column.
        kind: its word, by which a schema is read.
        why: one sentence on why it is of this kind.
        seen: what its cells are like; it takes no part in the encoding.
    """

    model_config = ConfigDict(extra="forbid")

    #: of the log-probability of one draw
    exactness: ClassVar[Exactness] = "exact"
    #: whether samples of the table hold the column
    kept: ClassVar[bool] = True

    name: str
    kind: str
    why: str = ""
    seen: Seen | None = None

    @property
    def meaning(self) -> Meaning:
        """What the probability of a cell is: a mass, a density in the column's unit, or both by turns."""
        return "density"

    @property
    def parts(self) -> tuple[str, ...]:
        """What stands behind the column's name in those of its encoded columns."""
        return ("",)

    @property
    def width(self) -> int:
        """How many real columns it becomes."""
        return len(self.parts)

    @property
    def noise_width(self) -> int:
        """How many uniform numbers a cell takes."""
        return 0

    @property
    def sheets(self) -> int:
        """How many values of the noise give the same encoded cell."""
        return 1

    @property
    def steps(self) -> tuple[float, ...]:
        """Distances of neighbouring cells in each encoded column, 0 where there are none."""
        return (0.0,) * self.width

    @property
    def cell_lines(self) -> tuple[CellLine | None, ...]:
        """How the cells of a list lie in each encoded column, ``None`` where it holds real numbers."""
        return (None,) * self.width

    @property
    def encoded_names(self) -> tuple[str, ...]:
        """Names of the encoded columns."""
        return tuple(f"{self.name}{part}" for part in self.parts)

    def encode(self, cells: Values, noise: Array) -> tuple[Array, Array]:
        """Cells as real columns.

        Args:
            cells: none missing, shape (n,).
            noise: uniform on (0, 1), shape (n, noise_width).

        Returns:
            z of shape (n, width), and log_det in nats, shape (n,).

        Raises:
            InputError: a cell is none of this kind.
        """
        raise NotImplementedError

    def decode(self, encoded: Array) -> Values:
        """The cells of real columns, of shape (n, width); any finite numbers are some."""
        raise NotImplementedError

    def constraint(self, conditions: Sequence[Condition]) -> Constraint:
        """What conditions on the cell leave of the encoded numbers.

        Args:
            conditions: on this column, one or more; all are to be fulfilled.

        Raises:
            InputError: no cell fulfils them, or they are none that the kind can be asked.
        """
        raise InputError(f"{conditions[0]}: columns of kind {self.kind} take no conditions")

    def log_det(self, encoded: Array) -> Array:
        """What :meth:`encode` gave as log_det, from the real columns alone, nats, (n, width) to (n,)."""
        return np.zeros(len(encoded))

    def outside(self, cells: Values, right: NDArray[np.bool_], allowed: str) -> None:
        """Refuse cells that are not right.

        Raises:
            InputError: names the first of them, and says what is allowed.
        """
        if not right.all():
            first = int(np.argmin(right))
            raise InputError(
                f"column {shown(self.name)}: {shown(cells[first])} ({int((~right).sum())} of {len(cells)} "
                f"cells) does not fit its kind {self.kind}; {allowed}"
            )


def as_numbers(cells: Values, name: str) -> Array:
    """Cells as float64.

    Raises:
        InputError: one of them is no finite number.
    """
    try:
        numbers = np.asarray(cells, dtype=float)
    except (TypeError, ValueError):
        raise InputError(f"column {shown(name)} holds text; its kind needs numbers") from None
    if not np.isfinite(numbers).all():
        raise InputError(f"column {shown(name)} holds a number that is not finite")
    return numbers


def typed(numbers: Array, dtype: str) -> Values:
    """Numbers as the type of the table's column has them; whole ones for a type of integers."""
    if np.dtype(dtype).kind in "iu":
        ends = np.iinfo(dtype)
        high = float(ends.max) if int(float(ends.max)) == ends.max else np.nextafter(float(ends.max), 0)
        return np.clip(np.rint(numbers), float(ends.min), high).astype(dtype)
    return numbers.astype(dtype)


def as_object(cells: Sequence[object]) -> Values:
    """Cells as an array of the type that all of them have: bool, int64, float64, else objects."""
    kinds = {type(cell) for cell in cells}
    names = {bool: "bool", int: "int64", float: "float64"}
    if len(kinds) == 1 and (kind := kinds.pop()) in names:
        return np.array(cells, dtype=names[kind])
    found = np.empty(len(cells), dtype=object)
    found[:] = cells
    return found
