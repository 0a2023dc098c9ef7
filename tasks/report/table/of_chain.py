"""The table of a chain: its schema, or plain kinds where it has none, with test rows and samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from jko.columns.atoms import Atoms
from jko.columns.column import Column, Values
from jko.columns.discrete import Gridded, Integer
from jko.columns.levels import Categorical
from jko.columns.real import Continuous
from jko.columns.schema import Schema, schema_of
from jko.preparation.context import CLASS, by_class
from jko.preparation.facts import DataFacts
from jko.preparation.grid import atoms
from tasks.report.content import MOST_ROWS, Array, Content
from tasks.report.table.records import TableSection
from tasks.report.table.section import table_section


def section_of(content: Content) -> TableSection | None:
    """The pictures of a chain's columns; ``None`` where these are pixels, and without rows."""
    if content.facts.image_shape is not None or not len(content.data) or not len(content.generated):
        return None
    schema, rows, samples = table_of(content)
    chain = content.certificate.chain
    least = {one.columns[0]: one.least for one in chain.columns} if chain.columns else None
    section = table_section(schema, rows, samples, called=content.shown_as, least=least)
    if content.plane and content.contexts is None:  # the one pair is drawn already
        section = replace(section, pictures=tuple(one for one in section.pictures if one.name != "pair_plot"))
    return section


def table_of(content: Content) -> tuple[Schema, Mapping[str, Values], Mapping[str, Values]]:
    """The schema of a chain, test rows and samples; the context stands behind the other columns.

    Without kinds, columns are numbers, on their grids.
    """
    facts, kinds = content.facts, content.kinds
    parts = test_rows(content), content.generated
    if kinds is not None:
        schema: list[Column] = [*kinds.kept]
        frames = [dict(kinds.decode(own)) for own in parts]
    else:
        every = facts.on_grid(content.data).T
        schema = [_kind(facts, place, own) for place, own in enumerate(every)]
        frames = [dict(zip(facts.columns, facts.on_grid(own).T, strict=True)) for own in parts]
    if content.contexts is not None:
        given = content.contexts[0][: len(parts[0])], content.contexts[1]
        columns, more = _context(facts.context_columns, [column.name for column in schema], given)
        schema += columns
        frames = [{**frame, **part} for frame, part in zip(frames, more, strict=True)]
    return schema_of(schema), frames[0], frames[1]


def test_rows(content: Content) -> Array:
    """The rows that chose nothing; draws of the target where a chain leads to one."""
    count = min(content.facts.rows.get("test", 0), MOST_ROWS)
    return content.data[:count] if count and content.config.target.standard else content.data


def _kind(facts: DataFacts, place: int, cells: Array) -> Column:
    """On a grid where all rows lie on one, with atoms where the facts know of such, else continuous."""
    name, step = facts.columns[place], facts.grid[place]
    if name in facts.origins:
        origin = facts.origins[name]
        if step == 1 and float(origin).is_integer():
            return Integer(name=name, dtype="float64")
        return Gridded(name=name, origin=origin, step=step)
    plain = Continuous(name=name)
    known = [value for value, _ in atoms(cells)] if name in facts.atoms else []
    return Atoms(name=name, atoms=tuple(known), value=plain) if known else plain


def _context(
    names: Sequence[str], taken: Sequence[str], given: tuple[Array, Array]
) -> tuple[list[Column], list[dict[str, Values]]]:
    """Columns of the context; classes are one of levels."""
    if not by_class(names):
        columns: list[Column] = [Continuous(name=name) for name in names]
        return columns, [dict(zip(names, own.T, strict=True)) for own in given]
    levels = np.array([name.partition("=")[2] for name in names], dtype=object)
    name = CLASS if CLASS not in taken else f"{CLASS} (given)"
    found = [{name: levels[own.argmax(axis=1)]} for own in given]
    if len(levels) < 2:
        return [], [{}, {}]
    return [Categorical(name=name, levels=tuple(levels.tolist()))], list(found)
