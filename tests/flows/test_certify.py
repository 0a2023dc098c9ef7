"""`jko certify` and the stop rule on real chains."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from jko.core.records import Record
from jko.core.rows import drawn
from jko.disk.layout import Layout
from jko.disk.manifest import read_manifest, required_manifest, stored_config
from jko.disk.sealed import read_json, read_sealed
from jko.laws import gaussian
from jko.measure.measures import measure_epsilon
from tasks.adapters.store.arrays import read_samples
from tasks.adapters.store.chain_store import ChainStore
from tests.projects import ROUGH, call, trained_project

CHAIN = Path("chain")
QUICK = (
    "--set", "training.flow_matching_iterations=60", "--set", "training.iterations=20",
    "--set", "data.rows=4000", "--set", "evaluation={samples: 100, mixture_components: [1]}", *ROUGH,
)  # fmt: skip
BLOCK = {
    "epsilon", "epsilon_squared", "epsilon_squared_se", "epsilon_class", "epsilon_ot", "kappa",
    "symmetric_part_positive", "movement", "kl_drop", "inversion_error", "lipschitz_inverse",
}  # fmt: skip
WHOLE = {
    "certificate_a", "certificate_b", "certificate_c", "certificate_c_propagated", "certificate_c_triangle",
    "kl_lower_bound", "w2_bound", "tv", "theorem_steps", "assumptions", "two_sample", "entropy_interval",
    "inversion_w2_product", "inversion_w2_coupled", "smoothing_w2", "mixed",
}  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, server: str) -> Path:
    """A project with one finished chain of N((3, 3), I), three steps."""
    words = ("train", "--preset", "gaussian", *QUICK, "--chain", str(CHAIN))
    return trained_project(tmp_path_factory.mktemp("certified"), words)


@pytest.fixture
def inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.chdir(project)
    return Layout(CHAIN)


def certify(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    capsys.readouterr()
    assert call(monkeypatch, "certify", str(CHAIN), "--json", *words) == 0
    return json.loads(capsys.readouterr().out)


def test_json_holds_every_name_and_a_reason_for_every_null(
    inside: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = certify(monkeypatch, capsys)
    assert len(found["blocks"]) == 3
    for block in found["blocks"]:
        assert set(block) >= BLOCK
    whole = found["chain"]
    assert set(whole) >= WHOLE
    assert [name for name in WHOLE if whole[name] is None and not whole["reasons"].get(name)] == []
    assert found == read_sealed(inside.certificate, Record).plain()


def test_the_certificates_hold_for_the_gaussian_that_p_n_is(
    inside: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """p_N is close to a Gaussian: its closed forms from the stored particles are the truth."""
    whole = certify(monkeypatch, capsys)["chain"]
    fingerprints = required_manifest(inside).fingerprints
    rows = read_samples(inside, 3, fingerprints[3], "train").astype(float)
    values, vectors = np.linalg.eigh(np.cov(rows.T))
    law = gaussian.Gaussian.of(rows.mean(0) @ vectors, np.sqrt(values))
    for name in ("certificate_a", "certificate_b", "certificate_c", "certificate_c_propagated"):
        assert whole[name] > gaussian.kl(law), name
    assert whole["certificate_c"] < 2 * gaussian.kl(law)
    assert whole["w2_bound"] > np.sqrt(gaussian.w2_squared(law))
    exact = gaussian.relative_fisher_information(law) / 2
    assert whole["certificate_c_estimate"] == pytest.approx(
        exact, abs=max(0.1 * exact, 3 * whole["certificate_c_se"])
    )
    low, high = whole["entropy_interval"]
    assert low < np.log(2 * np.pi * np.e) < high
    assert whole["two_sample"]["p"] < 0.01
    assert whole["kl_lower_bound"] - 3 * whole["kl_lower_bound_se"] < gaussian.kl(law)


def test_epsilon_is_measured_on_test_rows_only(
    inside: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found, fingerprints = certify(monkeypatch, capsys), required_manifest(inside).fingerprints

    def epsilon_squared(part: str, k: int) -> float:
        if part == "test":
            x = drawn(torch.from_numpy(read_samples(inside, 0, fingerprints[0], part)), 5000).float()
            for j in range(1, k + 1):
                before, x = x, store.block(j).push_forward(x).detach()
            return measure_epsilon(before.double(), x.double(), 0.5, 30)[0].value
        x, y = (
            torch.from_numpy(drawn(read_samples(inside, j, fingerprints[j], part), 5000)).double()
            for j in (k - 1, k)
        )
        return measure_epsilon(x, y, 0.5, 30)[0].value

    store = ChainStore(stored_config(inside), inside, fingerprints)
    assert found["chain"]["held_out"] == "test"
    for k in (1, 2, 3):
        own = found["blocks"][k - 1]["epsilon_squared"]
        assert own == pytest.approx(epsilon_squared("test", k), rel=1e-4, abs=1e-6)
        for part in ("validation", "train"):
            assert own != pytest.approx(epsilon_squared(part, k), rel=1e-3)


def test_optimal_pairing_on_request(
    inside: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """These blocks are nearly gradient maps: both pairings agree, and (A) stands instead of (A′)."""
    stored = inside.certificate.read_bytes()
    for pairing in ("affine", "emd"):
        found = certify(monkeypatch, capsys, "--pairing", pairing)
        assert found["chain"]["pairing"] == "ot"
        for block in found["blocks"]:
            error = 3 * max(block["epsilon_squared_se"], block["epsilon_ot_squared_se"])
            assert block["epsilon_ot_squared"] == pytest.approx(block["epsilon_squared"], abs=error + 0.02)
    assert inside.certificate.read_bytes() == stored, "another pairing is shown, not stored"


def test_people_read_the_same_in_words(
    inside: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert call(monkeypatch, "certify", str(CHAIN)) == 0
    out = capsys.readouterr().out
    for words in ("log-Sobolev", "rests on:", "exact score", "computed samples are within W2"):
        assert words in out


@pytest.mark.slow
def test_the_stop_rule_ends_the_chain_and_the_next_start_knows_it(
    inside: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """KL after the steps: about 4, 1.8, .8; a tolerance of 2.5 nats is met after the second block."""
    words = ("train", "--preset", "gaussian", *QUICK, "--set", "stop.certificate=2.5", "--chain", "stopped")
    assert call(monkeypatch, *words) == 0
    layout = Layout(Path("stopped"))
    manifest = read_manifest(layout)
    assert len(manifest.fingerprints) == 3
    assert manifest.fingerprints == required_manifest(inside).fingerprints[:3]
    whole = read_json(layout.certificate)["chain"]
    assert "2.5 nats" in whole["stopped"]
    assert whole["held_out"] == "validation", "test rows choose no number of blocks"
    assert any("stop rule looks at these" in item["how"] for item in whole["assumptions"])
    capsys.readouterr()
    assert call(monkeypatch, *words) == 0
    assert "nothing to do" in capsys.readouterr().err
    # without the rule the chain goes on with the blocks it has
    assert call(monkeypatch, *words[:-4], "--chain", "stopped") == 0
    assert "kept: blocks 1..2" in capsys.readouterr().err
    assert required_manifest(layout).fingerprints == required_manifest(inside).fingerprints
    # and with it again the third block is set aside, not trained again
    assert call(monkeypatch, *words) == 0
    assert len(required_manifest(layout).fingerprints) == 3


def test_certify_refuses_what_is_no_chain(
    inside: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "certify", "nowhere") == 2
    assert "no chain there" in capsys.readouterr().err


def test_an_unfinished_chain_is_certified_as_far_as_it_goes(
    inside: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fingerprints = required_manifest(inside).fingerprints
    last, away = inside.block(3, fingerprints[3]), inside.run / "away"
    last.rename(away)
    try:
        found = certify(monkeypatch, capsys)
    finally:
        away.rename(last)
    assert len(found["blocks"]) == 2
    assert len(read_json(inside.certificate)["blocks"]) == 3
