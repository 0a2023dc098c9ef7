"""What a sweep found: a row for each cell, one for each combination over its seeds, paired differences."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from jko.certify.records import Certificate
from jko.disk.commit import read_commit
from jko.disk.damage import damaged_in
from jko.disk.durable import write_text
from jko.disk.identity import certificate_fingerprint
from jko.disk.layout import Layout, name_of
from jko.disk.manifest import known_fingerprints
from jko.disk.sealed import read_model, read_sealed
from jko.statistics.paired import paired_difference
from tasks.adapters.store.chain_store import ChainStore, chain_digest
from tasks.adapters.store.evaluated import FIGURES, TEST_ROWS, EvaluationFigures
from tasks.adapters.store.partial import taken_from
from tasks.adapters.store.plan import stored_figures
from tasks.adapters.system.events import read_events
from tasks.adapters.system.output import csv_text, write_whole
from tasks.headline import nll_warning, stored_evaluation, stored_headline
from tasks.sweep.cells import Cell, Sweep

if TYPE_CHECKING:
    import pandas as pd

HEADLINE = (
    "test/nll", "test/nll_se", "test/nll_median", "test/nll_trimmed", "test/nll_worst_share",
    "test/gap_to_entropy", "test/gap_to_entropy_se", "inversion_error_chain",
)  # fmt: skip


@dataclass(frozen=True)
class Results:
    """The tables of a sweep.

    Args:
        cells: a row for each cell, the best first by the sweep's figure, cells without it last.
        settings: a row for each combination, over its seeds, the best first.
        best: the first cell of the best combination; ``None`` if no cell has the figure.
    """

    cells: list[dict[str, Any]]
    settings: list[dict[str, Any]]
    best: str | None


def results(sweep: Sweep, states: Mapping[str, tuple[str, str]]) -> Results:
    """Gather what the cells' files say.

    Args:
        sweep: the sweep.
        states: of every cell, ``complete``, ``failed`` or ``unfinished``, and why.
    """
    rows = {cell.name: row_of(sweep, cell, *states[cell.name]) for cell in sweep.cells}
    settings = over_seeds(sweep, list(rows.values()))
    if settings:
        add_differences(sweep, rows, settings)
    ordered = sorted(rows.values(), key=lambda row: _order(row, sweep.by))
    first = [row["cell"] for row in ordered if settings and row["cell"] in settings[0]["cells"]]
    return Results(ordered, settings, first[0] if first else None)


def row_of(sweep: Sweep, cell: Cell, state: str, why: str) -> dict[str, Any]:
    """One cell's row; figures only of a complete cell."""
    layout = sweep.layout(cell.name)
    figures = figures_of(cell, layout) if state == "complete" else {}
    chain = known_fingerprints(layout)
    blocks = [
        name_of(k, fingerprint)
        for k, fingerprint in enumerate(chain)
        if k and read_commit(layout.block(k, fingerprint)) is not None
    ]
    taken = taken_from(layout)
    return {
        "cell": cell.name,
        **sweep.varied(cell),
        "seed": cell.config.seed,
        **{name: figures.get(name) for name in (*HEADLINE, "epsilon", "kl_bound", "kl_estimate")},
        "blocks": len(blocks),
        "trained": sum(name not in taken for name in blocks),
        "taken": sum(name in taken for name in blocks),
        "cpu_s": cpu_seconds(layout),
        "state": state,
        "why": why,
        "difference": None,
        "difference_se": None,
        "verdict": "",
        "warning": nll_warning(stored_evaluation(ChainStore(cell.config, layout, chain))) if figures else "",
        "digest": chain_digest(layout, chain) if figures else None,
        "chain": str(layout.chain),
    }


def figures_of(cell: Cell, layout: Layout) -> dict[str, float | None]:
    """The figures of a complete chain by which cells are compared."""
    chain = known_fingerprints(layout)
    digest = chain_digest(layout, chain) or ""
    last = stored_figures(ChainStore(cell.config, layout, chain), len(chain) - 1) if chain else None
    certificate = read_sealed(layout.certificate, Certificate, certificate_fingerprint(cell.config, digest))
    return {
        **(stored_headline(ChainStore(cell.config, layout, chain)) or {}),
        "epsilon": None if last is None else last.best_epsilon,
        **({} if certificate is None else certificate.chain.best_named),
        "cpu_s": cpu_seconds(layout),
    }


