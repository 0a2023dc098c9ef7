"""How the columns of a table look, by their kinds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from matplotlib.dates import date2num

from jko.columns.aside import Constant
from jko.columns.atoms import Atoms
from jko.columns.cells import Cells
from jko.columns.circular import Circular
from jko.columns.column import Column
from jko.columns.dates import Dates
from jko.columns.discrete import Gridded, Integer
from jko.columns.levels import Boolean, Levels, Ordinal
from jko.columns.missing import bare
from tasks.report.drawing import labelled, plain_text, unit_of
from tasks.report.table.axes import AROUND, Grid, around, axis_of, bins_for, reach
from tasks.report.table.look import Array, Codes, Form, Look, Side
from tasks.report.table.ticks import short_number

#: levels that are drawn at most; the rarest beyond them are one
MOST_LEVELS = 10
#: different whole numbers that are drawn one by one
FEW = 12


def look_of(column: Column, data: Cells, samples: Cells) -> Look | None:
    """How a column looks; ``None`` where there is nothing to see."""
    if not data.present.any() and not samples.present.any():
        return None
    column = bare(column)
    match column:
        case Constant():
            return _constant(column, data, samples)
        case Levels():
            return _levels(column, column.levels, data, samples)
        case Dates():
            return _dates(column, data, samples)
        case Atoms():
            return _with_atoms(column, data, samples)
    return _numbers(column, _read(data), _read(samples))


def _bare(column: Column, form: Form, sides: Sequence[Side]) -> Look:
    """A look with the column's name on its axis, without levels and bins."""
    label = column.name
    return Look(column.name, column.kind, label, form, data=sides[0], samples=sides[1])


def _constant(column: Constant, data: Cells, samples: Cells) -> Look | None:
    known = () if column.value is None else (column.value,)
    look = _levels(column, known, data, samples)
    return look if len(look.words) > 1 or look.holes else None


def _levels(column: Column, levels: Sequence[object], data: Cells, samples: Cells) -> Look:
    """Levels in the order of the schema, then those that it does not know."""
    both = [_texts(cells) for cells in (data, samples)]
    known = dict.fromkeys([*levels, *(cell for cells in both for cell in cells if cell is not None)])
    places = {level: i for i, level in enumerate(known)}
    coded = [
        np.array([-1 if cell is None else places[cell] for cell in cells], dtype=np.int64) for cells in both
    ]
    words, coded = _with_the_rest([_word(level) for level in known], coded)
    sides = [Side(codes, np.full(len(codes), np.nan)) for codes in coded]
    ordered = isinstance(column, Ordinal | Boolean) and len(words) == len(known) == len(levels)
    values = tuple(map(float, range(len(words)))) if ordered else ()
    bare = _bare(column, "levels", sides)
    return replace(bare, words=tuple(words), first=len(words), values=values)


def _texts(cells: Cells) -> list[object | None]:
    """Cells as the levels of a schema are written: dates as text; nothing for empty ones."""
    values = cells.values.astype(str) if cells.values.dtype.kind == "M" else cells.values
    pairs = zip(values.tolist(), cells.present.tolist(), strict=True)
    return [cell if there else None for cell, there in pairs]


def _with_the_rest(words: list[str], coded: list[Codes]) -> tuple[list[str], list[Codes]]:
    """The commonest levels in their order, and all others as one."""
    if len(words) <= MOST_LEVELS:
        return words, coded
    shares = [np.bincount(codes[codes >= 0], minlength=len(words)) / max(len(codes), 1) for codes in coded]
    common = np.sort(np.argsort(-np.maximum(*shares), kind="stable")[: MOST_LEVELS - 1])
    new = np.full(len(words) + 1, MOST_LEVELS - 1)
    new[common], new[-1] = np.arange(len(common)), -1
    left = len(words) - len(common)
    return [*(words[i] for i in common), f"{left} others"], [new[codes] for codes in coded]


def _word(level: object) -> str:
    text = f"{level:g}" if isinstance(level, float) else " ".join(str(level).split())
    return plain_text(text) or "''"


def _read(cells: Cells) -> Array:
    """Numbers, NaN for empty cells and for what is not finite."""
    found = np.full(len(cells.values), np.nan)
    found[cells.present] = np.asarray(cells.there, dtype=float)
    return np.where(np.isfinite(found), found, np.nan)


def _there(numbers: Array) -> Array:
    found: Array = numbers[~np.isnan(numbers)]
    return found


