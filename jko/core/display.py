"""Figures as text: a dash where there is no finite figure, never the words nan or inf."""

from __future__ import annotations

import math

from jko.core.records import Figures, figure_of

#: in place of a figure that there is not
DASH = "–"


def finite(value: float | None) -> bool:
    """Whether there is a figure to show."""
    return value is not None and math.isfinite(value)


def figure(value: float | None, form: str = ".3g") -> str:
    """A figure as text, a dash for none.

    Args:
        value: the figure; ``None``, nan and infinity are none.
        form: how it is written, as :func:`format` takes it.
    """
    return format(value, form) if finite(value) else DASH


def bound_text(bound: float | None, estimate: float | None) -> str:
    """A bound, or with ≲ before it the estimate of one where there is no bound.

    >>> bound_text(1.5, None), bound_text(None, 1.5), bound_text(None, None)
    ('1.5', '≲ 1.5', '–')
    """
    return figure(bound) if finite(bound) or not finite(estimate) else f"≲ {figure(estimate)}"


def with_error(value: float | None, se: float | None, form: str = ".3f", error: str = "") -> str:
    """An estimate with one standard error, where there are both.

    Args:
        value: the estimate.
        se: its standard error.
        form: how both are written.
        error: how the standard error is written, if not so.
    """
    return (
        f"{figure(value, form)} ± {figure(se, error or form)}"
        if finite(value) and finite(se)
        else figure(value, form)
    )


def pair_of(figures: Figures, name: str, form: str = ".3f", error: str = "") -> str:
    """The figure of a name with that of ``<name>_se``."""
    return with_error(figure_of(figures, name), figure_of(figures, f"{name}_se"), form, error)
