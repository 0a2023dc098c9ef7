"""Evidence of a block whose every figure is another number, so that what is mixed up shows."""

from __future__ import annotations

from dataclasses import replace

from jko.certify.evidence import Evidence
from jko.laws.densities import Estimate

BLOCK = Evidence(
    step_size=0.4,
    potential_before=Estimate(4.0, 0.05),
    potential=Estimate(2.0, 0.03),
    movement=Estimate(0.7, 0.02),
    kl_drop=Estimate(0.5, 0.04),
    nll=Estimate(1.9, 0.06),
    epsilon_squared=Estimate(0.3, 0.01),
    fisher=Estimate(0.6, 0.07),
    kappa=Estimate(0.2, 0.015),
)


def block(**changed: object) -> Evidence:
    return replace(BLOCK, **changed)
