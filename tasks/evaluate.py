"""Evaluate a complete chain on test rows: likelihood cut by cut, samples, baselines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from prefect import State, task

from jko.build import start_law, target_of
from jko.chain.chain import Chain
from jko.chain.kinds import log_probabilities
from jko.chain.noise import DRAWS
from jko.chain.sampling import draw, mass_error, target_figures
from jko.config import Config
from jko.core.context import state_of, with_context
from jko.core.rows import at_most
from jko.core.seeds import counter_seed
from jko.core.threads import all_threads
from jko.disk.commit import committing
from jko.disk.identity import evaluation_fingerprint
from jko.disk.sealed import write_json
from jko.laws.densities import Density
from jko.measure.measures import chain_inversion_error
from jko.preparation.facts import DataFacts, array_digest
from jko.statistics.copies import copies
from jko.statistics.fresh_rows import FreshRows
from tasks.adapters.store.arrays import read_samples, write_arrays
from tasks.adapters.store.chain_store import ChainStore
from tasks.adapters.store.chains import load_chain
from tasks.adapters.store.evaluated import (
    FIGURES,
    SAMPLE_ROWS,
    TEST_ROWS,
    EvaluationFigures,
    FreshLook,
    ScoredRow,
    TargetFigures,
    evaluation_figures,
)
from tasks.baselines import baseline_brackets, fitted_baselines
from tasks.cuts import PATH_ROWS, check_finite, cut_figures, followed_cuts, log_prob_of_cuts, nll_figures
from tasks.fresh import fresh_figures, made_up, surprising
from tasks.headline import headline
from tasks.options import DURABLE, skipped

Array = NDArray[np.float64]
#: array of the contexts of the generated samples
CONTEXT = "generated_context"
#: a chain from a known law has no training rows
NOT_COPIED = dict.fromkeys(("nearest_training_row", "copied_share", "copied_share_se", "copied_share_test"))
#: rows kept of the generated and of the test rows, to be shown beside those of other chains
SHOWN_ROWS = 1000
#: test rows at most that are scored by several draws of noise
DRAWN_ROWS = 5000
#: numbers that float32 holds with room to spare
LARGEST_SHOWN, SMALLEST_SHOWN = 1e30, 1e-30


@task(name="evaluate", **DURABLE)
def evaluate_chain(store: ChainStore) -> EvaluationFigures | State[EvaluationFigures]:
    """Commit the evaluation folder and write the metrics file; returns the figures."""
    fingerprint = evaluation_fingerprint(store.config, store.digest or "")
    figures = evaluation_figures(store.layout, fingerprint)
    if figures is not None:
        write_json(store.layout.metrics, headline(figures))
        return skipped("the evaluation matches the chain", figures)
    with all_threads(store.config.runtime.threads):
        result = evaluate(store)
    with committing(store.layout.evaluation, fingerprint, {}) as folder:
        write_json(folder / FIGURES, result.figures.plain())
        result.rows.to_parquet(folder / TEST_ROWS, index=False)
        result.shown.to_parquet(folder / SAMPLE_ROWS, index=False)
        write_arrays(folder / "samples.zarr", result.arrays, {"units": "data units"})
    write_json(store.layout.metrics, headline(result.figures))
    return result.figures


@dataclass(frozen=True)
class Evaluation:
    """What is stored of an evaluation.

    Args:
        figures: JSON figures.
        rows: per test row the log-densities in nats, data units.
        shown: the first generated and test rows, data units, with their ``part``.
        arrays: generated samples, with their contexts where they have some, and the paths of some particles,
            data units.
    """

    figures: EvaluationFigures
    rows: pd.DataFrame
    shown: pd.DataFrame
    arrays: Mapping[str, Array]


def evaluate(store: ChainStore) -> Evaluation:
    """Compute everything shown of a complete chain.

    ``test_digest`` is the identity of the rows that the log-densities are of: their numbers in the
    source and their values in data units, as the chain gets them. Stored rows are standardised,
    and two data sets can look alike then; densities of rows in equal units can be compared. With
    corrections they are values of the same mean (:func:`followed_cuts`).
    """
    config, layout, fingerprints, facts = store.config, store.layout, store.fingerprints, store.facts
    chain = load_chain(layout, config, fingerprints)
    parts = {
        name: facts.in_data_units(read_samples(layout, 0, fingerprints[0], name, most))
        for name, most in (("train", facts.rows["source"]), ("validation", None), ("test", None))
    }
    law, test = start_law(config), torch.from_numpy(parts["test"])
    defence = None
    if chain.corrected and law is not None:
        cuts, found = followed_cuts(chain, law, test, config.seed, entropy=(facts.entropy or {})["value"])
        cuts_se = np.zeros_like(cuts)
    else:
        scored = log_prob_of_cuts(chain, test, config.seed)
        cuts, cuts_se, defence = scored.values, scored.errors, scored.defence
        found = paths(chain, parts["test"], config.seed)
    added = facts.kinds_log_det(parts["test"])
    cuts = cuts + added
    if defence is not None and defence.nll_blocks is not None:
        defence = defence.model_copy(update={"nll_blocks": defence.nll_blocks - float(added.mean())})
    for k, values in enumerate(cuts):
        check_finite(values, k)
    components, fresh = config.evaluation.mixture_components, made_up(config, facts, parts["train"])
    beside = parts if fresh is None else {**parts, "test": np.concatenate([parts["test"], fresh.rows])}
    fitted = fitted_baselines(parts, components, config.seed, dim=facts.dim)
    kinds = facts.kinds_log_det(beside["test"])
    every = {name: one.log_density(beside["test"]) + kinds for name, one in fitted.items()}
    baselines = {name: values[: len(test)] for name, values in every.items()}
    states = {name: rows[:, : facts.dim] for name, rows in parts.items()}
    contexts = drawn_contexts(config, parts["train"][:, facts.dim :], config.evaluation.samples)
    if law is None:
        given = None if contexts is None else torch.from_numpy(contexts)
        drawn = chain.sample(config.evaluation.samples, context=given, seed=config.seed)
        generated = drawn.double().cpu().numpy()
        target = TargetFigures()
    else:
        generated, target = drawn_towards(config, chain, law)
    test_rows = read_samples(layout, 0, fingerprints[0], "test_rows").astype(np.int64)
    look: dict[str, FreshLook | list[ScoredRow]] = {}
    if fresh is not None:
        scores = (cuts[-1], scored.blocks + added, baselines["mixture"])
        look = {
            "fresh": looked_at(
                chain, fresh, every["mixture"][len(test) :], config.seed, added=kinds[len(test) :]
            ),
            "surprising": surprising(test_rows, parts["test"], scores),
        }
    figures: dict[str, object] = {
        "steps": len(chain.blocks),
        "test_digest": array_digest({"row": test_rows, "values": parts["test"]}),
        "test": {
            **nll_figures(cuts[-1], cuts_se[-1], facts, test_rows, mass_se=mass_error(chain)).plain(),
            **kinds_figures(config, chain, facts, parts["test"]),
        },
        "cuts": cut_figures(
            cuts, [one.acceptance_se if one else 0.0 for one in chain.corrections], test_rows
        ),
        "baselines": {
            name: nll_figures(values, None, facts, test_rows) for name, values in baselines.items()
        },
        **({} if law is not None else {"baseline_brackets": baseline_brackets(fitted, store)}),
        "inversion_error_chain": chain_inversion_error(chain, torch.from_numpy(parts["validation"])),
        **(copied_figures(generated, states) if law is None else NOT_COPIED),
        **({} if law is None else {"target": target}),
        **look,
        **({} if defence is None else {"defence": defence}),
    }
    rows = {
        "row": test_rows,
        "log_density": cuts[-1],
        "log_density_se": cuts_se[-1],
        **({"log_density_blocks": scored.blocks + added} if defence else {}),
        **{f"log_density_cut_{k}": values for k, values in enumerate(cuts)},
        **{f"log_density_{name}": values for name, values in baselines.items()},
    }
    if law is not None:  # there forward is the way to the samples
        found["reverse_path"] = found["forward_path"]
        found |= exact_samples(config, chain.dim)
    arrays = {"generated": generated, **found, **({} if contexts is None else {CONTEXT: contexts})}
    shown = shown_rows({"generated": generated, "test": states["test"]})
    return Evaluation(EvaluationFigures.model_validate(figures), pd.DataFrame(rows), shown, arrays)


def kinds_figures(config: Config, chain: Chain, facts: DataFacts, test: Array) -> dict[str, object]:
    """What the probability of a row is, and the NLL of test rows by several draws of the noise of kinds.

    Args:
        config: the settings.
        chain: the chain.
        facts: of the data; nothing is said of columns without kinds.
        test: the test rows, encoded, shape (rows, d + c).
    """
    schema = facts.kinds
    if schema is None:
        return {}
    told: dict[str, object] = {"unit": schema.meaning, "bound": schema.exactness == "bound"}
    if schema.exactness == "exact":
        return told
    rows = at_most(test, DRAWN_ROWS)
    cells = schema.decode(rows[:, : facts.dim])
    found = log_probabilities(chain, schema, cells, rows[:, facts.dim :], seed=config.seed)
    return told | {
        "nll_draws": float(-found[:, 0].mean()),
        "nll_draws_se": float(found[:, 0].std(ddof=1) / np.sqrt(len(found))),
        "draws": DRAWS,
        "draws_se": float(np.sqrt((found[:, 1] ** 2).mean())),
    }


def looked_at(
    chain: Chain, fresh: FreshRows, mixture: Array, seed: int, *, added: Array | float = 0.0
) -> FreshLook:
    """Figures of made-up rows under a chain, beside their log-densities under the Gaussian mixture.

    Args:
        chain: the chain.
        fresh: the rows.
        mixture: their log-densities under the mixture.
        seed: of probes.
        added: what the kinds of their columns add to log-densities.
    """
    found = log_prob_of_cuts(chain, torch.from_numpy(fresh.rows), seed)
    return fresh_figures(fresh, found.values[-1] + added, found.blocks + added, mixture)


def drawn_contexts(config: Config, training: Array, count: int) -> Array | None:
    """Contexts of generated samples: those of the training rows in a random order.

    Args:
        config: settings of the chain.
        training: contexts of the training rows, shape (rows, c), data units.
        count: how many.
    """
    if training.shape[1] == 0:
        return None
    order = np.random.default_rng(counter_seed(config.seed, "contexts")).permutation(len(training))
    return training[np.resize(order, count)]


def exact_samples(config: Config, dim: int) -> dict[str, Array]:
    """Rows of the chain's end, where that is a target that can be drawn from, as the array ``target``."""
    target = target_of(config, dim) if config.target.alone else None
    draw_exact = np.random.default_rng(counter_seed(config.seed, "shown target"))
    rows = None if target is None else target.sample(SHOWN_ROWS, draw_exact)
    return {} if rows is None else {"target": rows}


