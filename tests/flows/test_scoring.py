"""A score depends on its row alone, keeps its place, and estimates what the test NLL averages."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import zarr

from flows.views.scoring import Scored, beside_mean, score_file, usable_rows
from jko.config import parse_config
from jko.core.errors import InputError
from jko.disk.facts import read_facts
from jko.disk.layout import Layout
from jko.disk.manifest import required_manifest, stored_config
from jko.training.listener import Listeners
from tasks.adapters.store.arrays import read_samples
from tasks.adapters.store.chain_store import ChainStore
from tasks.adapters.store.chains import load_chain
from tasks.adapters.store.plan import write_manifest
from tasks.cuts import log_prob_of_cuts
from tasks.datasets.files import Cells
from tasks.options import value_of
from tasks.prepare import prepare_data
from tasks.push import push_block
from tasks.train import train_block

SHORT: dict[str, Any] = {
    "steps": {"count": 2, "first": 0.5}, "network": {"hidden": [16, 16]}, "solver": {"steps": 3, "probes": 2},
    "training": {"flow_matching_iterations": 60, "iterations": 10, "batch_size": 64},
    "evaluation": {"samples": 50, "mixture_components": [1]},
}  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "exact": {"solver": {**SHORT["solver"], "divergence": "exact"}},
    "probes": {"solver": {**SHORT["solver"], "divergence": "hutchinson"}},
    "residual": {"network": {"hidden": [16, 16], "kind": "residual"}},
}


def table(rows: int, seed: int) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    visits = draw.poisson(4, rows)
    return pd.DataFrame({"visits": visits, "amount": np.round(visits + draw.normal(0, 1, rows), 3)})


@pytest.fixture(scope="module", params=KINDS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a chain on a column of counts and a continuous one."""
    return trained(tmp_path_factory.mktemp("scored"), **KINDS[request.param])


def trained(place: Path, **settings: Any) -> Path:
    table(1500, 0).to_csv(place / "train.csv", index=False)
    data = {"source": "file", "file": str(place / "train.csv"), **settings.pop("data", {})}
    config = parse_config({**SHORT, "data": data, **settings})
    layout = Layout(place / "chain")
    before = Path.cwd()
    os.chdir(place)
    try:
        chain = write_manifest(config, layout, value_of(prepare_data.fn(config, layout)))
        store = ChainStore(config, layout, chain)
        for k in range(1, len(chain)):
            train_block.fn(store, k, listener=Listeners())
            push_block.fn(store, k)
    finally:
        os.chdir(before)
    return place


def scores(folder: Path, frame: pd.DataFrame, **options: Any) -> pd.DataFrame:
    frame.to_csv(folder / "rows.csv", index=False)
    score_file(Layout(folder / "chain"), folder / "rows.csv", folder / "scores.csv", **options)
    return pd.read_csv(folder / "scores.csv")


def test_a_row_has_one_score_in_any_order_company_and_file(folder: Path) -> None:
    rows = table(60, 1).drop_duplicates().reset_index(drop=True)
    alone = scores(folder, rows)["log_density"]
    order = np.random.default_rng(2).permutation(np.repeat(np.arange(len(rows)), 3))
    mixed = scores(folder, rows.iloc[order])["log_density"].to_numpy()
    np.testing.assert_allclose(mixed, alone.to_numpy()[order], rtol=1e-5, atol=1e-5)
    for i in range(len(rows)):
        assert len(set(mixed[order == i])) == 1
    few = scores(folder, rows.iloc[5:9])["log_density"]
    np.testing.assert_allclose(few, alone[5:9], rtol=1e-5, atol=1e-5)


def test_the_mean_of_scores_is_that_of_the_test_nll(folder: Path) -> None:
    """The chain's own test rows without their noise: both average over the noise, within standard errors."""
    layout = Layout(folder / "chain")
    chain = required_manifest(layout).fingerprints
    facts, config = read_facts(layout, chain[0]), stored_config(layout)
    stored = torch.from_numpy(facts.in_data_units(read_samples(layout, 0, chain[0], "test")))
    tested = log_prob_of_cuts(load_chain(layout, config, chain), stored, config.seed).values[-1]
    numbers = read_samples(layout, 0, chain[0], "test_rows")
    found = scores(folder, table(1500, 0).iloc[numbers])
    apart = found["log_density"].to_numpy() - tested
    assert abs(apart.mean()) < 4 * apart.std() / len(apart) ** 0.5 + 1e-3
    assert (found["log_density_se"] > 0).all()
    assert (np.abs(apart) < 6 * np.hypot(found["log_density_se"] * 8**0.5, 0.3)).mean() > 0.95


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("marked"), data={"missing": "drop", "missing_values": [-999]})


