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
from benchmarks.detectors import DETECTORS
from benchmarks.tables import EMPTY, README, keep, markdown
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
        seconds: of the CPU, training and scoring.
    """

    auroc: float
    seconds: float


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


def fingerprint() -> str:
    """Identity of what the figures depend on: the detectors, numerics and the preset for tables."""
    sources = [file_digest(ROOM / name) for name in ("detectors.py",)]
    return digest_of([sources, NUMERICS, read_preset("tabular"), TESTED])


def found(parts: Parts, name: str, seed: int) -> Found:
    """What a detector finds; it does not see the labels."""
    start = time.process_time()
    scores = DETECTORS[name][1](parts.train, parts.test, seed)
    seconds = time.process_time() - start
    return Found(auroc=auroc(scores, parts.odd), seconds=seconds)


def ranks_of(known: Mapping[str, Found], sets: Sequence[str]) -> dict[str, list[float]]:
    """The rank of every detector on each set by its median AUROC, 1 for the best; equal ones share theirs."""
    middle = [[-statistics.median(_values(known, name, one)) for one in DETECTORS] for name in sets]
    ranks = rankdata(middle, axis=1)
    return {one: [float(rank) for rank in ranks[:, at]] for at, one in enumerate(DETECTORS)}


def _values(known: Mapping[str, Found], name: str, detector: str) -> list[float]:
    return [known[f"{name}/{seed}/{detector}"].auroc for seed in SEEDS]


def table(known: Mapping[str, Found]) -> str:
    """AUROC of every set whose cells are complete: the median of the seeds, the smallest and the largest."""
    sets = [
        name for name in SETS if all(f"{name}/{seed}/{one}" in known for seed in SEEDS for one in DETECTORS)
    ]
    if not sets:
        return EMPTY
    body = []
    for name in sets:
        values = [sorted(_values(known, name, one)) for one in DETECTORS]
        body.append((name, *(f"{own[1]:.3f} ({own[0]:.3f} … {own[-1]:.3f})" for own in values)))
    ranks = ranks_of(known, sets)
    body.append(("median rank", *(f"**{statistics.median(ranks[one]):g}**" for one in DETECTORS)))
    body.append(("mean rank", *(f"{statistics.mean(ranks[one]):.2f}" for one in DETECTORS)))
    seconds = {
        one: [known[f"{name}/{seed}/{one}"].seconds for name in sets for seed in SEEDS] for one in DETECTORS
    }
    spent = (f"{statistics.median(own):.2g} (… {max(own):.2g})" for own in seconds.values())
    body.append(("CPU seconds, median and most", *spent))
    return markdown(("set", *(label for label, _ in DETECTORS.values())), body)


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
    stored = read_json(path)
    known: dict[str, Found] = {}
    if stored and stored["fingerprint"] == mark and not tuning:
        known = {key: Found.model_validate(one) for key, one in stored["cells"].items()}
    for name, file in (TUNING if tuning else SETS).items():
        rows, labels = read_set(data / file)
        for seed in SEEDS:
            parts = parts_of(rows, labels, seed)
            for detector in DETECTORS:
                key = f"{name}/{seed}/{detector}"
                if key not in known:
                    known[key] = found(parts, detector, seed)
                click.echo(f"{key}: AUROC {known[key].auroc:.3f}, {known[key].seconds:.1f} CPU-s")
        if not tuning:
            cells = {key: one.plain() for key, one in known.items()}
            keep(path, {"fingerprint": mark, "cells": cells}, "anomalies", table(known), readme)


if __name__ == "__main__":
    main()
