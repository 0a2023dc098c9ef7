"""Small tables as people have them: each is prepared as it is, or refused for what is wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jko.columns.infer import infer
from jko.config import Config, parse_config
from jko.core.errors import InputError
from jko.preparation.prepare import Prepared, prepare, unfitted
from jko.presets import merged, read_preset
from tasks.datasets.files import load_file
from tasks.datasets.whole import read_whole

RNG = np.random.default_rng(11)
ROWS = 400
DRY = RNG.random(ROWS) < 0.5
WARM, HEAVY = RNG.gamma(4, 5, ROWS), RNG.normal(80, 25, ROWS)


@dataclass(frozen=True)
class Case:
    """A table.

    Args:
        text: of its file.
        kinds: of its columns, in order.
        columns: that are prepared.
        says: what a note of the preparation holds, or the refusal.
        how: what is said of how it was read.
        refused: whether it is.
    """

    text: str
    kinds: list[str]
    columns: list[str] = field(default_factory=list)
    says: str = ""
    how: str = ""
    refused: bool = False


def written(columns: dict[str, object], **options: object) -> str:
    return str(pd.DataFrame(columns).to_csv(index=False, **options))  # type: ignore[call-overload]


CASES = {
    "counts and incomes": Case(
        written({"age": RNG.integers(18, 80, ROWS), "sex": RNG.integers(0, 2, ROWS),
                 "income": RNG.lognormal(10, 0.6, ROWS)}),
        ["integer", "boolean", "positive"], ["age", "sex", "income"],
        "dequantised with uniform noise of one grid step: age, sex",
    ),
    "volumes over five decades": Case(
        written({"change": RNG.standard_t(3, ROWS) / 50, "volume": RNG.lognormal(14, 1.5, ROWS)}),
        ["continuous", "positive"], ["change", "volume"],
    ),
    "areas that are mostly 0": Case(
        written({"wind": RNG.gamma(3, 2, ROWS).round(4), "area": np.where(DRY, 0, RNG.gamma(1, 30, ROWS))}),
        ["positive", "atoms"], ["wind", "area"], "'area': a share of 0.5",
    ),
    "a limit of detection": Case(
        written({"lead": np.maximum(0.5, RNG.gamma(2, 0.6, ROWS)), "y": HEAVY}),
        ["atoms", "continuous"], ["lead", "y"], "holds exactly 0.5 (an atom",
    ),
    "one column twice": Case(
        written({"x": WARM, "same": WARM, "y": HEAVY}), ["positive", "positive", "continuous"],
        says="columns 'x', 'same' are equal in every row", refused=True,
    ),
    "-999 for a missing number": Case(
        written({"p": WARM, "mass": np.where(RNG.random(ROWS) < 0.2, -999, HEAVY)}),
        ["positive", "atoms"], ["p", "mass"], "hold -999, far from all others",
    ),
    "1e20 for a missing number": Case(
        written({"t": np.where(np.arange(ROWS) % 60 == 7, 1e20, WARM), "p": HEAVY}), ["atoms", "continuous"],
        says="data.missing_values=[1e+20]", refused=True,
    ),
    "thousands with commas": Case(
        written({"price": WARM.round(2), "volume": [f"{int(1000 * one):,}" for one in np.abs(HEAVY) + 2]}),
        ["positive", "integer"], ["price", "volume"], "comma between thousands",
        "separator ',', decimal '.', thousands ',', UTF-8, quotes \"",
    ),
    "the minus of typesetting": Case(
        written({"x": WARM.round(3), "y": [f"{value - 80:.2f}".replace("-", "\u2212") for value in HEAVY]}),
        ["positive", "continuous"], ["x", "y"], how="separator ',', decimal '.', UTF-8, no quotes",
    ),
    "a German spreadsheet": Case(
        written({"Temp": WARM.round(3), "Druck": HEAVY.round(3)}, sep=";", decimal=","),
        ["positive", "continuous"], ["Temp", "Druck"], "decimal comma", "separator ';', decimal ','",
    ),
    "a German spreadsheet with numbers of rows": Case(
        written({"n": range(ROWS), "T": WARM.round(2), "D": HEAVY.round(3)}, sep=";", decimal=","),
        ["index", "positive", "continuous"], ["T", "D"], "left out, an index: column 'n'",
    ),
    "labels of rows": Case(
        str(pd.DataFrame({"x": WARM, "y": HEAVY}).to_csv()), ["index", "positive", "continuous"], ["x", "y"],
        "left out, an index: column 'Unnamed: 0'",
    ),
    "units far from 1": Case(
        written({"flux": 1e-30 * WARM, "power": 1e43 * np.exp(HEAVY / 50)}), ["positive", "positive"],
        ["flux", "power"],
    ),
    "orders with words and dates": Case(
        written({
            "visits": RNG.poisson(3, ROWS), "amount": RNG.gamma(2, 40, ROWS).round(2),
            "discount": np.where(RNG.random(ROWS) < 0.45, 0, RNG.gamma(3, 8, ROWS).round(1)),
            "channel": RNG.choice(["shop", "online", "phone"], ROWS),
            "day": (np.datetime64("2025-01-01") + RNG.integers(0, 365, ROWS)).astype(str),
        }),
        ["integer", "positive", "atoms", "categorical", "date"], ["visits", "amount", "discount"],
        "left out, not numeric: channel, day",
    ),
}  # fmt: skip


def settings(path: Path) -> Config:
    """The defaults of a table."""
    return parse_config(merged(read_preset("tabular"), {"data": {"source": "file", "file": str(path)}}))


def prepared(path: Path) -> tuple[tuple[str, ...], Prepared]:
    config = settings(path)
    table = load_file(config.data)
    return table.columns, prepare(table, unfitted(config))


@pytest.mark.parametrize("name", CASES)
def test_a_table_is_prepared_or_refused_for_what_is_wrong(name: str, tmp_path: Path) -> None:
    case, path = CASES[name], tmp_path / "table.csv"
    path.write_text(case.text)
    if case.refused:
        with pytest.raises(InputError) as raised:
            prepared(path)
        assert case.says in str(raised.value)
        return
    columns, found = prepared(path)
    assert list(columns) == case.columns
    assert sum(len(found.arrays[part]) for part in ("train", "validation", "test")) == ROWS
    assert all(np.isfinite(found.arrays[part]).all() for part in ("train", "validation", "test"))
    assert case.says in " | ".join(found.notes)


@pytest.mark.parametrize("name", CASES)
def test_its_kinds_and_its_dialect_are_told(name: str, tmp_path: Path) -> None:
    case, path = CASES[name], tmp_path / "table.csv"
    path.write_text(case.text)
    whole = read_whole(path)
    assert [column.kind for column in infer(whole.frame).columns] == case.kinds
    assert case.how in whole.how
