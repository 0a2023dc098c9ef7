"""The picture of a chain's certificates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from jko.certify.evidence import MARGIN
from jko.certify.records import CertifiedBlock
from jko.certify.status import Status
from tasks.report.content import Array, Content
from tasks.report.drawing import ACCENT, DATA, GREY, MODEL
from tasks.report.labels import epsilon_of, sign_of

#: certificate -> name, colour and line
LINES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "certificate_a": ("(A) theorem", GREY, {"ls": ":", "marker": "s"}),
    "certificate_b": ("(B) sharp recursion", DATA, {"ls": "--", "marker": "D"}),
    "certificate_c": ("(C) log-Sobolev", ACCENT, {"ls": "-", "marker": "o"}),
    "certificate_c_propagated": ("(C) propagated", "#e09f3e", {"ls": "-.", "marker": "o", "mfc": "none"}),
}


def guarantee(content: Content) -> Figure | None:
    """Certificates after each block beside what they bound, and what they are made of."""
    blocks = content.certificate.blocks
    if all(block.figure(name) is None for block in blocks for name in LINES):
        return None
    figure = Figure(figsize=(9.5, 4.4))
    for place, panel in enumerate((_bounds, _inputs), start=1):
        axes = figure.add_subplot(1, 2, place)
        panel(axes, content)
        axes.set_xlabel("JKO step k")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlim(0.5, len(blocks) + 0.5)
        axes.legend(fontsize=7.5, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.17))
    figure.tight_layout()
    return figure


def _bounds(axes: Axes, content: Content) -> None:
    blocks = content.certificate.blocks
    steps = np.arange(1.0, len(blocks) + 1)
    axes.set_yscale("log", nonpositive="mask")
    for name, (label, colour, style) in LINES.items():
        values = _column(blocks, name)
        if not np.isnan(values).all():
            sure = all(block.statuses.get(name) is not Status.ESTIMATED for block in blocks)
            sign = sign_of("" if sure else Status.ESTIMATED)
            axes.plot(steps, values, label=f"{sign} {label}", color=colour, ms=5, **style)
    lower, lower_se = _column(blocks, "kl_lower_bound"), _column(blocks, "kl_lower_bound_se")
    _points(axes, steps, lower, lower_se, label="≥ classifier or mixture", marker="^", color=GREY)
    entropy = content.facts.entropy
    if entropy and content.certificate.chain.kl_measured is not None:  # else log Z is in it, too
        gap = _column(blocks, "nll") - entropy["value"]
        error = np.hypot(_column(blocks, "nll_se"), entropy["se"])
        _points(axes, steps, gap, error, label="measured: NLL − entropy", marker="o", color=MODEL)
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, high / 10), high)  # so that a few ticks fall inside
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set(title="KL after each block and its bounds", ylabel="nats (± 2 SE)")


def _points(axes: Axes, steps: Array, values: Array, error: Array, **style: Any) -> None:
    """The positive ones of some estimates, with two standard errors, on a log axis."""
    shown = values > 0
    if not shown.any():
        return
    values, reach = values[shown], MARGIN * error[shown]
    errors = [np.minimum(reach, 0.9 * values), reach]
    axes.errorbar(steps[shown], values, yerr=errors, ls="none", ms=6, capsize=3, zorder=3, **style)


def _inputs(axes: Axes, content: Content) -> None:
    blocks = content.certificate.blocks
    steps = np.arange(1.0, len(blocks) + 1)
    names = [epsilon_of(block)[0] for block in blocks]
    low, middle, high = (
        np.array([_root(block, name, shift) for block, name in zip(blocks, names, strict=True)])
        for shift in (-MARGIN, 0, MARGIN)
    )
    how = epsilon_of(blocks[-1])[1]
    axes.errorbar(
        steps, middle, yerr=[middle - low, high - middle], color=MODEL, marker="o", ms=4, capsize=3,
        label=f"ε, error of the step ({how})",
    )  # fmt: skip
    sizes = _column(blocks, "step_size")  # not a number for a free block, which has no such point
    error = MARGIN * _column(blocks, "movement_se") / sizes
    axes.errorbar(
        steps, _column(blocks, "movement") / sizes, yerr=error, color=DATA, marker="s", ms=4, capsize=3,
        label="movement/γ, length of the step",
    )  # fmt: skip
    axes.set(title="What the bounds are made of", ylabel="standardised units (± 2 SE)")
    axes.set_ylim(bottom=-0.04 * axes.get_ylim()[1])  # a point at 0 shows whole


def _root(block: CertifiedBlock, name: str, shift: float) -> float:
    """√max(ε² + shift · SE, 0)."""
    value, se = block.figure(name), block.figure(f"{name}_se")
    return math.nan if value is None or se is None else math.sqrt(max(value + shift * se, 0.0))


def _column(blocks: Sequence[CertifiedBlock], name: str) -> Array:
    return np.array([block.figure(name) for block in blocks], dtype=float)
