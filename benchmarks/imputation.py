"""Holes of held-out rows: a chain's draws beside the imputers of scikit-learn.

``python -m benchmarks.imputation FILE.csv`` trains one chain on four fifths of the rows by the defaults of
tables, takes one cell of every held-out row away, then three, and scores what each method says of them:

- the log score, the mean log-density of the true cells given the others, nats per row, columns in units of
  their standard deviation; of imputers it is that of a Gaussian around their value, with the variance of
  their residuals in the same column on rows that were kept apart for it;
- the CRPS, mean over cells: of draws by their pairs, of a Gaussian in closed form.

All methods see the same rows. The chain's density given a row's other cells is a ratio of two: that of the
row, and that of what it has, which :func:`jko.conditional.imputing.draw_missing` estimates.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - scikit-learn asks for it
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

import jko
from jko.columns.cells import Cells
from jko.conditional.imputing import draw_missing
from jko.conditional.kinds import kinds_of, loose

Array = NDArray[np.float64]
#: draws of the chain for each hole
DRAWS = 10
#: rows that residuals are measured on
APART = 500


def main(words: Sequence[str] | None = None) -> None:
    """Read the command line, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--rows", type=int, default=400, help="held-out rows that are scored")
    parser.add_argument("--holes", type=int, nargs="+", default=[1, 3], help="cells that are taken away")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--drop", action="append", default=[], metavar="COLUMN")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(words)
    frame = pd.read_csv(asked.file).select_dtypes("number").dropna().drop(columns=asked.drop)
    settings = dict(setting(word) for word in asked.settings)
    found = measured(
        frame.to_numpy(dtype=float), rows=asked.rows, holes=asked.holes, seed=asked.seed, settings=settings
    )
    if asked.json:
        print(json.dumps(found, indent=1))
        return
    for line in table(found):
        print(line)


def setting(word: str) -> tuple[str, object]:
    """The name and the value of ``KEY=VALUE``, which is JSON or a word."""
    key, _, value = word.partition("=")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value


def table(found: Sequence[dict[str, object]]) -> list[str]:
    """Lines of Markdown."""
    lines = ["| holes a row | method | log score, nats | CRPS |", "|---|---|---|---|"]
    for one in found:
        cells = [f"{one[name]:.3f} ± {one[f'{name}_se']:.3f}" for name in ("log_score", "crps")]
        lines.append(f"| {one['holes']} | {one['method']} | {cells[0]} | {cells[1]} |")
    return lines


def measured(
    x: Array, *, rows: int, holes: Sequence[int], seed: int, settings: dict[str, object]
) -> list[dict[str, object]]:
    """The figures of every method.

    Args:
        x: all rows.
        rows: held-out rows that are scored.
        holes: how many cells of each are taken away; one set of figures for each number.
        seed: of the parts, the holes and the chain.
        settings: of the chain.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(x))
    held_out, train = np.split(x[order], [len(x) // 5])
    held_out, scale = held_out[:rows], train.std(0)
    begun = time.process_time()
    chain = jko.fit(train, preset="tabular", settings=settings, seed=seed, progress=False)  # type: ignore[arg-type]
    seconds = time.process_time() - begun
    found = []
    for count in holes:
        mask = np.argsort(rng.random(held_out.shape), axis=1) < count
        log_score, crps = of_chain(chain, held_out, mask, scale, seed)
        found.append(figures("chain", count, log_score, crps) | {"core_s": round(seconds)})
        for name, make in IMPUTERS.items():
            log_score, crps = of_imputer(make, train, held_out, mask, scale, rng=rng)
            found.append(figures(name, count, log_score, crps))
    return found


def figures(method: str, holes: int, log_score: Array, crps: Array) -> dict[str, object]:
    """Means over rows with their standard errors."""
    found: dict[str, object] = {"method": method, "holes": holes, "rows": len(log_score)}
    for name, values in (("log_score", log_score), ("crps", crps)):
        found[name] = float(values.mean())
        found[f"{name}_se"] = float(values.std(ddof=1) / math.sqrt(len(values)))
    return found


def of_chain(
    chain: jko.Flow, x: Array, mask: NDArray[np.bool_], scale: Array, seed: int
) -> tuple[Array, Array]:
    """Log scores and mean CRPS of rows."""
    cells = {name: Cells(x[:, j], ~mask[:, j]) for j, name in enumerate(chain.columns)}
    kinds = loose(kinds_of(chain.facts))
    drawn = draw_missing(chain.as_law(), kinds, cells, DRAWS, seed=seed)
    whole = np.asarray(chain.log_prob_with_error(x)[0])
    steps = np.array(chain.facts.grid)
    # what is held has the mass of a step of its grid, where it has one
    held = np.where(mask, 0.0, np.log(np.where(steps > 0, steps, 1.0))).sum(1)
    log_score = whole - (drawn.log_density - held) + (mask * np.log(scale)).sum(1)
    y = np.stack([chain.facts.on_grid(one) for one in drawn.y])
    away = np.abs(y - x).mean(0)
    pairs = np.abs(y[:, None] - y[None]).sum((0, 1)) / (DRAWS * (DRAWS - 1))
    return log_score, ((away - 0.5 * pairs) / scale * mask).sum(1) / mask.sum(1)


def of_imputer(
    make: Callable[[], object],
    train: Array,
    x: Array,
    mask: NDArray[np.bool_],
    scale: Array,
    *,
    rng: np.random.Generator,
) -> tuple[Array, Array]:
    """The same of a Gaussian around an imputer's values."""
    apart, fitted = np.split(train, [APART])
    centre = fitted.mean(0)
    imputer = make().fit((fitted - centre) / scale)  # type: ignore[attr-defined]

    def filled(rows: Array, holes: NDArray[np.bool_]) -> Array:
        z = (rows - centre) / scale
        return np.asarray(imputer.transform(np.where(holes, np.nan, z)) - z)

    holes = np.argsort(rng.random(apart.shape), axis=1) < mask.sum(1)[0]
    residuals = np.where(holes, filled(apart, holes), np.nan)
    deviation = np.sqrt(np.nanmean(residuals**2, axis=0))
    z = filled(x, mask) / deviation
    log_density = -0.5 * z**2 - np.log(deviation) - 0.5 * math.log(2 * math.pi)
    density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    crps = deviation * (z * (2 * ndtr(z) - 1) + 2 * density - 1 / math.sqrt(math.pi))
    return (mask * log_density).sum(1), (mask * crps).sum(1) / mask.sum(1)


IMPUTERS: dict[str, Callable[[], object]] = {
    "mean": SimpleImputer,
    "k-NN, 10 neighbours": lambda: KNNImputer(n_neighbors=10, weights="distance"),
    "iterative, Bayesian ridge": lambda: IterativeImputer(random_state=0, max_iter=30),
}

if __name__ == "__main__":
    main()
