"""How something is known, and why something is not: words for scripts beside the sentences for people."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """How a figure, or a condition that figures rest on, is known; from the strongest to the weakest."""

    #: a theorem or a known law; no data enter
    PROVED = "proved"
    #: an average over held-out rows or draws: only chance error remains
    MEASURED = "measured"
    #: a search of limited reach, such as a critic's class: the truth can be worse whatever the error bar
    ESTIMATED = "estimated"
    #: taken for granted; nothing checks it
    ASSUMED = "assumed"
    #: nothing could be found out
    UNKNOWN = "unknown"
    #: it does not hold
    FAILS = "fails"

    @property
    def sure(self) -> bool:
        """Whether at most chance error stands between a figure and the truth: it may be called a bound."""
        return self in (Status.PROVED, Status.MEASURED)

    @property
    def holds(self) -> bool:
        """Whether nothing known speaks against it."""
        return self not in (Status.UNKNOWN, Status.FAILS)

    @property
    def mark(self) -> str:
        """✓ established, ○ not fully, ? unknown, ✗ fails."""
        return MARKS[self]


MARKS = {
    Status.PROVED: "✓",
    Status.MEASURED: "✓",
    Status.ESTIMATED: "○",
    Status.ASSUMED: "○",
    Status.UNKNOWN: "?",
    Status.FAILS: "✗",
}
LEGEND = "✓ proved or measured · ○ estimated or assumed · ? unknown · ✗ fails"


class Cause(StrEnum):
    """Why there is no figure."""

    #: the law has no density, or its ε is infinite
    UNFIT = "unfit"
    #: the held-out rows do not show it
    UNSEEN = "unseen"
    #: a condition of the inequality fails
    CONDITION = "condition"
    #: something measured contradicts it
    WITHDRAWN = "withdrawn"
    #: it is of another kind of chain
    ELSEWHERE = "elsewhere"

    @property
    def status(self) -> Status:
        """Of what has no figure for this cause."""
        return Status.UNKNOWN if self is Cause.UNSEEN else Status.FAILS


def weakest(*statuses: Status) -> Status:
    """What decides of several."""
    order = list(Status)
    return max(statuses, key=order.index)
