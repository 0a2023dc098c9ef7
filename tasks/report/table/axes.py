"""The axis of numbers: from where to where, by logarithm or not, in which bins."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tasks.report.table.look import Array, Form

#: quantiles of the data that an axis reaches from and to, where the ends are farther out than so many of them
INSIDE, FAR_OUT = (0.002, 0.998), 1.3
#: the 99 % quantile over the median from which positive numbers are skewed
SKEWED = 8.0
#: share of the samples that a logarithm may leave out
LEFT_OUT = 0.01
#: bins at least and at most, and of a circle
FEWEST, MOST, AROUND = 8, 30, 24


@dataclass(frozen=True)
class Grid:
    """A grid that numbers lie on.

    Args:
        origin: one of its points.
        step: between two neighbours.
    """

    origin: float
    step: float


def axis_of(data: Array, samples: Array, grid: Grid | None = None) -> tuple[Form, Array]:
    """The form of an axis, and the edges of its bins.

    It holds the data but for some far out, and the samples as far as a length of the data beyond both ends.

    Args:
        data: numbers, none empty; the samples where there are no data.
        samples: numbers.
        grid: that all data lie on: bins are then whole numbers of steps, each around its points.
    """
    log = is_skewed(data, samples)
    low, high = reach(np.log10(data), np.log10(samples[samples > 0])) if log else reach(data, samples)
    count = bins_for(len(data))
    edges = np.geomspace(10**low, 10**high, count + 1) if log else np.linspace(low, high, count + 1)
    if grid is not None:
        edges = on_steps(edges, grid, evenly=not log)
        if log and edges[0] <= 0:
            edges[0] = data.min() / 2
    return "log" if log else "numbers", edges


def is_skewed(data: Array, samples: Array) -> bool:
    """Whether numbers are positive, and so skewed that a logarithm shows them better."""
    if data.min() <= 0 or (len(samples) and float((samples <= 0).mean()) > LEFT_OUT):
        return False
    median, far = np.quantile(data, [0.5, 0.99])
    return bool(far > SKEWED * median)


def bins_for(count: int) -> int:
    """How many bins so many numbers fill: twice their third root, within bounds."""
    return int(np.clip(round(2 * count ** (1 / 3)), FEWEST, MOST))


def reach(data: Array, samples: Array) -> tuple[float, float]:
    """From where to where an axis goes."""
    ends, inner = (float(data.min()), float(data.max())), np.quantile(data, INSIDE)
    near = ends[1] - ends[0] <= FAR_OUT * (inner[1] - inner[0])
    low, high = ends if near else (float(inner[0]), float(inner[1]))
    if high <= low:  # one value
        half = max(0.5, 0.1 * abs(low))
        low, high = low - half, high + half
    if len(samples):
        wide, others = high - low, np.quantile(samples, INSIDE)
        low, high = max(min(low, others[0]), low - wide), min(max(high, others[1]), high + wide)
    return float(low), float(high)


def on_steps(edges: Array, grid: Grid, *, evenly: bool) -> Array:
    """Edges half way between points of a grid; every bin of equally many points where ``evenly``."""
    first = math.floor((edges[0] - grid.origin) / grid.step + 0.5)
    last = math.floor((edges[-1] - grid.origin) / grid.step + 0.5) + 1
    if evenly:
        many = max(1, math.ceil((last - first) / (len(edges) - 1)))
        steps = first + many * np.arange(math.ceil((last - first) / many) + 1.0)
    else:
        steps = np.unique(np.floor((edges - grid.origin) / grid.step + 0.5))
        steps = np.r_[steps[:-1], last] if steps[-1] > first else np.array([first, last])
    found: Array = grid.origin + grid.step * (steps - 0.5)
    return found


def around(steps: int | None, most: int = AROUND) -> Array:
    """Edges of the bins of a circle, in turns.

    Args:
        steps: of a grid around it; ``None`` for none. Bins are then whole numbers of them where that can be.
        most: bins at most.
    """
    if steps is None:
        return np.linspace(0, 1, most + 1)
    many = math.ceil(steps / most)
    whole = [m for m in range(many, steps + 1) if steps % m == 0 and steps // m >= min(steps, FEWEST)]
    count = steps // whole[0] if whole else most
    return np.arange(count + 1) / count - 0.5 / steps
