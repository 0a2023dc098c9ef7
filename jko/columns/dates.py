"""Columns of dates and times, to the resolution that they have."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from jko.columns.column import Values
from jko.columns.conditions import Condition, ends_of, impossible
from jko.columns.discrete import Discrete
from jko.columns.noise import around
from jko.columns.regions import Constraint, Intervals
from jko.core.errors import InputError
from jko.preparation.names import shown
from jko.preparation.table import Array

Unit = Literal["Y", "M", "D", "h", "m", "s", "ms", "us", "ns"]
UNITS: tuple[Unit, ...] = ("Y", "M", "D", "h", "m", "s", "ms", "us", "ns")
WORDS = {
    "Y": "years", "M": "months", "D": "days", "h": "hours", "m": "minutes", "s": "seconds",
    "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds",
}  # fmt: skip
#: how dates are written, those first that can be read in one way only
FORMS = (
    "%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S.%fZ", "%Y/%m/%d",
    "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y-%m", "%d.%m.%Y", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S",
    "%d-%b-%Y", "%d %b %Y", "%d/%m/%Y", "%m/%d/%Y", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M:%S", "%d-%m-%Y", "%m-%d-%Y",
)  # fmt: skip
#: the first and last date that is decoded; nanoseconds reach less far
ENDS = (np.datetime64("1000-01-01"), np.datetime64("9999-12-31"))
NANO_ENDS = (np.datetime64("1678-01-01"), np.datetime64("2262-01-01"))


class Dates(Discrete):
    """Dates and times in steps of their resolution: z = k + u − ½ for the k-th from the origin, log_det = 0.

    A probability is the mass of one step: of a day for days.

    Args:
        unit: of the resolution, as numpy names it; a month and a year have their own length.
        step: how many of them.
        origin: the date with k = 0.
        form: how dates are written, as ``strftime`` has it; ``None`` where cells are no text.
        dtype: of a column that is no text.
    """

    kind: Literal["date"] = "date"
    unit: Unit = "D"
    step: Annotated[int, Field(ge=1)] = 1
    origin: str
    form: str | None = None
    dtype: str = "datetime64[us]"

    @field_validator("origin")
    @classmethod
    def _is_date(cls, origin: str) -> str:
        try:
            np.datetime64(origin)
        except ValueError:
            raise ValueError(f"origin = {origin!r} is no date, as 2025-01-31 is") from None
        return origin

    @property
    def steps(self) -> tuple[float, ...]:
        """Dates are numbered."""
        return (1.0,)

    def encode(self, cells: Values, noise: Array) -> tuple[Array, Array]:
        """See :meth:`Column.encode`."""
        moments = self.moments(cells)
        counted = (moments.astype(f"M8[{self.unit}]") - self._zero()).astype(np.int64)
        right = (self._of_steps(counted // self.step) == moments) & (counted % self.step == 0)
        self.outside(cells, right, f"steps of {self.step} {WORDS[self.unit]} from {self.origin} are allowed")
        z, log_det = around((counted // self.step).astype(float), 1.0, noise[:, 0])
        return z[:, None], log_det

    def decode(self, encoded: Array) -> Values:
        """See :meth:`Column.decode`."""
        low, high = self._ends()
        found = self._of_steps(np.rint(np.clip(encoded[:, 0], low, high)).astype(np.int64))
        return self._written(found)

    def constraint(self, conditions: Sequence[Condition]) -> Constraint:
        """See :meth:`Column.constraint`; dates are written as the column has them, or as ISO 8601 does."""
        counted = [
            Condition(one.column, one.op, tuple(self._steps(value, one) for value in one.values))
            for one in conditions
        ]
        ends = ends_of(counted, self.name, grid=(0.0, 1.0), domain=self._ends())
        if not ends:
            raise impossible(
                conditions, f"steps of {self.step} {WORDS[self.unit]} from {self.origin} are there"
            )
        one = len(ends) == 1 and ends[0][1] - ends[0][0] < 1.5
        cell = self._written(self._of_steps(np.rint([sum(ends[0]) / 2]).astype(np.int64)))[0] if one else None
        return Constraint(Intervals(ends), cell)

    def _steps(self, value: object, condition: Condition) -> float:
        """Steps from the origin to a date; between two steps, where it is none of them.

        Raises:
            InputError: it is no date.
        """
        read = None if self.form is None else parsed_dates(np.array([str(value)], dtype=object), self.form)
        try:
            moment = np.datetime64(str(value)) if read is None else read[0]
        except ValueError:
            moment = np.datetime64("NaT")
        if np.isnat(moment):
            written = "as 2025-01-31" if self.form is None else f"written {self.form}"
            raise InputError(f"{condition}: {shown(value)} is no date, {written}")
        counted = (moment.astype(f"M8[{self.unit}]") - self._zero()).astype(np.int64) // self.step
        return float(counted) if self._of_steps(counted) == moment else float(counted) + 0.5

    def _ends(self) -> tuple[float, float]:
        """Steps to the first and last date that is decoded."""
        first, last = NANO_ENDS if "ns" in (self.unit, self.dtype[-3:-1]) else ENDS
        ends = [(end.astype(f"M8[{self.unit}]") - self._zero()).astype(np.int64) for end in (first, last)]
        return float(-(-ends[0] // self.step)), float(ends[1] // self.step)

    def _written(self, found: NDArray[np.datetime64]) -> Values:
        """Dates as the column has them."""
        if self.form is None:
            return found.astype(self.dtype)
        unique, places = np.unique(found.astype("M8[us]"), return_inverse=True)
        written = np.empty(len(unique), dtype=object)
        written[:] = [moment.strftime(self.form) for moment in unique.tolist()]
        return written[places]

    def moments(self, cells: Values) -> NDArray[np.datetime64]:
        """Cells as dates.

        Raises:
            InputError: one of them is none.
        """
        if self.form is not None:
            found = parsed_dates(cells, self.form)
            if found is None:
                raise InputError(f"column {shown(self.name)} holds text that is no date written {self.form}")
            return found
        if cells.dtype.kind != "M":
            raise InputError(f"column {shown(self.name)} holds {shown(cells[0])}, which is no date")
        return cells.astype(cells.dtype.str)

    def _zero(self) -> np.datetime64:
        return np.datetime64(self.origin).astype(f"M8[{self.unit}]")

    def _of_steps(self, steps: NDArray[np.int64]) -> NDArray[np.datetime64]:
        found: NDArray[np.datetime64] = self._zero() + (steps * self.step).astype(f"m8[{self.unit}]")
        return found


def parsed_dates(cells: Values, form: str) -> NDArray[np.datetime64] | None:
    """Text as dates; ``None`` where some of it is written otherwise.

    Text is a date of a form only if the date, written so, is the same text.
    """
    unique, places = np.unique(cells.astype(str), return_inverse=True)
    found: list[datetime] = []
    for text in unique.tolist():
        try:
            moment = datetime.strptime(text, form)
        except ValueError:
            return None
        if moment.strftime(form) != text:
            return None
        found.append(moment)
    return np.array(found, dtype="M8[us]")[places]


def resolution(moments: NDArray[np.datetime64]) -> tuple[Unit, int]:
    """The coarsest unit that holds all dates, and the largest number of them that does.

    Args:
        moments: not all alike, of any unit.
    """
    for unit in UNITS:
        coarse = moments.astype(f"M8[{unit}]")
        if (coarse == moments).all():
            break
    counted = np.unique(coarse.astype(np.int64))
    step = int(np.gcd.reduce(np.diff(counted)))
    return unit, max(step, 1)


def forms_of(cells: Values, forms: Sequence[str] = FORMS) -> dict[str, NDArray[np.datetime64]]:
    """The forms in which all text is dates, with these."""
    few = np.unique(cells[:50].astype(str))
    likely = [form for form in forms if parsed_dates(few, form) is not None]
    read = {form: parsed_dates(cells, form) for form in likely}
    return {form: moments for form, moments in read.items() if moments is not None}
