"""Chains on a graphics processor: all kinds of blocks, resumed bit for bit, read where there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from jko.disk.layout import Layout
from jko.disk.manifest import required_manifest, stored_config
from tasks.adapters.store.chains import load_chain
from tests.flows import test_checkpoint, test_conditional_chain, test_corrected_chain, test_power_chain
from tests.flows import test_residual_chain as residual
from tests.flows.test_resume import PATIENCE, digest, new_project, start
from tests.projects import ROOT, call

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
CUDA = ("--set", "runtime.device=cuda", "--chain", "chain")
# fmt: off
KINDS = {
    "ode": ("--preset", "smoke"),
    "probes": ("--preset", "smoke", "--set", "solver.divergence=hutchinson"),
    "float64": ("--preset", "smoke", "--set", "runtime.dtype=float64"),
    "residual": residual.QUICK,
    "classes": test_conditional_chain.CLASSES,
    "corrected target": test_corrected_chain.TARGET,
    "power": test_power_chain.POWER,
    "interaction": (
        "--preset", "smoke", "--set", "data={source: gaussian, mean: [0, 1], std: [1, 1.5], rows: 2000}",
        "--set", "data.standardise=off", "--set", "target.interaction=0.5",
    ),
    "residual with a series": (
        *residual.QUICK,
        "--set", "data.mean=[0,0,0,0,0,0,0,0,0]", "--set", "data.std=[1,1,1,1,1,1,1,1,2]",
    ),
    "frequencies": (
        "--preset", "smoke", "--set", "network.fourier=8", "--set", "network.fourier_scale=[1,3]",
    ),
    "smoothed": ("--preset", "smoke", "--set", "data.smoothing=0.05"),
    "free block": ("--preset", "smoke", "--set", "steps.free=on"),
    "forward": ("--preset", "smoke", "--set", "scheme=forward_euler"),
    "forward and backward": ("--preset", "smoke", "--set", "scheme=forward_backward"),
}
# fmt: on


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_chain_is_trained_measured_and_verified(
    kind: str, project: Path, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    assert call(monkeypatch, "train", *KINDS[kind], *CUDA) == 0
    assert call(monkeypatch, "verify", "chain") == 0
    assert call(monkeypatch, "certify", "chain") == 0
    assert call(monkeypatch, "sample", "chain", "-n", "50", "-o", "samples.csv") == 0


def test_a_chain_is_the_same_map_here_and_on_a_processor(
    project: Path, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    assert call(monkeypatch, "train", "--preset", "smoke", *CUDA) == 0
    layout = Layout(Path("chain"))
    config, names = stored_config(layout), required_manifest(layout).fingerprints
    host = config.model_copy(update={"runtime": config.runtime.model_copy(update={"device": "cpu"})})
    here, there = load_chain(layout, config, names), load_chain(layout, host, names)
    drawn = here.sample(2000, seed=1)
    assert drawn.is_cuda
    torch.testing.assert_close(drawn.cpu(), there.sample(2000, seed=1), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        here.log_prob(drawn)[0].cpu(), there.log_prob(drawn.cpu())[0], rtol=1e-4, atol=1e-3
    )


def test_killed_in_both_phases_it_ends_with_the_digest_of_an_uninterrupted_run(
    tmp_path: Path, server: str
) -> None:
    words = ("train", *test_checkpoint.SETTINGS, *test_checkpoint.OFTEN, *CUDA)
    folders = [new_project(tmp_path / name) for name in ("whole", "killed") if not (tmp_path / name).mkdir()]
    assert start(folders[0], *words).wait(PATIENCE) == 0
    test_checkpoint.kill_after(folders[1], start(folders[1], *words), 100)
    test_checkpoint.kill_after(folders[1], start(folders[1], "resume", "chain"), test_checkpoint.MATCHING)
    assert start(folders[1], "resume", "chain").wait(PATIENCE) == 0
    assert digest(folders[1]) == digest(folders[0])


def test_without_the_device_a_finished_chain_is_read_on_the_processor(
    project: Path, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    assert call(monkeypatch, "train", "--preset", "smoke", *CUDA) == 0
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    for words in (
        ("sample", "chain", "-n", "50", "-o", "there.csv"),
        ("verify", "chain"),
        ("certify", "chain", "--pairing", "emd"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "flows.cli.main", *words],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    assert call(monkeypatch, "sample", "chain", "-n", "50", "-o", "here.csv") == 0
    here, there = (pd.read_csv(name).to_numpy() for name in ("here.csv", "there.csv"))
    np.testing.assert_allclose(here, there, rtol=1e-3, atol=1e-3)
