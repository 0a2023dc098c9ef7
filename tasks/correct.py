"""Correct the particles that a block pushed by their importance weights (:mod:`jko.chain.correction`)."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from jko.build import reference_of, start_law
from jko.chain.chain import Chain
from jko.chain.corrected import Particles, corrected, drawn_before, pushed, started
from jko.chain.correction import Correction, fit_correction
from jko.chain.pushing import array_of, finite, to_numpy
from jko.core.errors import NumericalError
from jko.core.rows import drawn
from jko.core.seeds import counter_seed
from jko.disk.chains import load_corrections
from jko.disk.weights import chain_of
from jko.laws.densities import Density
from jko.maps.invertible import InvertibleBlock
from jko.measure.measures import standard_error
from tasks.adapters.store.chain_store import ChainStore

PARTS = ("train", "validation")


def corrected_samples(
    store: ChainStore,
    k: int,
    blocks: list[InvertibleBlock],
) -> tuple[dict[str, NDArray[np.generic]], Correction]:
    """The arrays of block k whose rows are corrected, and the correction.

    The level is that of the training rows; ᾱ is a mean over as many fresh draws, since the block was fitted
    to the training rows. All rows are held in memory: the level needs every weight.

    Args:
        store: the chain.
        k: the block.
        blocks: blocks 1..k.

    Returns:
        For ``train`` and ``validation`` the corrected rows (rows, d) float32, ``PART_log_density`` of their
        law p_k (rows,) float64, nats, and ``PART_redrawn`` (rows,) bool: such a row is no image of the row
        before it. Of the validation rows also ``validation_pushed`` (rows, d) float32, the images of all
        rows, with ``validation_pushed_log_density`` of the law before the correction, and
        ``validation_log_det`` with its standard error, of this block.
    """
    law = start_law(store.config)
    assert law is not None  # a correction needs a target, and a target a known law
    found: dict[str, NDArray[np.generic]] = {}
    images: dict[str, Particles] = {}
    facts, known = store.facts, load_corrections(store.layout, store.fingerprints[:k])
    whole = chain_of(store.config, facts, blocks, [*known, None])
    for part in PARTS:
        before = stored_particles(store, k - 1, part, of=(whole, law))
        images[part] = pushed(whole, k, before)
        check(whole, images[part], k)
        if part == "validation":
            found["validation_log_det"] = to_numpy(before.log_density - images[part].log_density)
            found["validation_log_det_se"] = to_numpy(images[part].log_density_se)
    level = fit_correction(images["train"].log_weights(whole), store.config.target.correction).log_level
    own = counter_seed(store.config.seed, k, "acceptance")
    fresh = drawn_before(whole, k, law, len(images["train"].y), seed=own)
    correction = Correction.at(level, fresh.log_weights(whole))
    whole = chain_of(store.config, facts, blocks, [*known, correction])
    for part, rows in images.items():
        kept = corrected(whole, k, rows, law, seed=counter_seed(store.config.seed, "push", part))
        found[part] = array_of(finite(kept.y, k), np.float32)
        found[f"{part}_log_density"] = to_numpy(kept.log_density)
        found[f"{part}_redrawn"] = array_of(kept.redrawn, np.bool_)
    found["validation_pushed"] = array_of(images["validation"].y, np.float32)
    found["validation_pushed_log_density"] = to_numpy(images["validation"].log_density)
    return found, correction


def check(chain: Chain, rows: Particles, k: int) -> None:
    """Go on with images of block k only if they and their weights are finite.

    Raises:
        NumericalError: some are not.
    """
    finite(rows.y, k)
    if not rows.log_weights(chain).isfinite().all():
        raise NumericalError(
            "importance weights are not finite", block=k,
            remedy="lower training.learning_rate, or set target.correction=0",
        )  # fmt: skip


def stored_particles(
    store: ChainStore,
    k: int,
    part: str,
    *,
    of: tuple[Chain, Density],
) -> Particles:
    """The rows of a part after block k, with the log-density of their law.

    Args:
        store: the chain.
        k: the block; 0 for the data, which are draws of p_0.
        part: ``train`` or ``validation``.
        of: the chain and p_0.
    """
    y = store.particles(k, part)
    if k == 0:
        return started(*of, y.double() * of[0].scale + of[0].shift)
    log_density = torch.from_numpy(store.samples(k, f"{part}_log_density"))
    return Particles.known(y, log_density.to(y.device))


def correction_figures(store: ChainStore, k: int) -> dict[str, float]:
    r"""The figures of block k that its correction adds, or that are of the law behind it.

    Returns:
        ``kl``, :math:`E[\log p_k - \log q]` over the corrected validation rows: KL(p_k‖q) where log Z is
        known, else up to log Z; ``nll``, that plus the entropy of p_0, which it is without corrections, too;
        ``kl_drop_correction``, KL before the correction less KL behind it, beside the block's ``kl_drop``;
        their errors, those of ᾱ in the first two; ``redrawn``, the share of rows drawn again; ``acceptance``
        and its error, as stored.
    """
    facts, rows = store.facts, store.config.measure.rows
    log_q = reference_of(store.config, facts.dim)

    def log_weights(name: str) -> torch.Tensor:
        y = drawn(store.particles(k, name), rows).double().cpu()
        log_p = drawn(store.samples(k, f"{name}_log_density"), rows)
        return log_q(y) - torch.from_numpy(log_p)

    corrections = load_corrections(store.layout, store.fingerprints[: k + 1])
    correction = corrections[-1]
    behind = -log_weights("validation")
    drop = correction.kl_drop(log_weights("validation_pushed"))
    error = math.hypot(standard_error(behind), *(one.acceptance_se for one in corrections))
    entropy = facts.entropy or {"value": 0.0}
    return {
        "kl": float(behind.mean()),
        "kl_se": error,
        "nll": float(behind.mean()) + entropy["value"],
        "nll_se": error,
        "kl_drop_correction": drop.value,
        "kl_drop_correction_se": drop.se,
        "redrawn": float(drawn(store.samples(k, "validation_redrawn"), rows).mean()),
        "acceptance": correction.acceptance,
        "acceptance_se": correction.acceptance_se,
    }
