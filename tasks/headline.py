"""The few figures that stand for a block, an evaluation or a certificate where one looks first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jko.certify.evidence_interval import EvidenceInterval
from jko.certify.records import Certificate, GuaranteedStep
from jko.certify.resolution import Bracket
from jko.core.display import pair_of
from jko.disk.identity import certificate_fingerprint, evaluation_fingerprint
from jko.disk.sealed import read_sealed
from jko.measure.figures import StepFigures
from jko.statistics.heavy import warning
from tasks.adapters.store.chain_store import ChainStore
from tasks.adapters.store.evaluated import EvaluationFigures, evaluation_figures

#: figures of a block that are tracked at its step; all others are in the record's measures.json
STEP = (
    "kl_drop", "nll", "nll_se", "movement", "inversion_error", "inversion_error_reference", "epsilon",
    "certificate_c", "kl_bound", "kl_estimate", "kl_measured", "loss_potential", "loss_log_det",
    "loss_transport",
)  # fmt: skip
#: and those that blocks with a correction have beside them
CORRECTED = ("kl", "kl_drop_correction", "redrawn")
#: figures of −log q over test rows that stand beside its mean
BESIDE = (
    "nll_median", "nll_median_se", "nll_trimmed", "nll_trimmed_se", "nll_worst_share", "nll_worst_part",
    "nll_worst", "nll_worst_row",
)  # fmt: skip
#: what is told of a bracket
SIDES = ("upper", "upper_95", "lower", "lower_95")
#: figures of a certificate that are tracked for the chain
CHAIN = ("kl_bound", "kl_estimate", "kl_lower_bound", "kl_measured", "inversion_w2_coupled")


def step_headline(
    figures: StepFigures, entropy: Mapping[str, float] | None = None
) -> dict[str, float | None]:
    """A block's figures: ε from the exact score where that is known, else the critic's.

    Args:
        figures: all figures of the block.
        entropy: of the data, with its ``value`` in nats, where it is known: ``kl_measured`` is the
            NLL minus it.
    """
    own = {
        "epsilon": figures.best_epsilon,
        "kl_measured": figures.nll - entropy["value"] if entropy else None,
        **(figures.best_named if isinstance(figures, GuaranteedStep) else {}),
    }
    corrected = {name: figures.figure(name) for name in CORRECTED if name in figures.model_fields_set}
    return {name: own[name] if name in own else figures.figure(name) for name in STEP} | corrected


def chain_headline(certificate: Certificate) -> dict[str, float | None]:
    """A certificate's figures as ``chain/<name>``."""
    whole = certificate.chain
    named = whole.best_named
    return {
        **{f"chain/{name}": named[name] if name in named else whole.figure(name) for name in CHAIN},
        "chain/two_sample_p": None if whole.two_sample is None else whole.two_sample.p,
        "chain/certified_resolution": whole.certified_resolution,
        **bracket_headline(whole.bracket),
        **evidence_headline(whole.evidence),
        **({} if whole.above is None else {"chain/kl_bound_from_above": whole.above.kl_bound}),
    }


def evidence_headline(found: EvidenceInterval | None) -> dict[str, float | None]:
    """Both ends of log Z as ``evidence/<name>``; nothing of a chain without an unnormalised target."""
    names = ("elbo", "elbo_se", "upper", "upper_se", "lower_end", "upper_end")
    return {} if found is None else {f"evidence/{name}": found.figure(name) for name in names}


def bracket_headline(brackets: Sequence[Bracket]) -> dict[str, float | None]:
    """The bracket as ``bracket/<side>@<resolution>``."""
    return {f"bracket/{side}@{one.resolution:g}": one.figure(side) for one in brackets for side in SIDES}


