"""Files of rows for a chain whose columns have kinds: by the names of their columns, or by their places."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from flows.views.scored import file_settings, naming_no_settings
from jko.config.data_section import Data
from jko.core.errors import InputError
from jko.preparation.context import asked_columns
from jko.preparation.facts import DataFacts
from jko.preparation.names import listed, shown
from jko.preparation.table import Marks
from jko.preparation.whole import Whole
from tasks.datasets.kinds import has_names
from tasks.datasets.whole import load_whole


def load_known(data: Data, facts: DataFacts, file: Path) -> Whole:
    """The table of a file with the columns of a chain, read as its training file was.

    Args:
        data: of the chain's settings.
        facts: of its data, with the kinds.
        file: the file; the columns of an array have no names, and go by their places.

    Raises:
        InputError: the file is none that the chain can take.
    """
    settings, marks = file_settings(data, facts, file), Marks(*facts.marks) if facts.marks else None
    with naming_no_settings():
        if has_names(file):
            return load_whole(settings, marks)
        return _by_place(load_whole(settings.model_copy(update={"context": None}), marks), facts)


def _by_place(whole: Whole, facts: DataFacts) -> Whole:
    """An array with the names of a chain's columns, those of its context being the last.

    Raises:
        InputError: it has another number of columns than the samples of the chain, and than its table.
    """
    context = asked_columns(facts.context_columns)
    table = facts.names if facts.kinds is None else tuple(own.name for own in facts.kinds.columns)
    for names in (facts.names, table):
        if len(names) + len(context) == len(whole.cells):
            cells = dict(zip((*names, *context), whole.cells.values(), strict=True))
            return replace(whole, cells=cells, context_columns=context)
    wanted = [shown(name) for name in (*facts.names, *context)]
    raise InputError(
        f"{whole.place}: {len(whole.cells)} columns without names; the chain has {len(wanted)} "
        f"({listed(wanted)}), in this order"
    )