def test_every_row_keeps_its_place(marked: Path) -> None:
    rows = table(40, 3).astype(float)
    whole = scores(marked, rows)["log_density"]
    holes = rows.copy()
    holes.iloc[3, 0], holes.iloc[7, 1], holes.iloc[11, 1], holes.iloc[12, 0] = np.nan, np.inf, -999, 1e30
    found = scores(marked, holes)["log_density"]
    assert list(np.flatnonzero(found.isna())) == [3, 7, 11]
    assert found[12] < found.drop(12).min() - 50  # however far out, the model's broad part knows it
    others = found.notna() & (found.index != 12)
    np.testing.assert_allclose(found[others], whole[others], rtol=1e-5, atol=1e-5)
    said = str(score_file(Layout(marked / "chain"), marked / "rows.csv", marked / "scores.npy"))
    assert said.startswith("37 of 40 rows scored")
    assert "3 left empty (2 with a missing cell, 1 with an infinite number)" in said
    assert len(np.load(marked / "scores.npy")) == 40
    assert len((marked / "scores.csv").read_text().splitlines()) == 41


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chain of plain numbers: arrays have them, and no kinds of columns."""
    return trained(tmp_path_factory.mktemp("plain"), data={"kinds": "off"})


def test_rows_of_files_of_every_kind_have_the_same_scores(plain: Path) -> None:
    """Columns go by name and others beside them are passed over; in arrays they go by their place."""
    rows = table(30, 4)
    whole = scores(plain, rows)
    more = rows.assign(id=range(30), note="x")[["note", "amount", "id", "visits"]]
    more.to_csv(plain / "rows.csv.gz", index=False)
    more.to_csv(plain / "rows.tsv", index=False, sep="\t", decimal=",")
    more.to_parquet(plain / "rows.parquet")
    more.to_feather(plain / "rows.feather")
    np.savez_compressed(plain / "rows.npz", any=rows.to_numpy())
    zarr.create_array(str(plain / "rows.zarr"), data=rows.to_numpy(), overwrite=True)
    for name in ("rows.csv.gz", "rows.tsv", "rows.parquet", "rows.feather", "rows.npz", "rows.zarr"):
        score_file(Layout(plain / "chain"), plain / name, plain / "other.csv")
        pd.testing.assert_frame_equal(pd.read_csv(plain / "other.csv"), whole)


def test_data_of_another_kind_of_file_are_the_same_data(plain: Path, tmp_path: Path) -> None:
    """What is prepared depends on the rows alone, and so do the blocks that are trained on them."""
    table(1500, 0).assign(id=range(1500)).to_parquet(tmp_path / "train.parquet")
    config = stored_config(Layout(plain / "chain"))
    data = config.data.model_copy(update={"file": str(tmp_path / "train.parquet")})
    config = config.model_copy(update={"data": data})
    digest = value_of(prepare_data.fn(config, Layout(tmp_path / "chain")))
    assert digest == required_manifest(Layout(plain / "chain")).data_digest


def test_a_row_too_far_out_has_no_score_without_a_defence(tmp_path: Path) -> None:
    place, rows = trained(tmp_path, defence={"share": 0}), table(40, 3).astype(float)
    rows.iloc[12, 0] = 1e30
    found = scores(place, rows)["log_density"]
    assert list(np.flatnonzero(found.isna())) == [12]
    said = str(score_file(Layout(place / "chain"), place / "rows.csv", place / "scores.npy"))
    assert "1 left empty (1 too far out for the model's numbers)" in said


def test_holes_can_be_refused_and_a_file_of_holes_is(marked: Path) -> None:
    rows = table(10, 3).astype(float)
    rows.iloc[4, 0] = np.nan
    with pytest.raises(InputError, match=r"'visits' has an empty cell at data row 5.*--missing"):
        scores(marked, rows, missing="refuse")
    rows["visits"] = -999
    with pytest.raises(InputError, match="no row can be scored"):
        scores(marked, rows)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("visits;amount\n287;1\n3.315;2\noops;1\n", "'oops'"),
        ('visits,amount\n3,"1 kg"\n4,"2 kg"\n', "'1 kg'"),
        ("visits,amount\n3,1\n4,2,5\n", "line 3"),
        ("a,b\n1,2\n3,4\n", "no column 'visits'"),
        ('visits,amount\n1,"20,5"\n2,1.5\n', "decimal comma"),
    ],
)
def test_a_refusal_names_no_setting_that_a_score_does_not_take(content: str, says: str, marked: Path) -> None:
    (marked / "bad.csv").write_text(content)
    with pytest.raises(InputError, match=says) as raised:
        score_file(Layout(marked / "chain"), marked / "bad.csv", marked / "s.csv")
    assert re.search(r"data\.[a-z]", str(raised.value)) is None
    assert str(raised.value).count("(") == str(raised.value).count(")")


def test_a_file_in_another_dialect_has_the_same_scores(marked: Path) -> None:
    rows = table(30, 4)
    plain = scores(marked, rows)["log_density"]
    rows.to_csv(marked / "semi.csv", index=False, sep=";", decimal=",")
    score_file(Layout(marked / "chain"), marked / "semi.csv", marked / "s.csv")
    np.testing.assert_array_equal(pd.read_csv(marked / "s.csv")["log_density"], plain)


def test_a_chain_of_a_stated_dialect_scores_its_files_and_ours(tmp_path: Path) -> None:
    rows = table(1500, 0)
    rows.to_csv(tmp_path / "de.csv", index=False, sep=";", decimal=",", header=False)
    data = {"file": str(tmp_path / "de.csv"), "separator": ";", "decimal": ",", "header": "no"}
    trained(tmp_path, data=data)
    layout = Layout(tmp_path / "chain")
    score_file(layout, tmp_path / "de.csv", tmp_path / "a.csv")
    rows.set_axis(["x0", "x1"], axis=1).to_csv(tmp_path / "ours.csv", index=False)
    score_file(layout, tmp_path / "ours.csv", tmp_path / "b.csv")
    one, two = (pd.read_csv(tmp_path / name)["log_density"] for name in ("a.csv", "b.csv"))
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5)


def test_a_file_that_does_not_say_is_read_with_the_marks_of_the_training_file(tmp_path: Path) -> None:
    draw = np.random.default_rng(5)
    amounts, sizes = draw.integers(300, 9000, 600), draw.normal(0, 1, 600)

    def lines(rows: int) -> str:
        pairs = zip(amounts[:rows], sizes[:rows], strict=True)
        return "".join(
            f"{a:,};{s:.2f}\n".replace(",", "_").replace(".", ",").replace("_", ".") for a, s in pairs
        )

    (tmp_path / "de.csv").write_text("menge;preis\n" + lines(600) + "1.234.567;0,5\n")
    trained(tmp_path, data={"file": str(tmp_path / "de.csv"), "dequantise": "off"})
    layout = Layout(tmp_path / "chain")
    (tmp_path / "few.csv").write_text("menge;preis\n287;1\n3.315;0\n1.338;2\n")
    scored = score_file(layout, tmp_path / "few.csv", tmp_path / "a.csv")
    assert any("decimal comma, point between thousands" in note for note in scored.notes)
    (tmp_path / "plain.csv").write_text("menge,preis\n287,1\n3315,0\n1338,2\n")
    score_file(layout, tmp_path / "plain.csv", tmp_path / "b.csv")
    one, two = (pd.read_csv(tmp_path / name)["log_density"] for name in ("a.csv", "b.csv"))
    np.testing.assert_array_equal(one, two)


def test_rows_of_an_unknown_class_are_left_out() -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0, np.nan, 4.0], "class": [0.0, 7.0, 1.0, 1.0]})
    cells = Cells(Path("t.csv"), frame, ("class",), ())
    rows, kept, left = usable_rows(cells, ("class=0", "class=1"))
    assert kept.tolist() == [0, 3]
    assert rows.rows.tolist() == [[1.0], [4.0]]
    assert left == {"with a missing cell": 1, "with an infinite number": 0, "of an unknown class": 1}


def test_a_row_that_decides_the_mean_of_a_file_is_named() -> None:
    scores = np.full(200, 2.0)
    scores[[3, 7]] = np.nan, 90_000.0
    median, said = beside_mean(scores)
    assert median == -2.0
    assert said.startswith(
        "warning: row 7 of the source (counted from 0) alone adds 452 nats to the mean of −log q"
    )
    shown = str(Scored(200, -454.2, {"with a missing cell": 1}, median=median, warning=said))
    assert "mean log-density -454.2000 nats (median -2.0000); 1 left empty" in shown
    assert shown.endswith(said)
    assert beside_mean(np.array([np.nan]))[1] == ""
