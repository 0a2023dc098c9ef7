"""From a table to prepared arrays: dequantise, split, standardise, smooth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from jko.config import Config, parse_config
from jko.core.cell_line import CellLine
from jko.core.errors import InputError
from jko.core.rows import at_most
from jko.core.seeds import counter_seed
from jko.laws.smoothing import ornstein_uhlenbeck, smoothing_w2_bound
from jko.maps.conditionals import Conditionals
from jko.maps.conditionals_fit import fit_conditionals
from jko.maps.start_fit import FITTED_ROWS, fit_start
from jko.maps.start_map import StartMap, start_log_det
from jko.preparation.checks import (
    check_distinct,
    check_reach,
    check_units,
    notes_on_values,
)
from jko.preparation.context import asked_columns, by_class
from jko.preparation.copies import all_copies
from jko.preparation.dependence import note_on_dependence, refuse_equal
from jko.preparation.grid import atoms, grid_step
from jko.preparation.kinds import KindTable
from jko.preparation.names import listed, shown
from jko.preparation.split import split_rows
from jko.preparation.table import Array, Table

PARTS = ("train", "validation", "test")
#: a spread of so many units of the last bit is rounding
FEW_BITS = 8
#: rows that are standardised at a time
PIECE = 100_000


@dataclass(frozen=True)
class Prepared:
    """Arrays ready for a chain.

    Args:
        arrays: ``train``, ``validation``, ``test`` (rows, d + c) float32, standardised units, and
            for each ``<part>_rows`` (rows,) int64: the row of the source each came from. The
            training rows themselves come first, smoothed copies of them after.
        shift: subtracted, data units, shape (d + c,).
        scale: divided by, data units, shape (d + c,).
        grid: grid step of each dequantised column, 0 where none.
        notes: sentences for the user.
        smoothing: δ, the Ornstein-Uhlenbeck time by which all rows are smoothed; 0 if they are not.
        smoothing_w2: upper bound of W2 between the law of the data and that of the smoothed rows,
            standardised units; ``None`` if they are not smoothed.
        atoms: columns of which one value has a probability of its own.
        start: the map from standardised units to start coordinates; ``None`` for the identity. The arrays
            are behind it.
    """

    arrays: Mapping[str, NDArray[np.generic]]
    shift: Array
    scale: Array
    grid: Array
    notes: tuple[str, ...]
    smoothing: float = 0.0
    smoothing_w2: float | None = None
    atoms: tuple[str, ...] = ()
    start: StartMap | None = None

    def log_det(self, stored: NDArray[np.generic]) -> Array:
        """Block 0's log-determinant at rows of the arrays, nats, shape (rows,)."""
        return start_log_det(self.start, self.scale[: len(self.grid)], stored)


def prepare(table: Table, config: Config, parts: Mapping[str, NDArray[np.int64]] | None = None) -> Prepared:
    """Prepare a table as the settings say.

    What ``auto`` leaves open (:mod:`jko.preparation.auto_choices`) is ``marginals`` and no copies here.

    Args:
        table: all rows.
        config: the settings.
        parts: numbers of the rows of every part; by default those of :func:`split_rows`.

    Raises:
        InputError: too few rows, a column that stays constant or loses its values in float32, columns that
            determine each other.
    """
    parts = parts or parts_of(table, config)
    if table.entropy is None and table.grid is None and config.data.smoothing == 0:
        beside = () if by_class(table.context_columns) else table.context_columns
        both = np.concatenate([table.rows, table.context], axis=1) if beside else table.rows
        refuse_equal(both, (*table.columns, *beside), len(table.columns), table.name)
    check_units(table.rows, table.columns, table.name)
    grid = grid_steps(table, config)
    rows = dequantise(table.rows, grid, config.seed)
    shift, scale = standardisation(rows[parts["train"]], config, table)
    if table.context is not None:
        moved = context_standardisation(table.context[parts["train"]], config, table)
        rows = np.concatenate([rows, table.context], axis=1)
        shift, scale = np.concatenate([shift, moved[0]]), np.concatenate([scale, moved[1]])
    arrays: dict[str, NDArray[np.generic]] = {}
    bound = None
    joined = all_copies(table, parts["train"], grid, config)
    dim = table.rows.shape[1]
    units = (shift[:dim], scale[:dim])
    start = start_of_rows(rows[parts["train"], :dim], joined[:, :dim], units, config, cell_lines(table))
    for name, index in parts.items():
        more = joined if name == "train" else np.empty((0, rows.shape[1]))
        if config.data.smoothing == 0:
            arrays[name] = standardised(rows, index, more, (shift, scale), start=start)
        else:
            standard = started((np.concatenate([rows[index], more]) - shift) / scale, start)
            arrays[name] = np.ascontiguousarray(smoothed(standard, name, config), dtype=np.float32)
            bound = smoothing_w2(standard[: len(index)], config) if name == "train" else bound
        arrays[f"{name}_rows"] = np.resize(index, len(arrays[name])).astype(np.int64)
    found = _checked(table, rows, parts["train"], (shift, scale, grid), config)
    check_reach(
        [arrays[part].astype(np.float32, copy=False) for part in PARTS],
        (*table.columns, *table.context_columns), table.name,
        standardised=config.data.standardise != "off",
    )  # fmt: skip
    notes = (
        *table.notes,
        *found,
        *_notes(table, grid, parts, config),
        *_smoothing_notes(grid, bound, config),
    )
    if isinstance(start, Conditionals):
        notes = (*notes, *_note_on_parents(start, table.columns))
    with_atoms = columns_with_atoms(table, grid)
    return Prepared(arrays, shift, scale, grid, notes, config.data.smoothing, bound, with_atoms, start)


