"""Ticks of small axes: few, short, and without mathematics in them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, num2date
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from tasks.report.drawing import short_name
from tasks.report.table.look import Array, Look

#: letters of a level
LETTERS = 14


def short_number(value: float, _place: float = 0) -> str:
    """A number in few letters.

    >>> [short_number(value) for value in (0.0, 0.25, -12500.0, 2e6, 3e-5)]
    ['0', '0.25', '−12.5k', '2M', '3e-05']
    """
    for unit, word in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if unit <= abs(value) < 1000 * unit:
            text = f"{value / min(unit, 1e3 if word == 'k' else unit):.4g}{word}"
            return text.replace("-", "−", 1) if value < 0 else text
    text = f"{value:.6g}"
    return text.replace("-", "−", 1) if value < 0 else text


def log_ticks(low: float, high: float, most: int = 5) -> Array:
    """Round numbers between two positive ones: powers of ten, or 1, 2, 5 of each where these are few.

    >>> [float(tick) for tick in log_ticks(0.8, 60.0)], len(log_ticks(1e-9, 1e9))
    ([1.0, 10.0], 5)
    """
    powers = np.arange(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)
    if len(powers) >= 2:
        return np.array(10.0 ** powers[:: math.ceil(len(powers) / most)])
    start = math.floor(math.log10(low))
    found = np.array([digit * 10.0**power for power in (start, start + 1, start + 2) for digit in (1, 2, 5)])
    return found[(found >= low) & (found <= high)][:most]


def places_of(look: Look, most: int = 4) -> tuple[Array, list[str]]:
    """Where an axis of numbers, dates or turns has its ticks, and what they are called."""
    low, high = look.edges[0], look.edges[-1]
    if look.form == "circle":
        places = np.arange(4) / 4
        return places, [turn_word(look, place) for place in places]
    if look.form == "dates":
        locator = AutoDateLocator(minticks=2, maxticks=most)
        ticks = np.array(locator.tick_values(num2date(low), num2date(high)))
        ticks = ticks[(ticks >= low) & (ticks <= high)]
        if len(ticks) < 2:  # it takes a date alone for a time of day
            return ticks, [f"{num2date(tick):%Y-%m-%d}" for tick in ticks]
        return ticks, ConciseDateFormatter(locator).format_ticks(list(ticks))
    log = look.form == "log"
    ticks = log_ticks(low, high) if log else np.array(MaxNLocator(most).tick_values(low, high))
    ticks = ticks[(ticks >= low) & (ticks <= high)]
    return ticks, [short_number(tick) for tick in ticks]


def turn_word(look: Look, place: float) -> str:
    """A place on a circle in the column's numbers, with a degree sign where a turn has 360."""
    low, period = look.turn
    return f"{low + place * period:g}" + ("°" if period == 360 else "")


def words_at(look: Look, letters: int = LETTERS) -> list[str]:
    """The words of levels or atoms, short."""
    return [short_name(word, letters) for word in look.words]


def number_ticks(axes: Axes, look: Look) -> None:
    """The scale and the ticks of the axis of x, in the units of the column."""
    if look.form == "log":
        axes.set_xscale("log")
    places, words = places_of(look)
    axes.xaxis.set_major_locator(FixedLocator(list(places)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels(words)
    axes.set_xlim(look.edges[0], look.edges[-1])


def share_ticks(axes: Axes, top: float, *, along_x: bool = False) -> None:
    """Shares in percent, from 0 to the top."""
    axis, limit = (axes.xaxis, axes.set_xlim) if along_x else (axes.yaxis, axes.set_ylim)
    limit(0, top)
    axis.set_major_locator(MaxNLocator(4))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def level_ticks(axes: Axes, words: Sequence[str], *, along_x: bool) -> None:
    """A tick for each level."""
    if along_x:
        axes.set_xticks(range(len(words)), words)
        axes.set_xlim(-0.6, len(words) - 0.4)
        return
    axes.set_yticks(range(len(words)), words)
    axes.set_ylim(len(words) - 0.4, -0.6)