def drawn_towards(config: Config, chain: Chain, law: Density) -> tuple[Array, TargetFigures]:
    """Samples of a chain that leads to another target than N(0, I), and how well they stand for it.

    Returns:
        Rows (samples, d), and the figures; none where the target cannot be drawn from.
    """
    drawn = draw(chain, law, config.evaluation.samples, seed=config.seed)
    rows, target = drawn.y.cpu().numpy(), target_of(config, chain.dim)
    if target is None or not config.target.alone:
        return rows, TargetFigures()
    found = target_figures(drawn, target, seed=config.seed)
    again = [1 - one.acceptance for one in chain.corrections if one is not None]
    distances = {"energy_distance": found.distance, "corrected": found.corrected, "exact": found.floor}
    return rows, TargetFigures.model_validate(
        {
            "log_z": found.importance.log_normaliser.value,
            "log_z_se": found.importance.log_normaliser.se,
            "log_z_known": found.log_normaliser,
            "effective_share": found.importance.share,
            **{name: None if of is None else of.value for name, of in distances.items()},
            **{f"{name}_se": None if of is None else of.se for name, of in distances.items()},
            **({"redrawn": float(np.mean(again))} if again else {}),
        }
    )


def shown_rows(parts: Mapping[str, Array]) -> pd.DataFrame:
    """Some rows of each part as one table: ``part`` and ``x0`` … in the order of columns.

    In float32, where that holds the numbers.
    """
    largest = max(float(np.abs(rows).max(initial=0)) for rows in parts.values())
    kind = np.float32 if SMALLEST_SHOWN < largest < LARGEST_SHOWN else np.float64
    frames = []
    for name, rows in parts.items():
        frame = pd.DataFrame(at_most(rows, SHOWN_ROWS).astype(kind)).add_prefix("x")
        frames.append(frame.assign(part=name))
    return pd.concat(frames, ignore_index=True)


