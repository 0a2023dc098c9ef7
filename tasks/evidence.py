"""The constant of a chain's target between two ends, from fresh draws of the chain."""

from __future__ import annotations

import math

from jko.build import functional_of, start_law, target_of
from jko.certify.certificates import Guarantee
from jko.certify.evidence_interval import EvidenceInterval, evidence_interval
from jko.chain.importance import importance_report
from jko.chain.sampling import draw
from jko.core.seeds import counter_seed
from jko.laws.densities import Estimate
from tasks.adapters.store.chain_store import ChainStore
from tasks.adapters.store.chains import load_chain


def evidence_of(store: ChainStore, whole: Guarantee) -> EvidenceInterval | None:
    """Log Z of the target that a chain leads to; ``None`` where it leads to none, or descends more than KL.

    By ``measure.samples`` fresh draws of p_N: no row that was trained on or that chose weights.

    Args:
        store: the chain.
        whole: what it guarantees.
    """
    config, dim = store.config, store.facts.dim
    law, target, functional = start_law(config), target_of(config, dim), functional_of(config, dim)
    if law is None or target is None or functional is None:
        return None
    if not config.target.alone or not functional.is_divergence:
        return None
    chain = load_chain(store.layout, config, store.fingerprints)
    drawn = draw(chain, law, config.measure.samples, seed=counter_seed(config.seed, "evidence"))
    weights = drawn.log_weights(target)
    log_z = importance_report(weights).log_normaliser
    spread = float(weights.std()) / math.sqrt(len(weights))
    return evidence_interval(
        Estimate(float(weights.mean()), math.hypot(spread, drawn.mass_se)),
        whole,
        log_z=Estimate(log_z.value, math.hypot(log_z.se, drawn.mass_se)),
        draws=len(weights),
        known=target.log_normaliser,
    )
