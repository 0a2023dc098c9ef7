"""A chain that leads from noise to an unnormalised target, by the same commands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.flows.test_partial import answer, jko
from tests.projects import ROUGH

#: λ = 1 at least (variances 1 down to 1/4), log Z = 0
TARGET = (
    "--preset", "smoke", "--set", "data={source: gaussian, mean: [0, 0], std: [1, 1], rows: 3000}",
    "--set", "data.standardise=off",
    "--set", "target={potential: correlated_gaussian, options: {condition: 4}}",
    "--set", "steps={count: 2, sizes: [0.5, 2.0]}", "--set", "training.flow_matching_iterations=150",
    "--set", "training.iterations=60", "--set", "evaluation={samples: 2000, mixture_components: [1]}",
    *ROUGH, "--chain", "chain",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, server: str) -> Path:
    place = tmp_path_factory.mktemp("target")
    said = jko(place, "train", *TARGET)
    assert "log Z, nats; known: 0.000" in said
    return place


def test_weights_give_the_normaliser_and_a_large_effective_size(folder: Path) -> None:
    found = answer(folder, "train", *TARGET)["metrics"]
    assert abs(found["target/log_z"]) < 4 * found["target/log_z_se"] + 0.01
    assert found["target/effective_share"] > 0.8
    assert found["target/energy_distance"] < 4 * found["target/energy_distance_se"] + 0.01
    assert found["test/gap_to_entropy"] < 0.1


def test_the_kl_drops_add_up_to_that_of_the_laws(folder: Path) -> None:
    """KL(N(0, I) ‖ target) = ½ Σ (1/v − 1 + log v) for variances v = 1, 1/4; most of it is removed."""
    blocks = [block["metrics"] for block in answer(folder, "status", "chain")["blocks"]]
    whole = 0.5 * (4 - 1 + np.log(0.25))
    error = sum(block["kl_drop_se"] for block in blocks)
    assert sum(block["kl_drop"] for block in blocks) == pytest.approx(whole, abs=3 * error + 0.05)
    assert blocks[0]["identity_mean"] is None
    assert blocks[0]["kl_lower_classifier"] is None


def test_every_bound_holds_with_the_targets_convexity(folder: Path) -> None:
    whole = answer(folder, "certify", "chain")["chain"]
    least = max(whole["kl_measured"] - 2 * whole["kl_measured_se"], 0)
    for name in ("certificate_a", "certificate_b", "certificate_c", "certificate_c_hwi"):
        assert least < whole[name], name
        assert whole["statuses"][name] == "measured"
    assert whole["certificate_c"] < 0.3
    assert whole["certificate_b"] < 1
    assert whole["theorem_steps"] >= whole["sharp_steps"]
    assert whole["kl_lower_bound"] is None
    assert "the target is another" in whole["reasons"]["kl_lower_bound"]
    assert whole["bracket"] == []
    assert "no rows of the target are held out" in whole["reasons"]["certified_resolution"]
    assert whole["two_sample"]["p"] > 1e-3
    said = jko(folder, "certify", "chain")
    assert "λ = 1" in said
    assert "log Z of the target is between" in said


def test_log_z_is_between_its_ends(folder: Path) -> None:
    whole = answer(folder, "certify", "chain")["chain"]
    found = whole["evidence"]
    assert found["lower_end"] < 0 < found["upper_end"]
    assert found["upper_end"] - found["lower_end"] < 0.4
    assert found["gap"] == whole["certificate_c_estimate"]
    assert abs(found["log_z"]) < 4 * found["log_z_se"] + 0.01
    assert found["known"] == pytest.approx(0, abs=1e-9)
    assert any("log Z of the target" in words for words in answer(folder, "status", "chain")["says"])
    assert "Constant of the target" in next(folder.rglob("report.html")).read_text()


def test_the_start_is_measured_by_closed_forms(folder: Path) -> None:
    """p_0 = N(0, I), variances v = 1, 1/4: E|x|² = 2 and E|∇V − x|² = (1/v − 1)² = 9."""
    first = answer(folder, "status", "chain")["blocks"][0]["metrics"]
    assert first["from_lowest"] == pytest.approx(2, abs=5 * first["from_lowest_se"])
    assert first["fisher_before"] == pytest.approx(9, abs=5 * first["fisher_before_se"])


def test_samples_are_of_the_target_and_scores_are_their_log_density(folder: Path) -> None:
    jko(folder, "sample", "chain", "-n", "4000", "-o", "samples.csv")
    rows = pd.read_csv(folder / "samples.csv").to_numpy()
    assert np.sort(np.linalg.eigvalsh(np.cov(rows.T))) == pytest.approx([0.25, 1.0], rel=0.15)
    jko(folder, "score", "chain", "samples.csv", "-o", "scores.csv")
    scores = pd.read_csv(folder / "scores.csv")["log_density"]
    entropy = np.log(2 * np.pi * np.e) + 0.5 * np.log(0.25)
    assert -scores.mean() == pytest.approx(entropy, abs=0.15)


def test_it_is_verified(folder: Path) -> None:
    jko(folder, "verify", "chain")


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("target={potential: banana, options: {radius: 2}}", "it takes width, bend"),
        ("target={potential: none, entropy: off}", "leave nothing to descend"),
        ("data.standardise=on", "it needs data.source = gaussian, data.standardise = off"),
        ("target={potential: breast_cancer_regression}", "it takes precision"),
        ("scheme=sideways", "scheme = 'sideways' is not allowed"),
    ],
)
def test_impossible_targets_are_refused_in_one_sentence(tmp_path: Path, setting: str, sentence: str) -> None:
    said = jko(tmp_path, "train", *TARGET, "--set", setting, code=2)
    assert sentence in said
    assert "Traceback" not in said


def test_without_log_z_no_gap_passes_for_a_kl(tmp_path_factory: pytest.TempPathFactory, server: str) -> None:
    """NLL less the entropy of the start is then minus the ELBO, and reads like a KL."""
    place = tmp_path_factory.mktemp("posterior")
    size = "mean: [0, 0, 0], std: [1, 1, 1]"
    jko(place, "train", "--preset", "smoke", "--set", f"data={{source: gaussian, {size}, rows: 1500}}",
        "--set", "data.standardise=off", "--set", "target={potential: logistic_regression}",
        "--set", "steps={count: 1, sizes: [0.5]}", "--set", "training.flow_matching_iterations=60",
        "--set", "training.iterations=10", "--set", "evaluation={samples: 500, mixture_components: [1]}",
        *ROUGH, "--chain", "chain")  # fmt: skip
    whole = answer(place, "certify", "chain")["chain"]
    assert whole["kl_measured"] is whole["kl_measured_se"] is None
    assert "minus the ELBO" in whole["reasons"]["kl_measured"]
    assert whole["evidence"]["elbo"] < -1
    assert "log Z of the" in jko(place, "certify", "chain")
    page = next(place.rglob("report.html")).read_text()
    assert "the gap itself can be measured" not in page
    assert "KL to the target − log Z" in page
