"""A flow as a density estimator of scikit-learn."""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, overload

import numpy as np
import torch
from numpy.typing import NDArray

from jko.anomalies import (
    SecondOpinion,
    anomaly_table,
    blocks_alone,
    cell_probabilities,
    cells_by_mixture,
    densities,
)
from jko.chain.chain import Chain
from jko.columns.column import Values
from jko.config import Config
from jko.core.errors import InputError
from jko.core.plain import shortened
from jko.disk.tensors import pack_tensors, unpack_tensors
from jko.face import Setting, fit, wants_kinds
from jko.given import Array, Frame, Rows, frame_of, is_frame
from jko.given_columns import Columns
from jko.packed_flow import packed, unpacked
from jko.sklearn_parameters import RandomState, allows_holes, holds_words, missing_of, seed_of, settings_of

try:
    from sklearn.base import BaseEstimator, DensityMixin
    from sklearn.utils import Tags
    from sklearn.utils.validation import check_is_fitted, validate_data
except ModuleNotFoundError:
    raise ImportError("jko.sklearn needs scikit-learn: pip install 'scikit-learn>=1.6'") from None

if TYPE_CHECKING:
    from jko.flow import Flow

#: rows that are needed to train and to choose weights
FEWEST = 6
#: units that anomalies are scored in
START, DATA = "start", "data"


