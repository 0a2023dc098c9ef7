"""A schema from a table: the kind of every column and why, and what its cells are like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jko.columns.aside import Constant, Text
from jko.columns.atoms import Atoms
from jko.columns.cells import Cells, Frame, cells_of
from jko.columns.column import Cell, Column, Seen, Values
from jko.columns.curves import told_by_curves
from jko.columns.dates import Dates
from jko.columns.found import Found, plain_cell
from jko.columns.infer_numbers import number_kind
from jko.columns.infer_words import date_kind, word_kind
from jko.columns.missing import bare
from jko.columns.order import in_order
from jko.columns.schema import Schema, schema_of
from jko.columns.telling import with_told
from jko.columns.told import Told
from jko.core.errors import InputError
from jko.preparation.grid import atoms
from jko.preparation.names import shown

#: rows that kinds are told from
LOOKED_AT = 100_000
#: atoms that are listed at most
LISTED = 4


def infer(frame: Frame, given: Schema | None = None) -> Schema:
    """The schema of a table.

    Kinds are told from at most :data:`LOOKED_AT` rows, drawn at random with a fixed seed. Ends, levels and
    the share of missing cells are of all rows.

    Args:
        frame: a data frame, or a mapping of names to cells.
        given: kinds that are known, such as those of a file that was edited: they stay, and what the cells
            are like is of this table. A cell that does not fit is told in a warning.

    Raises:
        InputError: the table has no rows or no columns, or the given schema has other columns.
    """
    return infer_cells(cells_of(frame), given)


def infer_cells(cells: Mapping[str, Cells], given: Schema | None = None) -> Schema:
    """The schema of a table from its cells, see :func:`infer`."""
    rows = len(next(iter(cells.values())).values) if cells else 0
    if not rows:
        raise InputError("the table has no rows")
    found = [_inferred(name, own, first=not i) for i, (name, own) in enumerate(cells.items())]
    found = in_order(with_told(found, cells), cells)
    alike = told_by_curves(found, cells) | _equal_to(cells)
    columns = [_with_warning(column, alike.get(column.name, "")) for column in found]
    return schema_of(columns, rows) if given is None else _refreshed(cells, given, schema_of(columns, rows))


def _inferred(name: str, cells: Cells, *, first: bool) -> Column:
    """A column of the kind that its cells have."""
    unique = _distinct(cells.there)  # of many rows this takes longest, so it is done once
    found = _kind_of(name, cells, unique, first=first)
    seen = seen_in(found.column, cells, found.warnings, unique=unique)
    return found.column.model_copy(update={"why": found.why, "seen": seen})


def _kind_of(name: str, cells: Cells, unique: Values, *, first: bool) -> Found:
    there = cells.there
    if not len(there):
        return Found(Constant(name=name), "no row has a cell")
    if there.dtype.kind == "f" and not np.isfinite(there).any():
        return Found(Text(name=name), "no finite number: left out")
    if len(unique) == 1:
        value = plain_cell(unique[0])
        return Found(
            Constant(name=name, value=value, dtype=str(there.dtype)), f"every cell is {shown(value)}"
        )
    if there.dtype.kind == "M":
        return date_kind(name, there.astype(there.dtype.str))
    if there.dtype.kind in "biuf":
        holes = not cells.present.all()
        return number_kind(name, _some(there), there, unique, holes=holes, first=first)
    return word_kind(name, _some(there), unique, cells.order)


def seen_in(
    column: Column, cells: Cells, warnings: Sequence[str] = (), *, unique: Values | None = None
) -> Seen:
    """What cells are like.

    Args:
        column: of which kind they are: where all cells have a mass, none is named as an atom.
        cells: of the column.
        warnings: sentences.
        unique: the different cells, where they are known already.
    """
    column, there = bare(column), cells.there
    unique = _distinct(there) if unique is None else unique
    low, high = _ends(column, unique)
    return Seen(
        missing=round(float(1 - cells.present.mean()), 6),
        distinct=len(unique), low=low, high=high, atoms=_atoms_in(column, there), warnings=tuple(warnings),
    )  # fmt: skip


def _ends(column: Column, unique: Values) -> tuple[Cell | None, Cell | None]:
    """The smallest and the largest number or date."""
    if isinstance(column, Dates) and unique.dtype.kind == "O":
        try:
            moments = column.moments(unique).astype(f"M8[{column.unit}]")
        except InputError:  # told as a warning
            return None, None
        return str(moments.min()), str(moments.max())
    if unique.dtype.kind == "f":
        unique = unique[np.isfinite(unique)]
    if not len(unique) or unique.dtype.kind not in "iufM":
        return None, None
    return plain_cell(unique[0]), plain_cell(unique[-1])


def _atoms_in(column: Column, there: Values) -> tuple[tuple[Cell, float], ...]:
    """Values with a mass of their own, with their shares: the column's, or those that its density misses."""
    if not len(there) or there.dtype.kind not in "iuf":
        return ()
    if isinstance(column, Atoms):
        shares = [(atom, float((there == atom).mean())) for atom in column.atoms]
    else:
        some = np.asarray(_some(there), dtype=float)
        shares = atoms(some) if column.meaning == "density" and np.isfinite(some).all() else []
    return tuple((plain_cell(atom), round(share, 6)) for atom, share in shares[:LISTED])


