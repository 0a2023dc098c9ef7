"""The table of mixed tables: what is known of every model on every set, from its files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.mixed_models import MODELS
from benchmarks.mixed_rows import SETS
from benchmarks.page import EMPTY, markdown
from jko.certify.resolution import Bracket
from jko.core.records import Count, Figure, Number, Record
from jko.disk.sealed import read_json

#: at which the brackets of columns, of pairs and of whole rows are told, standard deviations
OF_COLUMNS, OF_PAIRS, OF_ROWS = 0.1, 0.2, 0.9


class Wrong(Record):
    """Columns, or pairs of columns, and how wrong the model is in them; nats.

    Args:
        resolution: of the two means.
        lower: mean of the brackets' lower figures, none below 0.
        upper: mean of their upper figures.
        least: mean of what the laws differ by at least, 95 % for all together.
        known: in how many that is above 0.
        of: how many there are.
        worst: names and what the laws differ by at least, the largest first.
    """

    resolution: Number
    lower: Number
    upper: Figure
    least: Number
    known: Count
    of: Count
    worst: tuple[tuple[str, Number], ...]


class Found(Record):
    """What is known of one model on one set.

    Args:
        columns: single columns.
        pairs: and pairs of them.
        rows: the bracket of whole rows at :data:`OF_ROWS`.
        auc: of the classifier test.
        auc_se: its standard error.
        train_s: CPU seconds of training.
        sample_s: and of sampling.
        train: rows.
        held_out: rows.
        samples: rows.
        note: what was not as the model's defaults are.
        faults: columns of the samples that are none of the table's.
    """

    columns: Wrong
    pairs: Wrong
    rows: Bracket
    auc: Number
    auc_se: Number
    train_s: Number
    sample_s: Number
    train: Count
    held_out: Count
    samples: Count
    note: str
    faults: tuple[str, ...]


def path_of(results: Path, name: str, method: str, seed: int, rows: int | None = None) -> Path:
    """Where the figures of a cell are kept."""
    few = "" if rows is None else f"-{rows}_rows"
    return results / f"mixed-{name}{few}-{method}-{seed}.json"


def known(results: Path, seed: int = 0) -> dict[tuple[str, str, int | None], Found]:
    """All figures that are kept, by set, model and rows, in the order of the table."""
    asked = [(of, one, rows) for of in SETS for rows in _rows_of(results, of, seed) for one in MODELS]
    stored = {(of, one, rows): read_json(path_of(results, of, one, seed, rows)) for of, one, rows in asked}
    return {key: Found.model_validate(record["found"]) for key, record in stored.items() if record}


def _rows_of(results: Path, name: str, seed: int) -> list[int | None]:
    """All rows, and the numbers of rows that models were given in place of them, the largest first."""
    paths = results.glob(f"mixed-{name}-*_rows-*-{seed}.json")
    few = {int(path.name.removeprefix(f"mixed-{name}-").split("_rows-")[0]) for path in paths}
    return [None, *sorted(few, reverse=True)]


def table(found: Mapping[tuple[str, str, int | None], Found]) -> str:
    """One row a set and model."""
    if not found:
        return EMPTY
    heading = (
        "set, model", "classifier's AUC", f"columns, s = {OF_COLUMNS:g}", "worst column", "wrong for sure",
        f"pairs, s = {OF_PAIRS:g}", "worst pair", "wrong for sure", f"rows, s = {OF_ROWS:g}",
        "CPU s, training", "sampling",
    )  # fmt: skip
    return markdown(heading, [line(*key, one) for key, one in found.items()])


def line(name: str, method: str, rows: int | None, found: Found) -> tuple[str, ...]:
    """The cells of a row; how many rows there were to train on where not all of them were given."""
    name += "" if rows is None else f", {rows} rows"
    label = f"**{MODELS[method].label}**" if MODELS[method].ours else MODELS[method].label
    return (
        f"{name}: {label}" + (f", {found.note}" if found.note else ""),
        f"{found.auc:.3f} ± {found.auc_se:.3f}",
        *_cells(found.columns),
        *_cells(found.pairs),
        f"{found.rows.at_least or 0:.3f} … {found.rows.at_most or 0:.3f}",
        f"{found.train_s:.3g}",
        f"{found.sample_s:.3g}",
    )


def _cells(of: Wrong) -> tuple[str, str, str]:
    worst = "{1:.3f} ({0})".format(*of.worst[0]) if of.worst else "0"
    upper = "∞" if of.upper is None else f"{of.upper:.3f}"
    return f"{of.lower:.3f} … {upper}", worst, f"{of.known} of {of.of}"


def told(name: str, method: str, rows: int | None, found: Found) -> Iterator[str]:
    """What the command prints of a cell."""
    few = "" if rows is None else f", {rows} rows"
    yield f"{name}{few}, {MODELS[method].label}: {', '.join(line(name, method, rows, found)[1:])}"
    yield f"  types, levels, grids and ends: {'; '.join(found.faults) or 'as in the training table'}"
