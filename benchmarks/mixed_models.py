"""Models of tables of many kinds of columns: ours, a Gaussian copula, and trees that unmask cells."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.mixed_rows import Coding
from jko.core.errors import InputError
from jko.core.seeds import counter_seed

Array = NDArray[np.float64]
#: rows that the trees are trained on for a column, about: what ten CPU minutes allow
UNMASKED = 400_000
#: copies of a row, each unmasked in another order, at most: the trees' default
COPIES = 50
#: different numbers up to which a column is given to the trees as levels
FEW = 20
#: between the numbers 0 and 1 of no and yes
MIDDLE = 0.5


@dataclass(frozen=True)
class Drawn:
    """Samples of a model.

    Args:
        samples: rows of the table.
        train_s: CPU seconds of training.
        sample_s: and of sampling.
        note: what was not as the defaults are.
    """

    samples: pd.DataFrame
    train_s: float
    sample_s: float
    note: str = ""


#: training rows, how many samples, seed
Draw = Callable[[pd.DataFrame, int, int], Drawn]


@dataclass(frozen=True)
class Model:
    """A row of the table.

    Args:
        label: what the table calls it.
        draw: trains it and draws samples.
        packages: whose versions its figures depend on.
        ours: whether it is this project's.
        edition: raised when its code computes something else.
    """

    label: str
    draw: Draw
    packages: tuple[str, ...]
    ours: bool = False
    edition: int = 1

    @property
    def versions(self) -> dict[str, str]:
        """Of its packages.

        Raises:
            InputError: one is not installed.
        """
        try:
            return {name: version(name) for name in self.packages}
        except PackageNotFoundError as error:
            raise InputError(
                f"{self.label}: {error.name} is not installed; `make benchmarks-install` installs the peers"
            ) from None


def ours(train: pd.DataFrame, count: int, seed: int) -> Drawn:
    """A flow by the defaults of :func:`jko.fit`; where there are holes, they are part of the law."""
    import jko

    begun = time.process_time()
    settings = {"data.missing": "model"} if train.isna().any(axis=None) else {}
    flow = jko.fit(train, settings=settings, seed=seed, progress=False)
    trained = time.process_time()
    samples = flow.sample(count, seed=seed)
    assert isinstance(samples, pd.DataFrame)
    return Drawn(samples, trained - begun, time.process_time() - trained)


def gaussian_copula(train: pd.DataFrame, count: int, seed: int) -> Drawn:
    """A vine of Gaussian pairs, which is a Gaussian copula, under the columns' own distributions.

    A column with equal cells is discrete, as the library takes them: by the shares of rows up to it, and
    below it. An empty cell lies below all others, and text is in the order of its frequency.
    """
    import pyvinecopulib as vine

    coding, begun = Coding(train), time.process_time()
    numbers = coding.numbers(train)
    names = [name for name in coding.names if numbers[name].nunique(dropna=False) > 1]
    own = numbers[names].fillna(-np.inf).to_numpy()
    cells = np.sort(own, axis=0)
    ranks = [_shares(*both) for both in zip(cells.T, own.T, strict=True)]
    at_most, below = (np.stack([one[side] for one in ranks], axis=1) for side in (0, 1))
    model = vine.Vinecop.from_data(
        np.concatenate([at_most, below], axis=1),
        vine.FitControlsVinecop(family_set=[vine.gaussian], num_threads=1),
        var_types=["d" if _tied(ordered) else "c" for ordered in cells.T],
    )
    trained = time.process_time()
    uniform = model.sample(count, seeds=[counter_seed(seed, "copula") % 2**31])
    places = np.clip(np.ceil(uniform * len(cells)).astype(int) - 1, 0, len(cells) - 1)
    drawn = np.take_along_axis(cells, places, axis=0)
    drawn[np.isneginf(drawn)] = np.nan
    found = {name: np.full(count, numbers[name].iloc[0]) for name in coding.names}
    found |= dict(zip(names, drawn.T, strict=True))
    return Drawn(coding.cells(found), trained - begun, time.process_time() - trained)


def _tied(ordered: Array) -> bool:
    return len(np.unique(ordered)) < len(ordered)


def _shares(ordered: Array, cells: Array) -> tuple[Array, Array]:
    """Of every cell the share of rows up to it, and below it; within 0 and 1 where no cells are equal."""
    at_most, below = (np.searchsorted(ordered, cells, side) for side in ("right", "left"))
    if not _tied(ordered):
        return (at_most / (len(ordered) + 1),) * 2
    return at_most / len(ordered), below / len(ordered)


def trees(train: pd.DataFrame, count: int, seed: int) -> Drawn:
    """Unmasking trees: boosted trees that draw a column given some of the others, in a random order.

    Whether a cell is empty is a column of levels beside its value. Text and numbers of few different values
    are levels; the range of any other number is halved again and again, as by default.

    Source: McCarter, arXiv:2407.05593.
    """
    os.environ["TQDM_DISABLE"] = "1"
    from utrees import UnmaskingTrees

    _with_present_checks()
    coding, begun = Coding(train), time.process_time()
    numbers = coding.numbers(train)
    for name in coding.holed:
        numbers[f"{name} empty"] = numbers[name].isna().astype(float)
    kinds = ["categorical" if _is_levels(str(name), coding, numbers) else "continuous" for name in numbers]
    rows = numbers.sample(frac=1, random_state=seed).to_numpy()
    copies = max(1, min(COPIES, UNMASKED // rows.size))
    kept = rows[: max(1, UNMASKED // rows.shape[1])]
    model = UnmaskingTrees(duplicate_K=copies, xgboost_kwargs={"n_jobs": 1}, random_state=seed)
    model.fit(kept, quantize_cols=kinds)
    trained = time.process_time()
    drawn = pd.DataFrame(unmasked(model, count, seed), columns=numbers.columns)
    for name in coding.holed:
        drawn.loc[drawn[f"{name} empty"] > MIDDLE, name] = np.nan
    found = {
        name: _on_values(drawn[name].to_numpy(), numbers[name].dropna().to_numpy()) for name in coding.names
    }
    said = [f"{copies} orders a row for {COPIES}"] if copies < COPIES else []
    said += [f"{len(kept)} of {len(rows)} rows"] if len(kept) < len(rows) else []
    return Drawn(coding.cells(found), trained - begun, time.process_time() - trained, ", ".join(said))


def _with_present_checks() -> None:
    """Give the trees' quantiser the method that scikit-learn had until version 1.6."""
    from sklearn.utils.validation import validate_data
    from utrees.kdi_quantizer import KDIQuantizer

    if not hasattr(KDIQuantizer, "_validate_data"):
        KDIQuantizer._validate_data = validate_data


