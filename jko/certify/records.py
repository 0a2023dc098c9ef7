"""What is kept of measured blocks and of a chain's certificate. Loads nothing heavy: a plan asks it, too."""

from __future__ import annotations

from pydantic import JsonValue

from jko.certify.above import Above
from jko.certify.certificates import Bound, Guarantee
from jko.certify.evidence_interval import EvidenceInterval
from jko.certify.resolution import Bracket, Projection, agreeing_in_words, in_words, wrong_in_words
from jko.certify.status import Status
from jko.core.display import DASH, figure
from jko.core.records import Count, Figure, Number, Record
from jko.measure.figures import StepFigures

#: basis of the bounds of a chain of smoothed data that needs no critic, see :mod:`jko.measure.from_above`
FROM_ABOVE = "test rows and the noise that smoothed them"


class GuaranteedStep(StepFigures, Guarantee):
    """The figures of a block, and what the chain guarantees after it."""

    @property
    def bound_text(self) -> str:
        """The KL bound after the block; ≲ marks an estimate of one, from below, by a critic."""
        bound = self.best
        if not isinstance(bound, Bound):
            return DASH
        return f"{'' if bound.status.sure else '≲ '}{figure(bound.value)}"


class Measured(GuaranteedStep):
    """The file of a block's figures.

    Args:
        settings: what they were measured with, see :func:`jko.disk.identity.measured_with`.
    """

    settings: dict[str, JsonValue] = {}


class CertifiedBlock(GuaranteedStep):
    """A block in a certificate.

    Args:
        index: k.
    """

    index: Count


class Condition(Record):
    """Something that figures rest on.

    Args:
        name: what it is.
        status: how it is known.
        how: the same in words.
    """

    name: str
    status: Status
    how: str


class TwoSample(Record):
    """The two-sample test of p_N against the chain's end.

    Args:
        statistic: squared energy distance.
        null_quantile: its 95 % quantile where both laws are one.
        p: how often it is as large then.
        rows: of each sample.
    """

    statistic: Number
    null_quantile: Number
    p: Number
    rows: Count


class DefencePrice(Record):
    """What a model's broad part makes of its bounds.

    Args:
        share: of the broad law.
        price: what it adds to a bound on KL, nats.
    """

    share: Number
    price: Number


class Mixed(Record):
    """The KL–W2 guarantee.

    Args:
        kl: KL ≤, nats; null where that is an estimate only.
        kl_estimate: the estimate of it by a critic, from below; null where there is a bound.
        w2_smoothing: W2 of data and smoothed data.
        w2_inversion: W2 of model and computed samples.
        w2_solver: W2 of the particles after the last block by the chain's solver and by a finer one.
        says: all of it in one sentence.
    """

    kl: Figure = None
    kl_estimate: Figure = None
    w2_smoothing: Figure = None
    w2_inversion: Figure = None
    w2_solver: Figure = None
    says: str


class ChainGuarantee(Guarantee):
    """What a whole chain guarantees: the certificates after its last block, and what else is known.

    Args:
        steps: number of blocks.
        epsilon_class: class of the critics of the last block.
        stopped: why the chain ended before its last planned block; empty if it did not.
        nll: NLL of the held-out rows, nats, data units.
        held_out: the rows that all of it is measured on, ``test`` or ``validation``.
        nll_se: its standard error.
        kl_drop: sum over the blocks, nats.
        kl_drop_correction: sum over the corrections, where there are some.
        kl_measured: KL itself: NLL less the known entropy, nats; null where that is unknown.
        kl_measured_se: its standard error.
        smoothing_w2: W2 of data and smoothed data ≤; null where they are not smoothed.
        inversion_errors: round trip of every block.
        inversion_w2_product: W2 of model and computed samples ≤, by Lipschitz constants.
        inversion_w2_coupled: the same, coupled, two standard errors up.
        inversion_worst: largest distance at a draw.
        inversion_rows: number of draws.
        solver_w2: W2 of the particles after the last block by the chain's solver of fixed steps and by one of
            eight times as many ≤, coupled, two standard errors up; null where no block is solved in steps.
        solver_log_det: mean of the sum of log-determinants by the first less that by the other, nats.
        solver_log_det_se: its standard error.
        two_sample: null where the chain's end cannot be drawn from.
        assumptions: what all of it rests on.
        basis: what ε and the Fisher information in the chain's bounds were found by: the exact score, test
            rows from above (:data:`FROM_ABOVE`), or a critic.
        defence: where a share of the model is a broad law.
        bracket: KL of data and model between two figures, at every resolution; of test rows.
        certified_resolution: the finest resolution at which the two are no further apart than .1 nats.
        rows_needed: where no resolution is certified, how many test rows would do at the coarsest; null
            where that is unknown or beyond ten million.
        columns: the bracket of every column; of pictures of every principal component.
        pairs: the bracket of pairs of them, the one that differs most first.
        above: ε² and the Fisher information from above, of smoothed data; null of a chain to a target.
        evidence: log Z of an unnormalised target between two ends; null of any other chain.
        mixed: the guarantee as a sentence.
    """

    steps: Count
    epsilon_class: str
    stopped: str
    nll: Number
    held_out: str = "validation"
    nll_se: Figure = None
    kl_drop: Figure = None
    kl_drop_correction: Figure = None
    kl_measured: Figure = None
    kl_measured_se: Figure = None
    smoothing_w2: Figure = None
    inversion_errors: tuple[Number, ...] = ()
    inversion_w2_product: Figure = None
    inversion_w2_coupled: Figure = None
    inversion_worst: Figure = None
    inversion_rows: Count | None = None
    solver_w2: Figure = None
    solver_log_det: Figure = None
    solver_log_det_se: Figure = None
    two_sample: TwoSample | None = None
    assumptions: tuple[Condition, ...] = ()
    basis: str = ""
    defence: DefencePrice | None = None
    bracket: tuple[Bracket, ...] = ()
    certified_resolution: Figure = None
    rows_needed: Count | None = None
    columns: tuple[Projection, ...] = ()
    pairs: tuple[Projection, ...] = ()
    above: Above | None = None
    evidence: EvidenceInterval | None = None
    mixed: Mixed

    @property
    def apart(self) -> tuple[str, ...]:
        """Sentences on how far data and model are apart, and on a target's constant, where that is known."""
        interval = "" if self.evidence is None else self.evidence.says
        found = (
            in_words(self.bracket, self.rows_needed), agreeing_in_words(self.columns),
            wrong_in_words((*self.columns, *self.pairs)), interval,
        )  # fmt: skip
        return tuple(text for text in found if text)


class Certificate(Record):
    """Content of ``DIR.certificate.json``.

    Args:
        blocks: 1..N.
        chain: of all of them.
    """

    blocks: tuple[CertifiedBlock, ...]
    chain: ChainGuarantee
