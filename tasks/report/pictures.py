"""The pictures of a report."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jko.core.display import figure as text_of
from jko.core.rows import at_most
from jko.preparation.context import by_class
from tasks.report.content import Array, Content
from tasks.report.drawing import ACCENT, DATA, GREY, MODEL, labelled, principal_directions, tiles, unit_of

SHOWN_ROWS = 2000


def samples(content: Content) -> Figure | None:
    """Data beside generated samples, in data units; tables have pictures of their columns instead."""
    if content.facts.image_shape:
        return _images_side_by_side(content)
    return _planes_side_by_side(content) if content.plane else None


def _images_side_by_side(content: Content) -> Figure:
    figure = Figure(figsize=(9.5, 4.9))
    parts = [(content.shown_as, content.data[:100]), ("generated", content.generated[:100])]
    if content.contexts and by_class(content.facts.context_columns):
        whole = zip((content.data, content.generated), content.contexts, strict=True)
        shown = [row_per_class(rows, context) for rows, context in whole]
        parts = [("data", shown[0]), ("generated, one row a class", shown[1])]
    for place, (title, rows) in enumerate(parts, start=1):
        axes = figure.add_subplot(1, 2, place)
        axes.imshow(tiles(rows, content.facts.image_shape or (1, 1)), cmap="gray_r")
        axes.set_title(title)
        axes.axis("off")
    figure.tight_layout()
    return figure


def row_per_class(rows: Array, context: Array, across: int = 10) -> Array:
    """The first rows of every class, class by class; blank ones where a class has fewer.

    Args:
        rows: shape (rows, d).
        context: a one in the column of the class, shape (rows, c).
        across: rows of each class.
    """
    found = []
    for column in context.T:
        own = rows[column > 0.5][:across]
        found.append(np.concatenate([own, np.full((across - len(own), rows.shape[1]), rows.min())]))
    return np.concatenate(found)


def _planes_side_by_side(content: Content) -> Figure:
    figure = Figure(figsize=(9.5, 4.7))
    units = np.array([unit_of(column) for column in content.data.T])
    names = [labelled(name, unit) for name, unit in zip(content.facts.columns, units, strict=True)]
    low, high = np.quantile(content.data / units, [0.001, 0.999], axis=0)
    margin = 0.15 * (high - low)
    for place, (title, rows, colour) in enumerate(
        [(content.shown_as, content.data, DATA), ("generated", content.generated, MODEL)], start=1
    ):
        axes = figure.add_subplot(1, 2, place)
        some = at_most(rows, SHOWN_ROWS) / units
        axes.scatter(some[:, 0], some[:, 1], s=_dot(rows), alpha=0.5, color=colour, linewidths=0)
        axes.set(title=f"{title} ({min(len(rows), SHOWN_ROWS)} rows)")
        axes.set_aspect("equal" if units[0] == units[1] else "auto")
        axes.set_xlim(low[0] - margin[0], high[0] + margin[0])
        axes.set_ylim(low[1] - margin[1], high[1] + margin[1])
        axes.set_xlabel(names[0])
        axes.set_ylabel(names[1])
    figure.tight_layout()
    return figure


def _dot(rows: Array) -> float:
    """Area of a dot, larger where rows are few."""
    return 3.0 + 9.0 * (1 - min(len(rows), SHOWN_ROWS) / SHOWN_ROWS)


def path(content: Content) -> Figure:
    """The chain after each block."""
    if content.facts.image_shape:
        return _image_path(content)
    return _scatter_path(content)


def _image_path(content: Content, rows: int = 8) -> Figure:
    height, width = content.facts.image_shape or (1, 1)
    stages = content.reverse_path[:, :rows]
    pictures = stages.transpose(1, 0, 2).reshape(-1, stages.shape[-1])
    figure = Figure(figsize=(0.95 * len(stages) + 0.6, 0.95 * rows + 0.6))
    axes = figure.add_subplot()
    axes.imshow(tiles(pictures, (height, width), across=len(stages)), cmap="gray_r")
    last = len(stages) - 1
    names = ["noise", *(f"after T{last - i + 1}⁻¹" for i in range(1, last + 1))]
    axes.set_xticks([width / 2 + i * (width + 1) for i in range(len(names))], names, fontsize=7)
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.set_title("reverse path: from noise to a sample, one column a block")
    return figure


def _scatter_path(content: Content) -> Figure:
    stages = content.forward_path
    across = min(5, len(stages))
    down = -(-len(stages) // across)
    figure = Figure(figsize=(2.3 * across, 2.4 * down))
    directions = principal_directions(stages[0])
    for k, rows in enumerate(stages):
        axes = figure.add_subplot(down, across, k + 1)
        plane = rows @ directions if directions.shape[1] == 2 else np.c_[rows, np.zeros(len(rows))]
        axes.scatter(
            plane[:, 0], plane[:, 1], s=_dot(rows), alpha=0.5, linewidths=0, color=DATA if k == 0 else ACCENT
        )
        limit = 4.0 if content.config.data.standardise == "on" else max(4.0, np.abs(stages).max())
        axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal", xticks=[], yticks=[])
        axes.set_title(
            ("data" if content.config.target.standard else "first law") if k == 0 else f"after block {k}"
        )
    figure.tight_layout()
    return figure


def progress(content: Content) -> Figure:
    """KL drop, NLL, movement and round trip of every block."""
    figure = Figure(figsize=(9.5, 6.0))
    panels: list[Callable[[Axes, Content], None]] = [_kl_drop, _nll, _movement, _round_trip]
    for place, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(2, 2, place)
        panel(axes, content)
        axes.set_xlabel("JKO step k")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.tight_layout()
    return figure


def _column(content: Content, name: str) -> Array:
    return np.array([step.figure(name) for step in content.steps], dtype=float)


def _kl_drop(axes: Axes, content: Content) -> None:
    errors = 2 * _column(content, "kl_drop_se")
    axes.bar(content.step_indices, _column(content, "kl_drop"), yerr=errors, color=DATA, capsize=3)
    axes.set(title="KL drop of each block", ylabel=f"nats (± 2 SE, {content.measured_on} rows)")


def _nll(axes: Axes, content: Content) -> None:
    cuts = content.figures.cuts
    values = [np.nan if cut.nll is None else cut.nll for cut in cuts]
    axes.errorbar(
        range(len(cuts)), values, yerr=[2 * (cut.nll_se or 0.0) for cut in cuts], color=MODEL, marker="o",
        ms=4, capsize=3, label="chain cut after block k",
    )  # fmt: skip
    baselines = content.figures.baselines
    for name, known, style in (("gaussian", baselines.gaussian, ":"), ("mixture", baselines.mixture, "--")):
        if known.nll is not None:
            axes.axhline(known.nll, ls=style, color=GREY, label=name)
    if content.facts.entropy:
        axes.axhline(content.facts.entropy["value"], color=ACCENT, label="data entropy")
    axes.set(title="test NLL", ylabel="nats, data units (± 2 SE)")
    axes.legend(fontsize=8)


def _movement(axes: Axes, content: Content) -> None:
    axes.plot(content.step_indices, _column(content, "movement"), marker="o", ms=4, color=ACCENT)
    axes.set(title="movement √E|Tx − x|²", ylabel="standardised units")
    axes.set_ylim(bottom=0)


def _round_trip(axes: Axes, content: Content) -> None:
    axes.semilogy(
        content.step_indices,
        np.maximum(_column(content, "inversion_error"), 1e-9),
        marker="o",
        ms=4,
        color=DATA,
        label="block",
    )
    whole = content.figures.inversion_error_chain
    if whole is not None:
        axes.axhline(whole, ls="--", color=MODEL, label=f"whole chain {text_of(whole, '.1e')}")
    axes.set(title="round trip √E|T⁻¹Tx − x|²", ylabel="standardised units")
    axes.legend(fontsize=8)


def training(content: Content) -> Figure | None:
    """Both losses of every block's training, where the curves were kept."""
    if not content.curves:
        return None
    figure = Figure(figsize=(9.5, 3.2))
    left, right = figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2)
    for k, whole in content.curves.items():
        shade = 0.25 + 0.75 * k / len(content.steps)
        curve = whole[whole.iteration > 0]  # the start of a block has no loss, and a poor objective
        matching = curve[curve.phase == "flow_matching"]
        left.plot(matching.iteration, matching.loss, color=DATA, alpha=shade, label=f"block {k}")
        right.plot(curve.iteration, curve.objective, color=MODEL, alpha=shade)
    left.set(title="flow-matching loss", xlabel="iteration", ylabel="mean squared velocity error")
    right.set(title="JKO objective on validation rows", xlabel="iteration", ylabel="nats")
    left.legend(fontsize=7, ncols=2)
    figure.tight_layout()
    return figure