class JKOFlow(DensityMixin, BaseEstimator):
    """A flow that is trained by :func:`jko.fit`, with the methods of scikit-learn's density estimators.

    ``score_samples`` and ``score_samples``' mean ``score`` are those of
    :class:`sklearn.mixture.GaussianMixture`; ``sample`` is that of :class:`sklearn.neighbors.KernelDensity`,
    rows alone. It works in ``Pipeline``, ``cross_val_score``, ``GridSearchCV`` and ``clone``.

    A tenth of the rows given to ``fit`` chooses the weights. Two rows are held out for figures, and not a
    tenth as by :func:`jko.fit`: cross-validation holds rows out by itself.

    Args:
        preset: named settings; ``tabular`` by default.
        max_iter: the most iterations of a kind (flow matching, JKO objective) in a block; as many as the
            settings say by default. It never raises them.
        settings: changes to the preset, as of :func:`jko.fit`: nested or with dotted keys.
        missing: what becomes of rows with empty cells (NaN, ``None``), as ``data.missing``: ``refuse``, as it
            is by default; ``drop``, for ``fit`` alone; or ``model``, by which holes are part of the law of a
            data frame, whose columns then have kinds.
        random_state: an integer is the seed of :func:`jko.fit`, 0 by default, so that a fit can be repeated.
            A generator of numpy gives a seed, and ``None`` stands for numpy's own one.
        verbose: whether a line on standard error shows the progress.

    Attributes:
        flow_: the trained :class:`jko.Flow`. ``flow_.save`` keeps it, and :func:`jko.load` reads it again.
        n_features_in_: d.
        feature_names_in_: names of the columns, where ``fit`` was given a data frame with names.
        n_iter_: iterations of the block with the most.

    Example:
        >>> rows = np.random.default_rng(0).normal(size=(200, 2))
        >>> model = JKOFlow(max_iter=5, settings={"steps.count": 1, "data.standardise": "on",
        ...                                       "data.augment.copies": 1}).fit(rows)
        >>> model.score_samples(rows).shape, model.sample(3, random_state=0).shape
        ((200,), (3, 2))
    """

    flow_: Flow

    def __init__(
        self,
        preset: str | None = None,
        *,
        max_iter: int | None = None,
        settings: Mapping[str, Setting] | Config | None = None,
        missing: str | None = None,
        random_state: RandomState = 0,
        verbose: bool = False,
    ) -> None:
        self.preset = preset
        self.max_iter = max_iter
        self.settings = settings
        self.missing = missing
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Array | Frame, y: object = None) -> JKOFlow:
        """Train a flow on rows.

        Args:
            X: rows of numbers, shape (rows, d), an array or a data frame of pandas, polars or Arrow. A data
                frame with other columns than numbers is a table whose columns have kinds.
            y: not used; it is here for pipelines.

        Returns:
            The estimator itself.

        Raises:
            ValueError: rows or settings that cannot be used; :class:`jko.InputError` is one, too.
        """
        settings = settings_of(
            self.preset, self.settings, self.max_iter, words=holds_words(X), missing=self.missing
        )
        holes = allows_holes(missing_of(settings), X)
        rows: Rows = X
        if is_frame(X) and wants_kinds(X, self.preset, settings):
            validate_data(self, X, skip_check_array=True)  # cells are no numbers
        else:
            checked = validate_data(
                self, X, dtype=np.float64, ensure_min_samples=FEWEST,
                ensure_all_finite="allow-nan" if holes else True,
            )  # fmt: skip
            rows = X if is_frame(X) else checked
        self.flow_ = fit(
            rows,
            preset=self.preset,
            settings=settings,
            seed=seed_of(self.random_state),
            progress=self.verbose,
        )
        self.n_iter_ = max(one.curve[-1].iteration for one in self.flow_.results if one is not None)
        self._opinion: SecondOpinion | None = None
        return self

    def __sklearn_tags__(self) -> Tags:
        """What scikit-learn is told of the estimator."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.missing == "model"
        return tags

    def score_samples(self, X: Array | Frame) -> NDArray[np.float64]:
        """Log-density of every row, nats, in the units of the rows.

        These are the figures of ``jko score``, and those of :meth:`jko.Flow.log_prob_with_error`, computed in
        float64: a row's score does not depend on the other rows that are given with it. Where columns have
        kinds they are log-probabilities.

        Args:
            X: shape (rows, d).

        Returns:
            Shape (rows,).
        """
        cells = self._cells(X)
        if cells is not None:
            return cell_probabilities(self.flow_, self._exact(), cells)
        return densities(self.flow_, self._exact(), self._rows(X))

    def score(self, X: Array | Frame, y: object = None) -> float:
        """Mean log-density of rows, nats: larger is better, and folds of any size can be compared.

        Args:
            X: shape (rows, d).
            y: not used.
        """
        return float(self.score_samples(X).mean())

    def sample(self, n_samples: int = 1, random_state: RandomState = None) -> Rows:
        """Independent rows of the model.

        Args:
            n_samples: how many.
            random_state: an integer draws the same rows each time; ``None`` draws others each time.

        Returns:
            Shape (n_samples, d): a data frame like the one that ``fit`` was given, or an array.
        """
        check_is_fitted(self)
        return self.flow_.sample(n_samples, seed=seed_of(random_state))

    @overload
    def anomaly_scores(self, X: Array, *, units: str = DATA) -> NDArray[np.void]: ...
    @overload
    def anomaly_scores(self, X: Frame, *, units: str = DATA) -> Frame: ...
    def anomaly_scores(self, X: Array | Frame, *, units: str = DATA) -> NDArray[np.void] | Frame:
        r"""How odd every row is, and whether a second opinion agrees.

        .. math:: score(x) = -\log q(x)

        ``rank`` is 1 for the oddest row. A density depends on its units: it is high wherever a column's
        values lie close together. In start coordinates the score is

        .. math:: score(x) = -\log q(x) + \log|\det\nabla S(x)|

        with block 0, S. Behind ``marginals`` the training rows are standard normal there in every column, and
        the score does not depend on how a column is measured; but what many rows share is no longer likely.

        ``score_mixture`` is the score of a Gaussian mixture of the training rows. Where it differs from that
        of the flow's blocks by more than 100 nats, or 4 a column if that is more, the row is ``disputed``:
        its score says more of the models than of the row. The mixture is fitted when it is first needed.

        Args:
            X: shape (rows, d).
            units: ``data``, or ``start`` for start coordinates.

        Returns:
            A data frame with the index of the one given, or an array with these four fields.

        Raises:
            ValueError: rows or units that cannot be used.

        Source: Le Lan and Dinh, Perfect density models cannot guarantee anomaly detection, Entropy 23 (2021)
        1690, of what such a score depends on.
        """
        if units not in (START, DATA):
            raise InputError(f"units = {shortened(units)} is not allowed; give {START} or {DATA}")
        cells = self._cells(X)
        if cells is not None:
            return _beside(X, self._of_cells(cells, units))
        rows, chain = self._rows(X), self._exact()
        model = densities(self.flow_, chain, rows)
        blocks = blocks_alone(self.flow_, chain, rows, model)
        mixture = self._second().log_density(rows)
        if units == START:
            volume = chain.start_log_det(torch.from_numpy(rows).to(chain.shift.device)).cpu().numpy()
            model, blocks, mixture = model - volume, blocks - volume, mixture - volume
        return _beside(X, anomaly_table(model, blocks, mixture, rows.shape[1]))

    def _of_cells(self, cells: Mapping[str, Values], units: str) -> NDArray[np.void]:
        """What is said of rows of a table whose columns have kinds."""
        if units == START:
            raise InputError(
                f"units = {units!r} is for columns of numbers alone: rare levels would no longer be odd there"
            )
        flow, chain = self.flow_, self._exact()
        model = blocks = cell_probabilities(flow, chain, cells)
        if chain.defence is not None:
            chain.defence = None
            blocks = cell_probabilities(flow, chain, cells)
        return anomaly_table(model, blocks, cells_by_mixture(flow, self._second(), cells), flow.dim)

    def _cells(self, x: Array | Frame) -> dict[str, Values] | None:
        """Cells by column, checked against those of ``fit``; ``None`` where columns are numbers."""
        check_is_fitted(self)
        if self.flow_.facts.kinds is None:
            return None
        if not is_frame(x):
            raise InputError("the columns of this model have kinds: give a data frame like that of fit")
        validate_data(self, x, skip_check_array=True, reset=False)
        return self.flow_.cells_of(x)

    def _rows(self, x: Array | Frame) -> NDArray[np.float64]:
        """Rows as an array, checked against those of ``fit``."""
        check_is_fitted(self)
        rows: NDArray[np.float64] = validate_data(self, x, dtype=np.float64, reset=False)
        return rows

    def _exact(self) -> Chain:
        """A copy of the chain in float64."""
        return copy.deepcopy(self.flow_.chain).double()

    def _second(self) -> SecondOpinion:
        """The mixture of the training rows, fitted now if it was not before."""
        if self._opinion is None:
            facts, rows = self.flow_.facts, self.flow_.rows
            assert rows is not None  # the flow was trained here: one that was kept brings its mixture
            self._opinion = SecondOpinion.of(facts.in_data_units(rows["train"][: facts.rows["source"]]))
        return self._opinion

    def __getstate__(self) -> dict[str, object]:
        """Parameters, and the flow and its mixture as bytes of safetensors and JSON."""
        state = dict(super().__getstate__())
        if "flow_" in state:
            # without the training rows, so the mixture must be made before
            opinion = self._second()
            state |= {"flow_": packed(self.flow_), "_opinion": pack_tensors(opinion.tensors(), {})}
        return state

    def __setstate__(self, state: dict[str, object]) -> None:
        """What :meth:`__getstate__` gave; every file of the flow is verified."""
        found = dict(state)
        flow, opinion = found.get("flow_"), found.get("_opinion")
        if isinstance(flow, dict) and isinstance(opinion, bytes):
            found |= {
                "flow_": unpacked(flow),
                "_opinion": SecondOpinion.from_tensors(unpack_tensors(opinion)),
            }
        super().__setstate__(found)


def _beside(x: Array | Frame, found: NDArray[np.void]) -> NDArray[np.void] | Frame:
    """What is said of rows, where they are a data frame: as one of its package, with its index."""
    if not is_frame(x):
        return found
    own = frame_of(x)
    if isinstance(own, Columns) and own.make is not None:
        made: Frame = own.make({name: found[name] for name in found.dtype.names or ()})
        return made
    frame: Frame = sys.modules["pandas"].DataFrame(found, index=x.index)
    return frame
