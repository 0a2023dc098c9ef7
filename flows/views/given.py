"""Samples of a chain given some of its columns, and holes of a file filled by draws from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from flows.views.known_files import load_known
from flows.views.models import (
    check_numbers,
    check_output,
    open_chain,
    sampled_contexts,
    true_digits,
    write_table,
)
from flows.views.scored import naming_no_settings
from flows.views.scoring import read_scored
from jko.conditional.found import Worth
from jko.conditional.imputing import Filled
from jko.conditional.kinds import kinds_of
from jko.conditional.words import parsed
from jko.core.errors import InputError
from jko.disk.facts import read_facts
from jko.disk.layout import Layout
from jko.disk.manifest import required_manifest
from jko.flow import Flow
from jko.given import LARGEST, Form
from jko.preparation.context import asked_columns, context_of, given_context
from jko.preparation.facts import DataFacts
from jko.preparation.kinds import with_context
from jko.preparation.table import Array, Table
from tasks.datasets.contexts import context_table


def split_given(layout: Layout, given: Sequence[str]) -> tuple[list[str], list[str]]:
    """Words on the context of a chain, and those on columns that it models.

    Args:
        layout: the chain.
        given: words as ``class=3`` or ``age>40``.

    Raises:
        InputError: words that name no column, or no chain there.
    """
    facts = read_facts(layout, required_manifest(layout).fingerprints[0])
    asked = asked_columns(facts.context_columns)
    known = tuple(kinds_of(facts).known)
    of_context = [word for word in given if asked and not _is_condition(word, known)]
    return of_context, [word for word in given if word not in of_context]


def _is_condition(word: str, known: Sequence[str]) -> bool:
    try:
        return bool(parsed(word, known))
    except InputError:
        return False


def opened(layout: Layout) -> Flow:
    """A complete chain as a flow whose rows are data frames."""
    config, chain, facts = open_chain(layout)
    digest = required_manifest(layout).data_digest
    whole = facts.whole_columns
    return Flow(chain, facts, config, data_digest=digest, form=Form("frame", integers=whole))


def sample_given(
    layout: Layout,
    rows: int,
    seed: int,
    output: Path,
    *,
    given: Sequence[str],
    context: Sequence[str] = (),
    raw: bool = False,
    tries: int,
    steps: int,
) -> Worth:
    """Write samples of a chain that fulfil conditions on its columns.

    Args:
        layout: the chain.
        rows: how many.
        seed: of the draws.
        output: the file.
        given: the conditions.
        context: words on the context, of a conditional chain.
        raw: whether the chain's own numbers are written.
        tries: samples at most that are drawn to find some which fulfil the conditions.
        steps: of Markov chains at most.

    Raises:
        InputError: conditions that no row fulfils, or no place to write.
    """
    check_output(output)
    flow = opened(layout)
    names = flow.facts.context_columns
    if names and not context:
        raise InputError(
            f"--given {given[0]!r}: name the context, too, as --given {asked_columns(names)[0]}=3, since the "
            "chain is conditional"
        )
    row = given_context(context, names) if names else None
    found, worth = flow.sample_given(
        rows, list(given), context=row, seed=seed, raw=raw, tries=tries, steps=steps,
    )  # fmt: skip
    assert isinstance(found, pd.DataFrame)  # the form of the flow
    frame = found
    check_numbers(frame, output)
    if row is not None:
        frame = frame.join(context_table(np.tile(row, (rows, 1)), names))
    write_table(frame, output)
    return worth


def sample_complete(
    layout: Layout, rows: int, seed: int, output: Path, *, context: Sequence[str] = (), steps: int
) -> Filled:
    """Write samples without holes of a chain whose columns have some; returns how holes were filled.

    Args:
        layout: the chain.
        rows: how many.
        seed: of the draws.
        output: the file.
        context: words on the context, of a conditional chain; contexts of training rows by default.
        steps: of Markov chains.

    Raises:
        InputError: a chain whose columns have no holes, a context that it has not, or no place to write.
    """
    check_output(output)
    flow = opened(layout)
    given = sampled_contexts(layout, flow.facts, rows, seed, given=context)
    found, filled = flow.sample_complete(rows, context=given, seed=seed, steps=steps)
    assert isinstance(found, pd.DataFrame)  # the form of the flow
    check_numbers(found, output)
    shown = given if given is None or context else true_digits(given, flow.facts)
    write_table(_beside(found, shown, flow.facts), output)
    return filled


def impute_file(
    layout: Layout, file: Path, output: Path, *, draws: int, seed: int, steps: int
) -> tuple[Filled, tuple[str, ...]]:
    """Write the rows of a file with their holes filled, draw by draw.

    Columns that the chain does not model are left out.

    Args:
        layout: the chain.
        file: rows in the chain's columns, with empty cells.
        output: the file that is written; with more than one draw its first column says which.
        draws: of every row.
        seed: of the draws.
        steps: of Markov chains.

    Returns:
        How the holes were filled, and notes on how the file was read.

    Raises:
        InputError: a file that does not fit the chain, or a context with a hole.
    """
    check_output(output)
    if output.resolve() == file.resolve():
        raise InputError(f"-o {output}: this is the file with the holes; name another one")
    flow = opened(layout)
    found, filled, notes = (_fill_numbers if flow.facts.kinds is None else _fill_table)(
        flow, file, draws=draws, seed=seed, steps=steps
    )
    check_numbers(found, output)
    write_table(found, output)
    return filled, notes


def _fill_numbers(
    flow: Flow, file: Path, *, draws: int, seed: int, steps: int
) -> tuple[pd.DataFrame, Filled, tuple[str, ...]]:
    """Rows of columns of plain numbers with their holes filled, how, and notes on the file."""
    facts = flow.facts
    cells = read_scored(flow.config.data, facts, file)
    values = cells.frame.to_numpy(dtype=float)
    if np.isinf(values).any():
        raise InputError(f"{file}: a cell is infinite; only numbers and empty cells are allowed")
    context = _contexts(cells.table(values), facts)
    found, filled = flow.impute(_named(values, facts), draws, context=context, seed=seed, steps=steps)
    assert isinstance(found, pd.DataFrame)  # the form of the rows
    whole = _whole(found.reset_index(drop=True), facts)
    return _beside(whole, context, facts, draws), filled, cells.notes


def _fill_table(
    flow: Flow, file: Path, *, draws: int, seed: int, steps: int
) -> tuple[pd.DataFrame, Filled, tuple[str, ...]]:
    """The same of a table whose columns have kinds."""
    facts = flow.facts
    assert facts.kinds is not None
    whole = load_known(flow.config.data, facts, file)
    with naming_no_settings():
        whole = with_context(whole)
    table = Table(
        whole.place, np.empty((whole.count, 0)), (), context=whole.context,
        context_columns=whole.context_columns,
    )  # fmt: skip
    context = _contexts(table, facts)
    found, filled = flow.impute_cells(whole.cells, draws, context=context, seed=seed, steps=steps)
    frame = Form("frame").cells(found, facts.dtypes, facts.kinds)
    return _beside(pd.DataFrame(frame), context, facts, draws), filled, whole.notes


def _contexts(table: Table, facts: DataFacts) -> Array | None:
    """The context of every row of a file as a chain takes it; ``None`` where it is not conditional.

    Raises:
        InputError: a context with an empty cell, an infinite number, or a class that the chain has not.
    """
    if not facts.context:
        return None
    wrong = ~np.isfinite(np.empty((0, 1)) if table.context is None else table.context).all(axis=1)
    if wrong.any():
        raise InputError(
            f"{table.name}: the context of data row {int(np.argmax(wrong)) + 1} has an empty cell or an "
            "infinite number; only holes of other columns are filled"
        )
    return context_of(table, facts.context_columns)


def _beside(frame: pd.DataFrame, context: Array | None, facts: DataFacts, draws: int = 1) -> pd.DataFrame:
    """Rows with their context behind them, as ``jko score`` takes them; draws are one below the other."""
    if context is None:
        return frame
    return frame.join(context_table(np.tile(context, (draws, 1)), facts.context_columns))


def _named(values: np.ndarray, facts: DataFacts) -> pd.DataFrame:
    return pd.DataFrame(values[:, : facts.dim], columns=list(facts.columns))


def _whole(frame: pd.DataFrame, facts: DataFacts) -> pd.DataFrame:
    """A table whose columns of integers are such."""
    whole = [
        name
        for name in facts.whole_columns
        if (frame[name] == frame[name].round()).all() and (frame[name].abs() < LARGEST).all()
    ]
    return frame.astype(dict.fromkeys(whole, np.int64))