def parts_of(table: Table, config: Config) -> dict[str, NDArray[np.int64]]:
    """Numbers of the training, validation and test rows; held-out ones fit the kinds of their columns.

    Raises:
        InputError: too few rows.
    """
    parts = split_rows(len(table.rows), config.data, config.seed, table.name)
    if not isinstance(table, KindTable):
        return parts
    parts = {name: rows[table.fits[rows]] for name, rows in parts.items()}
    few = [name for name, rows in parts.items() if len(rows) < 2]
    if few:
        raise InputError(
            f"{table.name}: {len(parts[few[0]])} {few[0]} rows fit the kinds that the training rows show, "
            "and 2 are needed; give kinds that fit with data.kinds, see jko describe --write"
        )
    return parts


def unfitted(config: Config) -> Config:
    """Settings that ask the same of a table's rows, and need no map fitted to them and no copies."""
    values = config.model_dump(mode="json")
    values["data"]["standardise"] = "off" if config.data.standardise == "off" else "on"
    values["data"]["augment"]["copies"] = 1
    return parse_config(values)


def columns_with_atoms(table: Table, grid: Array) -> tuple[str, ...]:
    """Columns that are not dequantised and hold a value that many rows share: their law has no density.

    Args:
        table: all rows; those of a known law are drawn from a density.
        grid: grid steps, shape (d,).
    """
    if table.entropy is not None or table.grid is not None:
        return ()
    named = zip(table.columns, table.rows.T, grid, strict=True)
    return tuple(name for name, values, step in named if not step and atoms(values))


def _checked(
    table: Table,
    rows: Array,
    train: NDArray[np.int64],
    units: tuple[Array, Array, Array],
    config: Config,
) -> tuple[str, ...]:
    """Sentences on the values of a table whose law is not known; what cannot be modelled is refused.

    Args:
        table: all rows.
        rows: the same, dequantised, with the context, shape (rows, d + c).
        train: numbers of the training rows.
        units: shift and scale, of d + c values, and grid steps, of d.
        config: the settings.
    """
    if table.entropy is not None:
        return ()
    dim, on = table.rows.shape[1], config.data.standardise != "off"
    (shift, scale, grid), classes = units, by_class(table.context_columns)
    check_distinct(table.rows[train], shift[:dim], scale[:dim], table.columns, table.name, standardised=on)
    plain = table.grid is None and not isinstance(table, KindTable)
    notes = notes_on_values(table.rows, grid, table.columns) if plain else ()
    if table.context is not None and not classes:
        context = table.context[train]
        check_distinct(context, shift[dim:], scale[dim:], table.context_columns, table.name, standardised=on)
        notes += notes_on_values(table.context, np.ones(context.shape[1]), table.context_columns)
    beside = None if table.context is None else rows[train, dim:]
    return notes + note_on_dependence(
        rows[train, :dim], beside, table.columns, table.name, smoothed=config.data.smoothing > 0
    )


