"""A table's chain with its defence: one model in scores, samples, evaluation, certificate and checks."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from flows.views.status import status_table
from jko.certify.guarantee import CERTIFICATES
from jko.chain.defence import price
from jko.config import Config, parse_config
from jko.core.digest import digest_of
from jko.core.errors import InputError
from jko.disk.commit import COMMIT, file_digest
from jko.disk.defence import LAW, stored_law
from jko.disk.facts import read_facts
from jko.disk.identity import certificate_fingerprint, evaluation_fingerprint, fingerprints
from jko.disk.layout import Layout
from jko.disk.manifest import required_manifest, stored_config
from jko.disk.sealed import SEAL, read_json, write_json
from jko.disk.weights import chain_of as chain_before
from jko.preparation.prepare import without_noise
from tasks.adapters.store.arrays import read_samples
from tasks.adapters.store.chain_store import ChainStore
from tasks.adapters.store.chains import load_chain
from tasks.adapters.store.defence import defence_of, fitted_law
from tasks.options import value_of
from tasks.prepare import prepare_data
from tests.campaign.asked import run
from tests.campaign.chains import CHAIN, KINDS, bring_up, job_of, make, write_table

#: with a density, so that bounds hold
KIND = replace(
    KINDS["table"],
    settings=(
        "data={source: file, file: table.csv, columns: [x]}",
        "data.smoothing=0.1",
        "data.split={validation: 0.45, test: 0.2}",
    ),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("defended")
    make(KIND, folder)
    return folder


@pytest.fixture
def inside(made: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.chdir(made)
    return Layout(Path(CHAIN))


def chain_of(layout: Layout, **settings: float):
    config = stored_config(layout)
    if settings:
        config = parse_config({**config.model_dump(mode="json"), "defence": settings})
    return config, load_chain(layout, config, required_manifest(layout).fingerprints)


def figures_of(layout: Layout) -> dict:
    return read_json(layout.evaluation / "figures.json")


@pytest.mark.parametrize(
    ("settings", "share"),
    [
        ({"data": {"source": "digits"}}, 1e-3),
        ({"data": {"source": "breast_cancer", "context": "class"}}, 1e-3),
        ({"data": {"source": "file", "file": "a.csv"}}, 1e-3),
        ({"data": {"source": "file", "file": "a.PNG"}}, 0),
        ({"data": {"source": "moons"}}, 0),
        ({"data": {"source": "moons"}, "defence": {"share": 0.01}}, 0.01),
        ({"data": {"source": "digits"}, "defence": {"share": 0}}, 0),
        ({"data": {"source": "gaussian", "standardise": "off"}, "target": {"potential": "banana"}}, 0),
    ],
)
def test_tables_have_a_defence_by_default(settings: dict, share: float) -> None:
    assert parse_config(settings).defence_share == share


def test_a_chain_to_a_target_and_half_a_model_are_refused() -> None:
    towards = {"data": {"source": "gaussian", "standardise": "off"}, "target": {"potential": "banana"}}
    with pytest.raises(InputError, match=r"defence.share = 0.1 is for chains from data to N\(0, I\)"):
        parse_config({**towards, "defence": {"share": 0.1}})
    with pytest.raises(InputError, match=r"defence.share"):
        parse_config({"defence": {"share": 0.6}})


def test_it_is_no_part_of_any_block(inside: Layout) -> None:
    config = stored_config(inside)
    without = parse_config({**config.model_dump(mode="json"), "defence": {"share": 0}})
    assert fingerprints(config, "d") == fingerprints(without, "d")
    for identity in (evaluation_fingerprint, certificate_fingerprint):
        assert identity(config, "c") != identity(without, "c")


def test_the_evaluation_is_of_the_model_and_says_what_it_paid(inside: Layout) -> None:
    figures = figures_of(inside)
    rows = pd.read_parquet(inside.evaluation / "test_rows.parquet")
    found = figures["defence"]
    assert found["share"] == 1e-3
    assert figures["test"]["nll"] == pytest.approx(-rows["log_density"].mean())
    assert found["nll_blocks"] == pytest.approx(-rows["log_density_blocks"].mean())
    assert figures["test"]["nll"] - found["nll_blocks"] <= found["price"] + 1e-9
    assert found["price"] == pytest.approx(-math.log(0.999))
    assert (rows["log_density"] >= rows["log_density_blocks"] - found["price"] - 1e-9).all()
    assert not np.array_equal(rows["log_density"], rows["log_density_blocks"])
    _, alone = chain_of(inside, share=0)
    assert alone.defence is None
    assert figures["cuts"][-1]["nll"] == pytest.approx(figures["test"]["nll"])


def test_every_cut_has_the_floor(inside: Layout) -> None:
    from tasks.cuts import log_prob_of_cuts

    _, chain = chain_of(inside)
    x = torch.tensor([[1e9], [1e3]], dtype=torch.float64)
    broad = chain.broad_log_prob(x)
    assert broad is not None
    cuts = log_prob_of_cuts(chain, x, 0)
    assert (cuts.values >= math.log(1e-3) + broad.numpy() - 1e-9).all()
    assert cuts.values.shape == (3, 2)
    assert (cuts.blocks[0] < cuts.values[-1][0]) or not np.isfinite(cuts.blocks[0])
    assert cuts.defence is not None
    assert cuts.defence.carried == 2


def test_the_certificate_grows_by_the_price(inside: Layout) -> None:
    whole = read_json(inside.certificate)["chain"]
    bounds = [whole[name] for name in CERTIFICATES if whole[name] is not None]
    assert bounds
    assert whole["kl_estimate"] == whole["kl_bound"]
    assert "kl_bound" in whole["deprecated"]
    of_blocks = whole["kl_estimate"] - price(1e-3)
    assert min(bounds) < of_blocks < 1.5 * min(bounds)  # it is the best of many limits, and corrected for it
    assert (whole["mixed"]["kl"], whole["mixed"]["kl_estimate"]) == (None, whole["kl_estimate"])
    assert f"≲ {whole['kl_estimate']:.3g} nats" in whole["mixed"]["says"]
    chain_tv = min(1.0, math.sqrt(of_blocks / 2))
    assert whole["tv"] == pytest.approx(min(1.0, 0.999 * chain_tv + 1e-3), abs=1e-12)
    assert any("share of 0.001 of the model is a broad law" in item["name"] for item in whole["assumptions"])
    assert "but for the 0.001 nats that its broad part may add" in (inside.report / "report.html").read_text()


def test_the_same_chain_without_it_has_the_bounds_of_its_blocks(inside: Layout) -> None:
    from tasks.certify import certificate

    config, _ = chain_of(inside, share=0)
    chain = required_manifest(inside).fingerprints
    found = certificate(ChainStore(config, inside, chain)).plain()["chain"]
    whole = read_json(inside.certificate)["chain"]
    assert whole["kl_bound"] - found["kl_bound"] == pytest.approx(price(1e-3), abs=1e-12)
    assert "defence" not in found


def test_the_law_is_stored_in_block_0_and_is_the_one_that_its_rows_give(inside: Layout) -> None:
    _, chain = chain_of(inside)
    data = required_manifest(inside).fingerprints[0]
    stored, fitted = stored_law(inside, data), fitted_law(inside, data)
    assert stored is not None
    assert chain.defence is not None
    assert torch.equal(stored.location, chain.defence.law.location)
    for law in (fitted, chain.defence.law):
        assert torch.equal(stored.factor, law.factor)
        assert stored.degrees == law.degrees


def test_a_damaged_law_is_named_and_another_one_found(
    inside: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = inside.block(0, required_manifest(inside).fingerprints[0])
    path, commit = folder / LAW, folder / COMMIT
    before, sealed = path.read_bytes(), commit.read_bytes()
    code, out, _ = run("verify", CHAIN, "--json")
    checks = {check["name"]: check for check in json.loads(out)}
    assert code == 0
    assert "degrees of freedom" in checks["broad law of the model"]["how"]
    path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    try:
        assert run("sample", CHAIN, "-n", "3", "-o", "drawn.csv")[0] == 2
        # a commit that was forged along with it
        forged = read_json(commit)
        forged["files"][LAW] = file_digest(path)
        forged.pop(SEAL)
        write_json(commit, {**forged, SEAL: digest_of(forged)})
        code, out, _ = run("verify", CHAIN, "--json")
        assert code == 2
        assert "broad law of the model" in [check["name"] for check in json.loads(out) if not check["holds"]]
    finally:
        path.write_bytes(before)
        commit.write_bytes(sealed)


def test_reading_a_chain_makes_no_folder(made: Path, tmp_path: Path) -> None:
    """A chain that was fetched without its run folder has the same scores, and stays as it is."""
    import shutil

    place = tmp_path / CHAIN
    shutil.copytree(made / CHAIN, place)
    config, chain = chain_of(Layout(place))
    _, own = chain_of(Layout(made / CHAIN))
    x = torch.tensor([[3.0], [1.0]], dtype=torch.float64)
    assert torch.equal(chain.log_prob(x)[0], own.log_prob(x)[0])
    assert sorted(path.name for path in tmp_path.iterdir()) == [CHAIN]
    assert isinstance(config, Config)


@pytest.mark.slow
def test_another_share_makes_the_evaluation_again_and_no_block(inside: Layout) -> None:
    """And a chain of before the setting keeps the law it had."""
    job = job_of(KIND)
    assert bring_up(job).reason
    other = replace(job, config=parse_config({**job.config.model_dump(mode="json"), "defence": {"share": 0}}))
    blocks = {path: path.stat().st_mtime_ns for path in (inside.chain / "blocks").rglob("*")}
    alone = figures_of(inside)["defence"]["nll_blocks"]
    try:
        assert bring_up(other).reason == ""
        assert "defence" not in figures_of(inside)
        assert figures_of(inside)["test"]["nll"] == pytest.approx(alone, abs=1e-12)
        assert {path: path.stat().st_mtime_ns for path in (inside.chain / "blocks").rglob("*")} == blocks
    finally:
        assert bring_up(job).reason == ""


def test_the_fresh_look_is_in_figures_metrics_status_and_report(
    inside: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    figures, page = figures_of(inside), (inside.report / "report.html").read_text()
    fresh = figures["fresh"]
    assert set(fresh["rows"]) <= {"shuffled", "mixed", "edge"}
    assert len(fresh["most_different"]) == 10
    assert fresh["below"] == 0  # a smoothed column of a normal law: nothing explodes
    assert [row["row"] for row in figures["surprising"]][:1] == [
        int(pd.read_parquet(inside.evaluation / "test_rows.parquet").set_index("row")["log_density"].idxmin())
    ]
    metrics = read_json(inside.metrics)
    assert metrics["fresh/rows"] == sum(fresh["rows"].values())
    assert "Test rows that surprise most" in page
    assert "the blocks score none more than 100 nats below" in page
    assert run("status", CHAIN)[0] == 0
    found = {"state": "complete", "digest": None, "blocks": [], "damaged": [], "says": [], "warnings": []}
    found |= {"nll": None}
    status_table(inside, {**found, "metrics": {**metrics, "fresh/below": 7.0}})
    assert "warning: the blocks score 7 of" in capsys.readouterr().out
    status_table(inside, {**found, "metrics": metrics})
    assert "warning" not in capsys.readouterr().out


def test_a_law_that_is_drawn_from_has_neither(tmp_path: Path) -> None:
    layout = Layout(tmp_path / make(KINDS["moons"], tmp_path).chain)
    figures = figures_of(layout)
    assert not {"fresh", "surprising", "defence"} & figures.keys()
    page = (layout.report / "report.html").read_text()
    assert "A fresh look" not in page
    assert "broad law" not in page


@pytest.mark.parametrize("start", ["on", "marginals", "mixture"])
def test_the_law_is_fitted_in_the_units_in_which_it_is_used(
    start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training rows score under it as under a t law fitted to them in data units, but for the map's shape."""
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    write_table(tmp_path / "table.csv")
    monkeypatch.chdir(tmp_path)
    data = f"data={{source: file, file: table.csv, columns: [x, age], standardise: {start}}}"
    job = job_of(replace(KIND, settings=(data,)))
    digest = value_of(prepare_data.fn(job.config, job.layout))
    block_0 = fingerprints(job.config, digest)[0]
    facts, defence = read_facts(job.layout, block_0), defence_of(job.config, job.layout, block_0)
    chain = chain_before(job.config, facts, [], defence=defence)
    x = torch.from_numpy(facts.in_data_units(read_samples(job.layout, 0, block_0, "train")))
    broad = chain.broad_log_prob(x)
    assert broad is not None
    cov = np.cov(x.numpy().T)
    gaussian = -0.5 * (2 * np.log(2 * np.pi * np.e) + np.linalg.slogdet(cov)[1])
    assert abs(float(broad.mean()) - gaussian) < 0.2


