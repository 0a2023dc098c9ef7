"""Tables whose columns have kinds: from cells as people have them to the real columns of a chain.

Kinds are told from the training rows. A held-out row with a cell that no training row could have had, such as
a level that is new, has no probability under such kinds. It is left out of the held-out rows, and told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jko.columns.aside import Constant, LeftOut
from jko.columns.atoms import Atoms
from jko.columns.cells import Cells, Dtype, read_cells
from jko.columns.circular import Circular
from jko.columns.column import Column, Values, as_numbers
from jko.columns.discrete import OnGrid
from jko.columns.infer import infer_cells
from jko.columns.known import as_known
from jko.columns.real import Real
from jko.columns.schema import Schema, schema_of
from jko.columns.written import read_schema
from jko.config.data_section import KINDS, Data
from jko.core.errors import InputError
from jko.preparation.names import listed, shown
from jko.preparation.split import split_rows
from jko.preparation.table import Array, Marks, Table

#: different cells from which numbers with some text among them are no list of levels
MANY = 20
#: columns that a sentence names at most
MOST = 10
#: how a reason ends that needs no such end in a list of what is left out
AGAIN = re.compile(r"[;:] left out$")


@dataclass(frozen=True)
class Whole:
    """A table as people have it, before anything is told of its columns.

    Args:
        name: what the data set is called.
        place: what it is called in sentences.
        cells: of its columns by name.
        notes: on how it was read.
        marks: of its numbers, where it is a file that shows some.
        context: what rows are conditioned on, where that is given apart, shape (rows, c).
        context_columns: names of the context: of that, or of columns among the cells.
        dtypes: types that columns come back with, where these are none of numpy's.
    """

    name: str
    place: str
    cells: Mapping[str, Cells]
    notes: tuple[str, ...] = ()
    marks: Marks | None = None
    context: Array | None = None
    context_columns: tuple[str, ...] = ()
    dtypes: Mapping[str, Dtype] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Number of rows."""
        return len(next(iter(self.cells.values())).values) if self.cells else 0


@dataclass(frozen=True, kw_only=True)
class KindTable(Table):
    """A table of real columns that cells of many kinds became.

    Args:
        schema: the kinds.
        cells: of the columns that samples hold, by name, shape (rows,) each; another row's where a row does
            not fit.
        fits: rows whose cells all fit their kinds, shape (rows,).
        dtypes: as of :class:`Whole`.
    """

    schema: Schema
    cells: Mapping[str, Values]
    fits: NDArray[np.bool_]
    dtypes: Mapping[str, Dtype] = field(default_factory=dict)


def kinds_table(whole: Whole, settings: Data, seed: int) -> KindTable:
    """Rows as real columns, with the kinds that the settings ask for.

    Args:
        whole: the table.
        settings: ``kinds``, ``missing`` and ``split`` are used.
        seed: of the split and of the noise.

    Raises:
        InputError: a column is missing, no column is left to model, a cell is empty or infinite, or a
            training row does not fit the kinds.
    """
    whole = _with_context(whole)
    given = None if settings.kinds in KINDS else read_schema(Path(settings.kinds))
    if given is None:
        _refuse_mixed(whole)
    first = infer_cells(whole.cells) if given is None else _of_table(given, whole, settings)
    whole, notes = _without_holes(whole, first, settings)
    train = split_rows(whole.count, settings, seed, whole.place)["train"]
    own = {name: part_of(cells, train) for name, cells in whole.cells.items()}
    if given is None:
        aside = {column.name: column for column in first.columns if not column.kept}
        found = infer_cells(own)
        schema = schema_of([aside.get(one.name, one) for one in found.columns], found.rows)
    else:
        schema = infer_cells(own, first)
    if not schema.width:
        raise InputError(f"{whole.place}: no column is left to model: {_left_out(schema) or 'all constant'}")
    cells = schema.complete({column.name: whole.cells[column.name] for column in schema.kept})
    misfits = _misfits(schema, cells)
    fits = ~np.any([np.zeros(whole.count, bool), *misfits.values()], axis=0)
    if given is not None or not fits[train].all():
        _refuse_misfits(schema, cells, misfits, whole.place)
    cells = {name: np.where(fits, values, values[train[0]]) for name, values in cells.items()}
    encoded = schema.encode(cells, seed)
    return KindTable(
        name=whole.name, rows=encoded.values, columns=encoded.names, schema=schema, cells=cells, fits=fits,
        notes=(*whole.notes, *notes, *_notes(schema, misfits)), marks=whole.marks, context=whole.context,
        context_columns=whole.context_columns, dtypes=whole.dtypes,
    )  # fmt: skip


