"""The committed evaluation of a chain: read only whole and only if it belongs to the chain."""

from __future__ import annotations

from pathlib import Path

from jko.certify.resolution import Bracket
from jko.core.records import Count, Figure, Number, Record
from jko.disk.damage import is_whole
from jko.disk.layout import Layout
from jko.disk.sealed import model_of, read_verified
from jko.statistics.heavy import HeavyRow

FIGURES = "figures.json"
TEST_ROWS = "test_rows.parquet"
SAMPLE_ROWS = "sample_rows.parquet"


class MeanNll(Record):
    """The mean of −log q over test rows, nats, data units, and what is robust beside it.

    Args:
        nll: the mean; null where a baseline gives some rows no density.
        nll_se: its standard error.
        log_density_se: mean standard error of a row's value over Hutchinson probes.
        nll_median: median of the rows.
        nll_median_se: its standard error.
        nll_trimmed: mean without the rows at both ends.
        nll_trimmed_se: its standard error.
        nll_worst: −log q of the row farthest from the median.
        nll_worst_row: the number of that row in the source.
        nll_worst_share: its share of the squared standard error.
        nll_worst_part: what it adds, as a share of the mean.
        heavy_rows: rows that weigh too much in the mean.
        dominating_rows: numbers of the rows that are most of its error.
        gap_to_entropy: the mean less the entropy of the law, where that is known.
        gap_to_entropy_se: its standard error.
        change: of a cut, against the cut before, paired row by row.
        change_se: its standard error.
    """

    nll: Figure = None
    nll_se: Figure = None
    log_density_se: Figure = None
    nll_median: Figure = None
    nll_median_se: Figure = None
    nll_trimmed: Figure = None
    nll_trimmed_se: Figure = None
    nll_worst: Figure = None
    nll_worst_row: Count | None = None
    nll_worst_share: Figure = None
    nll_worst_part: Figure = None
    heavy_rows: tuple[HeavyRow, ...] = ()
    dominating_rows: tuple[Count, ...] = ()
    gap_to_entropy: Figure = None
    gap_to_entropy_se: Figure = None
    change: Figure = None
    change_se: Figure = None


class ChainNll(MeanNll):
    """That of the chain, which is always there.

    Args:
        nll: the mean, by one draw of noise where columns have kinds.
        unit: what the probability of a row is: ``density``, ``mass`` or ``mixed``.
        bound: whether the mean is an upper bound of that of the model, since noise was added to rows.
        nll_draws: the mean by several draws, a bound nearer to the truth; null where none are needed.
        nll_draws_se: its standard error.
        draws: how many.
        draws_se: the root mean square of the rows' standard errors over draws.
    """

    nll: Number
    unit: str = "density"
    bound: bool = False
    nll_draws: Figure = None
    nll_draws_se: Figure = None
    draws: Count | None = None
    draws_se: Figure = None


class Baselines(Record):
    """The models that every chain is compared with.

    Args:
        gaussian: one Gaussian.
        mixture: a Gaussian mixture.
    """

    gaussian: MeanNll
    mixture: MeanNll


class ScoredRow(Record):
    """A row with its log-densities, nats, data units; null where one is not finite.

    Args:
        values: of the state and the context.
        log_density: under the model.
        log_density_blocks: under its blocks alone.
        log_density_mixture: under a Gaussian mixture.
        difference: blocks less mixture.
        kind: of a made-up row, see :mod:`jko.statistics.fresh_rows`.
        column: number of the column that has its edge there.
        row: of a test row, its number in the source.
        disputed: whether the mixture says otherwise of it.
    """

    values: tuple[Number, ...]
    log_density: Figure
    log_density_blocks: Figure
    log_density_mixture: Figure
    difference: Figure
    kind: str = ""
    column: Count | None = None
    row: Count | None = None
    disputed: bool = False


class FreshLook(Record):
    """Figures of rows made of training rows.

    Args:
        rows: how many of each kind.
        limit: nats from which two scores disagree.
        below: how many rows the blocks score lower than the mixture by more.
        most_different: rows of which both say the most different things.
    """

    rows: dict[str, Count]
    limit: Number
    below: Count
    most_different: tuple[ScoredRow, ...] = ()


class TargetFigures(Record):
    """How well samples stand for an unnormalised target; all unknown where it cannot be drawn from.

    Args:
        log_z: estimate of log Z, nats.
        log_z_se: its standard error.
        log_z_known: its known value.
        effective_share: effective size over rows.
        energy_distance: squared energy distance to exact samples.
        energy_distance_se: its standard error.
        corrected: the same after drawing again by weight.
        corrected_se: its standard error.
        exact: that of exact samples among themselves.
        exact_se: its standard error.
        redrawn: mean share of rows drawn again by a correction.
    """

    log_z: Figure = None
    log_z_se: Figure = None
    log_z_known: Figure = None
    effective_share: Figure = None
    energy_distance: Figure = None
    energy_distance_se: Figure = None
    corrected: Figure = None
    corrected_se: Figure = None
    exact: Figure = None
    exact_se: Figure = None
    redrawn: Figure = None


class DefenceFigures(Record):
    """What the broad part of a model did to test rows.

    Args:
        share: of the broad law.
        price: the most that it adds to a mean NLL, nats.
        nll_blocks: NLL of the chain without it; null where that is not finite.
        carried: number of rows of which the broad law has the larger part.
    """

    share: Number
    price: Number
    nll_blocks: Figure = None
    carried: Count


class EvaluationFigures(Record):
    """The figures of an evaluation on test rows.

    Args:
        steps: number of blocks.
        test_digest: identity of the test rows; empty in evaluations of an early version.
        test: of the chain.
        cuts: of the chain cut after block 0..N.
        baselines: of other models.
        baseline_brackets: KL of data and each of them at every resolution; none of conditional chains, nor
            where smoothed rows have a start map.
        inversion_error_chain: round trip of the whole chain, standardised units.
        nearest_training_row: distance of samples to the nearest training row over that of test rows.
        copied_share: share of the samples that are as near to a training row as few test rows are.
        copied_share_se: its standard error.
        copied_share_test: the share of the test rows.
        target: of a chain that leads to another target than N(0, I).
        fresh: of made-up rows, for tables.
        surprising: the test rows of the lowest scores, for tables.
        defence: where the model has a broad part.
    """

    steps: Count
    test_digest: str = ""
    test: ChainNll
    cuts: tuple[MeanNll, ...] = ()
    baselines: Baselines
    baseline_brackets: dict[str, tuple[Bracket, ...]] = {}
    inversion_error_chain: Figure
    nearest_training_row: Figure
    copied_share: Figure = None
    copied_share_se: Figure = None
    copied_share_test: Figure = None
    target: TargetFigures | None = None
    fresh: FreshLook | None = None
    surprising: tuple[ScoredRow, ...] = ()
    defence: DefenceFigures | None = None


def evaluation_figures(layout: Layout, identity: str) -> EvaluationFigures | None:
    """The figures of an evaluation; ``None`` if it is missing, damaged or of something else."""
    if not is_whole(layout.evaluation, identity):
        return None
    return model_of(EvaluationFigures, read_verified(layout.evaluation / FIGURES))


def evaluation_files(layout: Layout, identity: str) -> Path | None:
    """The folder of an evaluation, every file of it verified; ``None`` as for its figures."""
    return layout.evaluation if is_whole(layout.evaluation, identity) else None
