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
from jko.columns.noise import (
    around,
    log_normal,
    nearest_corner,
    normal_of,
    on_line,
    on_simplex,
    simplex_log_det,
)
from jko.columns.real import Bounded, Continuous, Positive
from jko.columns.regions import Constraint, Region, WithAtoms
from jko.core.cell_line import HALVES, CellLine
from jko.core.errors import InputError
from jko.preparation.table import Array

#: what the cells beside the atoms can be
Value = Annotated[Continuous | Positive | Bounded | Integer | Gridded | Circular, Field(discriminator="kind")]


class Atoms(Column):
    """Numbers of which some are atoms: which of them, or none, on a simplex; and the value.

    With K atoms the first K columns are the region of the atom, or of *no atom*
    (:func:`jko.columns.noise.on_simplex`), or with ``line`` the first one is a line on which each has an
    interval. The others are those of the value. Where a cell is an atom, the value
    is normal noise around ``centre``, of density q. log_det is the sum of those of its parts, −log q for such
    noise. The probability of an atom is a mass, that of another cell what its kind has: the mass of *no atom*
    times its density.

    Args:
        atoms: values with a mass of their own.
        value: the kind of the others.
        centre: of the noise in place of a value, of each of its encoded columns.
        spread: the standard deviation of this noise.
        line: whether atoms lie on a line: the K-th interval from 0 is *no atom*. Chains made before there was
            a choice have the simplex.
    """

    exactness: ClassVar[Exactness] = "bound"

    kind: Literal["atoms"] = "atoms"
    atoms: Annotated[tuple[Finite, ...], Field(min_length=1)]
    value: Value
    centre: tuple[Finite, ...] = (0.0, 0.0)
    spread: tuple[Above0, ...] = (1.0, 1.0)
    line: Literal[True] | None = None

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
        count = self.places
        which = ("/atom",) if count == 1 else tuple(f"/atom{i}" for i in range(1, count + 1))
        return (*which, *self.value.parts)

    @property
    def places(self) -> int:
        """How many columns say which atom it is."""
        return 1 if self.line else len(self.atoms)

    @property
    def steps(self) -> tuple[float, ...]:
        """Of the atoms on a line."""
        return (1.0 if self.line else 0.0,) + (0.0,) * (self.width - 1)

    @property
    def noise_width(self) -> int:
        """For the atoms, for what stands in place of a value, and that of the value."""
        return self.places + self.value.width + self.value.noise_width

    @property
    def cell_lines(self) -> tuple[CellLine | None, ...]:
        """Which atom it is, or none; in place of a value there can be noise."""
        count = len(self.atoms)
        line = CellLine(count + 1) if self.line else HALVES if count == 1 else None
        which = (line,) * self.places
        return (*which, *(None,) * self.value.width)

    @property
    def sheets(self) -> int:
        """On a simplex one point for each atom, and for none, goes to the same."""
        return 1 if self.line else len(self.atoms) + 1

    def encode(self, cells: Values, noise: Array) -> tuple[Array, Array]:
        """See :meth:`Column.encode`."""
        codes, count = self.codes(as_numbers(cells, self.name)), self.places
        if self.line:
            line, log_det = around(codes.astype(float), 1.0, noise[:, 0])
            which = line[:, None]
        else:
            which, log_det = on_simplex(codes, len(self.atoms) + 1, noise[:, :count])
        width = self.value.width
        filler = normal_of(noise[:, count : count + width])
        spread = np.array(self.spread[:width])
        values = np.array(self.centre[:width]) + spread * filler
        own = -log_normal(filler) + float(np.log(spread).sum())
        others = codes == len(self.atoms)
        if others.any():
            values[others], own[others] = self.value.encode(cells[others], noise[others, count + width :])
        return np.concatenate([which, values], axis=1), log_det + own

    def decode(self, encoded: Array) -> Values:
        """See :meth:`Column.decode`."""
        codes, count = self.which(encoded[:, : self.places]), len(self.atoms)
        found = self.value.decode(encoded[:, self.places :])
        known = np.r_[np.array(self.atoms), math.nan][codes]
        return np.where(codes == count, found, typed(np.where(codes == count, 0.0, known), str(found.dtype)))

    def which(self, encoded: Array) -> NDArray[np.int64]:
        """The number of the atom that the first encoded numbers belong to, K for none of them, shape (n,)."""
        return on_line(encoded[:, 0], len(self.atoms)) if self.line else nearest_corner(encoded)

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
            return Constraint(self._region(codes, None), cell)
        alone = not codes or (len(codes) == 1 and self.atoms[codes[0]] == value.cell)
        region = self._region(codes, value.region)
        return Constraint(region, value.cell if alone else None, thin=value.thin)

    def _region(self, codes: tuple[int, ...], value: Region | None) -> Region:
        return WithAtoms(codes, len(self.atoms), value, line=bool(self.line))

    def _fulfils(self, atom: float, conditions: Sequence[Condition]) -> bool:
        """Whether an atom fulfils all conditions."""
        return all(
            COMPARED[one.op](atom, [number_of(value, self.name) for value in one.values])
            for one in conditions
        )

    def log_det(self, encoded: Array) -> Array:
        """See :meth:`Column.log_det`."""
        count, width = self.places, self.value.width
        which, values = encoded[:, :count], encoded[:, count:]
        spread = np.array(self.spread[:width])
        filler = -log_normal((values - np.array(self.centre[:width])) / spread) + float(np.log(spread).sum())
        others = self.which(which) == len(self.atoms)
        own = 0.0 if self.line else simplex_log_det(which)
        return own + np.where(others, self.value.log_det(values), filler)

    def codes(self, numbers: Array) -> NDArray[np.int64]:
        """The number of every cell's atom, K for none of them, shape (n,)."""
        found = np.full(len(numbers), len(self.atoms), dtype=np.int64)
        for code, atom in enumerate(self.atoms):
            found[numbers == atom] = code
        return found
