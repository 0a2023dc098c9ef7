"""Rows with holes before and after these are filled: cells by kind, draws in their form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from jko.columns.cells import Cells
from jko.columns.column import Column, Values
from jko.columns.known import as_known
from jko.columns.schema import Schema
from jko.core.errors import InputError
from jko.given import Form, Rows
from jko.preparation.table import Array


def known_cells(column: Column, own: Cells) -> Cells:
    """Cells in the type that a kind knows them in; what stands for an empty one does not count.

    Raises:
        InputError: a cell is none of its kind.
    """
    there = as_known(column, own.there)
    if len(there):
        column.encode(there, np.full((len(there), column.noise_width), 0.5))
    values = np.empty(len(own.present), dtype=there.dtype)
    values[own.present] = there
    return Cells(values, own.present)


def refuse_broken(schema: Schema, cells: Mapping[str, Cells]) -> None:
    """Refuse rows that break a rule by which one column tells another.

    Raises:
        InputError: names the first of them.
    """
    for told in schema.told:
        levels, own = cells[told.by], cells[told.name]
        both = levels.present & own.present
        if broken := told.broken(levels.values[both], own.values[both]):
            raise InputError(broken)


def with_draws(own: Cells, places: NDArray[np.int64], drawn: Values) -> Values:
    """A column of a table with drawn cells where it has holes.

    Args:
        own: its cells.
        places: numbers of rows with a hole in any column.
        drawn: decoded cells of these rows.
    """
    found = np.empty(len(own.present), dtype=drawn.dtype)
    found[places] = drawn
    found[own.present] = own.there
    return found


def shaped(whole: Array, form: Form, columns: Sequence[str], whole_columns: Sequence[str]) -> Rows:
    """Draws of shape (draws, rows, d) in the form that the rows came in."""
    draws, rows, dim = whole.shape
    if form.kind != "frame":
        x = torch.from_numpy(whole[0] if draws == 1 else whole)
        flat = form.rows(x.reshape(-1, dim), columns)
        if draws == 1:
            return flat
        return flat.reshape(draws, rows, *flat.shape[1:])  # type: ignore[union-attr]
    if form.make is not None:
        raise InputError("holes of plain numbers are filled in arrays, tensors and data frames of pandas")
    found: Any = replace(form, shape=None).rows(
        torch.from_numpy(whole.reshape(-1, dim)), columns, whole_columns
    )
    found.index = list(range(rows) if form.index is None else form.index) * draws
    if draws > 1:
        found.insert(0, "draw", np.repeat(np.arange(1, draws + 1), rows))
    return found
