"""What the certificates of a chain rest on: each condition, how it is known, and in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from jko.build import functional_of, residual_probes
from jko.certify.above import Above
from jko.certify.records import Condition, Measured
from jko.certify.status import Status
from jko.chain.defence import price
from jko.config import Config
from jko.core.display import DASH
from jko.preparation.context import asked_columns
from jko.preparation.facts import DataFacts
from tasks.held_out import why_validation
from tasks.measure import unfit


def by_exact_score(config: Config, figures: Sequence[Measured]) -> bool:
    """Whether ε and the Fisher information are averages of the exact score, not a critic's estimate."""
    known = all(own.epsilon_exact is not None for own in figures)
    return known and config.measure.pairing == "block"


def assumptions(
    config: Config, facts: DataFacts, figures: Sequence[Measured], above: Above | None = None
) -> list[Condition]:
    """What the certificates rest on: each with its status and how that was found.

    Args:
        config: the settings.
        facts: of the data.
        figures: of the blocks.
        above: what the chain's bounds take in place of a critic's estimates, where they do.
    """
    why = unfit(config, facts)
    return [
        convexity_of(config, facts.dim),
        density_of(facts, figures, why),
        symmetry_of(config, figures),
        error_of(config, figures, why) if above is None else bounded_error(above),
        held_out_rows(config, facts),
        condition("log-determinants", *log_det_words(config, facts.dim)),
        *corrections_of(config, figures),
        condition("Lipschitz constants of the inverses (product bound)", Status.ESTIMATED,
                  "estimated from below as the largest among sampled particles" + _never_more(config)),
        *averaged(facts),
        *defence_of(config.defence_share),
    ]  # fmt: skip


def held_out_rows(config: Config, facts: DataFacts) -> Condition:
    """Which rows all of it is measured on, and whether they chose anything."""
    why = why_validation(config, facts)
    if not why:
        return condition("held-out particles", Status.PROVED, "test rows: they chose nothing")
    how = f"validation rows; they also chose which weights of a block were kept ({why})"
    return condition("held-out particles", Status.ESTIMATED, how)


def density_of(facts: DataFacts, figures: Sequence[Measured], why: str) -> Condition:
    """Whether p_0 has a density with finite Fisher information."""
    name = "p_0 has a density with finite Fisher information"
    if why:
        return condition(name, Status.FAILS, why)
    if facts.smoothing:
        return condition(name, Status.PROVED, "proved")
    known = all(own.epsilon_exact is not None for own in figures)
    return condition(name, *(Status.PROVED, "known law") if known else (Status.ASSUMED, "assumed"))


def symmetry_of(config: Config, figures: Sequence[Measured]) -> Condition:
    """Whether sym ∇T is positive definite: proved of residual blocks, else looked at."""
    found = f"checked at sampled particles, smallest eigenvalue {_least(figures, 'symmetric_part_smallest')}"
    status = Status.ESTIMATED
    if config.network.kind == "residual":
        status = Status.PROVED
        found = f"proved for residual blocks, at least {1 - config.network.lipschitz:.3g}; {found}"
    if not all(own.symmetric_part_positive for own in figures):
        status = Status.FAILS
    return condition("the symmetric part of ∇T is positive definite", status, found)


def _least(figures: Sequence[Measured], name: str) -> str:
    """The smallest of a figure over the blocks, as text; a dash where one has none."""
    values = [own.figure(name) for own in figures]
    known = [value for value in values if value is not None]
    return f"{min(known):.3g}" if len(known) == len(values) else DASH


def _never_more(config: Config) -> str:
    if config.network.kind != "residual":
        return ""
    return f"; proved to be at most {1 / (1 - config.network.lipschitz):.3g} for residual blocks"


def error_of(config: Config, figures: Sequence[Measured], why: str) -> Condition:
    """How ε and the Fisher information are known: the weaker of the two decides."""
    name, last = "ε and the Fisher information", figures[-1]
    if why:
        return condition(name, Status.FAILS, why)
    if by_exact_score(config, figures):
        how = "averages of the exact score (the law is known): only Monte-Carlo error"
        return condition(name, Status.MEASURED, how)
    missing = next((own.epsilon_reason for own in figures if own.epsilon_reason), "")
    if missing:
        return condition(name, Status.UNKNOWN, f"not estimated: {missing}")
    known = all(own.epsilon_exact is not None for own in figures)
    how = (
        "ε in OT pairing by a critic, from below; the Fisher information by the exact score"
        if known
        else f"estimated from below by a linear critic ({last.epsilon_class})"
    )
    return condition(name, Status.ESTIMATED, how)


def bounded_error(above: Above) -> Condition:
    """How ε and the Fisher information are known from above."""
    how = (
        f"averages over {above.rows} test rows, which chose nothing, that lie above both, whatever the law: "
        "only Monte-Carlo error. Of single blocks a critic's estimates, from below"
    )
    return condition("ε and the Fisher information", Status.MEASURED, how)


def corrections_of(config: Config, figures: Sequence[Measured]) -> list[Condition]:
    """What the certificates take of the corrections: their inputs are of the law before a block's own."""
    if not config.target.correction:
        return []
    error = math.hypot(*(own.acceptance_se or 0.0 for own in figures))
    how = f"proved for the exact acceptances ᾱ; the mass of the law is known to ± {error:.2g}"
    return [condition("a bound on KL before a correction holds behind it", Status.PROVED, how)]


def averaged(facts: DataFacts) -> list[Condition]:
    """What a conditional chain's certificates are of."""
    if not facts.context:
        return []
    columns = ", ".join(asked_columns(facts.context_columns))
    how = (
        "proved: every bound holds for each context, and so for the averages over contexts of KL, "
        "W2², ε² and the Fisher information, which is what is measured and bounded"
    )
    return [condition(f"the laws given the context ({columns})", Status.PROVED, how)]


def defence_of(share: float) -> list[Condition]:
    """What the model's broad part adds to the bounds of the blocks."""
    if not share:
        return []
    how = (
        f"proved: the model is at least 1 − {share:g} of the density of the blocks, so its KL is at most "
        f"{price(share):.2g} nats above theirs and its total variation at most {share:g}; both are in the "
        "bounds of the model. (A) to (C), W2 to N(0, I) and the measured gap are of the blocks alone"
    )
    return [condition(f"a share of {share:g} of the model is a broad law", Status.PROVED, how)]


def condition(name: str, status: Status, how: str) -> Condition:
    """Something that figures rest on: what, how it is known, and in words."""
    return Condition(name=name, status=status, how=how)


def convexity_of(config: Config, dim: int) -> Condition:
    """What is known of the convexity of the functional."""
    functional = functional_of(config, dim)
    if functional is None:
        return condition("the potential |x|²/2 is 1-convex", Status.PROVED, "proved")
    lam = functional.convexity or 0.0
    how = f"proved, λ = {lam:.3g}" if lam > 0 else functional.unfit or "λ = 0"
    status = Status.PROVED if lam > 0 else Status.FAILS
    return condition(f"{functional.name}: λ-convex with λ > 0", status, how)


def log_det_words(config: Config, dim: int) -> tuple[Status, str]:
    """How the log-determinants of a chain's blocks were computed, and how well they are known for that."""
    if config.network.kind == "ode":
        how = f"integrated with {config.solver.steps} steps of {config.solver.method}"
        return Status.ASSUMED, how
    if residual_probes(config, dim) == 0:
        return Status.PROVED, "exact for the maps as they are computed"
    return Status.MEASURED, "estimated without bias by a power series of random length"