def _is_levels(name: str, coding: Coding, numbers: pd.DataFrame) -> bool:
    own = numbers[name].dropna()
    return name not in coding.names or name in coding.text or own.nunique() <= FEW


def _on_values(drawn: Array, cells: Array) -> Array:
    """Numbers on the nearest training value where most of these are there twice, else with their decimals."""
    values = np.unique(cells)
    if len(values) > len(cells) / 2:
        return np.clip(np.round(drawn, _decimals(values)), values[0], values[-1])
    after = np.clip(np.searchsorted(values, drawn), 1, max(1, len(values) - 1))
    lower, upper = values[after - 1], values[np.minimum(after, len(values) - 1)]
    return np.where(np.isnan(drawn), np.nan, np.where(drawn - lower < upper - drawn, lower, upper))


def _decimals(values: Array) -> int:
    """Decimals that all values have at most; 17, which changes nothing, where that is more than 6."""
    return next((one for one in range(7) if (np.round(values, one) == values).all()), 17)


def unmasked(model: Any, count: int, seed: int) -> Array:
    """Samples by the law of the library's ``generate``, all rows whose next column is the same at once.

    The library draws one cell of one row at a time, which would take a thousand times as long.

    Args:
        model: trained.
        count: rows.
        seed: of the orders and the levels.
    """
    rng = np.random.default_rng(counter_seed(seed, "unmasked"))
    constants: list[float | None] = model.constant_vals_
    found = np.full((count, len(constants)), np.nan)
    for column, value in enumerate(constants):
        if value is not None:
            found[:, column] = value
    free = [column for column, value in enumerate(constants) if value is None]
    orders = rng.permuted(np.tile(free, (count, 1)), axis=1)
    for place in range(len(free)):
        for column in free:
            rows = np.flatnonzero(orders[:, place] == column)
            if len(rows):
                found[rows, column] = _drawn(model, column, found[rows], rng)
    return found


def _drawn(model: Any, column: int, rows: Array, rng: np.random.Generator) -> Array:
    """A cell of every row given the others that it has."""
    tree = model.trees_[column]
    if model.quantize_cols_[column]:
        found: Array = tree.sample(rows)
        return found
    chances = tree.predict_proba(rows).astype(float).cumsum(axis=1)
    codes = (chances < rng.random((len(rows), 1)) * chances[:, -1:]).sum(axis=1)
    levels: Array = model.encoders_[column].inverse_transform(codes)
    return levels


MODELS: Mapping[str, Model] = {
    "ours": Model("ours", ours, ("torch", "numpy"), ours=True, edition=2),
    "gaussian_copula": Model("Gaussian copula (pyvinecopulib)", gaussian_copula, ("pyvinecopulib",)),
    "trees": Model("unmasking trees (utrees)", trees, ("utrees", "kditransform", "xgboost-cpu")),
}
