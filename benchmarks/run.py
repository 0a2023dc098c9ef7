"""One method on one problem: fitted within its budget, then judged."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.budget import Budget, peak_memory_mb
from benchmarks.evaluate import Figure, Track, fresh_scores, gap, log_densities, mean_of, nll
from benchmarks.methods import method_of
from benchmarks.problem import Problem
from benchmarks.settings import setting_of


@dataclass(frozen=True)
class Outcome:
    """What a method reached.

    Args:
        measure: ``gap``, ``nll`` or ``fresh``: which figure the tables show; the curve is of test rows.
        nll: on the test rows, nats, data units.
        gap: on the test rows, nats; ``None`` where the law is unknown.
        validation_nll: on the validation rows, nats, data units.
        core_s: CPU seconds charged: training and validation, and for ours the choice of start and copies.
        evaluation_s: CPU seconds spent on the test rows, not charged.
        wall_s: seconds of the clock, evaluations included.
        peak_mb: largest resident memory of the process, MiB.
        curve: CPU seconds charged and the measure then, the end included.
        notes: what the method told beside its density.
        fresh: NLL on rows drawn anew, nats, data units; ``None`` where the set has none.
        fresh_worst: the largest of them, nats.
    """

    measure: str
    nll: Figure
    gap: Figure | None
    validation_nll: Figure
    core_s: float
    evaluation_s: float
    wall_s: float
    peak_mb: float
    curve: tuple[tuple[float, Figure], ...]
    notes: Mapping[str, Any]
    fresh: Figure | None = None
    fresh_worst: float | None = None

    @property
    def figure(self) -> Figure:
        """The figure that the tables show."""
        return self.fresh or self.gap or self.nll

    def record(self) -> dict[str, Any]:
        """As JSON; what is not finite is ``null``."""
        curve = [[seconds, one.value, one.se] for seconds, one in self.curve]
        finite: dict[str, Any] = _finite({**asdict(self), "curve": curve})
        return finite


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value


def run_method(problem: Problem, method: str, setting: str, seed: int, seconds: float) -> Outcome:
    """Fit a method and judge it on the test rows.

    Args:
        problem: the set.
        method: a name in :data:`benchmarks.methods.METHODS`.
        setting: a name of its settings.
        seed: of everything the method draws.
        seconds: CPU seconds that it may spend.

    Raises:
        InputError: unknown method or setting, or the method is not installed.
    """
    values, fit = setting_of(method, setting), method_of(method).load()
    charged = problem.choice_s if method_of(method).ours else 0.0
    wall, budget = time.perf_counter(), Budget(seconds, charged=charged)
    track = Track(problem, budget)
    density = fit(problem, budget, values, seed, track)
    core_s = budget.spent
    with budget.uncounted():
        log_q = log_densities(density, problem.test)
        validation = nll(problem, log_densities(density, problem.validation), "validation")
        fresh = None if problem.fresh is None else -fresh_scores(problem, density, problem.fresh, seed)
    end = gap(problem, log_q) or nll(problem, log_q)
    return Outcome(
        measure=problem.measure,
        nll=nll(problem, log_q),
        gap=gap(problem, log_q),
        validation_nll=validation,
        core_s=core_s,
        evaluation_s=budget.free,
        wall_s=time.perf_counter() - wall,
        peak_mb=peak_memory_mb(),
        curve=(*track.curve, (core_s, end)),
        notes=track.notes,
        fresh=None if fresh is None else mean_of(fresh),
        fresh_worst=None if fresh is None else float(fresh.max()),
    )