def _with_atoms(column: Atoms, data: Cells, samples: Cells) -> Look | None:
    """Atoms in slots of their own, before the axis or behind it; the others by their kind."""
    numbers = [_read(cells) for cells in (data, samples)]
    atoms = sorted(column.atoms)
    which = [_places_in(atoms, own) for own in numbers]
    rest = [np.where(codes < 0, own, np.nan) for codes, own in zip(which, numbers, strict=True)]
    look = _numbers(column.value, *rest)
    if look is None or look.form == "levels":
        return _one_by_one(column, np.unique(_there(np.concatenate(numbers))), *numbers)
    scale = unit_of(_there(numbers[0]))
    middle = 0.0 if look.form == "circle" else float(np.median([*look.edges])) * scale
    first = len(atoms) if look.form == "circle" else sum(atom < middle for atom in atoms)
    sides = [Side(codes, side.places) for codes, side in zip(which, look.sides, strict=True)]
    words = tuple(f"= {short_number(atom)}" for atom in atoms)
    return replace(
        look, kind=f"atoms + {look.kind}", words=words, first=first, data=sides[0], samples=sides[1],
        values=tuple(atom / scale for atom in atoms),
    )  # fmt: skip


def _places_in(values: Sequence[float], numbers: Array) -> Codes:
    """The place of every number among some, −1 for none of them."""
    found = np.full(len(numbers), -1, dtype=np.int64)
    for place, value in enumerate(values):
        found[numbers == value] = place
    return found


def _numbers(column: Column, data: Array, samples: Array) -> Look | None:
    """Numbers on a circle, one by one where they are few and whole, else on an axis."""
    there, drawn = _there(data), _there(samples)
    if not len(there) and not len(drawn):
        return None
    if isinstance(column, Circular) and _on_circle(column, np.r_[there, drawn]):
        return _circle(column, data, samples)
    grid = _grid(column)
    if grid is not None and len(np.unique(there)) <= FEW:
        few = np.unique(np.r_[there, drawn])
        if len(few) <= FEW + 4:
            return _one_by_one(column, few, data, samples)
    seen = there if len(there) else drawn
    unit = unit_of(seen)
    own = None if grid is None else Grid(grid.origin / unit, grid.step / unit)
    form, edges = axis_of(seen / unit, drawn / unit, own)
    nothing = np.full(len(data), -1), np.full(len(samples), -1)
    sides = [Side(none, side / unit) for none, side in zip(nothing, (data, samples), strict=True)]
    label = labelled(column.name, unit)
    return replace(_bare(column, form, sides), edges=edges, label=label)


def _one_by_one(column: Column, few: Array, data: Array, samples: Array) -> Look:
    sides = [Side(_places_in(list(few), own), np.full(len(own), np.nan)) for own in (data, samples)]
    words = tuple(short_number(value) for value in few)
    bare = _bare(column, "levels", sides)
    return replace(bare, words=words, first=len(words), values=tuple(few.tolist()))


def _grid(column: Column) -> Grid | None:
    match column:
        case Integer():
            return Grid(0.0, 1.0)
        case Gridded():
            return Grid(column.origin, column.step)
    return None


def _on_circle(column: Circular, numbers: Array) -> bool:
    """Whether all numbers are of one turn; others would be hidden by a rose."""
    return bool(((numbers >= column.low) & (numbers <= column.low + column.period)).all())


def _circle(column: Circular, data: Array, samples: Array) -> Look:
    steps = None if column.step is None else round(column.period / column.step)
    edges = around(steps, min(AROUND, bins_for(len(_there(data)))))
    sides = []
    for own in (data, samples):
        turns = ((own - column.low) / column.period - edges[0]) % 1 + edges[0]
        sides.append(Side(np.full(len(own), -1), turns))
    return replace(_bare(column, "circle", sides), edges=edges, turn=(column.low, column.period))


def _dates(column: Dates, data: Cells, samples: Cells) -> Look:
    """Dates in days since 1970, bins of whole steps of their unit."""
    counted, sides = [], []
    for cells in (data, samples):
        places = np.full(len(cells.values), np.nan)
        if cells.present.any():
            moments = column.moments(cells.there)
            places[cells.present] = date2num(moments)
            counted.append(moments.astype(f"M8[{column.unit}]").astype(np.int64).astype(float))
        else:
            counted.append(np.zeros(0))
        sides.append(Side(np.full(len(places), -1), places))
    low, high = reach(counted[0] if len(counted[0]) else counted[1], counted[1])
    many = max(1, int(np.ceil((high - low + 1) / bins_for(len(counted[0])))))
    steps = np.floor(low) + many * np.arange(np.ceil((high - low + 1) / many) + 1)
    edges = date2num(steps.astype(np.int64).astype(f"M8[{column.unit}]"))
    return replace(_bare(column, "dates", sides), edges=edges)