def brackets_of(flat: Mapping[str, float]) -> list[Bracket]:
    """The brackets of headline figures, without their errors and counts.

    >>> brackets_of({"bracket/upper@0.2": 0.04, "test/nll": 1.5})[0].upper
    0.04
    """
    told: dict[float, dict[str, float]] = {}
    for name, value in flat.items():
        kind, _, at = name.partition("@")
        if kind.startswith("bracket/") and at:
            told.setdefault(float(at), {})[kind.removeprefix("bracket/")] = value
    unknown = {**dict.fromkeys(("upper_se", "lower_se", *SIDES)), "rows": 0, "samples": 0, "density": ""}
    return [Bracket.model_validate({**unknown, **told[at], "resolution": at}) for at in sorted(told)]


def headline(figures: EvaluationFigures) -> dict[str, float]:
    """The figures of ``metrics.json``, of DVC and of MLflow's run: flat, finite."""
    flat: dict[str, float | None] = {
        "test/nll": figures.test.nll,
        "test/nll_se": figures.test.nll_se,
        "test/nll_draws": figures.test.nll_draws,
        "test/nll_draws_se": figures.test.nll_draws_se,
        **{f"test/{name}": figures.test.figure(name) for name in BESIDE},
        "test/gap_to_entropy": figures.test.gap_to_entropy,
        "test/gap_to_entropy_se": figures.test.gap_to_entropy_se,
        "test/nll_gaussian": figures.baselines.gaussian.nll,
        "test/nll_mixture": figures.baselines.mixture.nll,
        "test/nearest_training_row": figures.nearest_training_row,
        "test/copied_share": figures.copied_share,
        "test/copied_share_se": figures.copied_share_se,
        "inversion_error_chain": figures.inversion_error_chain,
        "steps": figures.steps,
    }
    if fresh := figures.fresh:
        flat |= {"fresh/rows": sum(fresh.rows.values()), "fresh/below": fresh.below}
        flat |= {"fresh/limit": fresh.limit}
    if target := figures.target:
        flat |= {f"target/{name}": target.figure(name) for name in sorted(target.model_fields_set)}
    return {key: value for key, value in flat.items() if value is not None}


def stored_headline(store: ChainStore) -> dict[str, float] | None:
    """The headline figures of a chain's evaluation, which ``metrics.json`` repeats for DVC.

    Args:
        store: the chain.

    Returns:
        ``None`` where the evaluation is missing, damaged, or of other blocks or settings.
    """
    figures = stored_evaluation(store)
    return None if figures is None else headline(figures)


def stored_evaluation(store: ChainStore) -> EvaluationFigures | None:
    """All figures of a chain's evaluation, for the same arguments and as seldom as its headline."""
    digest = store.digest if store.fingerprints else None
    return (
        None
        if digest is None
        else evaluation_figures(store.layout, evaluation_fingerprint(store.config, digest))
    )


def stored_certificate(store: ChainStore) -> Certificate | None:
    """The certificate on disk, if it belongs to these blocks and settings."""
    wanted = certificate_fingerprint(store.config, store.digest or "")
    return read_sealed(store.layout.certificate, Certificate, wanted)


#: what the probability of a row is, in words
UNITS = {
    "density": "densities in the data's units",
    "mass": "probabilities of rows",
    "mixed": "probabilities of discrete cells times densities of the others",
}


def nll_words(figures: EvaluationFigures | None) -> str:
    """A sentence on what the NLL of a table with kinds of columns is; empty for plain numbers."""
    test = None if figures is None else figures.test
    if test is None or (test.unit == "density" and not test.bound):
        return ""
    of = f"the NLL is of {UNITS.get(test.unit, test.unit)}"
    if not test.bound:
        return of
    more = f"; {test.draws} draws give {pair_of(test, 'nll_draws')} nats" if test.draws else ""
    return (
        f"{of}; with one draw of noise for each row it is an upper bound{more}, a bound nearer to the model's"
    )


def nll_warning(figures: EvaluationFigures | None) -> str:
    """A sentence that names the test rows which decide the mean NLL; empty where none does.

    Args:
        figures: of an evaluation; those of an earlier version do not name rows.
    """
    return "" if figures is None else warning(figures.test.heavy_rows, figures.test.nll)
