"""Columns that determine each other, so that their law lies on a plane and has no density."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from jko.core.errors import InputError
from jko.preparation.checks import some
from jko.preparation.names import listed, shown
from jko.preparation.table import Array

#: smallest eigenvalue of the correlations below which columns are refused, and named
DEGENERATE, NEARLY = 1e-6, 1e-4
#: below it rounding alone is left
ROUNDING = 1e-10
#: share of a column in the directions of no spread from which it is named
INVOLVED = 0.05
#: columns beyond which eigenvalues take too long
MANY_COLUMNS = 2000


def dependent_columns(state: Array, context: Array | None, columns: Sequence[str]) -> tuple[list[str], float]:
    """Columns that are (nearly) determined by each other, linearly, and the eigenvalue that says so.

    The smallest eigenvalue of the correlations of the state, what the context determines linearly taken
    out: with 0, the law lies on a plane and has no density.

    Args:
        state: training rows, shape (rows, d).
        context: what they are conditioned on, shape (rows, c).
        columns: d names.

    Returns:
        Names, none where all is well; and the eigenvalue.
    """
    state, context = some(state), None if context is None else some(context)
    count, dim = state.shape
    free = count - (0 if context is None else context.shape[1])
    if not 1 < dim + (context is not None) <= MANY_COLUMNS or free <= dim + 1:
        return [], 1.0
    standard = (state - state.mean(axis=0)) / state.std(axis=0)
    if context is not None:
        beside = np.c_[context, np.ones(count)]
        standard = standard - beside @ np.linalg.lstsq(beside, standard, rcond=None)[0]
    eigenvalues, directions = np.linalg.eigh(standard.T @ standard / count)
    limit = NEARLY if free >= 2 * dim else ROUNDING  # few rows have small ones by chance
    small = eigenvalues < limit
    if not small.any():
        return [], float(eigenvalues[0])
    shares = directions[:, small] @ directions[:, small].T
    first = int(np.diag(shares).argmax())
    involved = np.flatnonzero(np.abs(shares[first]) > INVOLVED * shares[first, first])
    return [columns[int(i)] for i in involved], float(max(eigenvalues[0], 0.0))


def refuse_equal(rows: Array, columns: Sequence[str], dim: int, name: str) -> None:
    """Refuse columns that are equal in every row, whatever noise they would get; constant ones are no matter.

    Args:
        rows: as they stand in the file, shape (rows, d + c): columns of the context may be alike.
        columns: names of all.
        dim: the first d are the state.
        name: of the data.

    Raises:
        InputError: there are some.
    """
    alike: dict[bytes, list[str]] = {}
    for column, values in zip(columns, rows.T, strict=True):
        if len(values) and np.ptp(values) > 0:
            key = hashlib.sha256((values + 0.0).tobytes()).digest()  # -0 is 0
            alike.setdefault(key, []).append(column)
    for names in alike.values():
        if len(names) > 1 and names[0] in columns[:dim]:
            raise InputError(
                f"{name}: columns {listed([shown(one) for one in names])} are equal in every row, and a law "
                "on a plane has no density; keep one of them with data.columns, or set data.smoothing=0.01"
            )


def note_on_dependence(
    state: Array, context: Array | None, columns: Sequence[str], name: str, *, smoothed: bool
) -> tuple[str, ...]:
    """Refuse a law on a plane; a sentence where it nearly is one.

    Args:
        state: training rows, shape (rows, d).
        context: what they are conditioned on.
        columns: d names.
        name: of the data.
        smoothed: whether smoothing will give the law a density.

    Raises:
        InputError: columns determine each other.
    """
    names, eigenvalue = dependent_columns(state, context, columns)
    if not names or smoothed:
        return ()
    words = listed([shown(column) for column in names])
    which = f"columns {words} are" if len(names) > 1 else f"column {words} is"
    beside = "" if context is None else " given the context"
    if eigenvalue < DEGENERATE:
        raise InputError(
            f"{name}: {which} linearly dependent{beside} (smallest eigenvalue of the correlations "
            f"{eigenvalue:.1g}), and a law on a plane has no density; leave one out with data.columns, "
            "or set "
            "data.smoothing=0.01"
        )
    return (
        f"warning: {which} nearly linearly dependent{beside} (smallest eigenvalue of the correlations "
        f"{eigenvalue:.1g}); if one is made from others, leave it out with data.columns",
    )
