"""The schema of a table: a kind for every column, and the way to real numbers and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import ConfigDict, Field, JsonValue, ValidationError, model_validator

from jko.columns.aside import Constant, Index, Text
from jko.columns.atoms import Atoms
from jko.columns.cells import Cells, Frame, cells_of, with_holes
from jko.columns.circular import Circular
from jko.columns.column import Column, Exactness, Meaning, Values
from jko.columns.dates import Dates
from jko.columns.discrete import Gridded, Integer
from jko.columns.levels import Boolean, Categorical, Ordinal
from jko.columns.missing import Missing, bare, takes_holes
from jko.columns.real import Bounded, Continuous, Positive
from jko.columns.told import Told, refuse_unknown, settled
from jko.core.cell_line import CellLine
from jko.core.errors import InputError
from jko.core.records import Record
from jko.core.seeds import counter_seed
from jko.preparation.names import listed, shown
from jko.preparation.table import Array

#: of the form in which a schema is written
VERSION = 1
#: uniform noise never reaches its ends
SMALLEST = 2.0**-53

AnyColumn = Annotated[
    Continuous | Positive | Bounded | Integer | Gridded | Atoms | Categorical | Boolean | Ordinal | Circular
    | Dates | Missing | Told | Constant | Text | Index,
    Field(discriminator="kind"),
]  # fmt: skip


@dataclass(frozen=True)
class Encoded:
    """Rows as real numbers.

    Args:
        values: shape (rows, d).
        log_det: what is added to their log-density, nats, shape (rows,) (:class:`jko.columns.column.Column`).
        names: d names.
    """

    values: Array
    log_det: Array
    names: tuple[str, ...]


class Schema(Record):
    """The kinds of a table's columns, in their order.

    Args:
        columns: one for each of the table.
        rows: of the table that it was made from.
        version: of the form in which it is written.
    """

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    rows: int = 0
    columns: Annotated[tuple[AnyColumn, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _different(self) -> Schema:
        names = [column.name for column in self.columns]
        twice = [name for i, name in enumerate(names) if name in names[:i]]
        if twice:
            raise ValueError(f"two columns are called {shown(twice[0])}")
        refuse_unknown(self.columns)
        return self

    @property
    def kept(self) -> tuple[Column, ...]:
        """The columns that samples hold."""
        return tuple(column for column in self.columns if column.kept)

    @property
    def told(self) -> tuple[Told, ...]:
        """The columns that others tell."""
        return tuple(column for column in self.columns if isinstance(column, Told))

    @property
    def width(self) -> int:
        """How many real columns a row becomes."""
        return sum(column.width for column in self.columns)

    @property
    def noise_width(self) -> int:
        """How many uniform numbers a row takes."""
        return sum(column.noise_width for column in self.kept)

    @property
    def steps(self) -> tuple[float, ...]:
        """Distances of neighbouring cells in each real column, 0 where there are none."""
        return tuple(step for column in self.columns for step in column.steps)

    @property
    def cell_lines(self) -> tuple[CellLine | None, ...]:
        """How the cells of a list lie in each real column (:attr:`jko.columns.column.Column.cell_lines`)."""
        return tuple(one for column in self.columns for one in column.cell_lines)

    @property
    def ordered(self) -> tuple[str, ...]:
        """Names of the columns of levels in an order."""
        return tuple(column.name for column in self.kept if isinstance(bare(column), Ordinal))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns that samples hold."""
        return tuple(column.name for column in self.kept)

    @property
    def encoded_names(self) -> tuple[str, ...]:
        """Their names, no two alike."""
        found: dict[str, None] = {}
        for name in (name for column in self.columns for name in column.encoded_names):
            own = name
            while own in found:
                own += "'"
            found[own] = None
        return tuple(found)

    @property
    def exactness(self) -> Exactness:
        """Whether one draw of the noise gives a row's log-probability, or bounds it."""
        return "bound" if any(column.exactness == "bound" for column in self.columns) else "exact"

    @property
    def meaning(self) -> Meaning:
        """What the probability of a row is: constant columns and those left out do not count."""
        found = {column.meaning for column in self.columns if column.width}
        return found.pop() if len(found) == 1 else "mixed" if found else "none"

    def encode(self, frame: Frame, seed: int = 0, draw: int = 0) -> Encoded:
        """Rows as real numbers.

        Args:
            frame: a data frame, or a mapping of names to cells; columns that are left out need not be there.
            seed: of the noise.
            draw: which of its draws.

        Raises:
            InputError: a column is missing, has an empty cell, or one that its kind does not allow.
        """
        cells = self.complete(cells_of(frame, [column.name for column in self.kept]))
        rows = len(next(iter(cells.values()))) if cells else 0
        noise = [
            np.random.default_rng(counter_seed(seed, "columns", column.name, draw)).random(
                (rows, column.noise_width)
            )
            for column in self.kept
        ]
        return self.encode_cells(cells, np.concatenate([np.empty((rows, 0)), *noise], axis=1))

    def encode_cells(self, cells: Mapping[str, Values], noise: Array) -> Encoded:
        """Rows as real numbers, with given noise.

        Args:
            cells: of the columns that samples hold, by name, shape (rows,) each.
            noise: uniform on [0, 1), shape (rows, noise_width).

        Raises:
            InputError: a cell that its kind does not allow, or one that another column tells otherwise.
        """
        values, log_det, first = [np.empty((len(noise), 0))], np.zeros(len(noise)), 0
        noise = np.clip(noise, SMALLEST, 1 - SMALLEST)
        for column in self.kept:
            own = noise[:, first : first + column.noise_width]
            z, change = column.encode(cells[column.name], own)
            values.append(z)
            log_det += change
            first += column.noise_width
        for told in self.told:
            if broken := told.broken(cells[told.by], cells[told.name]):
                raise InputError(broken)
        return Encoded(np.concatenate(values, axis=1), log_det, self.encoded_names)

    def log_det(self, values: Array) -> Array:
        """What is added to the log-density of real numbers, nats, shape (rows, d) to (rows,)."""
        found, first = np.zeros(len(values)), 0
        for column in self.kept:
            found += column.log_det(values[:, first : first + column.width])
            first += column.width
        return found

    def decode(self, values: Array) -> dict[str, Values]:
        """The cells of real numbers: names, order and types of the table, but for what is left out.

        Args:
            values: any finite numbers, shape (rows, d).

        Raises:
            InputError: another number of columns.
        """
        if values.ndim != 2 or values.shape[1] != self.width:
            raise InputError(f"rows of shape {values.shape} for a schema of {self.width} encoded columns")
        found: dict[str, Values] = {}
        first = 0
        for column in self.kept:
            found[column.name] = column.decode(values[:, first : first + column.width])
            first += column.width
        return found | {told.name: told.told(found[told.by]) for told in self.told}

    @property
    def content(self) -> dict[str, JsonValue]:
        """The schema without what is only told: schemas of equal content encode and decode alike."""
        value = self.plain()
        columns = value["columns"]
        assert isinstance(columns, list)
        return {"version": self.version, "columns": [_untold(column) for column in columns]}

    def plain(self) -> dict[str, JsonValue]:
        """The schema as JSON and YAML hold it."""
        return self.model_dump(mode="json", exclude_none=True)

    def complete(self, cells: Mapping[str, Cells]) -> dict[str, Values]:
        """Cells of columns, holes where they are part of the law; of one that is always empty any will do.

        Raises:
            InputError: a cell is missing.
        """
        empty = {column.name for column in self.kept if takes_holes(column)}
        holes = {name: int((~own.present).sum()) for name, own in cells.items() if name not in empty}
        for name, count in holes.items():
            if count:
                raise InputError(
                    f"column {shown(name)} has an empty cell in {count} of {len(cells[name].present)} rows; "
                    "fill them, or leave these rows out"
                )
        holed = {column.name for column in self.kept if isinstance(column, Missing)}
        return {
            name: with_holes(own.values, own.present) if name in holed else own.values
            for name, own in cells.items()
        }


