"""What a scheduled run does: look whether anything is new, and train if it is."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flows.session import Job, check_input, nothing_to_do, run_job
from jko.config import Config
from jko.errors import ChainInUseError
from tasks.adapters.layout import Layout
from tasks.adapters.plan import make_plan

OnChange = Literal["retrain", "warm", "score"]


@dataclass(frozen=True)
class Outcome:
    """How a scheduled run ended.

    Args:
        action: what was done.
        reason: why, or who holds the chain.
        chain: the chain folder.
        metrics: headline figures.
    """

    action: Literal["skipped", "busy", "scored", "trained"]
    reason: str
    chain: str
    metrics: dict[str, float]


def refresh(name: str, config: Config, root: Path, on_change: OnChange = "retrain") -> Outcome:
    """Bring the chain ``.jko/chains/<name>`` up to date with its data.

    Args:
        name: of the schedule and its chain.
        config: validated settings.
        root: the project's folder.
        on_change: what new data lead to.

    Raises:
        JkoError: bad input or numerical failure.
    """
    chain = root / ".jko" / "chains" / name
    command = f"jko resume {shlex.quote(str(chain.relative_to(root)))}"
    job = Job(name, config, Layout.of(chain, root), root, command)
    plan = make_plan(config, job.layout, verify=True)
    finished = nothing_to_do(job, plan)
    if finished is not None:
        return Outcome("skipped", finished.reason, str(chain), finished.metrics)
    check_input(job, plan)
    try:
        finished = run_job(job)
    except ChainInUseError as error:
        return Outcome("busy", str(error), str(chain), {})
    return Outcome("trained", "the plan asked for it", str(chain), finished.metrics)
