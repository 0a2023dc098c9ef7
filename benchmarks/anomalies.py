"""Anomalies in ten tables of ADBench: a flow beside an isolation forest, ECOD and a Gaussian mixture.

The protocol is ADBench's unsupervised one: seven tenths of the rows to train on, stratified by label and
without their labels, so that anomalies are among them; AUROC on the other three tenths.

Source: Han, Hu, Huang, Jiang and Zhao, ADBench, NeurIPS 2022 (arXiv:2206.09426).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from benchmarks.cell import RESULTS, ROOM
from benchmarks.command import sentences
from benchmarks.detectors import DETECTORS, OURS, Detector
from benchmarks.page import EMPTY, README, keep, markdown
from jko.config import NUMERICS
from jko.core.digest import digest_of
from jko.core.errors import InputError
from jko.core.records import Record
from jko.disk.commit import file_digest
from jko.disk.sealed import read_json
from jko.laws.densities import Array
from jko.presets import read_preset

FILE = "anomalies.json"
#: Chosen by their shapes, before any method was run. Of the sets with 300 to 12 000 rows and 5 to 40 columns,
#: one of each source (annthyroid and not thyroid, cardio and not Cardiotocography, landsat and not satellite
#: and satimage-2), the ten with the fewest numbers.
SETS = {
    "Stamps": "37_Stamps.npz",
    "breastw": "4_breastw.npz",
    "Pima": "29_Pima.npz",
    "WDBC": "43_WDBC.npz",
    "Ionosphere": "18_Ionosphere.npz",
    "yeast": "47_yeast.npz",
    "vowels": "40_vowels.npz",
    "Wilt": "44_Wilt.npz",
    "cardio": "6_cardio.npz",
    "annthyroid": "2_annthyroid.npz",
}
#: the next two but for fault, whose columns determine each other: settings may be tried on these
TUNING = {"letter": "20_letter.npz", "PageBlocks": "27_PageBlocks.npz"}
SEEDS = (0, 1, 2)
#: share of the rows that is scored
TESTED = 0.3


class Found(Record):
    """What one detector finds in one set.

    Args:
        auroc: chance that it scores an anomaly above another row, equal scores counted half.
        se: its standard error over the rows that are scored.
        seconds: of the CPU, training and scoring.
    """

    auroc: float
    se: float
    seconds: float


#: by set and seed, and by the name of the score
Known = Mapping[str, Mapping[str, Found]]


@dataclass(frozen=True)
class Parts:
    """A set divided.

    Args:
        train: rows to train on, shape (n, d).
        test: rows to score, shape (m, d).
        odd: which of these are anomalies, shape (m,).
    """

    train: Array
    test: Array
    odd: NDArray[np.bool_]


def read_set(path: Path) -> tuple[Array, NDArray[np.bool_]]:
    """Rows and which of them are anomalies: the arrays ``X`` and ``y`` of an NPZ, pickles refused.

    Raises:
        InputError: there is no such file, or it holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as held:
            rows, labels = np.asarray(held["X"], dtype=float), np.asarray(held["y"]).astype(bool).ravel()
    except (KeyError, ValueError, OSError) as error:
        raise InputError(f"{path}: holds no arrays X and y of numbers ({error})") from None
    if rows.ndim != 2 or len(rows) != len(labels) or not np.isfinite(rows).all():
        raise InputError(f"{path}: its array X is no table of finite numbers with a label for each row")
    return rows, labels


def parts_of(rows: Array, labels: NDArray[np.bool_], seed: int) -> Parts:
    """Training and test rows, stratified; columns that are equal in all training rows are left out."""
    from sklearn.model_selection import train_test_split

    train, test, _, odd = train_test_split(rows, labels, test_size=TESTED, stratify=labels, random_state=seed)
    told = np.ptp(train, axis=0) > 0
    return Parts(train[:, told], test[:, told], odd)


def auroc(scores: Array, odd: NDArray[np.bool_]) -> float:
    """Chance that an anomaly scores above another row, equal scores counted half.

    >>> auroc(np.array([0.0, 1.0, 1.0, 2.0]), np.array([False, False, True, True]))
    0.875
    """
    ranks, count = rankdata(scores), int(odd.sum())
    above = ranks[odd].sum() - count * (count + 1) / 2
    return float(above / (count * (len(odd) - count)))


def error(area: float, odd: int, others: int) -> float:
    r"""Standard error of an AUROC A of n anomalies and m other rows.

    .. math:: SE^2 = \frac{A(1-A) + (n-1)(Q_1 - A^2) + (m-1)(Q_2 - A^2)}{nm}, \quad
        Q_1 = \frac{A}{2-A}, \quad Q_2 = \frac{2A^2}{1+A}

    Source: Hanley and McNeil, Radiology 143 (1982) 29–36.

    >>> round(error(0.5, 100, 100), 4)
    0.0409
    """
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    total = area * (1 - area) + (odd - 1) * (first - area**2) + (others - 1) * (second - area**2)
    return float(max(0.0, total / (odd * others)) ** 0.5)


