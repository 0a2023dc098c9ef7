"""All pictures of a table, data beside samples, and the lines of the table that stands below them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from jko.columns.cells import Cells, Frame, cells_of
from jko.columns.column import Column
from jko.columns.schema import Schema
from jko.core.rows import at_most
from jko.statistics.association import Association, mutual_information, rank_correlation
from tasks.report.table.heat import beyond, heat_map
from tasks.report.table.look import Look, Marks
from tasks.report.table.looks import look_of
from tasks.report.table.missing import Holes, empty_patterns, empty_shares, holes_of
from tasks.report.table.pair_plot import pair_plot
from tasks.report.table.panel import panel
from tasks.report.table.records import Line, Picture, TableSection

#: columns that have a picture of their own; columns whose pairs are looked at; rows that are looked at
MOST_PANELS, MOST_COLUMNS, MOST_ROWS = 24, 60, 50_000
#: columns from which their pairs are worth a map
FEWEST = 3


def table_pictures(schema: Schema, held_out: Frame, samples: Frame) -> list[Picture]:
    """All pictures of a table: see :func:`table_section`."""
    return list(table_section(schema, held_out, samples).pictures)


def table_section(
    schema: Schema,
    held_out: Frame,
    samples: Frame,
    *,
    called: str = "data",
    least: Mapping[str, float] | None = None,
) -> TableSection:
    """Pictures of data beside samples, column by column and pair by pair.

    Args:
        schema: kinds of the columns.
        held_out: rows of the data, empty cells allowed.
        samples: rows of a model, with the same columns.
        called: what the data are.
        least: nats by which the model is known to be wrong, by column or by ``column/part``; without it
            columns stand in the order of their total variation beyond chance.

    Raises:
        InputError: a column is missing, or a cell cannot be one of its kind.
    """
    names = [column.name for column in schema.kept]
    if not names:
        return TableSection((), (), ())
    data, drawn = (_some(cells_of(frame, names)) for frame in (held_out, samples))
    lines, looks = [], []
    for column in schema.kept:
        look = look_of(column, data[column.name], drawn[column.name])
        empty = _empty(data[column.name]), _empty(drawn[column.name])
        known = None if least is None else _least_of(column, least)
        lines.append(_line(column, look, known, empty))
        looks.append(look)
    order = sorted(range(len(lines)), key=lambda place: lines[place].rank)
    shown = [look for place in order if (look := looks[place]) is not None]
    pictures = [*_panels(shown, lines, called), *_pairs(shown, looks, called)]
    holes = holes_of(names, *(_holes(cells) for cells in (data, drawn)))
    if holes is not None:
        pictures += _empty_cells(holes, called)
    return TableSection(tuple(pictures), tuple(lines[place] for place in order), _notes(shown, data, drawn))


def _some(cells: Mapping[str, Cells]) -> dict[str, Cells]:
    """All rows, or a random sample of very many."""
    return {
        name: Cells(at_most(own.values, MOST_ROWS), at_most(own.present, MOST_ROWS), own.order)
        for name, own in cells.items()
    }


def _holes(cells: Mapping[str, Cells]) -> Marks:
    return np.column_stack([~own.present for own in cells.values()])


def _empty(cells: Cells) -> float:
    return float(1 - cells.present.mean()) if len(cells.present) else 0.0


def _least_of(column: Column, least: Mapping[str, float]) -> float:
    """Of the column, or the largest of the columns that it is encoded as."""
    own = [value for name, value in least.items() if name == column.name or name in column.encoded_names]
    return max(own, default=0.0)


def _line(column: Column, look: Look | None, least: float | None, empty: tuple[float, float]) -> Line:
    apart = None if look is None or not all(side.cells for side in look.sides) else look.apart
    return Line(
        name=column.name, kind=column.kind if look is None else look.kind, least=least, empty=empty,
        distance=None if apart is None else apart.distance, chance=None if apart is None else apart.chance,
    )  # fmt: skip


def _panels(shown: Sequence[Look], lines: Sequence[Line], called: str) -> list[Picture]:
    of_name = {line.name: line for line in lines}
    found = []
    for place, look in enumerate(shown[:MOST_PANELS], start=1):
        said = of_name[look.name].words
        alt = f"{look.name} ({look.kind}): {called} beside samples; {said}"
        found.append(Picture(f"column_{place}", look.name, alt, panel(look, called, said)))
    return found


def _pairs(shown: Sequence[Look], looks: Sequence[Look | None], called: str) -> list[Picture]:
    """The pair plot, and maps of what columns say about each other, in the order of the table."""
    chosen = {look.name for look in shown[:MOST_COLUMNS]}
    own = [look for look in looks if look is not None and look.name in chosen]
    if len(own) < 2:
        return []
    informed = _information(own)
    plot = pair_plot(own, informed[0], called)
    alt = (
        f"pairs of the columns that say most about each other: {called} below the diagonal, samples above it"
    )
    found = [Picture("pair_plot", "Pairs of columns", alt, plot)]
    if len(own) >= FEWEST:
        title, unit = "Mutual information, data − samples", "nats"
        found.append(_map("information", title, informed, [look.label for look in own], unit))
    ordered = [look for look in own if look.ordered]
    if len(ordered) >= FEWEST:
        ranked = _correlation(ordered)
        title, names = "Rank correlation, data − samples", [look.label for look in ordered]
        found.append(_map("correlations", title, ranked, names, "rank correlation"))
    return found


def _information(looks: Sequence[Look]) -> tuple[Association, Association]:
    coarse = [look.coarse() for look in looks]
    sizes = [one[2] for one in coarse]
    return mutual_information([one[0] for one in coarse], sizes), mutual_information(
        [one[1] for one in coarse], sizes
    )


def _correlation(looks: Sequence[Look]) -> tuple[Association, Association]:
    return rank_correlation([look.ranked(look.data) for look in looks]), rank_correlation(
        [look.ranked(look.samples) for look in looks]
    )


def _map(
    name: str, title: str, both: tuple[Association, Association], names: Sequence[str], unit: str
) -> Picture:
    difference = both[0].minus(both[1])
    clear, pairs = beyond(difference)
    alt = f"{title}: {clear} of {pairs} pairs differ by more than two standard errors"
    return Picture(name, title, alt, heat_map(difference, names, unit))


def _empty_cells(holes: Holes, called: str) -> list[Picture]:
    data, samples = holes.shares
    name = holes.names[0]
    most = f"{data[0]:.3g} % in {called} and {samples[0]:.3g} % in samples"
    alt = f"empty cells by column: most in {name}, {most}"
    found = [Picture("empty_cells", "Empty cells", alt, empty_shares(holes, called))]
    if len(holes.names) > 1:
        kinds, own, drawn = holes.patterns()
        alt = (
            f"the {len(kinds)} commonest patterns of empty cells: "
            f"{own.sum():.3g} % of {called} and {drawn.sum():.3g} % of samples"
        )
        title = "Which cells are empty together"
        found.append(Picture("empty_patterns", title, alt, empty_patterns(holes, called)))
    return found


def _notes(shown: Sequence[Look], data: Mapping[str, Cells], drawn: Mapping[str, Cells]) -> tuple[str, ...]:
    notes = []
    rows = [len(next(iter(cells.values())).values) if cells else 0 for cells in (data, drawn)]
    notes.append(f"{rows[0]:,} rows of the data and {rows[1]:,} samples.")
    if len(shown) > MOST_PANELS:
        notes.append(f"{MOST_PANELS} of {len(shown)} columns have a picture, the worst ones.")
    if len(shown) > MOST_COLUMNS:
        notes.append(f"Pairs are those of the {MOST_COLUMNS} worst columns.")
    return tuple(notes)
