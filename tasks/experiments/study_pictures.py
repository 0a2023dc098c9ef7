"""The pictures of the study, from its tables alone."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from jko.certify.evidence import MARGIN
from jko.certify.guarantee import CERTIFICATES
from jko.disk.durable import write_text
from tasks.adapters.system.output import csv_text, write_whole
from tasks.experiments.study_bracket_picture import brackets_figure
from tasks.experiments.study_tables import SMALLEST_KL, WAYS
from tasks.report.drawing import ACCENT, DATA, GREY, MODEL, STYLE

AMBER, BLACK = "#c98b1d", "#222222"
LABELS = dict(zip(CERTIFICATES, ("(A′)", "(B′)", "(C)", "HWI", "propagated", "triangle"), strict=True))
TARGETS = {"gaussian": DATA, "mixture": ACCENT, "moons": AMBER}


def write_results(folder: Path, scaling: pd.DataFrame, rows: pd.DataFrame, apart: pd.DataFrame) -> list[Path]:
    """Write ``study.csv``, ``scaling.csv``, ``brackets.csv`` and the pictures; equal tables make equal bytes.

    Args:
        folder: an existing folder.
        scaling: of :func:`tasks.experiments.study_scaling.scaling_table`.
        rows: of :func:`tasks.experiments.study_tables.table`.
        apart: of :func:`tasks.experiments.study_tables.brackets`.

    Returns:
        Their paths.
    """
    tables = {"study.csv": rows, "scaling.csv": scaling, "brackets.csv": apart}
    for name, values in tables.items():
        write_text(folder / name, csv_text(values, float_format="%.6g"))
    with matplotlib.rc_context(STYLE):
        figures = {
            "scaling.png": scaling_figure(scaling),
            "looseness.png": looseness_figure(rows),
            "certificates.png": certificates_figure(rows),
            "brackets.png": brackets_figure(apart, rows),
        }
        for name, figure in figures.items():
            write_whole(folder / name, partial(figure.savefig, format="png", metadata={"Software": None}))
    return [folder / name for name in (*tables, *figures)]


def scaling_figure(scaling: pd.DataFrame) -> Figure:
    """N against 1/ε, one panel a γ, and the KL reached against ε²."""
    groups = [(gamma, scaling[scaling.step_size == gamma]) for gamma in sorted(set(scaling.step_size))]
    figure = Figure(figsize=(9.5, 7.0) if len(groups) > 1 else (9.5, 3.7))
    down = -(-(len(groups) + 1) // 2)
    for place, (gamma, own) in enumerate(groups, start=1):
        axes = figure.add_subplot(down, 2, place)
        _steps(axes, own)
        axes.set(title=f"steps needed, γ = {gamma:g}", xlabel="1/ε", ylabel="N")
        axes.set_ylim(bottom=0)
    _kl_reached(figure.add_subplot(down, 2, len(groups) + 1), groups)
    figure.tight_layout()
    return figure


def _steps(axes: Axes, own: pd.DataFrame) -> None:
    """What (A) and (B) ask for and what is needed; in the legend the steps that a tenfold 1/ε costs."""
    decades = float(np.log10(own.epsilon.max() / own.epsilon.min()))
    for name, colour, style, marker, label in (
        ("steps_a", GREY, ":", "", "(A) asks for"),
        ("steps_b", AMBER, "--", "", "(B) asks for"),
        ("steps_2", MODEL, "-", "o", "true: first n with W2 ≤ 2ε"),
    ):
        by_epsilon = own.set_index("epsilon")[name]
        slope = (by_epsilon[own.epsilon.min()] - by_epsilon[own.epsilon.max()]) / decades
        axes.plot(1 / own.epsilon, own[name], color=colour, ls=style, marker=marker, ms=4,
                  label=f"{label}, {slope:.3g} a decade")  # fmt: skip
    axes.set_xscale("log")
    axes.legend(loc="upper left", fontsize=8)


def _kl_reached(axes: Axes, groups: list[tuple[float, pd.DataFrame]]) -> None:
    for colour, (gamma, own) in zip((DATA, ACCENT, MODEL), groups, strict=False):
        axes.plot(own.epsilon**2, own.kl_bound, color=colour, ls=":", lw=1.8)
        axes.plot(
            own.epsilon**2, own.kl_reached, color=colour, marker="o", ms=4, lw=1.2, label=f"γ = {gamma:g}"
        )
    axes.plot([], [], color=GREY, ls=":", lw=1.8, label="the theorem's bound")
    axes.set(xscale="log", yscale="log", xlabel="ε²", ylabel="nats")
    axes.set_title("KL one step after W2 ≤ √5 ε")
    axes.legend(fontsize=8)


def looseness_figure(rows: pd.DataFrame) -> Figure:
    """Every certificate over the measured KL, the exact score's and the critic's apart."""
    figure = Figure(figsize=(11.5, 5.2))
    shown = rows[rows.kl > SMALLEST_KL]
    ratios = (shown.unguarded / shown.kl).astype(float)
    limits = 0.5 * min(1.0, float(ratios.min())), 2 * float(ratios.max())
    for place, way in enumerate(WAYS, start=1):
        axes = figure.add_subplot(1, 2, place)
        for i, name in enumerate(CERTIFICATES):
            chosen = (rows.score == way) & (rows.certificate == name)
            _strip(axes, i, shown[chosen])
            _counts(axes, i, rows[chosen])
        axes.axhline(1, color=BLACK, lw=1)
        axes.set_xticks(range(len(CERTIFICATES)), list(LABELS.values()))
        axes.set(yscale="log", title=way, xlim=(-0.6, len(CERTIFICATES) - 0.4), ylim=limits)
        axes.set_ylabel("certificate / measured KL")
        axes.grid(visible=False, axis="x")
    axes.legend(handles=_looseness_legend(), fontsize=8, loc="upper right")
    figure.tight_layout()
    return figure


def _strip(axes: Axes, place: int, own: pd.DataFrame) -> None:
    """One certificate: points spread by rank, the median, the violations, and what was withdrawn."""
    places = place + 0.6 * ((np.arange(len(own)) * 0.618034) % 1 - 0.5)
    colours = own.target.map(TARGETS).to_numpy()
    held = own.looseness.notna().to_numpy()
    axes.scatter(places[held], own.looseness[held], s=12, alpha=0.7, linewidths=0, c=colours[held])
    withdrawn = (own.status == "withdrawn").to_numpy()
    axes.scatter(
        places[withdrawn], (own.unguarded / own.kl)[withdrawn], s=11, facecolors="none",
        edgecolors=colours[withdrawn].tolist(), linewidths=0.6, alpha=0.7,
    )  # fmt: skip
    wrong = held & (own.status == "violated").to_numpy()
    axes.scatter(places[wrong], own.looseness[wrong], s=45, marker="x", color=MODEL, lw=1.6, zorder=4)
    if held.any():
        median = own.looseness.median()
        axes.hlines(median, place - 0.4, place + 0.4, color=BLACK, lw=2, zorder=3)
        axes.annotate(
            f"{median:.3g}", (place, median), (0, 3), textcoords="offset points", fontsize=9, ha="center",
            fontweight="bold", path_effects=[withStroke(linewidth=3, foreground="white")], zorder=5,
        )  # fmt: skip


def _counts(axes: Axes, place: int, own: pd.DataFrame) -> None:
    """What did not hold, in words under the axis."""
    counts = own.status.value_counts()
    words = {"violated": "violated", "withdrawn": "withdrawn", "not applicable": "n/a"}
    text = "\n".join(f"{counts[name]} {word}" for name, word in words.items() if counts.get(name, 0))
    axes.annotate(
        text, (place, 0), xycoords=("data", "axes fraction"), xytext=(0, -18), textcoords="offset points",
        ha="center", va="top", fontsize=7.5, color=MODEL,
    )  # fmt: skip


def _looseness_legend() -> list[Line2D]:
    dots = [
        Line2D([], [], color=colour, marker="o", ms=4, ls="", label=name) for name, colour in TARGETS.items()
    ]
    return [
        *dots,
        Line2D([], [], color=GREY, marker="o", ms=4, mfc="none", ls="", label="withdrawn by a guard"),
        Line2D([], [], color=MODEL, marker="x", ms=6, mew=1.6, ls="", label="violated: below KL − 2 SE"),
        Line2D([], [], color=BLACK, lw=2, label="median of those that stand"),
    ]


def certificates_figure(rows: pd.DataFrame) -> Figure:
    """Measured KL and certificates by the exact score against the block, one panel a chain."""
    efforts = list(dict.fromkeys(rows.effort))
    gammas = sorted(set(rows.step_size))
    columns = [(gamma, effort) for gamma in gammas for effort in efforts]
    targets = list(dict.fromkeys(rows.target))
    figure = Figure(figsize=(2.75 * len(columns), 2.5 * len(targets) + 0.5))
    axes = figure.subplots(len(targets), len(columns), sharex=True, sharey=True, squeeze=False)
    chains = rows.set_index(["target", "step_size", "effort"]).sort_index()
    for i, target in enumerate(targets):
        for j, column in enumerate(columns):
            if (target, *column) in chains.index:
                _panel(axes[i, j], chains.loc[[(target, *column)]])
            axes[i, j].set_title(f"{target}, γ = {column[0]:g}, {column[1]}", fontsize=9)
    for panel in axes[-1]:
        panel.set_xlabel("block k")
    for panel in axes[:, 0]:
        panel.set_ylabel("nats")
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.tight_layout(rect=(0, 0, 1, 0.965))
    figure.legend(handles, names, loc="upper center", ncols=len(names), fontsize=9)
    return figure


def _panel(axes: Axes, own: pd.DataFrame) -> None:
    exact, critic = (own[own.score == way] for way in WAYS)
    for name, colour, style in (
        ("certificate_a", GREY, ":"),
        ("certificate_b", AMBER, "--"),
        ("certificate_c", DATA, "-"),
        ("certificate_c_propagated", ACCENT, "-"),
    ):
        line = exact[exact.certificate == name]
        axes.plot(line.block, line.bound.astype(float), color=colour, ls=style, marker="o", ms=2.5,
                  label=LABELS[name])  # fmt: skip
    line = critic[critic.certificate == "certificate_c"]
    axes.plot(line.block, line.unguarded.astype(float), color=DATA, ls=":", lw=1.2, label="(C) by the critic")
    withdrawn = line[line.status == "withdrawn"]
    axes.plot(withdrawn.block, withdrawn.unguarded.astype(float), color=DATA, ls="", marker="x", ms=5,
              label="… withdrawn")  # fmt: skip
    true = own.drop_duplicates("block")
    axes.errorbar(
        true.block, true.kl, yerr=MARGIN * true.kl_se, color=MODEL, lw=2, marker="o", ms=3.5, capsize=2,
        label="measured KL",
    )  # fmt: skip
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