def standardised(
    rows: Array,
    index: NDArray[np.int64],
    more: Array,
    units: tuple[Array, Array],
    *,
    start: StartMap | None = None,
) -> NDArray[np.float32]:
    """Rows of a part and what joins them in start coordinates, some at a time: never all of them in float64.

    Args:
        rows: all rows, data units, shape (rows, d + c).
        index: numbers of those of the part.
        more: rows behind them, data units.
        units: shift and scale.
        start: the start map.
    """
    shift, scale = units
    found = np.empty((len(index) + len(more), rows.shape[1]), np.float32)
    with np.errstate(over="ignore"):  # what float32 cannot hold is refused afterwards
        for first in range(0, len(index), PIECE):
            piece = index[first : first + PIECE]
            found[first : first + len(piece)] = started((rows[piece] - shift) / scale, start)
        for first in range(0, len(more), PIECE):
            copied = more[first : first + PIECE]
            at = len(index) + first
            found[at : at + len(copied)] = started((copied - shift) / scale, start)
    return found


def started(standard: Array, start: StartMap | None) -> Array:
    """Rows in standardised units behind the start map, shape (rows, d + c); a context stays as it is."""
    if start is None:
        return standard
    z = start(torch.from_numpy(np.ascontiguousarray(standard[:, : start.dim])))[0].numpy()
    return np.concatenate([z, standard[:, start.dim :]], axis=1)


def start_of_rows(
    own: Array,
    more: Array,
    units: tuple[Array, Array],
    config: Config,
    lines: Sequence[CellLine | None] = (),
) -> StartMap | None:
    """The start map that the settings ask for, fitted to the state of training rows.

    Args:
        own: training rows, data units, shape (rows, d).
        more: copies of them.
        units: shift and scale of d columns.
        config: the settings.
        lines: how the cells of lists lie in each column; none hold any where nothing is said.
    """
    kind = config.data.standardise
    if kind in ("on", "off"):
        return None
    shift, scale = units
    own, more = at_most(own, FITTED_ROWS), at_most(more, FITTED_ROWS)
    rows = (np.concatenate([own, more]) - shift) / scale
    if kind == Conditionals.kind:
        return fit_conditionals(rows, len(own), lines or [None] * rows.shape[1], units)
    return fit_start("marginals" if kind == "auto" else kind, rows, len(own))


def cell_lines(table: Table) -> tuple[CellLine | None, ...]:
    """How the cells of lists lie in each column; nothing of a table without kinds."""
    return table.schema.cell_lines if isinstance(table, KindTable) else ()


def grid_steps(table: Table, config: Config) -> Array:
    """Grid step of every column that needs dequantising, 0 for the others."""
    if config.data.dequantise == "off" or table.entropy is not None or isinstance(table, KindTable):
        return np.zeros(table.rows.shape[1])
    if table.grid is not None:
        return np.full(table.rows.shape[1], table.grid)
    return np.array([grid_step(column) for column in table.rows.T])


def dequantise(rows: Array, grid: Array, seed: int) -> Array:
    """Add uniform noise of one grid step, centred; fixed per row by the seed."""
    if not grid.any():
        return rows
    noise = np.random.default_rng(counter_seed(seed, "dequantise")).random(rows.shape) - 0.5
    return rows + noise * grid


def smoothed(rows: Array, part: str, config: Config) -> Array:
    """Rows of a part after the Ornstein-Uhlenbeck time of the settings, standardised units.

    The noise is fixed by the seed, and each part has its own: the chain is trained, validated
    and tested on one law, ρ_δ.
    """
    return ornstein_uhlenbeck(rows, config.data.smoothing, _noise_of(part, config))


def without_noise(stored: Array, part: str, config: Config) -> Array:
    """All rows of a part before :func:`smoothed`, up to the rounding of what was stored."""
    time = config.data.smoothing
    noise = smoothing_noise(stored.shape, part, config)
    return math.exp(time) * (stored - math.sqrt(-math.expm1(-2 * time)) * noise)


def smoothing_noise(shape: tuple[int, ...], part: str, config: Config) -> Array:
    """The standard normal noise z that :func:`smoothed` gave the rows of a part, drawn again."""
    return _noise_of(part, config).standard_normal(shape)


