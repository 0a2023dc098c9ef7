"""The picture of a sweep: the figure compared against each varied setting."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tasks.adapters.system.output import write_whole
from tasks.report.drawing import DATA, GREY, MODEL, STYLE
from tasks.sweep.cells import Sweep
from tasks.sweep.results import Results, several_seeds

ACROSS = 3
#: figures whose paired differences are those of the NLL
PAIRED = ("test/nll", "test/gap_to_entropy")
#: values of a setting that span this factor are shown on a logarithmic axis
WIDE = 30.0
#: values of a setting are all named on its axis if they need no more letters
TICKS = 28
UNITS = {
    "test/nll": "test NLL, nats",
    "test/nll_median": "median of −log q on test rows, nats",
    "test/nll_trimmed": "trimmed mean of −log q on test rows, nats",
    "test/gap_to_entropy": "test NLL − entropy, nats",
    "epsilon": "ε of the last block",
    "kl_bound": "KL bound, nats",
    "kl_estimate": "KL bound as a critic estimates it, nats",
    "inversion_error_chain": "round trip, standardised units",
    "cpu_s": "CPU seconds",
}


def write_picture(sweep: Sweep, found: Results) -> Path:
    """Write ``sweep.png``."""
    path = sweep.folder / "sweep.png"
    with matplotlib.rc_context(STYLE):
        figure = sweep_figure(sweep, found)
        write_whole(path, lambda stream: figure.savefig(stream, format="png", metadata={"Software": None}))
    return path


def sweep_figure(sweep: Sweep, found: Results) -> Figure:
    """Small multiples, one panel a setting; the best combination is ringed in every one."""
    keys = sweep.keys or ("seed",)
    across = min(ACROSS, len(keys))
    down = -(-len(keys) // across)
    figure = Figure(figsize=(max(3.6 * across, 5.2), 3.1 * down + 0.5))
    first: Axes | None = None
    for place, key in enumerate(keys, start=1):
        axes = figure.add_subplot(down, across, place, sharey=first)
        first = first or axes
        Panel(axes, sweep, found, key).draw()
        axes.set_xlabel(key)
        if (place - 1) % across == 0:
            axes.set_ylabel(UNITS[sweep.by])
    if first is not None:
        handles, labels = first.get_legend_handles_labels()
        figure.legend(handles, labels, fontsize=8, ncols=2, loc="lower center", bbox_to_anchor=(0.5, -0.04))
    failed = sum(row["state"] == "failed" for row in found.cells)
    note = f", {failed} without a result (×)" if failed else ""
    figure.suptitle(f"sweep {sweep.name}: {len(found.cells)} cells{note}", fontweight="bold", fontsize=11)
    figure.tight_layout()
    return figure


class Panel:
    """The figure against one setting.

    Args:
        axes: where to draw.
        sweep: the sweep.
        found: its results.
        key: the setting, or ``seed``.
    """

    def __init__(self, axes: Axes, sweep: Sweep, found: Results, key: str) -> None:
        self.axes, self.sweep, self.found, self.key = axes, sweep, found, key
        values = [row[key] for row in found.cells]
        self.numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        self.names = list(dict.fromkeys(sorted(json.dumps(value) for value in values)))
        self.log = self.numeric and (key in sweep.logs or _wide(values))
        self.seeds = several_seeds(sweep) and key != "seed"

    def x(self, row: dict[str, Any]) -> float:
        """Where a row lies on the axis."""
        return row[self.key] if self.numeric else self.names.index(json.dumps(row[self.key]))

    def draw(self) -> None:
        """Combinations that differ in this setting alone are joined by a line."""
        by = self.sweep.by
        cells = [row for row in self.found.cells if row[by] is not None and row["state"] == "complete"]
        middle = f"{by}_mean" if self.seeds else by
        rows = self.found.settings if self.seeds else cells
        for line in self._lines(rows):
            self.axes.plot([self.x(row) for row in line], [row[middle] for row in line], color=GREY, lw=0.8)
        if self.seeds:
            self.axes.scatter(
                [self.x(row) for row in cells], [row[by] for row in cells], s=12, color=DATA, alpha=0.6,
                linewidths=0,
            )  # fmt: skip
        error, said = self._error(rows)
        self.axes.errorbar(
            [self.x(row) for row in rows], [row[middle] for row in rows],
            yerr=[row.get(error) or 0.0 for row in rows], fmt="o", ms=4.5, color=DATA, capsize=3, lw=1,
            label=said,
        )  # fmt: skip
        if rows:
            self.axes.plot(
                self.x(rows[0]), rows[0][middle], "o", ms=11, mfc="none", mec=MODEL, mew=1.8, label="best"
            )
        self._failures()
        self._scale()

    def _error(self, rows: Sequence[dict[str, Any]]) -> tuple[str, str]:
        """The column of the error bars, and what they are.

        What the test rows contribute to all cells alike is left out where all saw the same rows.
        """
        by = self.sweep.by
        if self.seeds:
            return f"{by}_sd", "mean ± SD over seeds"
        if by in PAIRED and len(rows) > 1 and all(row["difference_se"] is not None for row in rows[1:]):
            return "difference_se", "± 1 SE of the difference to the best, on the same test rows"
        if any(row.get(f"{by}_se") is not None for row in rows):
            return f"{by}_se", "± 1 SE over test rows"
        return "", "one cell"

    def _lines(self, rows: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
        """Rows with the same other settings, in the order of this one."""
        others = [key for key in (*self.sweep.keys, "seed") if key != self.key]
        groups: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            groups.setdefault(json.dumps([row.get(key) for key in others]), []).append(row)
        return [sorted(group, key=self.x) for group in groups.values() if len(group) > 1]

    def _failures(self) -> None:
        failed = [row for row in self.found.cells if row["state"] == "failed"]
        if not failed:  # an empty line would spoil the layout
            return
        self.axes.plot(
            [self.x(row) for row in failed], [0.97] * len(failed), "x", color=MODEL, ms=6, mew=1.6,
            transform=self.axes.get_xaxis_transform(), clip_on=False,
        )  # fmt: skip

    def _scale(self) -> None:
        if self.log:
            self.axes.set_xscale("log")
        if self.numeric:
            values = sorted({row[self.key] for row in self.found.cells})
            words = [f"{value:g}" for value in values]
            if self.key not in self.sweep.logs and len("".join(words)) <= TICKS:
                self.axes.set_xticks(values, words)
                self.axes.minorticks_off()
            return
        self.axes.set_xticks(range(len(self.names)), [name.replace('"', "") for name in self.names])
        self.axes.set_xlim(-0.5, len(self.names) - 0.5)
        if max(map(len, self.names)) * len(self.names) > 40:
            self.axes.tick_params(axis="x", labelrotation=20)


def _wide(values: Sequence[float]) -> bool:
    return bool(values) and min(values) > 0 and max(values) / min(values) >= WIDE
