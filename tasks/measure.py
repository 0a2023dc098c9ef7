"""Measure a committed block on held-out rows, and say what the chain guarantees after it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from prefect import State, task

from jko.build import functional_of, reference_of, start_law
from jko.certify.above import Above
from jko.certify.certificates import Guarantee
from jko.certify.evidence import Evidence, from_above
from jko.certify.guarantee import certify, certify_functional
from jko.certify.records import Measured
from jko.config import Config
from jko.core.device import readable_here
from jko.core.digest import digest_of
from jko.core.errors import NumericalError
from jko.core.records import Number, Record
from jko.core.rows import drawn
from jko.core.step_sizes import stored
from jko.core.threads import all_threads
from jko.disk.identity import MEASURES, measured_with
from jko.disk.layout import name_of
from jko.disk.sealed import read_sealed, write_sealed
from jko.energies.ground import ground_of
from jko.laws.densities import Estimate
from jko.laws.score import score_after
from jko.measure.figures import BlockFigures, StepFigures
from jko.measure.measures import EXACT_ROWS, HeldOut, root_mean_square
from jko.measure.measures import measure_block as block_figures
from jko.preparation.facts import DataFacts
from jko.preparation.names import listed
from tasks.adapters.store.chain_store import ChainStore
from tasks.adapters.store.plan import keep_figures, measured_content, same_source, stored_figures
from tasks.baselines import mixture_log_density
from tasks.bracket import upper_level
from tasks.correct import correction_figures
from tasks.datasets.laws import score_of
from tasks.held_out import TEST, images_of_test_rows, part_of, particles
from tasks.options import DURABLE, skipped
from tasks.push import restore_samples


@task(name="measure", task_run_name="block-{k}-measure", **DURABLE)
def measure_block(store: ChainStore, k: int) -> Measured | State[Measured]:
    """Write the figures of block k; after its commit, so a kill here costs no training."""
    figures = stored_figures(store, k)
    if figures is not None:
        check_inversion(store.config, k, figures)
        return skipped(f"block {k} is already measured", figures)
    with all_threads(store.config.runtime.threads):
        figures = measured(store, k)[-1]
    keep_figures(store.layout, k, store.fingerprints[k], figures)
    check_inversion(store.config, k, figures)
    return figures


def measured(store: ChainStore, k: int) -> list[Measured]:
    """The figures of blocks 1..k, each with the certificates after it; stored ones are taken."""
    facts = store.facts
    all_figures: list[Measured] = []
    for j in range(1, k + 1):
        figures = stored_figures(store, j)
        if figures is None:
            own = measure(store, j)
            after = certificates(store.config, facts, [*all_figures, own])
            settings = {"settings": measured_with(store.config)}
            figures = Measured.model_validate(own.plain() | after.plain() | settings)
        all_figures.append(figures)
    return all_figures


def measure(store: ChainStore, k: int) -> StepFigures:
    """The figures of block k."""
    rows, device = store.config.measure.rows, readable_here(store.config).runtime.device

    def held_out(name: str) -> torch.Tensor:
        return placed(drawn(store.samples(k, name), rows))

    def placed(values: NDArray[np.generic]) -> torch.Tensor:
        return torch.from_numpy(values).to(device=device, dtype=torch.float64)

    def particles_of(j: int, name: str) -> torch.Tensor:
        return drawn(store.particles(j, name), rows)

    facts = store.facts
    on_test = part_of(store.config, facts) == TEST
    restore_samples(store, k - 1)
    restore_samples(store, k)
    block = store.block(k)
    before = exact_scores(store, k - 1)
    rival = placed(drawn(mixture_log_density(store), rows))
    # what is measured of a block is of its images; of the law behind a correction are correction_figures,
    # the NLL among them, and up to the entropy of p_0 log p_k takes the place of minus the log-determinants
    images = "validation_pushed" if store.config.target.correction else "validation"
    moved = (particles_of(k - 1, "validation"), particles_of(k, images))
    if on_test:
        own = images_of_test_rows(store, k)
        held = HeldOut(
            images_of_test_rows(store, k - 1).rows,
            own.rows,
            own.log_det.to(device),
            own.log_det_se.to(device),
            own.total.to(device),
            rival,
        )
    else:
        held = HeldOut(
            *moved,
            held_out("validation_log_det"),
            held_out("validation_log_det_se"),
            -held_out("validation_pushed_log_density")
            if store.config.target.correction
            else held_out("validation_log_det_total"),
            rival,
        )
    functional = functional_of(store.config, facts.dim)
    if functional is not None:
        reference = reference_of(store.config, facts.dim)
        held = replace(held, log_reference=reference(held.y.double()))
        if (functional.convexity or 0) > 0:
            held = replace(held, lowest=ground_of(functional, facts.dim).lowest)
        law = start_law(store.config)
        if functional.needs_density and law is not None:
            first = images_of_test_rows(store, 0).rows if on_test else particles_of(0, "validation")
            log_p = placed(law.log_prob(first.double().cpu().numpy()))
            held = replace(held, log_density=log_p - held.total_log_det)
    # the law that enters this block takes the place of p_0: its score is known at its particles
    score = None if before is None else before.to
    with factorised(k):
        figures = block_figures(
            [block], held, store.config.measure, score=score, seed=store.config.seed,
            functional=functional, index=k, unfit=unfit(store.config, facts),
        )  # fmt: skip
    check_finite(figures, k)
    more: dict[str, float | None] = {"movement_validation": root_mean_square(moved[1] - moved[0])}
    if store.config.target.correction:
        more |= correction_figures(store, k)
    if store.config.stop.bracket is not None:
        looks = len(store.config.step_sizes)
        more |= {"bracket_upper_95": upper_level(store, k, looks), "bracket_looks": looks}
    return StepFigures.model_validate(figures.plain() | {"step_size": stored(block.step_size)} | more)


class Scores(Record):
    """The scores of some rows, shape (rows, d), standardised units."""

    scores: list[list[Number]]


def exact_scores(store: ChainStore, k: int) -> torch.Tensor | None:
    """∇log p_k at the first rows that are measured, where the density of the data is known.

    Each block takes the scores before it one step on; they are kept in the run folder, sealed, so that a
    chain of any length costs the same for every block.
    """
    facts = store.facts
    # a picture that changed since then, or is gone, is another law
    same = same_source(store.config, store.layout, store.fingerprints[0])
    score = score_of(store.config, facts) if same else None
    # a row drawn again has another origin than row i of p_0
    if score is None or store.config.target.correction:
        return None
    rows = min(store.config.measure.rows, EXACT_ROWS)
    part = part_of(store.config, facts)
    name = f"{name_of(k, store.fingerprints[k])}-{rows}-{part}-{MEASURES}.json"
    path = store.layout.run / "scores" / name
    of = {
        "part": part,
        "content": measured_content(store.layout, k, store.fingerprints[k]),
        "rows": rows,
        "version": MEASURES,
    }
    identity = digest_of({**of, "data": store.config.data.model_dump(mode="json")})
    known = read_sealed(path, Scores, identity)
    if known is not None:
        return torch.tensor(known.scores, dtype=torch.float64)
    y = particles(store, k, rows)
    if k == 0:
        found = score(y.double())
    else:
        before = exact_scores(store, k - 1)
        assert before is not None  # the law is known
        block = store.block(k)
        found = score_after([block], y, before.to)
    write_sealed(path, Scores(scores=found.tolist()), identity)
    return found.cpu()


def certificates(
    config: Config, facts: DataFacts, figures: Sequence[StepFigures], above: Above | None = None
) -> Guarantee:
    """The certificates after the last of measured blocks.

    Args:
        config: the settings.
        facts: of the data.
        figures: of blocks 1..k.
        above: ε² and the Fisher information of the same blocks from above, which take the critic's place.
    """
    entropy = Estimate(facts.entropy["value"], facts.entropy["se"]) if facts.entropy else None
    functional = functional_of(config, facts.dim)
    if functional is None:
        evidence = [Evidence.of(own, entropy=entropy) for own in figures]
        if above is not None and above.known:
            evidence = from_above(evidence, above)
        return certify(evidence, facts.dim, unfit=unfit(config, facts))
    known = entropy if config.target.normalised else None
    evidence = [Evidence.of(own, entropy=known) for own in figures]
    ground = ground_of(functional, facts.dim) if (functional.convexity or 0) > 0 else None
    return certify_functional(evidence, functional, ground, corrected=bool(config.target.correction))


def unfit(config: Config, facts: DataFacts) -> str:
    """Why no certificate can hold for these data; empty if nothing known speaks against it."""
    if facts.smoothing:
        return ""
    if any(facts.grid):
        return (
            "the data were dequantised with uniform noise, whose jumps make the Fisher information and "
            "so ε infinite; set data.smoothing, such as 0.01, for a law with finite ε"
        )
    if jumping := spread_out(facts):
        return (
            f"{listed(jumping)}: cells with a mass of their own are spread by noise, whose jumps make the "
            "Fisher information and so ε infinite; data.kinds=off with data.smoothing=0.01 gives a law with "
            "finite ε"
        )
    if facts.atoms:
        return (
            f"{', '.join(facts.atoms)}: a value has a probability of its own there (an atom), so the data "
            "have no density and their KL to the model is infinite; set data.smoothing, such as 0.01"
        )
    if config.data.source == "curve":
        return "data on a curve have no density; set data.smoothing, such as 0.02"
    return ""


def spread_out(facts: DataFacts) -> list[str]:
    """Columns whose cells have masses, so that their encoded law has jumps."""
    if facts.kinds is None:
        return []
    return [column.name for column in facts.kinds.kept if column.width and column.meaning != "density"]


@contextmanager
def factorised(k: int) -> Iterator[None]:
    """A failure of linear algebra in the body as a sentence.

    Raises:
        NumericalError: a matrix of the particles cannot be factorised.
    """
    try:
        yield
    except (torch.linalg.LinAlgError, np.linalg.LinAlgError) as error:
        raise NumericalError(
            f"the figures of its held-out particles cannot be computed ({str(error).splitlines()[0]})",
            block=k, remedy="lower the step size, or look for extreme or equal rows in the data",
        ) from None  # fmt: skip


#: figures that every block has; where one is not finite, its map is no map of the particles
ALWAYS = ("kl_drop", "nll", "movement", "loss_potential", "loss_log_det", "potential_before")


def check_finite(figures: BlockFigures, k: int) -> None:
    """Stop where a block gives its held-out particles no finite figures.

    Raises:
        NumericalError: with the name of the figure.
    """
    for name in ALWAYS:
        value = getattr(figures, name)
        if not math.isfinite(value):
            raise NumericalError(
                f"the figure {name} of its held-out particles is not finite", block=k, value=value,
                remedy="lower the step size or training.learning_rate, or look for extreme rows in the data",
            )  # fmt: skip


def check_inversion(config: Config, k: int, figures: BlockFigures) -> None:
    """Stop a run whose block cannot be inverted.

    Raises:
        NumericalError: the round trip, or the distance of the computed inverse to the true one, is
            more than ``measure.inversion_limit``.
    """
    errors = [figures.inversion_error, figures.inversion_error_reference]
    worst = max(math.inf if error is None else error for error in errors)
    if worst > config.measure.inversion_limit:
        means = {"ode": "raise solver.steps", "residual": "lower network.lipschitz"}[config.network.kind]
        raise NumericalError(
            "the block does not invert", block=k, value=worst, bound=config.measure.inversion_limit,
            remedy=f"{means} or lower the step size (measure.inversion_limit is the bound)",
        )  # fmt: skip
