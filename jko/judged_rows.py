"""Tables to be judged: the same columns of numbers in all, and no table that is another one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jko.core.errors import InputError
from jko.given import Frame, Rows, frame_of, is_frame, taken

Array = NDArray[np.float64]
#: so many different held-out rows of which more than this share of a table consists are no chance
DIFFERENT, COPIED = 50, 0.5


@dataclass(frozen=True)
class Tables:
    """What models are judged on.

    Args:
        columns: names.
        held_out: shape (m, d).
        samples: of every model, shape (M, d).
        train: the training rows, where they are given.
        labels: of the columns that held text: what 0, 1, … stand for.
    """

    columns: tuple[str, ...]
    held_out: Array
    samples: Mapping[str, Array]
    train: Array | None
    labels: Mapping[str, tuple[str, ...]]


def tables_of(
    held_out: Rows, samples: Mapping[str, Rows], train: Rows | None, groups: Sequence[str]
) -> Tables:
    """The numbers of all tables, columns in the order of the held-out rows.

    Args:
        held_out: rows of the data.
        samples: of every model.
        train: training rows.
        groups: columns that may hold text, which becomes numbers.

    Raises:
        InputError: other columns, fewer than two rows, numbers that are not finite, or equal tables.
    """
    own = tuple(map(str, frame_of(held_out).columns)) if is_frame(held_out) else ()
    columns = own or tuple(f"x{i}" for i in range(taken(held_out)[0].shape[1]))
    _check_groups(groups, columns)
    given = {"held-out rows": held_out, **{_called(name): one for name, one in samples.items()}}
    if train is not None:
        given["training rows"] = train
    labels = {name: _labels(name, given.values()) for name in groups if _is_text(held_out, name)}
    made = {name: _numbers(name, one, columns, labels) for name, one in given.items()}
    rows = made["held-out rows"]
    for name, one in made.items():
        if one is not rows:
            _refuse_same(name, one, rows)
    drawn = {name: made[_called(name)] for name in samples}
    return Tables(columns, rows, drawn, made.get("training rows"), labels)


def _called(name: str) -> str:
    return f"samples {name}"


def _check_groups(groups: Sequence[str], columns: Sequence[str]) -> None:
    unknown = [name for name in groups if name not in columns]
    if unknown:
        raise InputError(f"groups: no column {unknown[0]!r}; there are {', '.join(columns[:10])}")
    if len(set(groups)) < len(groups):
        raise InputError(f"groups: {', '.join(groups)}: name every column once")
    if len(groups) == len(columns):
        raise InputError("groups: every column is one, and none is left to judge")


def _column(frame: Frame, name: str) -> list[str]:
    at = [str(one) for one in frame.columns].index(name)
    return [str(value) for value in np.asarray(frame.iloc[:, [at]])[:, 0]]


def _is_text(given: Rows, name: str) -> bool:
    """Whether a column of a data frame holds text."""
    if not is_frame(given):
        return False
    frame = frame_of(given)
    kinds = dict(zip(map(str, frame.columns), frame.dtypes, strict=True))
    return getattr(kinds[name], "kind", "O") not in "fiu"


def _labels(name: str, given: Iterable[Rows]) -> tuple[str, ...]:
    """The categories of a column in all tables, in alphabetical order."""
    found: set[str] = set()
    for one in given:
        if not is_frame(one):
            raise InputError(f"groups: {name!r} holds text, so that all tables need names of columns")
        if name in map(str, frame_of(one).columns):
            found.update(_column(frame_of(one), name))
    return tuple(sorted(found))


def _numbers(name: str, given: Rows, columns: tuple[str, ...], labels: Mapping[str, Sequence[str]]) -> Array:
    """Rows of a table, shape (n, d); of a frame in the order of the columns."""
    plain = tuple(one for one in columns if one not in labels)
    try:
        rows = taken(given, plain if is_frame(given) else ())[0].detach().cpu().double().numpy()
        if labels and is_frame(given):
            frame, numbers = frame_of(given), iter(rows.T)
            missing = [one for one in labels if one not in map(str, frame.columns)]
            if missing:
                raise InputError(f"the data frame has no column {missing[0]!r}")
            codes = {one: {label: i for i, label in enumerate(labels[one])} for one in labels}
            rows = np.stack([
                np.array([codes[one][label] for label in _column(frame, one)], dtype=np.float64)
                if one in labels else next(numbers)
                for one in columns
            ], axis=1)  # fmt: skip
    except InputError as problem:
        raise InputError(f"{name}: {problem}") from None
    if len(rows) < 2:
        raise InputError(f"{name}: two rows or more are needed, and not {len(rows)}")
    if rows.shape[1] != len(columns):
        raise InputError(f"{name}: {rows.shape[1]} columns beside the {len(columns)} of the held-out rows")
    wrong = np.argwhere(~np.isfinite(rows))
    if len(wrong):
        row, column = wrong[0]
        raise InputError(f"{name}: row {row} is not finite in column {columns[column]!r}")
    return np.ascontiguousarray(rows)


def _refuse_same(name: str, given: Array, held_out: Array) -> None:
    """Refuse rows that are the held-out ones: all that is said of a model would be wrong.

    Raises:
        InputError: all rows, in any order, or most of a table whose rows differ from one another.
    """
    own, other = (_keys(one) for one in (held_out, given))
    if len(own) == len(other) and (np.sort(own) == np.sort(other)).all():
        raise InputError(f"{name}: these are the held-out rows; give others")
    equal = int(np.isin(other, own).sum())
    if len(np.unique(own)) == len(own) >= DIFFERENT and equal > COPIED * len(other):
        raise InputError(f"{name}: {equal} of {len(other)} rows are held-out rows; give others")


def shared_rows(held_out: Array, train: Array) -> int:
    """How many held-out rows equal a training row, in single precision."""
    return int(np.isin(_keys(held_out), _keys(train)).sum())


def _keys(rows: Array) -> NDArray[np.void]:
    """Every row as one value to compare, in single precision, in which a file may have been written."""
    with np.errstate(over="ignore"):
        single = np.ascontiguousarray(rows.astype(np.float32) + np.float32(0))  # no −0
    return single.view(np.dtype((np.void, single.itemsize * single.shape[1]))).ravel()