@dataclass(frozen=True)
class Known:
    """Rows of another table in the kinds of a known one.

    Args:
        cells: of the columns that samples hold, by name; of rows that cannot be used some that fit.
        empty: rows with an empty cell, shape (n,).
        infinite: rows with an infinite number.
        strange: rows with a cell that is none of its kind.
        why: a sentence on the first of these; empty without any.
        hole: a sentence on the first empty cell; empty without any.
        whole: the table, its context apart.
    """

    cells: Mapping[str, Values]
    empty: NDArray[np.bool_]
    infinite: NDArray[np.bool_]
    strange: NDArray[np.bool_]
    why: str
    hole: str
    whole: Whole

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Rows that have a probability."""
        return ~(self.empty | self.infinite | self.strange)


def known_rows(whole: Whole, schema: Schema) -> Known:
    """Rows of a table in known kinds.

    Raises:
        InputError: a column of the kinds, or of the context, is missing, or a column of numbers holds text.
    """
    missing = [column.name for column in schema.kept if column.name not in whole.cells]
    if missing:
        raise InputError(f"{whole.place}: no column {shown(missing[0])}; it has {listed(list(whole.cells))}")
    whole, count = _with_context(whole), whole.count
    empty, infinite, strange = (np.zeros(count, dtype=bool) for _ in range(3))
    why, hole, cells = "", "", {}
    some = schema.decode(np.zeros((1, schema.width)))
    for column in schema.kept:
        own = whole.cells[column.name]
        values = as_known(column, own.values)
        holes = (
            np.zeros(count, bool) if isinstance(column, Constant) and column.value is None else ~own.present
        )
        _refuse_text(column, values, own.present, whole.place)
        if holes.any() and not hole:
            hole = (
                f"column {shown(column.name)} has an empty cell at data row {int(np.argmax(holes)) + 1} "
                f"({int(holes.sum())} in all)"
            )
        endless = _infinite(values) & own.present
        there = np.flatnonzero(~holes & ~endless)
        fits = fitting(column, values[there])
        if not fits.all() and not why:
            why = _sentence(column, values[there])
        bad = np.zeros(count, dtype=bool)
        bad[there] = ~fits
        cells[column.name] = _filled(values, holes | endless | bad, some[column.name])
        empty, infinite, strange = empty | holes, infinite | endless, strange | bad
    if whole.context is not None:
        empty = empty | np.isnan(whole.context).any(axis=1)
        infinite = infinite | np.isinf(whole.context).any(axis=1)
    return Known(cells, empty, infinite & ~empty, strange & ~empty & ~infinite, why, hole, whole)


def _refuse_text(column: Column, values: Values, present: NDArray[np.bool_], place: str) -> None:
    """Refuse text in a column of numbers: other cells of it may be written in another way, too.

    Raises:
        InputError: names the first cell that is no number, or the first of all.
    """
    if values.dtype.kind != "O" or not isinstance(column, Real | OnGrid | Circular | Atoms):
        return
    there = np.flatnonzero(present)
    words = [row for row in there if not _is_number(values[row])]
    for row in (words or there)[:1]:
        raise InputError(
            f"{place}: column {shown(column.name)} holds text {shown(values[row])} at data row "
            f"{int(row) + 1}; only numbers are allowed"
        )


def _filled(values: Values, bad: NDArray[np.bool_], some: Values) -> Values:
    """Cells with one that fits in place of others."""
    if not bad.any():
        return values
    found = values.copy() if values.dtype.kind == some.dtype.kind else values.astype(object)
    found[bad] = some[0]
    return found if found.dtype.kind != "O" else read_cells(found).values


def _sentence(column: Column, cells: Values) -> str:
    """Why cells are none of a kind; empty where they are."""
    try:
        column.encode(cells, np.full((len(cells), column.noise_width), 0.5))
    except InputError as error:
        return str(error)
    return ""


def part_of(cells: Cells, rows: NDArray[np.generic]) -> Cells:
    """Some rows of a column."""
    return Cells(cells.values[rows], cells.present[rows], cells.order)


def fitting(column: Column, cells: Values) -> NDArray[np.bool_]:
    """Which cells are of a kind, shape (n,)."""
    found = np.ones(len(cells), dtype=bool)
    parts = [(0, len(cells))]
    while parts:
        low, high = parts.pop()
        part = cells[low:high]
        try:
            column.encode(part, np.full((len(part), column.noise_width), 0.5))
        except InputError:
            middle = (low + high) // 2
            if high - low == 1:
                found[low] = False
            else:
                parts += [(low, middle), (middle, high)]
    return found


def _refuse_mixed(whole: Whole) -> None:
    """Refuse numbers with some text among them, which would be left out as text.

    Raises:
        InputError: a column has some, and too many different cells to be a list of levels.
    """
    for name, own in whole.cells.items():
        if own.values.dtype.kind != "O":
            continue
        known = {cell: _is_number(cell) for cell in set(own.there.tolist())}
        numbers = np.array([known[cell] for cell in own.there.tolist()], dtype=bool)
        if len(known) > MANY and 0.5 < numbers.mean() < 1:
            first = int(np.flatnonzero(own.present)[int(np.argmin(numbers))])
            raise InputError(
                f"{whole.place}: column {shown(name)} holds text {shown(own.values[first])} at data row "
                f"{first + 1}; only numbers are allowed (or leave the column out with data.columns)"
            )


def _is_number(cell: object) -> bool:
    try:
        float(str(cell))
    except ValueError:
        return False
    return True


def _of_table(given: Schema, whole: Whole, settings: Data) -> Schema:
    """The given kinds of the columns that are there.

    Raises:
        InputError: other columns than the table's.
    """
    chosen = settings.columns is not None
    missing = [one.name for one in given.columns if one.kept and one.name not in whole.cells]
    missing = [name for name in missing if not chosen and name not in whole.context_columns]
    known = {column.name for column in given.columns}
    more = [name for name in whole.cells if name not in known]
    if missing or more:
        what = f"it has no column {shown((missing or more)[0])}, of which data.kinds says the kind"
        other = f"data.kinds says nothing of its column {shown((more or missing)[0])}"
        raise InputError(f"{whole.place}: {what if missing else other}")
    columns = {column.name: column for column in given.columns}
    return schema_of([columns[name] for name in whole.cells], given.rows)


def _with_context(whole: Whole) -> Whole:
    """A table with the context taken out of its columns, where it is among them.

    Raises:
        InputError: there is no such column, it holds text, or no other is left.
    """
    if whole.context is not None or not whole.context_columns:
        return whole
    missing = [name for name in whole.context_columns if name not in whole.cells]
    if missing:
        raise InputError(f"{whole.place}: no column {shown(missing[0])}; it has {listed(list(whole.cells))}")
    rest = {name: own for name, own in whole.cells.items() if name not in whole.context_columns}
    if not rest:
        raise InputError(f"{whole.place}: every column is in data.context, and none is left to model")
    columns = [_covariate(name, whole.cells[name]) for name in whole.context_columns]
    return replace(whole, cells=rest, context=np.stack(columns, axis=1))


def _covariate(name: str, cells: Cells) -> Array:
    """A column of a context as numbers, NaN where a cell is empty."""
    found = np.full(len(cells.values), np.nan)
    if cells.there.dtype.kind not in "biuf":
        raise InputError(f"column {shown(name)} of data.context holds text; a context needs numbers")
    finite = np.where(np.isinf(cells.there.astype(float)), 0.0, cells.there.astype(float))
    found[cells.present] = as_numbers(finite, name) + (cells.there.astype(float) - finite)
    return found


def _without_holes(whole: Whole, schema: Schema, settings: Data) -> tuple[Whole, tuple[str, ...]]:
    """The rows without an empty cell in a column that is kept, and how many were dropped.

    Raises:
        InputError: a cell is infinite, or empty where the settings refuse that.
    """
    kept = [name for name in schema.names if whole.cells[name].present.any()]
    columns = {name: whole.cells[name] for name in kept}
    empty = {name: ~own.present for name, own in columns.items()}
    infinite = {name: _infinite(own.values) for name, own in columns.items()}
    if whole.context is not None:
        for name, values in zip(whole.context_columns, whole.context.T, strict=False):
            empty[name], infinite[name] = np.isnan(values), np.isinf(values)
    for name, bad in infinite.items():
        if bad.any():
            raise InputError(
                f"{whole.place}: column {shown(name)} holds an infinite value at data row "
                f"{int(np.argmax(bad)) + 1}; only finite numbers are allowed"
            )
    holes = np.any([np.zeros(whole.count, bool), *empty.values()], axis=0)
    if not holes.any():
        return whole, ()
    if settings.missing == "refuse":
        row = int(np.argmax(holes))
        name = next(name for name, bad in empty.items() if bad[row])
        total = int(sum(bad.sum() for bad in empty.values()))
        raise InputError(
            f"{whole.place}: column {shown(name)} has an empty cell at data row {row + 1} ({total} in all); "
            "fill them or set data.missing=drop"
        )
    rows = np.flatnonzero(~holes)
    cells = {name: _whole_again(part_of(own, rows)) for name, own in whole.cells.items()}
    context = None if whole.context is None else np.ascontiguousarray(whole.context[rows])
    note = f"dropped {int(holes.sum())} of {len(holes)} rows with empty cells"
    return replace(whole, cells=cells, context=context), (note,)


def _infinite(values: Values) -> NDArray[np.bool_]:
    return np.isinf(values) if values.dtype.kind == "f" else np.zeros(len(values), dtype=bool)


def _whole_again(cells: Cells) -> Cells:
    """Whole numbers as integers: empty cells had made floats of them."""
    there = cells.there
    whole = there.dtype.kind == "f" and len(there) == len(cells.values) and (there == np.rint(there)).all()
    if not whole or np.abs(there).max(initial=0) >= 2**53:
        return cells
    return Cells(there.astype(np.int64), cells.present, cells.order)


def _misfits(schema: Schema, cells: Mapping[str, Values]) -> dict[str, NDArray[np.bool_]]:
    """Rows of which a cell is none of its kind, by column; those without any are left out."""
    found = {column.name: ~fitting(column, cells[column.name]) for column in schema.kept}
    return {name: bad for name, bad in found.items() if bad.any()}


def _refuse_misfits(
    schema: Schema, cells: Mapping[str, Values], misfits: Mapping[str, NDArray[np.bool_]], name: str
) -> None:
    """Refuse rows that do not fit, with the sentence of the first column that has one."""
    for column in schema.kept:
        if column.name in misfits:
            raise InputError(f"{name}: {_sentence(column, cells[column.name])}")


def _left_out(schema: Schema) -> str:
    left = [
        f"{shown(one.name)} ({AGAIN.sub('', one.why)})" for one in schema.columns if isinstance(one, LeftOut)
    ]
    return listed(left, MOST)


def _notes(schema: Schema, misfits: Mapping[str, NDArray[np.bool_]]) -> tuple[str, ...]:
    """What was left out, what looks wrong, and held-out rows that do not fit."""
    notes = [f"left out: {left}"] if (left := _left_out(schema)) else []
    warned = [(one.name, said) for one in schema.columns if one.seen for said in one.seen.warnings]
    notes += [f"warning: column {shown(name)}: {said}" for name, said in warned]
    if misfits:
        rows = int(np.any(list(misfits.values()), axis=0).sum())
        names = listed([shown(name) for name in misfits], MOST)
        notes.append(
            f"{rows} held-out rows are left out, since they hold cells that no training row has, in "
            f"{names}; kinds of jko describe --write, which looks at all rows, keep them"
        )
    return tuple(notes)


def told(columns: Sequence[Column]) -> str:
    """The kinds of columns in a line."""
    return ", ".join(f"{column.name} {column.kind}" for column in columns)
