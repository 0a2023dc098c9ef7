"""A whole chain of residual blocks: trained, measured, certified, verified, inverted, reported."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from jko.chain.chain import Chain
from jko.disk.layout import Layout
from jko.disk.manifest import required_manifest, stored_config
from jko.disk.sealed import read_json
from jko.laws import gaussian
from jko.laws.gaussian import Gaussian
from jko.maps.residual_block import ResidualBlock
from tasks.adapters.store.arrays import read_samples
from tasks.adapters.store.chains import load_chain, read_curve
from tests.projects import ROUGH, call, trained_project

CHAIN = Path("chain")
QUICK = (
    "--preset", "gaussian", "--set", "network.kind=residual", "--set", "network.hidden=[16,16]",
    "--set", "data.rows=3000", "--set", "data.mean=[1.0,-0.5]", "--set", "data.std=[1.6,0.7]",
    "--set", "steps.count=2",
    "--set", "training.iterations=120", "--set", "training.batch_size=256",
    "--set", "training.learning_rate=0.01", "--set", "evaluation={samples: 100, mixture_components: [1]}",
    *ROUGH,
)  # fmt: skip
LAW = Gaussian.of([1.0, -0.5], [1.6, 0.7])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, server: str) -> Path:
    """A project with one finished chain of two residual blocks."""
    return trained_project(tmp_path_factory.mktemp("residual"), ("train", *QUICK, "--chain", str(CHAIN)))


@pytest.fixture
def inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.chdir(project)
    return Layout(CHAIN)


def loaded(layout: Layout) -> Chain:
    return load_chain(layout, stored_config(layout), required_manifest(layout).fingerprints)


def figures(layout: Layout, k: int) -> dict:
    return read_json(layout.measures(k, required_manifest(layout).fingerprints[k]))


def test_the_chain_is_of_residual_blocks_trained_by_the_objective_alone(inside: Layout) -> None:
    assert all(isinstance(block, ResidualBlock) and block.probes == 0 for block in loaded(inside))
    for k, fingerprint in list(enumerate(required_manifest(inside).fingerprints))[1:]:
        curve = read_curve(inside.block(k, fingerprint))
        assert curve.iteration.max() == 120
        assert set(curve.phase[curve.iteration > 0]) == {"jko"}


def test_the_laws_are_those_of_the_exact_steps(inside: Layout) -> None:
    """From the moments that the particles really have."""
    law, shown = None, required_manifest(inside).fingerprints
    for k, fingerprint in enumerate(shown):
        rows = read_samples(inside, k, fingerprint, "train").astype(float)
        mean, std = rows.mean(0), rows.std(0)
        law = Gaussian.of(mean, std) if law is None else gaussian.jko_step(law, 0.5)
        np.testing.assert_allclose(mean, law.mean, atol=0.05)
        np.testing.assert_allclose(std, law.std, atol=0.05)


def test_verify_passes_and_the_run_is_done(
    inside: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert call(monkeypatch, "verify", str(CHAIN), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [check for check in found if not check["holds"]] == []
    assert sum(check["name"].startswith(("rows of block", "round trip")) for check in found) == 8
    assert (inside.report / "report.html").is_file()
    assert call(monkeypatch, "train", *QUICK, "--chain", str(CHAIN)) == 0
    assert "nothing to do" in capsys.readouterr().err


def test_the_measures_know_that_the_maps_are_monotone_and_inverted_to_rounding(inside: Layout) -> None:
    for k in (1, 2):
        own = figures(inside, k)
        assert own["symmetric_part_smallest"] >= 1 - 0.9
        assert own["lipschitz_inverse"] <= 1 / (1 - 0.9)
        assert own["inversion_error"] < 1e-5
        assert own["inversion_error_reference"] < 1e-5
        assert own["log_det_se"] == 0
        assert own["epsilon_exact_squared"] < 0.1
        by_critic = own["epsilon_squared"] - 3 * own["epsilon_squared_se"]
        assert by_critic < own["epsilon_exact_squared"]


def test_the_certificate_says_what_residual_blocks_prove(inside: Layout) -> None:
    whole = read_json(inside.certificate)["chain"]
    said = {line["name"]: line for line in whole["assumptions"]}
    positive = said["the symmetric part of ∇T is positive definite"]
    assert positive["status"] == "proved"
    assert positive["how"].startswith("proved for residual blocks, at least 0.1; ")
    assert said["log-determinants"]["how"] == "exact for the maps as they are computed"
    product = said["Lipschitz constants of the inverses (product bound)"]["how"]
    assert product.endswith("at most 10 for residual blocks")
    assert whole["inversion_w2_coupled"] < 1e-5
    assert whole["kl_bound"] is not None


def test_samples_and_densities_of_the_model_agree_with_the_law(inside: Layout) -> None:
    chain = loaded(inside)
    x = torch.tensor(LAW.mean + LAW.std * np.random.default_rng(5).standard_normal((2000, 2)))
    log_prob, se = chain.log_prob(x)
    exact = torch.distributions.Normal(torch.tensor(LAW.mean), torch.tensor(LAW.std)).log_prob(x).sum(-1)
    gap = float((exact - log_prob.double()).mean())  # KL(p_0 ‖ q_0), which is KL(p_2 ‖ q)
    left = gaussian.kl(gaussian.jko_step(gaussian.jko_step(LAW, 0.5), 0.5))
    assert torch.equal(se, torch.zeros_like(se))
    assert gap == pytest.approx(left, abs=0.06)
    assert gaussian.kl(LAW) > 4 * left
    drawn = chain.sample(2000, seed=3).double()
    assert torch.equal(drawn, chain.sample(2000, seed=3).double())
    torch.testing.assert_close(chain.inverse(chain(drawn).x).double(), drawn, rtol=0, atol=1e-4)
    assert float((drawn.mean(0) - torch.tensor(LAW.mean)).norm()) < 0.6 * float(np.linalg.norm(LAW.mean))


def test_weights_of_the_other_kind_are_no_start(
    inside: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (*QUICK, "--set", "network.kind=ode", "--chain", "other", "--start-from", str(CHAIN))
    assert call(monkeypatch, "train", *words) == 2
    assert "kind residual" in (said := capsys.readouterr().err)
    assert "kind ode" in said
