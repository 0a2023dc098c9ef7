"""Tracked runs and comparisons for people, in the terminal."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.table import Table

from jko.core.display import bound_text, figure, with_error
from tasks.adapters.system.screen import Screen, screen
from tasks.compare.comparison import CURVES, RULE, Comparison
from tasks.compare.page import metric_rows

#: what a cell of a table holds
Cell = str | float | None
#: columns of the runs
HEADINGS = (
    "run", "name", "tags", "data", "status", "blocks", "test NLL", "gap", "ε", "KL ≤", "seed", "time",
    "started",
)  # fmt: skip
RIGHT = ("test NLL", "gap", "ε", "KL ≤", "seed", "time")
#: what a narrow terminal does without, the first first
DROPPED = ("ε", "KL ≤", "gap", "seed", "time", "blocks", "data", "started")
WIDE = 180


def terminal() -> Screen:
    """Standard output; wide where it is no terminal, so that nothing is cut in files and pipes."""
    return screen(width=WIDE)


def show_runs(frame: pd.DataFrame, *, ranked: bool) -> None:
    """Print the runs; the best of each data version has a star.

    Args:
        frame: of :func:`flows.views.runs.runs_table`.
        ranked: whether the order is by NLL within data versions.
    """
    console, left_out = terminal(), []
    table = _runs_table(frame, HEADINGS, ranked)
    for name in DROPPED:
        if Screen(width=10 * WIDE, markup=False).measure(table).maximum <= console.width:
            break
        left_out.append(name)
        table = _runs_table(frame, [one for one in HEADINGS if one not in left_out], ranked)
    console.print(table)
    if frame.best.any():
        versions = frame[frame.data_version != ""].data_version.nunique()
        other = "; NLLs of different data versions cannot be compared" if versions > 1 else ""
        console.print(f"★ smallest test NLL of all runs on the same data version{other}", soft_wrap=True)
    if left_out:
        console.print(f"not shown for want of width: {', '.join(left_out)} (--json has all)", soft_wrap=True)


def _runs_table(frame: pd.DataFrame, headings: Sequence[str], ranked: bool) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in headings:
        table.add_column(name, justify="right" if name in RIGHT else "left", no_wrap=True)
    before = None
    for row in frame.to_dict("records"):
        if ranked and before not in (None, row["data_version"]):
            table.add_section()
        before = row["data_version"]
        star, folder = " ★" if row["best"] else "  ", row["chain"].rpartition("/")[2]
        cells = {
            "run": row["id"], "tags": ", ".join(row["tags"]),
            "name": row["preset"] + (f" · {folder}" if folder and folder != row["preset"] else ""),
            "data": f"{row['data']} {row['data_version'][:6]}".strip(), "status": row["status"],
            "blocks": row["blocks"], "test NLL": _with_error(row, "test/nll") + star,
            "gap": _with_error(row, "test/gap_to_entropy"), "ε": _short(row["step/epsilon"]),
            "KL ≤": bound_text(row["chain/kl_bound"], row["chain/kl_estimate"]), "seed": row["seed"],
            "time": _duration(row["time/wall_s"]), "started": f"{row['started']:%Y-%m-%d %H:%M}",
        }  # fmt: skip
        table.add_row(*(cells[name] for name in headings))
    return table


def show_comparison(comparison: Comparison) -> None:
    """Print a comparison: what differs, figures side by side, figures by block, verdicts."""
    console = terminal()
    labels = comparison.labels
    console.print(_table("what they are", labels, [(name, *row) for name, row in _rows(comparison.about)]))
    if comparison.settings.empty:
        console.print("no setting differs\n")
    else:
        rows = [(name, *row) for name, row in _rows(comparison.settings)]
        console.print(_table("settings that differ", labels, rows))
    changes = ["difference"] if len(labels) == 2 else [f"{label} − {labels[0]}" for label in labels[1:]]
    figures = [(row.name, *row.cells, *row.changes) for row in metric_rows(comparison)]
    console.print(_table("figures (± one SE)", [*labels, *changes], figures, right=True))
    rows = []
    for name, (title, unit) in CURVES.items():
        own = comparison.steps[comparison.steps.name == name]
        wide = own.pivot(index="step", columns="run", values="value").reindex(columns=labels)
        heading = f"{title}, {unit}" if unit else title
        rows += [
            ("" if i else heading, str(step), *map(_short, values))
            for i, (step, values) in enumerate(_rows(wide))
        ]
    if rows:
        console.print(_table("block by block", ["k", *labels], rows, right=True))
    for pair in comparison.pairs:
        console.print(pair.says, soft_wrap=True)
    for said in comparison.warnings:
        console.print(said, soft_wrap=True)
    console.print(f"rule: {RULE}", soft_wrap=True)


def _rows(frame: pd.DataFrame) -> list[tuple[str, list[Cell]]]:
    return [
        (str(name), list(row)) for name, row in zip(frame.index, frame.itertuples(index=False), strict=True)
    ]


def _table(title: str, columns: list[str], rows: Sequence[Sequence[Cell]], *, right: bool = False) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right" if right else "left")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    return table


def _with_error(row: Mapping[Hashable, float], name: str) -> str:
    value, se = row[name], row[f"{name}_se"]
    return with_error(value, se)


def _short(value: Cell) -> str:
    return figure(value if isinstance(value, float) else None)


def _duration(seconds: float) -> str:
    if pd.isna(seconds):
        return "–"
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
