"""The numbers of a fit that goes on after a stop. Loads nothing heavy: a plan asks them, too."""

from __future__ import annotations

from typing import Literal

from jko.core.records import Count, Record

Phase = Literal["flow_matching", "jko"]
#: in the order in which a fit runs them
PHASES: tuple[Phase, ...] = ("flow_matching", "jko")


class FitNumbers(Record):
    """How far a fit is.

    Args:
        phase: of its last iteration.
        step: iterations done in that phase, at least 1.
        iteration: iterations done over both phases.
        rollbacks: how often a non-finite value forced a return to the best weights.
    """

    phase: Phase
    step: Count
    iteration: Count
    rollbacks: Count
