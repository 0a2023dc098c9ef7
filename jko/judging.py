"""Any model judged by its samples: zuko's, a GAN's, a simulator's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from jko.certify.bracket import bracket
from jko.certify.projections import columns_of, pairs_of
from jko.certify.resolution import Bracket, Projection, certified, in_words, wrong_in_words
from jko.config.sections import RESOLUTIONS
from jko.core.errors import InputError
from jko.core.records import Figure, Record
from jko.given import Rows, frame_of, is_frame, taken
from jko.statistics.classifier_test import ClassifierTest, classifier_test
from jko.statistics.copies import Copies, copies
from jko.statistics.coverage import Coverage, coverage

Array = NDArray[np.float64]


class CopyShare(Record):
    """How many samples are copies of training rows, see :class:`jko.statistics.copies.Copies`."""

    share: float
    share_se: float
    usual: float
    ratio: Figure = None


class Judged(Record):
    """What is known of a model by its samples.

    Args:
        name: of the model.
        bracket: KL of data and model at every resolution.
        certified_resolution: the finest at which the bracket is narrow.
        columns: the same of every column.
        pairs: and of pairs of columns, the one that differs most first.
        classifier: whether gradient boosting tells held-out rows from samples.
        coverage: of every column.
        copies: where training rows were given.
    """

    name: str
    bracket: tuple[Bracket, ...]
    certified_resolution: Figure
    columns: tuple[Projection, ...]
    pairs: tuple[Projection, ...]
    classifier: ClassifierTest
    coverage: tuple[Coverage, ...]
    copies: CopyShare | None = None

    @property
    def apart(self) -> tuple[str, ...]:
        """Sentences on how far data and model are apart."""
        found = in_words(self.bracket), wrong_in_words((*self.columns, *self.pairs))
        return tuple(text for text in found if text)


def judge(
    held_out: Rows,
    samples: Rows | Mapping[str, Rows],
    *,
    train: Rows | None = None,
    resolutions: Sequence[float] = RESOLUTIONS,
    seed: int = 0,
) -> list[Judged]:
    """Say how far the law of held-out rows and models are apart, by samples of the models alone.

    Args:
        held_out: rows of the data that no part of any model's training saw, shape (m, d).
        samples: of a model, shape (M, d); of several under their names.
        train: the rows that the models were trained on, for the share of copies.
        resolutions: of the bracket, in standard deviations of the held-out rows.
        seed: of the noise.

    Returns:
        What is known of every model, in the order given.

    Raises:
        InputError: tables of other columns, fewer than two rows, or numbers that are not finite.
    """
    models = samples if isinstance(samples, Mapping) else {"model": samples}
    if not models:
        raise InputError("no samples are given")
    names, rows = _table("held-out rows", held_out, None)
    drawn = {name: _table(name, one, names)[1] for name, one in models.items()}
    trained = None if train is None else _table("training rows", train, names)[1]
    return [_judged(name, names, rows, one, trained, resolutions, seed) for name, one in drawn.items()]


def _judged(  # noqa: PLR0917
    name: str,
    names: tuple[str, ...],
    rows: Array,
    samples: Array,
    train: Array | None,
    resolutions: Sequence[float],
    seed: int,
) -> Judged:
    centre, spread = rows.mean(0), rows.std(0)
    spread = np.where(spread > 0, spread, 1.0)
    own, drawn = (torch.from_numpy((one - centre) / spread) for one in (rows, samples))
    found = bracket(own, drawn, resolutions=resolutions, seed=seed)
    fine = certified(found)
    near: Copies | None = None if train is None else copies(samples, train, rows)
    return Judged(
        name=name,
        bracket=tuple(found),
        certified_resolution=None if fine is None else fine.resolution,
        columns=tuple(columns_of(own, drawn, names, seed=seed)),
        pairs=tuple(pairs_of(own, drawn, names, seed=seed)),
        classifier=classifier_test(rows, samples, seed=seed),
        coverage=tuple(coverage(rows[:, i], samples[:, i], column) for i, column in enumerate(names)),
        copies=None if near is None else CopyShare(
            share=near.share, share_se=near.share_se, usual=near.usual, ratio=near.ratio
        ),
    )  # fmt: skip


def _table(name: str, given: Rows, columns: tuple[str, ...] | None) -> tuple[tuple[str, ...], Array]:
    """Names of columns and rows, shape (n, d); of a frame in the order of the columns.

    Raises:
        InputError: it is no table of at least two rows of finite numbers, or has other columns.
    """
    own = tuple(map(str, frame_of(given).columns)) if is_frame(given) else ()
    rows = taken(given, columns if own and columns else own)[0].detach().cpu().double().numpy()
    if rows.ndim != 2 or len(rows) < 2:
        raise InputError(f"{name}: two rows or more are needed, and not shape {rows.shape}")
    if not np.isfinite(rows).all():
        raise InputError(f"{name}: row {int(np.flatnonzero(~np.isfinite(rows).all(1))[0])} is not finite")
    if columns is not None and rows.shape[1] != len(columns):
        raise InputError(f"{name}: {rows.shape[1]} columns beside the {len(columns)} of the held-out rows")
    names = columns or own or tuple(f"x{i}" for i in range(rows.shape[1]))
    return names, np.ascontiguousarray(rows)
