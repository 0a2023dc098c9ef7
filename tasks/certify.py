"""What a chain guarantees after each block and as a whole, from its measured figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import torch
from prefect import State, task

from jko.build import target_of
from jko.certify.certificates import Guarantee, Withheld
from jko.certify.evidence import root_limit
from jko.certify.records import (
    FROM_ABOVE,
    Certificate,
    CertifiedBlock,
    ChainGuarantee,
    DefencePrice,
    Measured,
    Mixed,
    TwoSample,
)
from jko.certify.resolution import WIDTH
from jko.certify.status import Status
from jko.chain.defence import price, total_variation
from jko.config import Config
from jko.config.stop import stop_reason
from jko.core.context import reference_rows
from jko.core.display import figure
from jko.core.rows import at_most
from jko.core.seeds import counter_seed, generator
from jko.core.threads import all_threads
from jko.disk.identity import certificate_fingerprint
from jko.disk.sealed import write_sealed
from jko.measure.discretisation import solver_error
from jko.measure.inversion import product_bound, reverse_error
from jko.preparation.facts import DataFacts
from jko.statistics.two_sample import energy_test
from tasks.above import above_of
from tasks.adapters.store.chain_store import ChainStore
from tasks.assumptions import assumptions, by_exact_score
from tasks.bracket import confirmed, how_far_apart
from tasks.evidence import evidence_of
from tasks.headline import stored_certificate
from tasks.held_out import part_of, particles
from tasks.measure import certificates, measured
from tasks.options import DURABLE, skipped
from tasks.push import restore_samples


@task(name="certify", **DURABLE)
def certify_chain(store: ChainStore) -> Certificate | State[Certificate]:
    """Write the certificate of a chain beside it; returns its content."""
    known = stored_certificate(store)
    if known is not None:
        return skipped("the certificate matches the chain", known)
    return keep_certificate(store, certificate(store))


def keep_certificate(store: ChainStore, found: Certificate) -> Certificate:
    """Write a certificate beside the chain; returns it."""
    write_sealed(store.layout.certificate, found, certificate_fingerprint(store.config, store.digest or ""))
    return found


def certificate(store: ChainStore) -> Certificate:
    """Certificates of committed blocks 1..k and of the chain they make.

    Args:
        store: the chain.
    """
    with all_threads(store.config.runtime.threads):
        return _certificate(store)


def _certificate(store: ChainStore) -> Certificate:
    facts = store.facts
    figures = measured(store, len(store.fingerprints) - 1)
    last, exact = figures[-1], by_exact_score(store.config, figures)
    above = above_of(store)
    # the chain's own bounds need no critic where test rows bound ε; what is said of each block is a critic's
    used = above if above is not None and above.known and not exact else None
    after: Guarantee = last if used is None else certificates(store.config, facts, figures, used)
    reasons, statuses = dict(after.reasons), dict(after.statuses)
    if facts.smoothing_w2 is None:
        reasons["smoothing_w2"] = "the data are not smoothed (data.smoothing = 0)"
    if facts.entropy is None:
        reasons["kl_measured"] = "the entropy of the data is not known"
    elif not store.config.target.normalised:
        reasons["kl_measured"] = NO_CONSTANT if store.config.target.alone else NO_KL
    if store.config.target.correction:
        reasons |= dict.fromkeys(("inversion_w2_product", "inversion_w2_coupled"), FORWARD)
    statuses |= dict.fromkeys(MEASURED, Status.MEASURED)
    statuses["inversion_w2_product"] = Status.ESTIMATED
    apart, stopped = how_far_apart(store), stop_reason(store.config.stop, figures)
    if apart.resolution is None:
        reasons["certified_resolution"] = apart.why or TOO_WIDE
    discretised, reason = solver_figures(store)
    reasons |= {"solver_w2": reason} if reason else {}
    values: Fields = {
        **{name: value for name, value in after if name in Guarantee.model_fields},
        **reverse_pass(store, figures),
        **discretised,
        "two_sample": end_test(store),
        "steps": len(figures),
        "epsilon_class": last.epsilon_class,
        "stopped": "; ".join(filter(None, (stopped, confirmed(store.config.stop, apart) if stopped else ""))),
        "nll": last.nll,
        "held_out": part_of(store.config, facts),
        "nll_se": last.nll_se,
        "kl_drop": sum(own.kl_drop for own in figures),
        **measured_gap(store.config, facts, last),
        "smoothing_w2": facts.smoothing_w2,
        "assumptions": assumptions(store.config, facts, figures, used),
        "basis": "exact score" if exact else FROM_ABOVE if used else f"critic: {last.epsilon_class}",
        **(of_corrections(figures) if store.config.target.correction else {}),
        "reasons": reasons,
        "statuses": statuses,
        "bracket": apart.bracket,
        "certified_resolution": apart.resolution,
        "rows_needed": apart.rows_needed,
        "columns": apart.columns,
        "pairs": apart.pairs,
        "above": above,
        "evidence": evidence_of(store, last),
        **defended(after, store.config.defence_share),
    }
    whole = ChainGuarantee.model_validate({**values, "mixed": Mixed(says="")})
    mixed = Mixed(
        kl=whole.best_named["kl_bound"],
        kl_estimate=whole.best_named["kl_estimate"],
        w2_smoothing=whole.smoothing_w2,
        w2_inversion=whole.inversion_w2_coupled,
        w2_solver=whole.solver_w2,
        says=says(
            whole,
            towards="its target" if not store.config.target.standard else "",
            divergence=store.config.target.alone,
            critic=None if used is None else last.kl_estimate,
        ),
    )
    blocks = tuple(
        CertifiedBlock.model_validate(own.model_dump(exclude={"settings"}, exclude_unset=True) | {"index": k})
        for k, own in enumerate(figures, start=1)
    )
    return Certificate(blocks=blocks, chain=whole.model_copy(update={"mixed": mixed}))


def measured_gap(config: Config, facts: DataFacts, last: Measured) -> dict[str, float | None]:
    """KL itself, where the entropy of the data and the constant of the target are known."""
    if facts.entropy is None or not config.target.normalised:
        return {"kl_measured": None, "kl_measured_se": None}
    if config.target.correction:
        return {"kl_measured": last.kl, "kl_measured_se": last.kl_se}
    error = math.hypot(math.nan if last.nll_se is None else last.nll_se, facts.entropy["se"])
    return {"kl_measured": last.nll - facts.entropy["value"], "kl_measured_se": error}


def defended(last: Guarantee, share: float) -> Fields:
    """What the model's broad part makes of bounds on the law of the blocks; nothing where there is none.

    W2 to the reference is of the blocks alone. Computed samples are as near to the model as those of the
    blocks to theirs, or nearer: the broad law is drawn from exactly.
    """
    if not share:
        return {}
    tv, named = last.tv, ("kl_bound", "kl_estimate")
    return {
        "defence": DefencePrice(share=share, price=price(share)),
        **{name: kl + price(share) for name in named if (kl := last.figure(name)) is not None},
        "tv": None if tv is None else total_variation(tv, share),
    }


#: figures of the chain that are averages
MEASURED = ("kl_measured", "smoothing_w2", "inversion_w2_coupled", "solver_w2")
#: why no resolution is certified
TOO_WIDE = f"at every resolution U and L are more than {WIDTH:g} nats apart: the test rows are too few"
#: values of fields of a record, by name
Fields = dict[str, object]
#: why the KL of a chain to a target is not measured
NO_CONSTANT = (
    "log Z of the target is not known: NLL less entropy is then no KL but minus the ELBO, KL less log Z"
)
NO_KL = "what the steps descend is another functional than KL to a law with a known constant"
#: why a corrected chain has no distance between its model and computed samples
FORWARD = "its samples are drawn forward, through the corrections, and need no inverse"


#: why nothing is said of their solver
REDRAWN = "between its blocks rows are drawn again, so that none is the image of a row of the first law"


def of_corrections(figures: Sequence[Measured]) -> dict[str, float | None]:
    """What the corrections of a chain removed, and what they leave without meaning."""
    return {
        "kl_drop_correction": sum(own.kl_drop_correction or 0.0 for own in figures),
        "inversion_w2_product": None,
        "inversion_w2_coupled": None,
    }


def reverse_pass(store: ChainStore, figures: Sequence[Measured]) -> Fields:
    """Bounds on W2 between the model and what its computed inverse draws, standardised units."""
    facts = store.facts
    blocks = [store.block(k) for k in range(1, len(store.fingerprints))]
    ends = None if store.config.target.standard else end_particles(store)
    if facts.context:
        contexts = end_particles(store)
        ends = reference_rows(contexts, facts.dim, generator(store.config.seed, "reverse"))
    if ends is not None:
        ends = at_most(ends, store.config.measure.reference_rows)
    found = reverse_error(blocks, store.config.measure.reference_rows, seed=store.config.seed, z=ends)
    lipschitz = [math.nan if own.lipschitz_inverse is None else own.lipschitz_inverse for own in figures]
    return {
        "inversion_errors": found.per_block,
        "inversion_w2_product": product_bound(found.per_block, lipschitz),
        "inversion_w2_coupled": root_limit(found.coupled),
        "inversion_worst": found.worst,
        "inversion_rows": found.rows,
    }


def solver_figures(store: ChainStore) -> tuple[Fields, str]:
    """How far the solver of fixed steps is from a finer one, and why that is not known."""
    if store.config.target.correction:
        return {}, REDRAWN
    rows = particles(store, 0, store.config.measure.reference_rows)
    if len(rows) < 2:
        return {}, "there are fewer than two held-out rows"
    blocks = [store.block(k) for k in range(1, len(store.fingerprints))]
    found = solver_error(blocks, rows)
    if found is None:
        return {}, "no block is solved in steps: its map is the one that is computed"
    return {
        "solver_w2": root_limit(found.w2),
        "solver_log_det": found.log_det.value,
        "solver_log_det_se": found.log_det.se,
    }, ""


def end_test(store: ChainStore) -> TwoSample | None:
    """The two-sample test of p_N against the chain's end, on held-out rows; null without draws of that."""
    rows, exact = particles(store, len(store.fingerprints) - 1), None
    if not store.config.target.standard:
        target = target_of(store.config, rows.shape[1]) if store.config.target.alone else None
        draw = np.random.default_rng(counter_seed(store.config.seed, "two-sample target"))
        drawn = target.sample(len(rows), draw) if target else None
        if drawn is None:
            return None
        exact = torch.from_numpy(drawn)
    dim = store.facts.dim
    return TwoSample(**asdict(energy_test(rows, seed=store.config.seed, reference=exact, dim=dim)))


