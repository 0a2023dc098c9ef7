"""Models of any kind judged from files: sentences, JSON, the page, and refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import jko
from tests.projects import call

COLUMNS = ["amount", "price", "ratio"]


def drawn(rows: int, seed: int) -> pd.DataFrame:
    """Two related columns and one of its own, in units far apart."""
    z = np.random.default_rng(seed).normal(size=(rows, 3))
    columns = [z[:, 0], 1000 * (0.8 * z[:, 0] + 0.6 * z[:, 1]), 0.01 * z[:, 2] + 5]
    return pd.DataFrame(np.stack(columns, 1), columns=COLUMNS)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Held-out rows, samples of a right and of a wrong model, training rows; the working directory."""
    monkeypatch.chdir(tmp_path)
    drawn(500, 0).to_csv("held.csv", index=False)
    drawn(3000, 1)[["ratio", "amount", "price"]].to_csv("good.csv", index=False)
    wrong = drawn(3000, 2).to_numpy(copy=True)
    wrong[:, 1] = np.roll(wrong[:, 1], 1)
    np.save("shuffled.npy", wrong)
    drawn(1000, 3).to_parquet("train.parquet")
    return tmp_path


def test_files_of_any_kind_are_judged(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An index is left out of the held-out rows; arrays go by place."""
    held = drawn(300, 0)
    held.assign(row_id=range(300)).to_csv("held.tsv.gz", index=False, sep="\t")
    drawn(300, 1).to_feather("good.feather")
    np.savez("same.npz", rows=drawn(300, 1).to_numpy())
    words = ("judge", "--data", "held.tsv.gz", "--samples", "good.feather", "--samples", "same.npz", "--json")
    assert call(monkeypatch, *words) == 0
    said = capsys.readouterr()
    one, other = json.loads(said.out)["models"]
    assert [found["column"] for found in one["columns"]] == COLUMNS
    assert one["energy"] == other["energy"]
    assert "held.tsv.gz: left out, an index: column 'row_id'" in said.err


def test_models_of_files_are_judged(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("judge", "--data", "held.csv", "--samples", "good.csv", "--samples", "shuffled.npy",
             "--train", "train.parquet", "-o", "page.html")  # fmt: skip
    assert call(monkeypatch, *words) == 0
    good, shuffled = capsys.readouterr().out.splitlines()
    assert good.startswith("good: ")
    assert "wrong" not in good
    assert "The model is wrong most in amount and price" in shuffled
    page = Path("page.html").read_text()
    # the curves, and of each model a map, the worst pair and ranks, three columns, their pairs and two maps
    assert page.count("data:image/png") == 1 + 2 * (3 + 3 + 1 + 2)
    assert "good: column by column" in page
    assert "amount (continuous): held-out rows beside samples" in page
    assert "http://" not in page
    for said in ("energy test, p", "it sees a shift of", "copies (usual)", "500 held-out rows"):
        assert said in page
    assert call(monkeypatch, *words[:-2], "--json") == 0  # without the page
    found = json.loads(capsys.readouterr().out)["models"]
    assert [one["name"] for one in found] == ["good", "shuffled"]
    assert [one["column"] for one in found[0]["columns"]] == ["amount", "price", "ratio"]
    assert found[1]["pairs"][0]["columns"] == ["amount", "price"]
    assert found[0]["copies"]["share"] < 0.05
    assert found[0]["energy"]["p"] > 0.01 > found[1]["energy"]["p"]


def test_python_writes_the_page_of_the_command(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("judge", "--data", "held.csv", "--samples", "good.csv")
    assert call(monkeypatch, *words, "-o", "page.html", "--json") == 0
    found = jko.judge(pd.read_csv("held.csv"), {"good": pd.read_csv("good.csv")})
    assert json.loads(capsys.readouterr().out) == found.plain()
    assert found.page("own.html") == Path("own.html")
    # but for the paragraph that names the files
    own, theirs = (
        Path(name).read_text().partition('<p class="headline">') for name in ("own.html", "page.html")
    )
    assert own[2] == theirs[2]


def test_a_single_column_has_a_page_without_a_map(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(1)
    np.save("one.npy", rng.normal(size=100))
    np.save("other.npy", rng.normal(size=(400, 1)))
    assert call(monkeypatch, "judge", "--data", "one.npy", "--samples", "other.npy", "-o", "p.html") == 0
    page = Path("p.html").read_text()
    assert page.count("data:image/png") == 3
    assert "100 held-out rows, 1 column." in page


@pytest.mark.slow
def test_groups_of_files_may_be_text(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(9)
    held, good = drawn(400, 0), drawn(1600, 1)
    for table in (held, good):
        table["shop"] = rng.choice(["north", "south"], len(table))
        table.loc[table.shop == "south", "amount"] += 3
    held.loc[7, "shop"] = None
    held.to_csv("h.csv", index=False)
    good.to_parquet("g.parquet")
    words = ("judge", "--data", "h.csv", "--samples", "g.parquet", "--group", "shop", "-o", "p.html")
    assert call(monkeypatch, *words) == 0
    told = capsys.readouterr()
    assert [line.split(":")[0] for line in told.out.splitlines()] == [
        "g",
        "g, shop = north",
        "g, shop = south",
    ]
    assert "dropped 1 of 400 rows with empty cells" in told.err
    page = Path("p.html").read_text()
    assert "shop = north" in page
    assert "quantiles given the context" in page
    assert "dropped 1 of 400 rows" in page
    assert call(monkeypatch, *words, "--json") == 0
    (one,) = json.loads(capsys.readouterr().out)["models"]
    assert [group["group"] for group in one["groups"]] == ["shop = north", "shop = south"]
    assert one["conditional"]["contexts"] == 2
    assert one["conditional"]["share"] == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--data", "none.csv", "--samples", "good.csv"), "none.csv: no such file"),
        (("--data", "held.csv", "--samples", "."), "no such file"),
        (("--data", "held.csv", "--samples", "two.csv"), "no column 'ratio', which the held-out rows have"),
        (("--data", "held.csv", "--samples", "bad.parquet"), "this is no table in Parquet's format"),
        (("--data", "held.csv", "--samples", "empty.npy"), "empty"),
        (("--data", "held.csv", "--samples", "infinite.parquet"), "infinite.parquet: column 'price'"),
        (("--data", "held.csv", "--samples", "held.csv"), "samples held: these are the held-out rows"),
        (
            ("--data", "held.csv", "--samples", "wide.npy"),
            "wide.npy: 4 columns beside the 3 of held-out rows",
        ),
        (("--data", "held.csv", "--samples", "one.csv"), "two rows or more are needed, and not 1"),
        (("--data", "held.csv", "--samples", "gaps.csv"), "two rows or more are needed, and not 0"),
        (("--data", "held.csv", "--samples", "head.csv"), "head.csv"),
        (("--data", "held.csv", "--samples", "none.parquet"), "none.parquet: the table has no rows"),
        (("--data", "held.csv", "--samples", "text.csv"), "column 'price' holds text 'much'"),
        (("--data", "held.csv", "--samples", "good.csv", "--group", "shop"), "no column 'shop'"),
        (("--data", "held.csv", "--samples", "good.csv", "--train", "two.csv"), "no column 'ratio'"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    files: Path, words: tuple[str, ...], said: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    drawn(50, 4)[["amount", "price"]].to_csv("two.csv", index=False)
    Path("bad.parquet").write_bytes(b"PAR1 and nothing else")
    Path("empty.npy").touch()
    gaps = drawn(50, 5)
    gaps.loc[3, "price"] = np.inf
    gaps.to_parquet("infinite.parquet")
    np.save("wide.npy", np.zeros((9, 4)))
    drawn(1, 6).to_csv("one.csv", index=False)
    drawn(4, 7).assign(price=np.nan).to_csv("gaps.csv", index=False)
    drawn(0, 8).to_csv("head.csv", index=False)
    drawn(0, 8).to_parquet("none.parquet")
    Path("text.csv").write_text("amount,price,ratio\n1,2,3\n4,much,6\n")
    assert call(monkeypatch, "judge", *words) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert said in lines[0]


def test_rows_with_empty_cells_are_left_out_and_said(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gaps = drawn(600, 6)
    gaps.loc[3, "price"] = np.nan
    gaps.to_parquet("gaps.parquet")
    assert call(monkeypatch, "judge", "--data", "gaps.parquet", "--samples", "good.csv", "--json") == 0
    told = capsys.readouterr()
    assert "gaps.parquet: dropped 1 of 600 rows" in told.err
    assert json.loads(told.out)["models"][0]["bracket"][0]["rows"] == 599