def _noise_of(part: str, config: Config) -> np.random.Generator:
    return np.random.default_rng(counter_seed(config.seed, "smoothing", part))


def smoothing_w2(train: Array, config: Config) -> float | None:
    """Bound of W2 between the data and the smoothed law; ``None`` if nothing is smoothed.

    Args:
        train: the training rows before smoothing, standardised units, without copies of them: M2
            is theirs.
        config: the settings.
    """
    if config.data.smoothing == 0:
        return None
    second_moment = float((train**2).sum(axis=1).mean())
    return smoothing_w2_bound(second_moment, train.shape[1], config.data.smoothing)


def standardisation(train: Array, config: Config, table: Table) -> tuple[Array, Array]:
    """Mean and standard deviation of the training rows; 0 and 1 when switched off."""
    deviation = train.std(axis=0)
    # a mean of equal numbers is rounded, so their deviation need not be 0
    rounding = FEW_BITS * np.finfo(float).eps * np.abs(train).max(axis=0)
    constant = np.flatnonzero((np.ptp(train, axis=0) == 0) | (deviation <= rounding))
    if len(constant):
        raise InputError(
            f"{table.name}: column {shown(table.columns[constant[0]])} is constant in the training rows; "
            "leave it out with data.columns (a law on a plane has no density)"
        )
    if config.data.standardise == "off":
        return np.zeros(train.shape[1]), np.ones(train.shape[1])
    return train.mean(axis=0), deviation


def context_standardisation(train: Array, config: Config, table: Table) -> tuple[Array, Array]:
    """Shift and scale of the context: covariates as the columns of the state, classes stay 0 and 1."""
    if by_class(table.context_columns):
        return np.zeros(train.shape[1]), np.ones(train.shape[1])
    return standardisation(train, config, replace(table, columns=table.context_columns))


def _notes(
    table: Table, grid: Array, parts: Mapping[str, NDArray[np.int64]], config: Config
) -> tuple[str, ...]:
    notes = []
    gridded = [name for name, step in zip(table.columns, grid, strict=True) if step]
    if gridded:
        which = "all columns" if len(gridded) == len(grid) else ", ".join(gridded)
        notes.append(f"dequantised with uniform noise of one grid step: {which}")
    if isinstance(table, KindTable):
        spread = [column.name for column in table.schema.kept if column.noise_width]
        notes += [f"made continuous by noise: {listed(spread, 50)}"] if spread else []
    augment = config.data.augment
    more = augment.copies_of(len(parts["train"])) - 1
    if more:
        notes.append(
            f"training rows are joined by {more} smoothed copies of each "
            f"(width {augment.width:g} of the {augment.neighbours} nearest rows' offsets); "
            "validation and test rows are as they are"
        )
    if table.rows.shape[1] > len(parts["train"]):
        notes.append(
            f"warning: more dimensions ({table.rows.shape[1]}) than training rows ({len(parts['train'])})"
        )
    if table.context is not None:
        notes.append(f"conditioned on {', '.join(asked_columns(table.context_columns))}")
    elif table.rows.shape[1] == 1:
        notes.append("warning: one dimension only; a histogram may serve better")
    return tuple(notes)


def _note_on_parents(start: Conditionals, columns: Sequence[str]) -> tuple[str, ...]:
    """Which columns begin with what others say of them."""
    said = [
        f"{shown(name)} given {' and '.join(shown(columns[parent]) for parent in start.parents_of(j))}"
        for j, name in enumerate(columns)
        if start.parents_of(j)
    ]
    return (f"start conditionals: {listed(said)}",) if said else ()


def _smoothing_notes(grid: Array, bound: float | None, config: Config) -> tuple[str, ...]:
    if bound is not None:
        return (
            f"every row is smoothed (Ornstein-Uhlenbeck time {config.data.smoothing:g}), and the chain "
            f"models the smoothed law: W2 to the law of the data at most {bound:.3g} (standardised units)",
        )
    if grid.any():
        return (
            "dequantised data have jumps, so their Fisher information and with it ε are infinite and no "
            "certificate holds; data.smoothing, such as 0.01, gives a law with finite ε",
        )
    return ()
