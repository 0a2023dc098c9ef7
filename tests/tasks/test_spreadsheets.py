"""Spreadsheets: what is written is read back, and what none can hold is refused in a sentence."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flows.views import models
from flows.views.models import check_output, write_table
from jko.core.errors import InputError
from tasks.adapters.system import spreadsheets
from tasks.adapters.system.spreadsheets import spreadsheet


def table(rows: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "n": pd.array([None if i % 4 == 0 else i for i in range(rows)], dtype="Int64"),
            "x": rng.normal(size=rows) * 10.0 ** rng.integers(-300, 300, rows),
            "city": rng.choice(["Rome", "Köln", "=1+1"], rows),
            "yes": rng.random(rows) < 0.5,
            "day": pd.Timestamp("2025-01-31") + pd.to_timedelta(rng.integers(0, 900, rows), "D"),
            "level": pd.Categorical(rng.choice(["low", "high"], rows)),
        }
    )


def test_a_table_is_written_and_read_back(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    frame = table()
    check_output(tmp_path / "out.xlsx")
    write_table(frame, tmp_path / "out.xlsx")
    back = pd.read_excel(tmp_path / "out.xlsx")
    assert list(back) == list(frame)
    assert back["n"].astype("Int64").equals(frame["n"])
    np.testing.assert_allclose(back["x"], frame["x"], rtol=1e-15)  # 16 digits are written
    assert back["city"].tolist() == ["'=1+1" if city == "=1+1" else city for city in frame["city"]]
    assert back["yes"].tolist() == frame["yes"].tolist()
    assert (back["day"] == frame["day"]).all()
    assert back["level"].tolist() == frame["level"].tolist()


def test_dates_that_spreadsheets_have_not_are_text() -> None:
    pytest.importorskip("openpyxl")
    frame = pd.DataFrame(
        {
            "old": pd.to_datetime(["1850-05-17", None]),
            "zone": pd.to_datetime(["2025-01-31 12:00", "2025-02-01 12:00"]).tz_localize("Europe/Rome"),
        }
    )
    back = pd.read_excel(io.BytesIO(spreadsheet(frame)))
    assert back["old"].tolist()[0] == "1850-05-17T00:00:00"
    assert back["old"].isna().tolist() == [False, True]
    assert back["zone"].tolist() == ["2025-01-31T12:00:00+01:00", "2025-02-01T12:00:00+01:00"]


@pytest.mark.parametrize(
    ("frame", "sentence"),
    [
        (pd.DataFrame({"a": ["x", "\x1b[31m"]}), "holds a control character"),
        (pd.DataFrame({"a\x00b": [1]}), "holds a control character"),
        (pd.DataFrame({"a": ["x" * 40_000]}), "more than 32767 letters"),
        (pd.DataFrame({"a": np.zeros(2**20)}), "1048576 rows of 1 columns are too many for a spreadsheet"),
        (pd.DataFrame(np.zeros((1, 2**14 + 1))), "too many for a spreadsheet"),
    ],
)
def test_what_no_spreadsheet_holds_is_refused(frame: pd.DataFrame, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=sentence) as caught:
        write_table(frame, tmp_path / "out.xlsx")
    assert str(caught.value).startswith(f"-o {tmp_path / 'out.xlsx'}: ")
    assert not list(tmp_path.iterdir())


def test_without_the_package_a_sentence_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        return None

    monkeypatch.setattr(spreadsheets, "find_spec", absent)
    with pytest.raises(InputError, match=r"a spreadsheet needs a package: pip install openpyxl$"):
        models.check_output(tmp_path / "out.xlsx")
    models.check_output(tmp_path / "out.csv")