def fingerprint() -> str:
    """Identity of what the figures depend on: the detectors, numerics and the preset for tables."""
    sources = [file_digest(ROOM / name) for name in ("detectors.py",)]
    return digest_of([sources, NUMERICS, read_preset("tabular"), TESTED])


def found(parts: Parts, detector: Detector, seed: int) -> dict[str, Found]:
    """What the scores of a detector find; it does not see the labels."""
    start = time.process_time()
    scores = detector(parts.train, parts.test, seed)
    seconds = time.process_time() - start
    areas = {name: auroc(own, parts.odd) for name, own in scores.items()}
    odd, others = int(parts.odd.sum()), int((~parts.odd).sum())
    return {
        name: Found(auroc=area, se=error(area, odd, others), seconds=seconds) for name, area in areas.items()
    }


def ranks_of(known: Known, sets: Sequence[str], name: str) -> list[float]:
    """The rank of a score on each set by its median AUROC, 1 for the best; equal ones share theirs.

    Ours has two scores. Either is ranked among the other detectors, and these with the first.
    """
    others = [one for one in names(known) if one != name and not (ours_too(one) and ours_too(name))]
    rivals = [one for one in others if one == OURS or not ours_too(one)]
    columns = [[-statistics.median(_values(known, of, one)) for one in (name, *rivals)] for of in sets]
    return [float(rank) for rank in rankdata(columns, axis=1)[:, 0]]


def ours_too(name: str) -> bool:
    """Whether a score is one of ours."""
    return name.startswith(OURS)


def names(known: Known) -> list[str]:
    """Names of all scores, in the order of the table: ours first."""
    return sorted(
        {name for cell in known.values() for name in cell}, key=lambda one: (not ours_too(one), one)
    )


def complete(known: Known) -> list[int]:
    """The seeds that all sets have."""
    return [seed for seed in SEEDS if all(f"{of}/{seed}" in known for of in SETS)]


def _values(known: Known, of: str, name: str) -> list[float]:
    return sorted(known[f"{of}/{seed}"][name].auroc for seed in complete(known))


def _cell(known: Known, of: str, name: str) -> str:
    """The median of several seeds, with the smallest and the largest; one seed with its standard error."""
    values = _values(known, of, name)
    if len(values) > 1:
        return f"{statistics.median(values):.3f} ({values[0]:.3f} … {values[-1]:.3f})"
    (seed,) = complete(known)
    return f"{values[0]:.3f} ± {known[f'{of}/{seed}'][name].se:.3f}"


def table(known: Known) -> str:
    """AUROC on every set, ranks and seconds, by the seeds that are complete."""
    seeds = complete(known)
    if not seeds:
        return EMPTY
    shown = names(known)
    body = [(of, *(_cell(known, of, name) for name in shown)) for of in SETS]
    ranks = [ranks_of(known, list(SETS), name) for name in shown]
    body.append(("median rank", *(f"**{statistics.median(own):g}**" for own in ranks)))
    body.append(("mean rank", *(f"{statistics.mean(own):.2f}" for own in ranks)))
    seconds = [[known[f"{of}/{seed}"][name].seconds for of in SETS for seed in seeds] for name in shown]
    body.append(("CPU seconds, median", *(f"{statistics.median(own):.2g}" for own in seconds)))
    body.append(("CPU seconds, most", *(f"{max(own):.2g}" for own in seconds)))
    return markdown(("set", *shown), body)


def kept(path: Path, mark: str) -> dict[str, dict[str, Found]]:
    """The figures of a file, if they are of the present detectors."""
    stored = read_json(path)
    if not stored or stored["fingerprint"] != mark:
        return {}
    return {
        key: {name: Found.model_validate(one) for name, one in cell.items()}
        for key, cell in stored["cells"].items()
    }


@click.command()
@click.option(
    "--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True,
    help="Folder of the NPZ files of ADBench, adbench/datasets/Classical.",
)  # fmt: skip
@click.option("--tuning", is_flag=True, help="The sets that are not reported: show, and keep nothing.")
@click.option("--results", type=click.Path(path_type=Path), default=RESULTS, help="Folder of the JSON files.")
@click.option("--readme", type=click.Path(path_type=Path), default=README, help="The page to write into.")
@sentences
def main(data: Path, results: Path, readme: Path, *, tuning: bool) -> None:
    """Fit every detector to every set and write the table; what is done stays done."""
    mark, path = fingerprint(), results / FILE
    known = {} if tuning else kept(path, mark)
    files = TUNING if tuning else SETS
    for seed in SEEDS:
        for of, file in files.items():
            rows, labels = read_set(data / file)
            key = f"{of}/{seed}"
            if key not in known:
                parts = parts_of(rows, labels, seed)
                known[key] = {
                    name: one for detector in DETECTORS for name, one in found(parts, detector, seed).items()
                }
            said = (f"{name} {one.auroc:.3f} in {one.seconds:.1f} CPU-s" for name, one in known[key].items())
            click.echo(f"{key}: {', '.join(said)}")
            if not tuning:
                cells = {
                    where: {name: one.plain() for name, one in cell.items()} for where, cell in known.items()
                }
                keep(path, {"fingerprint": mark, "cells": cells}, "anomalies", table(known), readme)


if __name__ == "__main__":
    main()
