"""Columns of numbers of which some values have a mass of their own: zeros, detection limits, caps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from jko.columns.circular import Circular
from jko.columns.column import (
    Above0,
    Column,
    Exactness,
    Finite,
    Meaning,
    Values,
    as_numbers,
    typed,
    value_named,
)
from jko.columns.conditions import COMPARED, Condition, number_of
from jko.columns.discrete import Gridded, Integer
from jko.columns.noise import log_normal, nearest_corner, normal_of, on_simplex, simplex_log_det
from jko.columns.real import Bounded, Continuous, Positive
from jko.columns.regions import Constraint, WithAtoms
from jko.core.errors import InputError
from jko.preparation.table import Array

#: what the cells beside the atoms can be
Value = Annotated[Continuous | Positive | Bounded | Integer | Gridded | Circular, Field(discriminator="kind")]


class Atoms(Column):
    """Numbers of which some are atoms: which of them, or none, on a simplex; and the value.

    With K atoms the first K columns are the region of the atom, or of *no atom*
    (:func:`jko.columns.noise.on_simplex`), the others those of the value. Where a cell is an atom, the value
    is normal noise around ``centre``, of density q. log_det is the sum of those of its parts, −log q for such
    noise. The probability of an atom is a mass, that of another cell what its kind has: the mass of *no atom*
    times its density.

    Args:
        atoms: values with a mass of their own.
        value: the kind of the others.
        centre: of the noise in place of a value, of each of its encoded columns.
        spread: the standard deviation of this noise.
    """

    exactness: ClassVar[Exactness] = "bound"

    kind: Literal["atoms"] = "atoms"
    atoms: Annotated[tuple[Finite, ...], Field(min_length=1)]
    value: Value
    centre: tuple[Finite, ...] = (0.0, 0.0)
    spread: tuple[Above0, ...] = (1.0, 1.0)

    @model_validator(mode="before")
    @classmethod
    def _named(cls, given: object) -> object:
        return value_named(given)

    @model_validator(mode="after")
    def _consistent(self) -> Atoms:
        if len(set(self.atoms)) < len(self.atoms):
            raise ValueError("atoms names a value twice")
        if min(len(self.centre), len(self.spread)) < self.value.width:
            raise ValueError(f"centre and spread need {self.value.width} numbers")
        return self

    @property
    def meaning(self) -> Meaning:
        """Mixed, where the others have a density."""
        return "mass" if self.value.meaning == "mass" else "mixed"

    @property
    def parts(self) -> tuple[str, ...]:
        """Of the atoms, then of the value."""
        count = len(self.atoms)
        which = ("/atom",) if count == 1 else tuple(f"/atom{i}" for i in range(1, count + 1))
        return (*which, *self.value.parts)

    @property
    def noise_width(self) -> int:
        """For the atoms, for what stands in place of a value, and that of the value."""
        return len(self.atoms) + self.value.width + self.value.noise_width

    @property
    def sheets(self) -> int:
        """As on a simplex."""
        return len(self.atoms) + 1

    def encode(self, cells: Values, noise: Array) -> tuple[Array, Array]:
        """See :meth:`Column.encode`."""
        numbers, count = as_numbers(cells, self.name), len(self.atoms)
        codes = self.codes(numbers)
        which, log_det = on_simplex(codes, count + 1, noise[:, :count])
        width = self.value.width
        filler = normal_of(noise[:, count : count + width])
        spread = np.array(self.spread[:width])
        values = np.array(self.centre[:width]) + spread * filler
        own = -log_normal(filler) + float(np.log(spread).sum())
        others = codes == count
        if others.any():
            values[others], own[others] = self.value.encode(cells[others], noise[others, count + width :])
        return np.concatenate([which, values], axis=1), log_det + own

    def decode(self, encoded: Array) -> Values:
        """See :meth:`Column.decode`."""
        count = len(self.atoms)
        codes = nearest_corner(encoded[:, :count])
        found = self.value.decode(encoded[:, count:])
        known = np.r_[np.array(self.atoms), math.nan][codes]
        return np.where(codes == count, found, typed(np.where(codes == count, 0.0, known), str(found.dtype)))

    def constraint(self, conditions: Sequence[Condition]) -> Constraint:
        """See :meth:`Column.constraint`; beside an atom, a single real number has no mass."""
        codes = tuple(code for code, atom in enumerate(self.atoms) if self._fulfils(atom, conditions))
        try:
            value = self.value.constraint(conditions)
        except InputError:
            if not codes:
                raise
            value = None
        if value is None or (codes and value.thin):
            cell = self.atoms[codes[0]] if len(codes) == 1 else None
            return Constraint(WithAtoms(codes, len(self.atoms), None), cell)
        alone = not codes or (len(codes) == 1 and self.atoms[codes[0]] == value.cell)
        region = WithAtoms(codes, len(self.atoms), value.region)
        return Constraint(region, value.cell if alone else None, thin=value.thin)

    def _fulfils(self, atom: float, conditions: Sequence[Condition]) -> bool:
        """Whether an atom fulfils all conditions."""
        return all(
            COMPARED[one.op](atom, [number_of(value, self.name) for value in one.values])
            for one in conditions
        )

    def log_det(self, encoded: Array) -> Array:
        """See :meth:`Column.log_det`."""
        count, width = len(self.atoms), self.value.width
        which, values = encoded[:, :count], encoded[:, count:]
        spread = np.array(self.spread[:width])
        filler = -log_normal((values - np.array(self.centre[:width])) / spread) + float(np.log(spread).sum())
        others = nearest_corner(which) == count
        return simplex_log_det(which) + np.where(others, self.value.log_det(values), filler)

    def codes(self, numbers: Array) -> NDArray[np.int64]:
        """The number of every cell's atom, K for none of them, shape (n,)."""
        found = np.full(len(numbers), len(self.atoms), dtype=np.int64)
        for code, atom in enumerate(self.atoms):
            found[numbers == atom] = code
        return found