def schema_of(columns: Sequence[Column], rows: int = 0) -> Schema:
    """A schema of columns; of one that is told, while what tells it is not there, the kind of its own.

    Args:
        columns: in their order.
        rows: of the table that they are of.
    """
    return Schema.model_validate({"rows": rows, "columns": settled(columns)})


def parse_schema(value: object, place: str) -> Schema:
    """A schema from what JSON or YAML hold.

    Args:
        value: as :meth:`Schema.plain` gives it.
        place: where it was read, for the sentence.

    Raises:
        InputError: it is none; names the column and what is allowed.
    """
    try:
        return Schema.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError(f"{place}: {_where(first['loc'], value)}{first['msg']}") from None


def _untold(column: JsonValue) -> JsonValue:
    """A column, or the value in one, without what is only told of it."""
    if not isinstance(column, dict):
        return column
    return {name: _untold(value) for name, value in column.items() if name not in ("why", "seen")}


def _where(place: tuple[int | str, ...], value: object) -> str:
    """The column of a mistake by its name, and the field."""
    if len(place) < 2 or place[0] != "columns" or not isinstance(place[1], int):
        return "".join(f"{part}: " for part in place[:1])
    columns = value["columns"] if isinstance(value, Mapping) else []
    column = columns[place[1]] if isinstance(columns, list) else {}
    name = column.get("name", place[1]) if isinstance(column, Mapping) else place[1]
    fields = [str(part) for part in place[3:]]
    return f"column {shown(name)}: " + (f"{listed(fields)}: " if fields else "")
