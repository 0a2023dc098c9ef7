"""Any model judged by its samples: zuko's, a GAN's, a simulator's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

import numpy as np
import torch
from numpy.typing import NDArray

from jko.certify.bracket import bracket, rows_needed
from jko.certify.projections import columns_of, pairs_of
from jko.certify.records import TwoSample
from jko.certify.resolution import Projection, certified
from jko.config.sections import RESOLUTIONS
from jko.core.errors import InputError
from jko.core.rows import at_most
from jko.given import Rows
from jko.judged import Compared, CopyShare, Group, Judged, Judgement, OfColumn
from jko.judged_rows import Tables, shared_rows, tables_of
from jko.statistics.calibration import Calibration, calibration
from jko.statistics.classifier_test import classifier_test
from jko.statistics.copies import copies
from jko.statistics.coverage import coverage
from jko.statistics.groups import groups_by
from jko.statistics.two_sample import energy_between

Array = NDArray[np.float64]
#: standard deviations beyond which rows and samples are moved there, both alike: squares stay numbers
FAR = 1e9
#: rows and samples of a group at least
FEWEST = 20
#: nats below which a difference is rounding
ROUNDING = 1e-9


def judge(
    held_out: Rows,
    samples: Rows | Mapping[str, Rows],
    *,
    train: Rows | None = None,
    groups: str | Sequence[str] = (),
    resolutions: Sequence[float] = RESOLUTIONS,
    seed: int = 0,
) -> Judgement:
    """Say how far the law of held-out rows and models are apart, by samples of the models alone.

    Args:
        held_out: rows of the data that no part of any model's training saw, shape (m, d).
        samples: of a model, shape (M, d); of several under their names.
        train: the rows that the models were trained on, for the share of copies.
        groups: columns that the models are conditioned on: all is said of each group of their values, too. Of
            data frames they may hold text.
        resolutions: of the bracket, in standard deviations of the held-out rows.
        seed: of the noise.

    Returns:
        What is known of every model, in the order given.

    Raises:
        InputError: tables of other columns, fewer than two rows, numbers that are not finite, or samples that
            are the held-out rows.
    """
    models = samples if isinstance(samples, Mapping) else {"model": samples}
    if not models:
        raise InputError("no samples are given")
    by = (groups,) if isinstance(groups, str) else tuple(groups)
    tables = tables_of(held_out, models, train, by)
    told = list(_notes(tables))
    found = tuple(_judged(name, tables, by, resolutions, seed, told) for name in tables.samples)
    notes = tuple(dict.fromkeys(told))
    return Judgement(found, notes, tables.columns, tables.held_out, tables.samples)


def _notes(tables: Tables) -> Iterator[str]:
    """What looks wrong with the tables."""
    constant = [
        name for name, column in zip(tables.columns, tables.held_out.T, strict=True) if np.ptp(column) == 0
    ]
    if constant:
        yield (
            f"{', '.join(constant)}: one value in all held-out rows, so there are no standard deviations; "
            "samples are judged in the column's own unit"
        )
    for name, samples in tables.samples.items():
        smooth = [
            column for column, own, drawn in zip(tables.columns, tables.held_out.T, samples.T, strict=True)
            if column not in constant and _different(own) <= 0.5 < _different(at_most(drawn, len(own)))
        ]  # fmt: skip
        if smooth:
            yield (
                f"{name}: {', '.join(smooth)}: most held-out rows share their value with another one, and "
                "hardly any samples do; round samples as the data are, or the classifier sees nothing else"
            )
    if tables.train is not None:
        shared, count = shared_rows(tables.held_out, tables.train), len(tables.held_out)
        if shared > count / 2:
            yield f"{shared} of {count} held-out rows equal a training row; are they held out?"


def _different(column: Array) -> float:
    """Different values of a column, as a share of its rows."""
    return len(np.unique(column)) / len(column)


def _judged(  # noqa: PLR0917
    name: str,
    tables: Tables,
    by: Sequence[str],
    resolutions: Sequence[float],
    seed: int,
    told: list[str],
) -> Judged:
    rows, samples = tables.held_out, tables.samples[name]
    near = None if tables.train is None else copies(samples, tables.train, rows)
    within, conditional = [], None
    if by:
        for column in by:
            within += list(_groups(tables, name, column, by, resolutions, seed, told))
        conditional = _conditional(tables, name, by, seed)
        share = 0.0 if conditional is None else conditional.share
        if share < 1:
            told.append(
                f"{name}: {share:.0%} of the held-out rows have samples for their own context"
                f"{', and only these say' if share else ', so that nothing says'} whether conditional "
                f"quantiles are right; draw samples for the contexts of the held-out rows"
            )
    return Judged(
        **dict(_compared(rows, samples, tables.columns, resolutions, seed)), name=name,
        groups=tuple(within), conditional=conditional,
        copies=None if near is None else CopyShare(
            share=near.share, share_se=near.share_se, usual=near.usual, ratio=near.ratio
        ),
    )  # fmt: skip


def _compared(
    rows: Array, samples: Array, names: Sequence[str], resolutions: Sequence[float], seed: int
) -> Compared:
    centre, spread = rows.mean(0), rows.std(0)
    spread = np.where(spread > 0, spread, 1.0)
    one, other = (np.clip((given - centre) / spread, -FAR, FAR) for given in (rows, samples))
    own, drawn = torch.from_numpy(one), torch.from_numpy(other)
    found = bracket(own, drawn, resolutions=resolutions, seed=seed)
    fine = certified(found)
    singles = columns_of(own, drawn, names, seed=seed)
    return Compared(
        bracket=tuple(found),
        certified_resolution=None if fine is None else fine.resolution,
        rows_needed=None if fine is not None else rows_needed(own, max(resolutions), seed=seed),
        columns=tuple(
            OfColumn(column=of.columns[0], bracket=of.bracket, least=_known(of.least)) for of in singles
        ),
        pairs=tuple(
            Projection(columns=of.columns, bracket=of.bracket, least=_known(of.least))
            for of in pairs_of(own, drawn, names, seed=seed)
        ),
        classifier=classifier_test(one, other, seed=seed),
        energy=TwoSample(**asdict(energy_between(one, other, seed=seed))),
        coverage=tuple(
            coverage(rows[:, i], samples[:, i], column, seed=seed) for i, column in enumerate(names)
        ),
    )  # fmt: skip


def _known(least: float) -> float:
    """A figure in nats, 0 where it is nothing but rounding."""
    return least if least > ROUNDING else 0.0


def _groups(  # noqa: PLR0917
    tables: Tables,
    model: str,
    column: str,
    by: Sequence[str],
    resolutions: Sequence[float],
    seed: int,
    told: list[str],
) -> Iterator[Group]:
    """The groups of a column that have rows and samples enough."""
    at = tables.columns.index(column)
    kept = [i for i, name in enumerate(tables.columns) if name not in by]
    groups = groups_by(column, tables.held_out[:, at], tables.labels.get(column, ()))
    if groups.edges:
        edges = ", ".join(f"{edge:.4g}" for edge in groups.edges)
        told.append(f"{column}: {len(groups.names)} groups, between the held-out rows' quantiles {edges}")
    samples = tables.samples[model]
    own, drawn = groups.of(tables.held_out[:, at]), groups.of(samples[:, at])
    for what, numbers in (("held-out rows", own), ("samples", drawn)):
        outside = int((numbers < 0).sum())
        if outside:
            told.append(f"{model}: {outside} of {len(numbers)} {what} are in none of the groups of {column}")
    for number, name in enumerate(groups.names):
        rows, model_rows = tables.held_out[own == number], samples[drawn == number]
        if min(len(rows), len(model_rows)) < FEWEST:
            told.append(
                f"{model}: {name} is left out: {len(rows)} held-out rows and {len(model_rows)} samples, "
                f"and {FEWEST} of each are needed"
            )
            continue
        names = [tables.columns[i] for i in kept]
        found = _compared(rows[:, kept], model_rows[:, kept], names, resolutions, seed)
        yield Group(**dict(found), group=name, by=column, rows=len(rows), samples=len(model_rows))


def _conditional(tables: Tables, model: str, by: Sequence[str], seed: int) -> Calibration | None:
    """Rows among the samples for their own contexts; none where so few have some that it may be chance."""
    context = [tables.columns.index(name) for name in by]
    kept = [i for i in range(len(tables.columns)) if i not in context]
    rows, samples = tables.held_out, tables.samples[model]
    found = calibration(
        rows[:, kept], samples[:, kept], (rows[:, context], samples[:, context]),
        [tables.columns[i] for i in kept], seed=seed,
    )  # fmt: skip
    return None if found is None or found.rows < FEWEST else found