def test_a_chain_of_smoothed_rows_is_judged_by_its_own_density_at_that_smoothing(inside: Layout) -> None:
    whole = read_json(inside.certificate)["chain"]
    own = math.sqrt(-math.expm1(-0.2))
    assert [(one["resolution"], one["density"]) for one in whole["bracket"]] == [
        (pytest.approx(own), "model"), (0.5, "samples"), (0.7, "samples"), (0.9, "samples"),
    ]  # fmt: skip
    assert all(one["lower_95"] <= one["upper_95"] for one in whole["bracket"])
    beside = figures_of(inside)["baseline_brackets"]["gaussian"]
    assert [one["resolution"] for one in beside] == [one["resolution"] for one in whole["bracket"]]


def test_the_noise_of_smoothed_rows_can_be_taken_off_again(inside: Layout) -> None:
    config, facts = (
        stored_config(inside),
        ChainStore(stored_config(inside), inside, required_manifest(inside).fingerprints).facts,
    )
    stored = read_samples(inside, 0, required_manifest(inside).fingerprints[0], "test")
    numbers = read_samples(inside, 0, required_manifest(inside).fingerprints[0], "test_rows").astype(int)
    clean = facts.in_data_units(without_noise(stored.astype(float), "test", config))
    rows = pd.read_csv("table.csv")[["x"]].to_numpy(dtype=float)[numbers]
    np.testing.assert_allclose(clean, rows, atol=1e-5 * facts.scale[0])
