"""A comparison as one page that needs nothing else, and as tables for other programs."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from jko.core.display import DASH, figure, finite, with_error
from jko.disk.durable import write_bytes, write_text
from tasks.adapters.system.output import csv_text
from tasks.compare import pictures
from tasks.compare.comparison import RULE, Comparison, paired_figures
from tasks.compare.gate import Outcome
from tasks.report.drawing import STYLE, data_uri, page, png

PAGE, CSV, PARQUET = "compare.html", "compare.csv", "compare.parquet"


def write_results(comparison: Comparison, outcomes: Sequence[Outcome], folder: Path) -> list[Path]:
    """Write the page and both tables into a folder; returns their paths, the page first."""
    table = comparison.long()
    stream = io.BytesIO()
    table.to_parquet(stream, index=False)
    write_text(folder / CSV, csv_text(table))
    write_bytes(folder / PARQUET, stream.getvalue())
    write_text(folder / PAGE, render(comparison, outcomes))
    return [folder / name for name in (PAGE, CSV, PARQUET)]


def render(comparison: Comparison, outcomes: Sequence[Outcome] = ()) -> str:
    """The page as HTML."""
    with matplotlib.rc_context(STYLE):
        samples, says = pictures.samples(comparison)
        images = {
            "curves": _uri(pictures.curves(comparison)),
            "resolution": _uri(pictures.resolution(comparison)),
            "differences": _uri(pictures.differences(comparison)),
            "samples": _uri(samples),
        }
    values = {
        "labels": comparison.labels,
        "colours": [pictures.colour(place) for place in range(len(comparison.labels))],
        "about": comparison.about,
        "settings": comparison.settings,
        "metrics": metric_rows(comparison),
        "pairs": comparison.pairs,
        "warnings": comparison.warnings,
        "rule": RULE,
        "outcomes": outcomes,
        "pictures": images,
        "samples_say": says,
    }
    return page("compare.html.j2", Path(__file__).parent, values)


@dataclass(frozen=True)
class MetricRow:
    """A figure as text.

    Args:
        name: of the figure.
        cells: a cell a run.
        changes: a difference a run but the baseline.
    """

    name: str
    cells: list[str]
    changes: list[str]


def metric_rows(comparison: Comparison) -> list[MetricRow]:
    """Headline figures as text."""
    paired = {pair.label: pair.paired for pair in comparison.pairs}
    rows = []
    for name in comparison.shown_names:
        changes = []
        for label, pair in paired.items():
            change = comparison.difference(label, name)
            own = paired_figures(pair) if pair is not None else {}
            if name in own:
                changes.append(with_error(*own[name], "+.4f", ".2g"))
            else:
                changes.append("" if change is None else figure(change, "+.4g"))
        cells = [cell(comparison, label, name) for label in comparison.labels]
        rows.append(MetricRow(name, cells, changes))
    return rows


def cell(comparison: Comparison, label: str, name: str) -> str:
    """A figure with its standard error, a dash where the run has none."""
    value, se = comparison.metric(label, name), comparison.metric(label, f"{name}_se")
    if value is None or not finite(value):
        return DASH
    if finite(se):
        return with_error(value, se, ".4f", ".2g")
    return figure(value, ".0f" if name == "steps" else ".4g")


def _uri(figure: Figure | None) -> str:
    return "" if figure is None else data_uri(png(figure))
