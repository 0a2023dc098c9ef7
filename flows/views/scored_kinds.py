"""The log-probability of every row of a file whose columns have kinds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from flows.views.known_files import load_known
from flows.views.models import write_table
from flows.views.scored import Scored, beside_mean, naming_no_settings
from jko.chain.chain import Chain
from jko.chain.kinds import log_probabilities
from jko.config import Config
from jko.core.errors import InputError
from jko.preparation.context import context_of, known_classes
from jko.preparation.facts import DataFacts
from jko.preparation.known_rows import Known, known_rows
from jko.preparation.table import Table

#: what figures are called by what the probability of a row is
WORDS = {"density": "log-density", "mass": "log-probability", "mixed": "log-probability"}


def score_kinds(
    config: Config, chain: Chain, facts: DataFacts, file: Path, output: Path, *, missing: str
) -> Scored:
    """Write the log-probability of every row of a file, in its order; given the context where there is one.

    Args:
        config: settings of the chain.
        chain: the chain.
        facts: of its data, with the kinds.
        file: rows in the columns of the chain's table.
        output: where one line for each row goes, empty where a row cannot be scored.
        missing: ``refuse`` for a file with cells that cannot be.

    Raises:
        InputError: the file is none that the chain can score, or no row of it can be.
    """
    schema = facts.kinds
    assert schema is not None
    whole = load_known(config.data, facts, file)
    with naming_no_settings():
        known = known_rows(whole, schema)
    if missing == "refuse":
        _refuse(known)
    table = _table(known)
    classes = known_classes(table, facts.context_columns)
    kept = np.flatnonzero(known.usable & classes)
    if not len(kept):
        first = known.why if known.strange.any() else "each has an empty cell or an infinite number"
        raise InputError(f"{file}: no row can be scored: {first}")
    table = Table(
        table.name, table.rows[kept], (), context=None if table.context is None else table.context[kept],
        context_columns=table.context_columns,
    )  # fmt: skip
    context = context_of(table, facts.context_columns)
    cells = {name: values[kept] for name, values in known.cells.items()}
    found = log_probabilities(chain, schema, cells, context, seed=config.seed)
    found = np.where(np.isfinite(found).all(axis=1, keepdims=True), found, np.nan)
    values = np.full((len(known.empty), 2), np.nan)
    values[kept] = found
    frame = pd.DataFrame({"log_density": values[:, 0]})
    if (found[:, 1] > 0).any():
        frame["log_density_se"] = values[:, 1]
    write_table(frame, output)
    left = {
        "with a missing cell": int(known.empty.sum()), "with an infinite number": int(known.infinite.sum()),
        "with a cell that is none of its kind": int(known.strange.sum()),
        "of an unknown class": int((known.usable & ~classes).sum()),
        "too far out for the model's numbers": int(np.isnan(found[:, 0]).sum()),
    }  # fmt: skip
    notes = (*known.whole.notes, *((known.why,) if known.strange.any() else ()))
    mean = float(frame["log_density"].mean())
    median, warning = beside_mean(-frame["log_density"].to_numpy())
    return Scored(len(frame), mean, left, notes, median, warning, WORDS.get(schema.meaning, "log-density"))


def _table(known: Known) -> Table:
    """The context of rows beside no columns."""
    whole = known.whole
    columns = whole.context_columns if whole.context is not None else ()
    return Table(
        whole.name, np.empty((len(known.empty), 0)), (), context=whole.context, context_columns=columns
    )


def _refuse(known: Known) -> None:
    """Refuse a file with a row that cannot be scored.

    Raises:
        InputError: there is one.
    """
    if known.strange.any():
        raise InputError(f"{known.whole.place}: {known.why}; leave --missing at drop")
    if known.empty.any():
        hole = known.hole or f"the context of data row {int(np.argmax(known.empty)) + 1} has an empty cell"
        raise InputError(f"{known.whole.place}: {hole}; leave --missing at drop")
    if known.infinite.any():
        row = int(np.argmax(known.infinite)) + 1
        raise InputError(
            f"{known.whole.place}: data row {row} has an infinite number; leave --missing at drop"
        )