def _refreshed(cells: Mapping[str, Cells], given: Schema, inferred: Schema) -> Schema:
    """Known kinds with what the cells of this table are like, and the warnings of what is inferred."""
    fresh = {column.name: column.seen or Seen() for column in inferred.columns}
    names = [column.name for column in given.columns]
    missing, more = [n for n in names if n not in cells], [n for n in cells if n not in names]
    if missing or more:
        what = f"the table has no column {shown((missing or more)[0])}, which the schema has"
        other = f"the schema has no column {shown((more or missing)[0])}, which the table has"
        raise InputError(what if missing else other)
    columns = []
    for column in given.columns:
        own = cells[column.name]
        warnings, problem = fresh[column.name].warnings, _problem(column, own) or _broken(column, cells)
        seen = seen_in(column, own, (*warnings, problem) if problem else warnings)
        columns.append(column.model_copy(update={"seen": seen}))
    return schema_of(columns, inferred.rows)


def _problem(column: Column, cells: Cells) -> str:
    """Why cells do not fit a kind; empty where they do."""
    there = cells.there
    try:
        column.encode(there, np.full((len(there), column.noise_width), 0.5))
    except InputError as error:
        return str(error)
    return ""


def _broken(column: Column, cells: Mapping[str, Cells]) -> str:
    """Why a column does not obey the rule by which another one tells it; empty where it does."""
    if not isinstance(column, Told):
        return ""
    both = cells[column.name].present & cells[column.by].present
    return column.broken(cells[column.by].values[both], cells[column.name].values[both])


def _with_warning(column: Column, warning: str) -> Column:
    if not warning or column.seen is None or isinstance(column, Told):  # that is no trouble there
        return column
    return column.model_copy(
        update={"seen": column.seen.model_copy(update={"warnings": (*column.seen.warnings, warning)})}
    )


def _equal_to(cells: Mapping[str, Cells]) -> dict[str, str]:
    """A warning for every column that another one before it is equal to, but for constant ones."""
    known: dict[int, list[str]] = {}
    found = {}
    for name, own in cells.items():
        values = own.values
        if values.dtype.kind not in "iuf" or len(np.unique(values[:100])) < 2:
            continue
        key = hash(np.nan_to_num(values.astype(float), nan=-0.5).tobytes())
        equal = [other for other in known.get(key, []) if _same(cells[other], own)]
        if equal:
            found[name] = (
                f"equal to column {shown(equal[0])} in every row: their law has no density; leave one out"
            )
        known.setdefault(key, []).append(name)
    return found


def _same(one: Cells, other: Cells) -> bool:
    both = (one.present == other.present).all()
    return bool(both and (one.values[one.present] == other.values[other.present]).all())


def _some(values: Values) -> Values:
    """All cells, or a random sample of very many."""
    if len(values) <= LOOKED_AT:
        return values
    return values[_some_of(len(values))]


@lru_cache(maxsize=2)
def _some_of(count: int) -> NDArray[np.int64]:
    """Numbers of the rows that are looked at, ascending."""
    return np.sort(np.random.default_rng(0).choice(count, LOOKED_AT, replace=False))


def _distinct(values: Values) -> Values:
    return _counted(values)[0]


def _counted(values: Values) -> tuple[Values, NDArray[np.int64]]:
    """Different cells and how often each occurs: numbers and dates ascending, others the commonest first."""
    if values.dtype.kind != "O":
        unique, counts = np.unique(values, return_counts=True)
        return unique, counts
    many: dict[Any, int] = Counter(values.tolist())
    pairs = sorted(many.items(), key=lambda pair: (-pair[1], str(pair[0])))
    found = np.empty(len(pairs), dtype=object)
    found[:] = [cell for cell, _ in pairs]
    return found, np.array([count for _, count in pairs], dtype=np.int64)