def end_particles(store: ChainStore) -> torch.Tensor:
    """Validation rows after the last block."""
    last = len(store.fingerprints) - 1
    restore_samples(store, last)
    return store.particles(last, "validation")


def says(
    whole: ChainGuarantee, *, towards: str = "", divergence: bool = True, critic: float | None = None
) -> str:
    """The KL–W2 guarantee in one sentence.

    Args:
        whole: the certificates of the chain.
        towards: names the end of a chain that leads elsewhere.
        divergence: whether what the steps descend is a KL divergence up to a constant, or another G.
        critic: the estimate by a critic, where the bound is by test rows and the noise that smoothed them.
    """
    law = "the smoothed law of the data" if whole.smoothing_w2 else "the law of the data"
    law, model = ("the law of the samples", towards) if towards else (law, "the model")
    least = "G of the law of the samples less the least that any law has"
    best = whole.best
    if isinstance(best, Withheld):
        gap = f"the KL divergence between {law} and {model}" if divergence else least
        first = f"No bound on {gap} holds"
    else:
        seen = "" if critic is None else f"; a critic estimates {critic:.3g}, from below"
        how = (
            f"whatever the law, by test rows and the noise that smoothed them{seen}"
            if whole.basis == FROM_ABOVE
            else "by the exact score of the known law"
            if best.status.sure
            else f"as far as a critic of the class {whole.epsilon_class} can see: an estimate from below, "
            "and no bound"
        )
        gap = f"KL({law} ‖ {model.removeprefix('the ')})" if divergence else least
        first = f"{gap} {'≤' if best.status.sure else '≲'} {best.value:.3g} nats ({how})"
    parts = [first]
    if whole.smoothing_w2:
        parts.append(f"the smoothed law is within W2 {whole.smoothing_w2:.3g} of the data")
    if whole.inversion_w2_coupled is not None:
        parts.append(f"computed samples are within W2 {whole.inversion_w2_coupled:.2g} of the model")
    if whole.solver_w2 is not None:
        parts.append(
            f"the blocks' solver takes rows to within W2 {whole.solver_w2:.2g} of where a finer one does, "
            f"with log-determinants off by {figure(whole.solver_log_det, '.2g')} nats in the mean"
        )
    told = whole.inversion_w2_coupled is not None or whole.solver_w2 is not None
    return "; ".join(parts) + (" (W2 in standardised units)." if told else ".")