def cpu_seconds(layout: Layout) -> float:
    """CPU time of all steps made in this chain; taken blocks cost where they were trained."""
    return round(sum(event.cpu_s for event in read_events(layout.run / "events.jsonl")), 3)


def over_seeds(sweep: Sweep, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Mean and standard deviation over the seeds of every combination that has a complete cell.

    The best combination is first: of those with most complete seeds the one with the least mean. Of the NLL
    that is the mean over rows, too, and rightly: a row that explodes only counts against its cell, so the
    best one has none among its test rows, and a cell that has one is told (``warning``).
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row[sweep.by] is not None and row["state"] == "complete":
            groups.setdefault(combination(sweep, row), []).append(row)
    found = [
        {
            **{key: own[0][key] for key in sweep.keys},
            "seeds": len(own),
            **_mean_and_sd(sweep.by, [row[sweep.by] for row in own]),
            "cells": [row["cell"] for row in own],
        }
        for own in groups.values()
    ]
    return sorted(found, key=lambda own: (-own["seeds"], own[f"{sweep.by}_mean"]))


def combination(sweep: Sweep, row: Mapping[str, JsonValue]) -> str:
    """The varied settings of a row, the seed left out."""
    return json.dumps([row[key] for key in sweep.keys])


def add_differences(
    sweep: Sweep, rows: Mapping[str, dict[str, Any]], settings: Sequence[dict[str, Any]]
) -> None:
    """Fill in NLL(cell) − NLL(best combination, same seed), paired where both saw the same test rows."""
    best = {rows[name]["seed"]: name for name in settings[0]["cells"]}
    for own in settings:
        values = []
        for name in own["cells"]:
            base = best.get(rows[name]["seed"])
            pair = base and base != name and same_rows(sweep.layout(base), sweep.layout(name))
            if not pair:
                continue
            try:
                found = paired_difference(pair[0].log_density.to_numpy(), pair[1].log_density.to_numpy())
            except ValueError:
                continue  # a row has no finite log-density
            values.append(found.difference)
            rows[name] |= {
                "difference": found.difference, "difference_se": found.se, "verdict": found.verdict,
            }  # fmt: skip
        own.update(_mean_and_sd("difference", values) if values else {})


def same_rows(one: Layout, other: Layout) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """The log-densities of two chains, if they were evaluated on the very same test rows."""
    import pandas as pd

    folders = [layout.evaluation for layout in (one, other)]
    if not all(folder.is_dir() and not any(damaged_in(folder)) for folder in folders):
        return None
    figures = [read_model(folder / FIGURES, EvaluationFigures) for folder in folders]
    digests = [None if own is None else own.test_digest for own in figures]
    if not digests[0] or digests[0] != digests[1]:
        return None
    paths = [folder / TEST_ROWS for folder in folders]
    first, second = (pd.read_parquet(path, columns=["row", "log_density"]) for path in paths)
    return (first, second) if first.row.equals(second.row) else None


def write_tables(sweep: Sweep, found: Results) -> list[Path]:
    """Write ``table.csv`` and ``table.parquet``, and ``settings.csv`` where there are several seeds."""
    import pandas as pd

    frame = pd.DataFrame([{key: _plain(value) for key, value in row.items()} for row in found.cells])
    paths = [sweep.folder / "table.csv", sweep.folder / "table.parquet"]
    write_text(paths[0], csv_text(frame))
    write_whole(paths[1], lambda stream: frame.to_parquet(stream, index=False))
    if several_seeds(sweep):
        over = [{key: _plain(value) for key, value in row.items()} for row in found.settings]
        paths.append(sweep.folder / "settings.csv")
        write_text(paths[2], csv_text(pd.DataFrame(over)))
    return paths


def several_seeds(sweep: Sweep) -> bool:
    """Whether the sweep varies the seed."""
    return len({cell.config.seed for cell in sweep.cells}) > 1


def _mean_and_sd(name: str, values: Sequence[float]) -> dict[str, float | None]:
    sd = statistics.stdev(values) if len(values) > 1 else None
    return {f"{name}_mean": statistics.fmean(values), f"{name}_sd": sd}


def _order(row: Mapping[str, Any], by: str) -> tuple[bool, bool, float]:
    return row["state"] != "complete", row[by] is None, row[by] or 0.0


def _plain(value: JsonValue) -> JsonValue:
    """A value that a column of a table can hold."""
    return json.dumps(value) if isinstance(value, list | dict) else value
