"""The evidence of a Bayesian regression by a long reference run: annealed importance sampling.

From the prior N(0, I/τ) to the posterior along :math:`V_t = V_0 + t (V - V_0)`, with a few leapfrog steps of
Hamiltonian dynamics at every temperature, accepted by Metropolis' rule, and weights as in Neal, *Annealed
importance sampling* (2001). Their mean is Z, whatever the moves are; these decide only how far it scatters.
"""

from __future__ import annotations

import json
import math
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor

from benchmarks.command import sentences
from benchmarks.sampling import Case
from benchmarks.watched import jko
from jko.chain.importance import importance_report
from jko.energies.functional import half_square
from jko.energies.terms import row_gradient
from jko.laws.regression import LogisticRegression
from jko.laws.targets import breast_cancer_regression

CASE = Case("breast cancer", "breast_cancer_regression", 31, {})
#: of the preset's chain, what makes it small
SMALL = (
    "--set", "data.rows=8000", "--set", "network={hidden: [64, 64]}", "--set", "solver.steps=3",
    "--set", "training={flow_matching_iterations: 250, iterations: 120, batch_size: 250, "
    "validate_every: 60, validation_rows: 1000}", "--set", "measure.reference_rows=200",
)  # fmt: skip


@dataclass(frozen=True)
class Reference:
    """log Z by annealed importance sampling.

    Args:
        log_z: nats.
        log_z_se: its standard error.
        share: effective size over walkers.
        accepted: mean share of accepted moves.
        walkers: independent runs.
        temperatures: bridging laws.
    """

    log_z: float
    log_z_se: float
    share: float
    accepted: float
    walkers: int
    temperatures: int


def annealed(
    target: LogisticRegression, *, walkers: int, temperatures: int, leaps: int = 5, seed: int = 0
) -> Reference:
    """Log Z of a regression's posterior.

    Args:
        target: the posterior, whose prior is the start.
        walkers: independent runs, which share nothing.
        temperatures: bridging laws, denser near the prior.
        leaps: leapfrog steps of a move.
        seed: of everything.
    """
    draw = torch.Generator().manual_seed(seed)
    tau, dim = target.precision, target.dim
    constant = 0.5 * dim * math.log(2 * math.pi / tau)

    def rest(x: Tensor) -> Tensor:
        return target.potential(x) - tau * half_square(x) - constant

    x = torch.randn(walkers, dim, generator=draw, dtype=torch.float64) / math.sqrt(tau)
    log_w, accepted = torch.zeros(walkers, dtype=torch.float64), 0.0
    times = torch.linspace(0, 1, temperatures + 1, dtype=torch.float64) ** 3
    step = torch.tensor(0.1, dtype=torch.float64)
    for before, now in zip(times[:-1].tolist(), times[1:].tolist(), strict=True):
        log_w -= (now - before) * rest(x)

        def energy(at: Tensor, t: float = now) -> Tensor:
            return tau * half_square(at) + t * rest(at)

        speed = torch.randn(x.shape, generator=draw, dtype=torch.float64)
        there, moved = x, speed - 0.5 * step * row_gradient(energy, x)
        for leap in range(leaps):
            there = there + step * moved
            moved = moved - (1.0 if leap < leaps - 1 else 0.5) * step * row_gradient(energy, there)
        change = energy(x) - energy(there) + half_square(speed) - half_square(moved)
        kept = change.exp() > torch.rand(walkers, generator=draw, dtype=torch.float64)
        x = torch.where(kept[:, None], there, x)
        rate = float(kept.double().mean())
        accepted += rate / temperatures
        step *= 1.05 if rate > 0.75 else 0.95
    report = importance_report(log_w)
    found = report.log_normaliser
    return Reference(found.value, found.se, report.share, accepted, walkers, temperatures)


def chain_interval() -> dict[str, Any]:
    """The interval of a small chain from the prior to the posterior, trained in a project of its own.

    Raises:
        JkoError: it failed.
    """
    with tempfile.TemporaryDirectory() as place:
        words = ("--preset", "targets", "--chain", "chain", *CASE.settings(), *SMALL)
        jko(Path(place), "train", *words)
        return dict(jko(Path(place), "certify", "chain")["chain"]["evidence"])


@click.command()
@click.option("--chain", is_flag=True, help="Train a chain, a quarter of an hour, and print its interval.")
@click.option("--walkers", default=1000, show_default=True)
@click.option("--temperatures", default=1000, show_default=True)
@click.option("--precision", default=1.0, show_default=True, help="Precision τ of the prior.")
@click.option("--seed", default=0, show_default=True)
@sentences
def main(*, chain: bool, walkers: int, temperatures: int, precision: float, seed: int) -> None:
    """The evidence of the logistic regression on breast cancer, by a long run or by a chain, as JSON."""
    if chain:
        click.echo(json.dumps(chain_interval()))
        return
    target = breast_cancer_regression(precision=precision)
    click.echo(json.dumps(asdict(annealed(target, walkers=walkers, temperatures=temperatures, seed=seed))))


if __name__ == "__main__":
    main()
