"""A chain to an unnormalised target whose rows are drawn again by weight between its blocks."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from jko.build import start_law
from jko.chain.sampling import draw, log_density
from jko.disk.chains import CORRECTION
from jko.disk.commit import SAMPLES, read_commit
from jko.disk.facts import read_facts
from jko.disk.layout import Layout
from jko.disk.manifest import required_manifest, stored_config
from tasks.adapters.store.arrays import read_samples
from tasks.adapters.store.chains import load_chain
from tests.flows.test_partial import answer, digest, jko, samples_of
from tests.projects import ROUGH

RATE = 0.2
#: λ = 1 at least, log Z = 0; short blocks, so that much is left for the corrections
TARGET = (
    "--preset", "smoke", "--set", "data={source: gaussian, mean: [0, 1], std: [1, 1.5], rows: 2000}",
    "--set", "data.standardise=off",
    "--set", "target={potential: correlated_gaussian, options: {condition: 4}, correction: 0.2}",
    "--set", "steps={count: 3, sizes: [0.1, 0.3, 0.6]}", "--set", "training.flow_matching_iterations=60",
    "--set", "training.iterations=20", "--set", "evaluation={samples: 2000, mixture_components: [1]}", *ROUGH,
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, server: str) -> Path:
    place = tmp_path_factory.mktemp("corrected")
    (place / "dvc.yaml").write_text("stages: {}\n")
    said = jko(place, "train", *TARGET, "--chain", "chain")
    assert "correction 0." in said
    return place


def layout_of(folder: Path) -> tuple[Layout, tuple[str, ...]]:
    layout = Layout(folder / "chain")
    return layout, required_manifest(layout).fingerprints


def blocks(folder: Path) -> list[dict]:
    return [block["metrics"] for block in answer(folder, "status", "chain")["blocks"]]


def test_every_block_keeps_its_correction_and_draws_its_share_again(folder: Path) -> None:
    layout, chain = layout_of(folder)
    for k in (1, 2, 3):
        stored = json.loads((layout.block(k, chain[k]) / CORRECTION).read_text())
        assert set(stored) == {"log_level", "acceptance", "acceptance_se"}
        assert stored["acceptance"] >= 1 - RATE - 5 * stored["acceptance_se"]
        for part in ("train", "validation"):
            again = read_samples(layout, k, chain[k], f"{part}_redrawn")
            assert again.mean() == pytest.approx(1 - stored["acceptance"], abs=6 * np.sqrt(0.16 / len(again)))


def test_the_stored_log_density_is_that_of_the_chain_cut_there(folder: Path) -> None:
    """Also of rows that were drawn again, whose way the chain does not know."""
    layout, chain = layout_of(folder)
    config = stored_config(layout)
    law = start_law(config)
    assert law is not None
    for k in (1, 2, 3):
        cut = load_chain(layout, config, chain[: k + 1])
        for part in ("train", "validation"):
            rows = torch.from_numpy(read_samples(layout, k, chain[k], part)[:300])
            stored = read_samples(layout, k, chain[k], f"{part}_log_density")[:300]
            assert log_density(cut, law, rows)[0].numpy() == pytest.approx(stored, abs=2e-3)


def test_what_is_measured_adds_up_to_the_kl_of_the_laws(folder: Path) -> None:
    """KL of N((0, 1), diag(1, 2.25)) to the target, less all drops, is what is left; nats."""
    config = stored_config(layout_of(folder)[0])
    assert config.target.correction == RATE
    own = blocks(folder)
    assert all(block["kl_drop_correction"] > 2 * block["kl_drop_correction_se"] for block in own[:2])
    assert [block["kl"] for block in own] == sorted((block["kl"] for block in own), reverse=True)
    for before, after in pairwise(own):
        drop = after["kl_drop"] + after["kl_drop_correction"]
        error = sum(block[f"{name}_se"] for block in (before, after) for name in ("kl", "kl_drop"))
        assert before["kl"] - drop == pytest.approx(after["kl"], abs=2 * error + 0.01)
    facts = read_facts(*(layout_of(folder)[0], layout_of(folder)[1][0]))
    assert facts.entropy is not None
    assert own[-1]["nll"] - own[-1]["kl"] == pytest.approx(facts.entropy["value"])
    # ε pairs the rows before a block with their images, so an exact score along rows is not asked for
    assert own[0]["epsilon_exact"] is None
    assert own[0]["epsilon"] is not None


def test_the_evaluation_is_of_the_corrected_law(folder: Path) -> None:
    found = answer(folder, "train", *TARGET, "--chain", "chain")["metrics"]
    assert abs(found["target/log_z"]) < 4 * found["target/log_z_se"] + 0.005
    assert found["target/effective_share"] > 0.9
    assert found["target/energy_distance"] < 4 * found["target/energy_distance_se"] + 0.01
    assert 0 < found["target/redrawn"] < RATE + 0.02
    own = blocks(folder)
    error = found["test/gap_to_entropy_se"] + own[-1]["kl_se"]
    assert found["test/gap_to_entropy"] == pytest.approx(own[-1]["kl"], abs=3 * error)


def test_the_certificate_is_of_the_law_before_the_last_correction(folder: Path) -> None:
    whole = answer(folder, "certify", "chain")["chain"]
    assert whole["certificate_c"] > whole["kl_measured"] - 2 * whole["kl_measured_se"]
    assert whole["kl_drop_correction"] == pytest.approx(sum(b["kl_drop_correction"] for b in blocks(folder)))
    assert whole["inversion_w2_coupled"] is None
    assert "drawn forward" in whole["reasons"]["inversion_w2_coupled"]
    said = jko(folder, "certify", "chain")
    assert "before a correction holds behind it" in said
    assert "computed samples are within" not in said
    page = (folder / "chain.report" / "report.html").read_text()
    assert "None" not in page[page.index("</style>") : page.index("Settings</summary>")]


def test_samples_and_scores_are_of_the_corrected_law(folder: Path) -> None:
    jko(folder, "sample", "chain", "-n", "4000", "-o", "samples.csv")
    rows = pd.read_csv(folder / "samples.csv").to_numpy()
    assert np.sort(np.linalg.eigvalsh(np.cov(rows.T))) == pytest.approx([0.25, 1.0], rel=0.15)
    jko(folder, "score", "chain", "samples.csv", "-o", "scores.csv")
    scores = pd.read_csv(folder / "scores.csv")["log_density"].to_numpy()
    layout, chain = layout_of(folder)
    config = stored_config(layout)
    law = start_law(config)
    assert law is not None
    drawn = draw(load_chain(layout, config, chain), law, 4000)
    assert drawn.y.numpy() == pytest.approx(rows, abs=1e-5)
    assert drawn.log_density.numpy() == pytest.approx(scores, abs=2e-3)


@pytest.mark.slow
def test_in_parts_and_without_its_samples_it_is_the_same_chain(folder: Path) -> None:
    jko(folder, "train", *TARGET, "--chain", "parts", "--stop-after", "1")
    jko(folder, "resume", "parts", "--stop-after", "3")
    whole = digest(folder, "chain")
    assert digest(folder, "parts") == whole
    jko(folder, "prune", "parts", "--samples", "--yes")
    assert samples_of(folder, "parts") == [True, False, False, True]
    said = jko(folder, "resume", "parts", "--from-block", "3", "--stop-after", "3")
    assert "block 3, trained again, is bit for bit as before" in said
    assert samples_of(folder, "parts") == [True, True, True, True]
    assert digest(folder, "parts") == whole


def test_it_is_verified_by_the_rows_that_are_kept(folder: Path) -> None:
    layout, chain = layout_of(folder)
    said = jko(folder, "verify", "chain")
    again = read_samples(layout, 1, chain[1], "validation_redrawn")
    assert 0 < again.sum() < len(again)
    assert f"{min(256, (~again).sum())} of {(~again).sum()} rows pushed again" in said


def test_a_lost_correction_is_missed(folder: Path) -> None:
    layout, chain = layout_of(folder)
    path = layout.block(2, chain[2]) / CORRECTION
    content = path.read_text()
    try:
        path.write_text(content.replace("0.8", "0.9"))
        assert read_commit(path.parent, verify=True) is None
        assert f"{CORRECTION}: this file of block 2 is changed" in jko(
            folder, "sample", "chain", "-n", "3", "-o", "x.csv", code=2
        )
    finally:
        path.write_text(content)
    assert (path.parent / SAMPLES).is_dir()


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("solver.divergence=hutchinson", "target.correction = 0.2 needs exact log-determinants"),
        ("target.interaction=0.5", "target.interaction 0"),
    ],
)
def test_what_cannot_be_corrected_is_refused_in_one_sentence(
    tmp_path: Path, server: str, setting: str, sentence: str
) -> None:
    said = jko(tmp_path, "train", *TARGET, "--set", setting, code=2)
    assert sentence in said
    assert "Traceback" not in said
