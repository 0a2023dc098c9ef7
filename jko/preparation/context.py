"""What rows are conditioned on: columns of a table, or the class of every row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from jko.config.data_section import CLASS, Data
from jko.core.errors import InputError
from jko.preparation.table import Array, Table

#: columns that a sentence names at most
SHOWN = 10


def conditioned(table: Table, settings: Data, classes: Array | NDArray[np.int64] | None = None) -> Table:
    """A table with its context taken out of the columns or made of the classes, as the settings say.

    Args:
        table: all columns, those of the context among them.
        settings: name the context.
        classes: class of every row, shape (rows,), where the source has some.

    Raises:
        InputError: no such column, no class, or no column left.
    """
    if settings.context is None:
        return table
    if settings.context != CLASS:
        return with_columns(table, settings.context)
    if classes is None:
        raise InputError(f"{table.name}: its rows have no class; name columns in data.context")
    known = tuple(f"{CLASS}={value}" for value in np.unique(classes))
    return replace(table, context=one_hot(classes, known), context_columns=known)


def with_columns(table: Table, names: Sequence[str]) -> Table:
    """A table with some of its columns as the context."""
    missing = [name for name in names if name not in table.columns]
    if missing:
        some = ", ".join(table.columns[:SHOWN]) + (", …" if len(table.columns) > SHOWN else "")
        raise InputError(f"{table.name}: no column {missing[0]!r}; it has {some}")
    kept = [i for i, name in enumerate(table.columns) if name not in names]
    if not kept:
        raise InputError(f"{table.name}: every column is in data.context, and none is left to model")
    taken = [table.columns.index(name) for name in names]
    return replace(
        table, rows=np.ascontiguousarray(table.rows[:, kept]), columns=tuple(table.columns[i] for i in kept),
        context=np.ascontiguousarray(table.rows[:, taken]), context_columns=tuple(names), image_shape=None,
    )  # fmt: skip


def by_class(names: Sequence[str]) -> bool:
    """Whether a context of these columns is a class."""
    return bool(names) and all(name.startswith(f"{CLASS}=") for name in names)


def one_hot(classes: Array | NDArray[np.int64], names: Sequence[str]) -> Array:
    """Classes as rows of zeros with a one in the column of the class.

    Args:
        classes: shape (rows,).
        names: columns as ``class=3``, in order.

    Raises:
        InputError: a value that is no class.
    """
    values = [int(name.partition("=")[2]) for name in names]
    found = np.asarray(classes)[:, None] == np.array(values)
    if not found.any(axis=1).all():
        row = int(np.flatnonzero(~found.any(axis=1))[0])
        known = ", ".join(map(str, values))
        raise InputError(f"{CLASS} {classes[row]:g} is unknown; the chain has the classes {known}")
    return found.astype(float)


def known_classes(table: Table, names: Sequence[str]) -> NDArray[np.bool_]:
    """Which rows have a class that a chain with these context columns knows; all, without classes."""
    if table.context is None or not by_class(names) or table.context_columns != (CLASS,):
        return np.ones(len(table.rows), dtype=bool)
    values = [int(name.partition("=")[2]) for name in names]
    return np.isin(table.context[:, 0], values)


def context_of(table: Table, names: Sequence[str]) -> Array:
    """The context of a table's rows as a chain with these context columns takes it, shape (rows, c).

    Args:
        table: its context is a column ``class`` where the chain is conditioned on that.
        names: the chain's context columns.

    Raises:
        InputError: a value that is no class.
    """
    if table.context is None:
        return np.empty((len(table.rows), 0))
    if by_class(names) and table.context_columns == (CLASS,):
        try:
            return one_hot(table.context[:, 0], names)
        except InputError as error:
            raise InputError(f"{table.name}: {error}") from None
    return table.context


def asked_columns(names: Sequence[str]) -> tuple[str, ...]:
    """The columns in which a file gives a chain's context."""
    return (CLASS,) if by_class(names) else tuple(names)


def given_context(given: Sequence[str], names: Sequence[str]) -> Array:
    """The context that words such as ``class=3`` or ``age=40`` name, data units, shape (c,).

    Raises:
        InputError: an unknown or missing column, an unknown class, or no number.
    """
    if not names:
        raise InputError(f"--given {given[0]!r}: the chain is not conditional (data.context was not set)")
    asked = asked_columns(names)
    values = dict(_parsed(word, asked) for word in given)
    missing = [name for name in asked if name not in values]
    if missing:
        raise InputError(f"--given {missing[0]}=VALUE is missing; the context is {', '.join(asked)}")
    row = np.array([[values[name] for name in asked]])
    return one_hot(row[:, 0], names)[0] if by_class(names) else row[0]


def _parsed(word: str, asked: Sequence[str]) -> tuple[str, float]:
    name, equals, text = word.rpartition("=")
    if not equals:
        raise InputError(f"--given {word!r}: the form is column=value, as in {asked[0]}=3")
    if name not in asked:
        raise InputError(f"--given {word!r}: no context {name!r}; the context is {', '.join(asked)}")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"--given {word!r}: {text!r} is not a finite number")
    return name, value


def per_class(context: Array, names: Sequence[str]) -> Mapping[int, NDArray[np.int64]]:
    """Numbers of the rows of every class that has some; one class of all rows without classes."""
    if not by_class(names):
        return {0: np.arange(len(context))}
    own = context.argmax(axis=1)
    return {int(value): np.flatnonzero(own == value) for value in np.unique(own)}
