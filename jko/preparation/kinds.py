"""Tables whose columns have kinds: from cells as people have them to the real columns of a chain.

Kinds are told from the training rows. A held-out row with a cell that no training row could have had, such as
a level that is new, has no probability under such kinds. It is left out of the held-out rows, and told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jko.columns.aside import LeftOut
from jko.columns.cells import Cells, Dtype
from jko.columns.column import Values, as_numbers
from jko.columns.infer import infer_cells
from jko.columns.schema import Schema, schema_of
from jko.columns.written import read_schema
from jko.config.data_section import KINDS, Data
from jko.core.errors import InputError
from jko.preparation.fit import fitting_beside, sentence_beside
from jko.preparation.holes import MOST, filled, told_holes, with_missing, without_holes
from jko.preparation.names import listed, shown
from jko.preparation.split import split_rows
from jko.preparation.table import Array, Table
from jko.preparation.whole import Whole, part_of

#: different cells from which numbers with some text among them are no list of levels
MANY = 20
#: how a reason ends that needs no such end in a list of what is left out
AGAIN = re.compile(r"[;:] left out$")


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
    whole = with_context(whole)
    given = None if settings.kinds in KINDS else read_schema(Path(settings.kinds))
    if given is None:
        _refuse_mixed(whole)
    first = infer_cells(whole.cells) if given is None else _of_table(given, whole, settings)
    whole, notes = without_holes(whole, first, settings)
    train = split_rows(whole.count, settings, seed, whole.place)["train"]
    own = {name: part_of(cells, train) for name, cells in whole.cells.items()}
    if given is None:
        aside = {column.name: column for column in first.columns if not column.kept}
        found = infer_cells(own)
        schema = schema_of([aside.get(one.name, one) for one in found.columns], found.rows)
    else:
        schema = infer_cells(own, first)
    if settings.missing == "model":
        schema = with_missing(schema, whole.cells, train if given is None else np.arange(whole.count))
    if not schema.width:
        raise InputError(f"{whole.place}: no column is left to model: {_left_out(schema) or 'all constant'}")
    known, holes = filled(schema, whole.cells)
    cells = schema.complete(known)
    misfits = _misfits(schema, cells, holes)
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


def _refuse_mixed(whole: Whole) -> None:
    """Refuse numbers with some text among them, which would be left out as text.

    Raises:
        InputError: a column has some, and too many different cells to be a list of levels.
    """
    for name, own in whole.cells.items():
        if own.values.dtype.kind != "O":
            continue
        known = {cell: is_number(cell) for cell in set(own.there.tolist())}
        numbers = np.array([known[cell] for cell in own.there.tolist()], dtype=bool)
        if len(known) > MANY and 0.5 < numbers.mean() < 1:
            first = int(np.flatnonzero(own.present)[int(np.argmin(numbers))])
            raise InputError(
                f"{whole.place}: column {shown(name)} holds text {shown(own.values[first])} at data row "
                f"{first + 1}; only numbers are allowed (or leave the column out with data.columns)"
            )


def is_number(cell: object) -> bool:
    """Whether a cell is a number, or text that is one."""
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


def with_context(whole: Whole) -> Whole:
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


def _misfits(
    schema: Schema, cells: Mapping[str, Values], holes: Mapping[str, NDArray[np.bool_]]
) -> dict[str, NDArray[np.bool_]]:
    """Rows of which a cell is none of its kind, by column; those without any are left out.

    Args:
        schema: the kinds.
        cells: of the columns.
        holes: rows with an empty cell that no training row could have, by column.
    """
    found = {column.name: ~fitting_beside(column, cells) for column in schema.kept}
    found.update({name: found[name] | bad for name, bad in holes.items()})
    return {name: bad for name, bad in found.items() if bad.any()}


def _refuse_misfits(
    schema: Schema, cells: Mapping[str, Values], misfits: Mapping[str, NDArray[np.bool_]], name: str
) -> None:
    """Refuse rows that do not fit, with the sentence of the first column that has one."""
    for column in schema.kept:
        if column.name in misfits:
            raise InputError(f"{name}: {sentence_beside(column, cells)}")


def _left_out(schema: Schema) -> str:
    left = [
        f"{shown(one.name)} ({AGAIN.sub('', one.why)})" for one in schema.columns if isinstance(one, LeftOut)
    ]
    return listed(left, MOST)


def _notes(schema: Schema, misfits: Mapping[str, NDArray[np.bool_]]) -> tuple[str, ...]:
    """What was left out, what looks wrong, and held-out rows that do not fit."""
    notes = [f"left out: {left}"] if (left := _left_out(schema)) else []
    notes += told_holes(schema)
    if told := [f"{shown(one.name)} by {shown(one.by)}" for one in schema.told]:
        notes.append(f"not modelled, since another column tells them: {listed(told, MOST)}")
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
