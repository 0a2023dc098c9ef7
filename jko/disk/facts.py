"""The facts of a chain's data beside their rows: JSON, and the numbers of the start map in safetensors."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from jko.core.errors import InputError
from jko.disk.commit import FACTS
from jko.disk.damage import checked_block
from jko.disk.layout import Layout
from jko.disk.sealed import write_json
from jko.disk.tensors import read_tensors, write_tensors
from jko.maps.start_kinds import start_map
from jko.maps.start_map import StartMap
from jko.preparation.facts import DataFacts

#: facts that are written only where there are some
SOMETIMES = ("atoms", "marks", "choices", "origins", "start_kind", "kinds", "dtypes")
#: beside the facts, the numbers of the start map
START = "start.safetensors"


def write_facts(folder: Path, facts: DataFacts) -> None:
    """Store the facts beside the arrays; those of a context, atoms and marks only where there are some."""
    if facts.start is not None:
        write_tensors(folder / START, facts.start.state_dict())
    values = asdict(replace(facts, start=None, kinds=None))
    values["kinds"] = None if facts.kinds is None else facts.kinds.plain()
    absent = {"start"} | {name for name in values if name.startswith("context") and not facts.context}
    absent |= {name for name in SOMETIMES if not values[name]}
    kept = {name: value for name, value in values.items() if name not in absent}
    write_json(folder / FACTS, kept)


def read_facts(layout: Layout, fingerprint: str) -> DataFacts:
    """The facts of a chain's data.

    Raises:
        InputError: the data are not committed, or the facts are not those that were.
    """
    folder = checked_block(layout, 0, fingerprint, FACTS)
    try:
        facts = TypeAdapter(DataFacts).validate_json((folder / FACTS).read_bytes(), strict=True)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"])) or "all of it"
        said = f"{problem['msg'][:1].lower()}{problem['msg'][1:]}"
        raise InputError(f"{folder / FACTS}: {where}: {said}") from None
    if len(facts.marks) not in (0, 2):
        raise InputError(f"{folder / FACTS}: marks: one before decimals and one between thousands are needed")
    grid = np.array(facts.grid)
    if grid.shape != (facts.dim,) or not (np.isfinite(grid) & (grid >= 0)).all():
        raise InputError(f"{folder / FACTS}: grid: a step of 0 or more is needed for each column")
    gridded = {name for name, step in zip(facts.columns, facts.grid, strict=True) if step > 0}
    if facts.origins.keys() - gridded or not np.isfinite(list(facts.origins.values())).all():
        raise InputError(f"{folder / FACTS}: origins: finite numbers of dequantised columns are needed")
    if facts.kinds is not None and facts.kinds.encoded_names != facts.columns:
        raise InputError(f"{folder / FACTS}: kinds: they are of other columns than the rows")
    columns = facts.dim + facts.context
    if not facts.row_shift.shape == facts.row_scale.shape == (columns,):
        raise InputError(f"{folder / FACTS}: {columns} columns need as many shifts and scales")
    finite = np.isfinite(facts.row_shift).all() and np.isfinite(facts.row_scale).all()
    if not (finite and all(facts.row_scale > 0)):
        raise InputError(f"{folder / FACTS}: shifts must be finite, and scales positive and finite")
    return replace(facts, start=_read_start(layout, fingerprint, facts))


def _read_start(layout: Layout, fingerprint: str, facts: DataFacts) -> StartMap | None:
    """The start map beside the facts.

    Raises:
        InputError: it is missing, damaged, or one of other columns.
    """
    if not facts.start_kind:
        return None
    folder = checked_block(layout, 0, fingerprint, START)
    made = start_map(facts.start_kind, read_tensors(folder / START))
    if made.dim != facts.dim:
        raise InputError(f"{folder / START}: a map of {made.dim} columns; the data have {facts.dim}")
    return made
