"""What is known of prepared data (block 0), and their identity."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BeforeValidator, InstanceOf

from jko.columns.cells import Dtype
from jko.columns.schema import Schema, parse_schema
from jko.core.digest import digest_of
from jko.laws.densities import Estimate
from jko.maps.start_map import StartMap, pieces, start_log_det
from jko.preparation.grid import grid_origin, on_grid
from jko.preparation.kinds import KindTable
from jko.preparation.prepare import PARTS, Prepared
from jko.preparation.table import Table


def _schema(value: object) -> object:
    """The kinds as JSON holds them, which strict reading of facts would not take."""
    return value if value is None or isinstance(value, Schema) else parse_schema(value, "kinds")


@dataclass(frozen=True)
class DataFacts:
    """What is known of the prepared data (block 0).

    Args:
        name: name of the data set or file.
        columns: one name per dimension.
        shift: subtracted from the data, data units, d values.
        scale: the data are divided by it, data units, d values.
        grid: grid step of each dequantised column, 0 where none, data units.
        notes: sentences for the user: what was left out, dropped, dequantised.
        rows: number of rows by part; ``source`` counts the training rows without copies.
        entropy: differential entropy of the law in nats with its standard error, where known.
        image_shape: rows as pictures, where that makes sense.
        smoothing: δ, the Ornstein-Uhlenbeck time by which all rows are smoothed; 0 if they are not.
        smoothing_w2: upper bound of W2 between the law of the data and that of the smoothed rows,
            standardised units; ``None`` if they are not smoothed.
        context_columns: names of the c columns behind those of the state that the flow is conditioned on;
            ``class=0``, ``class=1``, … for classes.
        context_shift: subtracted from the context, data units, c values.
        context_scale: the context is divided by it, data units, c values.
        atoms: columns of which one value has a probability of its own, so that their law has no density.
        marks: before decimals and between thousands, where the rows come from a text that shows them.
        choices: sentences on what was chosen of the preparation by trials on validation rows.
        origins: a point of the grid of each dequantised column, all rows of which lie on it, data units;
            none where rows are smoothed.
        kinds: of the table's columns, where ``columns`` are the real ones that they became; ``None`` where
            they are columns of plain numbers.
        dtypes: types that columns of the table come back with, where these are none of numpy's.
        start_kind: word for the start map, empty where there is none.
        start: the map from standardised units to start coordinates; its numbers are stored beside the facts.
    """

    name: str
    columns: tuple[str, ...]
    shift: tuple[float, ...]
    scale: tuple[float, ...]
    grid: tuple[float, ...]
    notes: tuple[str, ...]
    rows: Mapping[str, int]
    entropy: Mapping[str, float] | None
    image_shape: tuple[int, int] | None
    smoothing: float = 0.0
    smoothing_w2: float | None = None
    context_columns: tuple[str, ...] = ()
    context_shift: tuple[float, ...] = ()
    context_scale: tuple[float, ...] = ()
    atoms: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    origins: Mapping[str, float] = field(default_factory=dict)
    kinds: Annotated[Schema | None, BeforeValidator(_schema)] = None
    dtypes: Mapping[str, Dtype] = field(default_factory=dict)
    start_kind: str = ""
    start: InstanceOf[StartMap] | None = None

    @property
    def dim(self) -> int:
        """Dimension d of the state."""
        return len(self.columns)

    @property
    def context(self) -> int:
        """Columns c of the context; 0 where the flow is conditioned on nothing."""
        return len(self.context_columns)

    @property
    def row_shift(self) -> NDArray[np.float64]:
        """Shift of whole rows, shape (d + c,), data units."""
        return np.array((*self.shift, *self.context_shift))

    @property
    def row_scale(self) -> NDArray[np.float64]:
        """Scale of whole rows, shape (d + c,), data units."""
        return np.array((*self.scale, *self.context_scale))

    def in_data_units(self, stored: NDArray[np.generic]) -> NDArray[np.float64]:
        """Stored rows, shape (rows, d + c), in data units; one copy of them, since there may be many."""
        rows = stored.astype(np.float64)
        if self.start is not None:
            for part in pieces(len(rows)):
                rows[part, : self.dim] = self.start.inverse(torch.from_numpy(rows[part, : self.dim])).numpy()
        rows *= self.row_scale
        rows += self.row_shift
        return rows

    def on_grid(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rows in data units, shape (rows, d), without the noise of dequantised columns; a copy."""
        found = rows.copy()
        for name, origin in self.origins.items():
            at = self.columns.index(name)
            found[:, at] = on_grid(rows[:, at], origin, self.grid[at])
        return found

    @property
    def whole_columns(self) -> tuple[str, ...]:
        """Columns whose rows are integers, and lie on the grid that :meth:`on_grid` leads back to."""
        steps = dict(zip(self.columns, self.grid, strict=True))
        return tuple(
            name for name, origin in self.origins.items() if steps[name].is_integer() and origin.is_integer()
        )  # fmt: skip

    def in_start_coordinates(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rows in data units, shape (rows, d + c), as they are stored, but in float64."""
        found = (rows - self.row_shift) / self.row_scale
        if self.start is not None:
            for part in pieces(len(found)):
                found[part, : self.dim] = self.start(torch.from_numpy(found[part, : self.dim]))[0].numpy()
        return found

    def log_det(self, stored: NDArray[np.generic]) -> NDArray[np.float64]:
        """The log-determinant of block 0 and of the kinds, at stored rows, nats, shape (rows,)."""
        found = start_log_det(self.start, self.scale, stored)
        return found if self.kinds is None else found + self.kinds_log_det(self.in_data_units(stored))

    def kinds_log_det(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """What the kinds of columns add to a log-density of rows in data units, nats, shape (rows,)."""
        return np.zeros(len(rows)) if self.kinds is None else self.kinds.log_det(rows[:, : self.dim])

    @property
    def steps(self) -> tuple[float, ...]:
        """Distances of neighbouring values in each column that has noise, 0 in the others, data units."""
        return self.grid if self.kinds is None else self.kinds.steps

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns of the table."""
        return self.columns if self.kinds is None else self.kinds.names


def array_digest(arrays: Mapping[str, NDArray[np.generic]]) -> str:
    """Digest over names, shapes, dtypes and bytes; never over paths or attributes."""
    parts = [
        (
            name,
            list(values.shape),
            str(values.dtype),
            hashlib.sha256(np.ascontiguousarray(values).data).hexdigest(),
        )
        for name, values in sorted(arrays.items())
    ]
    return digest_of(parts)


def data_digest(
    arrays: Mapping[str, NDArray[np.generic]],
    shift: NDArray[np.generic],
    scale: NDArray[np.generic],
    start: StartMap | None = None,
    kinds: Schema | None = None,
) -> str:
    """Identity of prepared data: the arrays, and the units that their standardised values stand for.

    Args:
        arrays: the prepared arrays.
        shift: of whole rows, data units, shape (d + c,); it counts in float32, as the rows do, so that the
            last bits of another processor are no other data.
        scale: the same of the scale.
        start: the start map; it counts in float32, too.
        kinds: of the columns; what is only told of them does not count.
    """
    units = {**_in_float32("shift", shift), **_in_float32("scale", scale)}
    tables = {} if start is None else start_tables(start)
    parts = {f"start_{name}": values.astype(np.float32) for name, values in tables.items()}
    found = array_digest({**arrays, **units, **parts})
    return found if kinds is None else digest_of({"arrays": found, "kinds": kinds.content})


def start_tables(start: StartMap) -> dict[str, NDArray[np.float64]]:
    """The numbers of a start map by name."""
    return {name: tensor.cpu().numpy() for name, tensor in start.state_dict().items()}


def _in_float32(name: str, values: NDArray[np.generic]) -> dict[str, NDArray[np.generic]]:
    """Numbers in float32, and in float32 digits beside exponents where that cannot hold them."""
    limits, size = np.finfo(np.float32), np.abs(values[values != 0])
    if np.all((size <= limits.max) & (size >= limits.tiny)):
        return {name: values.astype(np.float32)}
    digits, exponents = np.frexp(values)
    return {name: digits.astype(np.float32), f"{name}_exponents": exponents}


def _origins(table: Table, prepared: Prepared) -> dict[str, float]:
    """A point of the grid of each column that lies on one and was dequantised."""
    if prepared.smoothing:
        return {}
    steps = zip(table.columns, table.rows.T, prepared.grid, strict=True)
    found = {name: grid_origin(column, float(step)) for name, column, step in steps if step}
    return {name: origin for name, origin in found.items() if origin is not None}


def facts_of(
    table: Table, prepared: Prepared, *, choices: Sequence[str] = (), entropy: Estimate | None = None
) -> DataFacts:
    """The facts stored with the arrays.

    Args:
        table: all rows.
        prepared: what was made of them.
        choices: sentences on what was chosen by trials.
        entropy: of the law of the rows, or of the smoothed law where rows are smoothed, nats, data units.
    """
    dim = len(table.columns)
    return DataFacts(
        name=Path(table.name).name,
        columns=table.columns,
        shift=tuple(map(float, prepared.shift[:dim])),
        scale=tuple(map(float, prepared.scale[:dim])),
        grid=tuple(map(float, prepared.grid)),
        notes=prepared.notes,
        rows={
            **{part: len(prepared.arrays[part]) for part in PARTS},
            "source": len(np.unique(prepared.arrays["train_rows"])),
        },
        entropy=None if entropy is None else {"value": entropy.value, "se": entropy.se},
        image_shape=table.image_shape,
        smoothing=prepared.smoothing,
        smoothing_w2=prepared.smoothing_w2,
        context_columns=table.context_columns,
        context_shift=tuple(map(float, prepared.shift[dim:])),
        context_scale=tuple(map(float, prepared.scale[dim:])),
        atoms=prepared.atoms,
        choices=tuple(choices),
        origins=_origins(table, prepared),
        start_kind="" if prepared.start is None else prepared.start.kind,
        start=prepared.start,
        kinds=table.schema if isinstance(table, KindTable) else None,
        dtypes=dict(table.dtypes) if isinstance(table, KindTable) else {},
        marks=() if table.marks is None else (table.marks.decimal, table.marks.thousands),
    )
