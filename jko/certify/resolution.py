"""What is known of KL(data ‖ model) at each resolution, and in words. Loads nothing heavy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

from jko.core.display import figure
from jko.core.records import Count, Figure, Number, Record

#: the width U − L, nats, up to which a resolution counts as certified
WIDTH = 0.1
#: names of principal components begin with it
COMPONENT = "component "


class Bracket(Record):
    """KL(ρ_s‖q_s) between two figures, nats.

    Args:
        resolution: s, standardised units.
        upper: U.
        upper_se: its standard error, over rows and samples.
        upper_95: one-sided 95 % level.
        lower: L.
        lower_se: its standard error, over rows and samples.
        lower_95: one-sided 95 % level.
        rows: held-out rows m.
        samples: samples of the model that were used; 0 where its density was.
        density: ``samples`` or ``model``.
    """

    resolution: Number
    upper: Figure
    upper_se: Figure
    upper_95: Figure
    lower: Figure
    lower_se: Figure
    lower_95: Figure
    rows: Count
    samples: Count
    density: str

    @property
    def width(self) -> float:
        """U − L, nats; infinite where one of them is not known."""
        return math.inf if self.upper is None or self.lower is None else self.upper - self.lower

    @property
    def at_least(self) -> float | None:
        """The lower level as it is shown, nats: no KL is below 0. The record keeps ``lower_95`` as it is."""
        return None if self.lower_95 is None else max(0.0, self.lower_95)

    @property
    def at_most(self) -> float | None:
        """The upper level as it is shown, nats."""
        return None if self.upper_95 is None else max(0.0, self.upper_95)


class Projection(Record):
    """A column or a pair of columns.

    Args:
        columns: their names.
        bracket: at every resolution.
        least: what the laws differ by at least, nats: the largest lower level over the resolutions, at 95 %
            for all projections and resolutions together; 0 where none is above 0.
    """

    columns: tuple[str, ...]
    bracket: tuple[Bracket, ...]
    least: float


def certified(brackets: Sequence[Bracket], width: float = WIDTH) -> Bracket | None:
    """The finest bracket that is no wider than ``width`` nats; ``None`` where every one is wider."""
    narrow = [one for one in brackets if one.width <= width]
    return min(narrow, key=lambda one: one.resolution, default=None)


def in_words(brackets: Sequence[Bracket], rows_needed: int | None = None) -> str:
    """The bracket in a sentence or two for people; empty where there is none.

    Args:
        brackets: at every resolution.
        rows_needed: held-out rows that would do at the coarsest, where those there are too few.

    >>> at = Bracket(resolution=0.2, upper=0.004, upper_se=0.001, upper_95=0.0056, lower=-0.01,
    ...              lower_se=0.001, lower_95=-0.012, rows=4000, samples=40000, density="samples")
    >>> in_words([at])
    'At a resolution of 0.2 standard deviations, data and model differ by at most 0.0056 nats (KL, 95 %).'
    """
    if not brackets:
        return ""
    found = certified(brackets)
    if found is None:
        return _wide(max(brackets, key=lambda one: one.resolution), rows_needed)
    least = f"at least {figure(found.at_least)} and " if found.at_least else ""
    return (
        f"At a resolution of {found.resolution:g} standard deviations, data and model differ by {least}"
        f"at most {figure(found.at_most or 0.0)} nats (KL, 95 %)."
    )


def _wide(coarsest: Bracket, rows_needed: int | None) -> str:
    """That the held-out rows are too few, with what the coarsest resolution says all the same."""
    if (
        not coarsest.at_least and coarsest.at_most is not None and coarsest.at_most <= WIDTH
    ):  # KL is not below 0, whatever L is
        return (
            f"At a resolution of {coarsest.resolution:g} standard deviations, data and model differ by at "
            f"most {figure(coarsest.at_most)} nats (KL, 95 %). {coarsest.rows} held-out rows are too few to "
            "tell by how much at least."
        )
    known = f"{coarsest.rows} held-out rows are too few to tell data and model apart"
    if coarsest.at_least:
        said = f"{known} closely, but they differ by at least {figure(coarsest.at_least)} nats (KL, 95 %)."
    else:
        said = (
            f"{known}: at the coarsest resolution, {coarsest.resolution:g} standard deviations, they differ "
            f"by at most {figure(coarsest.at_most)} nats (KL, 95 %)."
        )
    if rows_needed is None:
        return said
    return f"{said} About {rounded(rows_needed)} held-out rows would tell them apart to {WIDTH:g} nats there."


def rounded(count: int) -> str:
    """A number of rows as people say it: two digits.

    >>> rounded(18423)
    '18 000'
    """
    scale = 10 ** max(0, len(str(count)) - 2)
    return f"{round(count / scale) * scale:,}".replace(",", " ")


def agreeing_in_words(columns: Sequence[Projection]) -> str:
    """How far apart single columns are at most, in one sentence; empty for one column or with wide brackets.

    The level holds for all columns together. Of several resolutions the finest is taken at which every
    column's bracket is certified.

    >>> at = Bracket(resolution=0.05, upper=0.004, upper_se=0.001, upper_95=0.0056, lower=-0.01,
    ...              lower_se=0.001, lower_95=-0.012, rows=4000, samples=40000, density="samples")
    >>> agreeing_in_words([Projection(columns=(name,), bracket=(at,), least=0.0) for name in "xy"])
    'Every column agrees within 0.00596 nats at 0.05 standard deviations (95 %).'
    """
    if len(columns) < 2:
        return ""
    shared = set.intersection(*({b.resolution for b in one.bracket if b.width <= WIDTH} for one in columns))
    if not shared:
        return ""
    s = min(shared)
    level = NormalDist().inv_cdf(1 - 0.05 / len(columns))
    found = [b for one in columns for b in one.bracket if b.resolution == s]
    most = max((b.upper or 0.0) + level * (b.upper_se or 0.0) for b in found)
    parts = all(one.columns[0].startswith(COMPONENT) for one in columns)
    who = f"Each of the first {len(columns)} principal components" if parts else "Every column"
    return f"{who} agrees within {figure(max(most, 0.0))} nats at {s:g} standard deviations (95 %)."


def wrong_in_words(projections: Sequence[Projection]) -> str:
    """Which column or pair the model gets wrong most, in one sentence; empty where none is known to be."""
    worst = max(projections, key=lambda one: one.least, default=None)
    if worst is None or worst.least <= 0:
        return ""
    known = sum(one.least > 0 for one in projections)
    verb = "is" if known == 1 else "are"
    return (
        f"The model is wrong most in {' and '.join(worst.columns)}: by at least {figure(worst.least)} nats "
        f"(95 %; of {len(projections)} columns and pairs {known} {verb} known to be wrong)."
    )