def copied_figures(generated: Array, parts: Mapping[str, Array]) -> dict[str, float | None]:
    """How near samples come to training rows, by :func:`jko.statistics.copies.copies`."""
    found = copies(generated, parts["train"], parts["test"])
    return {
        "nearest_training_row": found.ratio,
        "copied_share": found.share,
        "copied_share_se": found.share_se,
        "copied_share_test": found.usual,
    }


@torch.no_grad()
def paths(chain: Chain, test: Array, seed: int) -> dict[str, Array]:
    """Positions after every block: test rows forward, reference draws with their contexts backward.

    Returns:
        ``forward_path`` (N + 1, rows, d), standardised units, from data to reference;
        ``reverse_path`` (N + 1, rows, d), data units, from the draw (0) to the sample (N).
    """
    y = chain.standardise(torch.from_numpy(at_most(test, PATH_ROWS)))
    forward = [y]
    for block in chain:
        forward.append(block.push_forward(forward[-1]))
    draw = torch.Generator().manual_seed(seed)
    z = torch.randn(min(PATH_ROWS, len(test)), chain.dim, generator=draw, dtype=torch.float64)
    reverse = [with_context(z.to(device=chain.shift.device, dtype=chain.dtype), y)]
    for block in reversed(list(chain)):
        reverse.append(block.pull_back(reverse[-1]))
    back = [chain.in_data_units(rows) for rows in reverse]
    return {
        "forward_path": state_of(torch.stack(forward), chain.dim).cpu().numpy(),
        "reverse_path": state_of(torch.stack(back), chain.dim).cpu().numpy(),
    }
