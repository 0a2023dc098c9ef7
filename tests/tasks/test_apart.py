"""Certificate, bracket and truth side by side: of the law of ripples, and of a chain that was trained."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from flows.cli.main import cli
from jko.chain.chain import Chain
from jko.core.seeds import generator
from jko.disk.layout import Layout
from jko.disk.manifest import required_manifest, stored_config
from tasks.adapters.store.chain_store import ChainStore
from tasks.bracket import how_far_apart
from tasks.experiments import apart

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"


def test_the_ripples_have_their_density() -> None:
    axis = np.linspace(-8, 8, 4001)
    density = np.exp(apart.ripple_log_density(axis))
    assert density.sum() * 0.004 == pytest.approx(1, abs=1e-6)
    rows = apart.ripples(20_000, np.random.default_rng(0))
    for ends in ((-0.6, -0.3), (0.0, 0.314), (0.314, 0.628)):
        inside = (axis > ends[0]) & (axis <= ends[1])
        share = density[inside].sum() * 0.004
        found = ((rows > ends[0]) & (rows <= ends[1])).mean()
        assert found == pytest.approx(share, abs=4 * (share / len(rows)) ** 0.5 + 1e-3)


@pytest.mark.slow
def test_what_hides_from_a_critic_shows_in_the_columns() -> None:
    """KL is 2.13 nats; a critic says next to nothing, and every column is known to be wrong."""
    one = apart.hidden()
    assert one.kl == pytest.approx(2.13, abs=0.01)
    assert one.old is not None
    assert one.old < 0.1
    assert one.least > 0.05
    assert one.truth is not None
    assert one.bracket.lower_95 is not None
    assert one.bracket.upper_95 is not None
    assert one.bracket.lower_95 <= one.truth <= one.bracket.upper_95


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("apart")
    with zipfile.ZipFile(FIXTURES / "moons.zip") as kept:
        kept.extractall(folder)
    return folder


def test_the_samples_of_a_chain_are_not_made_of_the_noise_of_its_bracket(
    chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else q̂ knows where the noisy points are, and in many dimensions U falls below 0."""
    layout = Layout(chain / "chain")
    store = ChainStore(stored_config(layout), layout, required_manifest(layout).fingerprints)
    asked: list[int] = []
    sample = Chain.sample

    def kept(self: Chain, rows: int, *, context: torch.Tensor | None = None, seed: int = 0) -> torch.Tensor:
        asked.append(seed)
        return sample(self, rows, context=context, seed=seed)

    monkeypatch.setattr(Chain, "sample", kept)
    how_far_apart(store)
    latent = torch.randn(8, 2, generator=torch.Generator().manual_seed(asked[0]), dtype=torch.float64)
    noise = torch.randn(8, 2, generator=generator(store.config.seed, "bracket"), dtype=torch.float64)
    assert not torch.equal(latent, noise)


def test_the_command_sets_a_chain_beside_its_truth(chain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(chain)
    monkeypatch.setattr(apart, "ROWS", 1000)
    monkeypatch.setattr(apart, "SAMPLES", 2000)
    done = CliRunner().invoke(cli, ["experiment", "apart", "chain", "--json"])
    assert done.exit_code == 0, done.output
    moons, ripples = json.loads(done.stdout)
    assert (moons["name"], ripples["name"]) == ("moons", "ripples")
    level = moons["bracket"]
    assert level["lower_95"] <= moons["truth"] <= level["upper_95"]
    assert moons["truth_error"] < 1e-3
    assert moons["truth"] < moons["kl"]  # a blur only lowers it
    shown = CliRunner().invoke(cli, ["experiment", "apart", "chain"])
    assert shown.exit_code == 0, shown.output
    assert "moons" in shown.stdout
