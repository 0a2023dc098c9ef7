"""Every kind of chain on a device that stands in for a graphics processor (:mod:`tests.elsewhere`)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from flows.settings import parse_assignment
from jko.config import Config, parse_config
from jko.disk.layout import Layout
from jko.presets import merged, read_preset
from jko.training.listener import Listeners
from tasks.adapters.store.chain_store import ChainStore
from tasks.adapters.store.chains import load_chain
from tasks.adapters.store.plan import write_manifest
from tasks.certify import certify_chain
from tasks.evaluate import evaluate_chain
from tasks.measure import measure_block
from tasks.options import value_of
from tasks.prepare import prepare_data
from tasks.push import push_block
from tasks.train import train_block
from tasks.verify import particle_checks
from tests.elsewhere import DEVICE, Away, Elsewhere
from tests.flows.test_cuda import KINDS
from tests.flows.test_partial import jko

#: kinds of ``make test``
QUICK = ("residual", "corrected target")
#: every operation counts, and none twice; the second block starts from the first, as every later one would
SHORT = (
    "--set", "data.rows=1000",
    "--set", "training.flow_matching_iterations=2", "--set", "training.iterations=2",
    "--set", "measure={rows: 60, reference_rows: 10, inversion_limit: 10, samples: 60, resolutions: [0.5]}",
    "--set", "evaluation={samples: 40, mixture_components: [1]}",
    "--set", "steps={count: 2, sizes: [0.3, 0.5]}",
)  # fmt: skip


def settings_of(words: tuple[str, ...]) -> Config:
    """The settings of a command line of ``jko train``, without those of single blocks."""
    options = dict.fromkeys(words[::2])
    assert options.keys() <= {"--preset", "--set", "--chain"}
    values: dict = {}
    for option, word in zip(words[::2], words[1::2], strict=True):
        if option != "--chain":
            values = merged(values, read_preset(word) if option == "--preset" else parse_assignment(word))
    return parse_config({**values, "blocks": {}})


@pytest.fixture(autouse=True)
def _allowances(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the stand-in cannot do: take a module's parameters in place, and fused kernels."""
    monkeypatch.setattr("torch.__future__._overwrite_module_params_on_conversion", True)
    plain = torch.optim.AdamW
    monkeypatch.setattr(
        "torch.optim.AdamW", lambda *given, **words: plain(*given, **{**words, "fused": False})
    )


def on(device: str, config: Config) -> Config:
    """The settings with another device, also one that they would not allow."""
    return config.model_copy(update={"runtime": config.runtime.model_copy(update={"device": device})})


def trained_elsewhere(config: Config, layout: Layout) -> tuple[str, ...]:
    """Train and evaluate a chain of these settings on the stand-in; returns its fingerprints."""
    placed = on(DEVICE, config)
    with Elsewhere():
        chain = write_manifest(config, layout, value_of(prepare_data.fn(config, layout)))
        store = ChainStore(placed, layout, chain)
        for k in range(1, len(chain)):
            train_block.fn(store, k, listener=Listeners())
            push_block.fn(store, k)
            measure_block.fn(store, k)
            assert all(check.holds for check in particle_checks(store, k))
        certify_chain.fn(store)
        evaluate_chain.fn(store)
        assert isinstance(load_chain(layout, placed, chain).scale, Away)
    return chain


@pytest.mark.filterwarnings("ignore:for .*copying from a non-meta parameter")
@pytest.mark.parametrize(
    "kind",
    [
        kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.slow)
        for kind in KINDS
        if not kind.startswith("forward")
    ],
)
def test_no_tensor_of_the_host_meets_one_of_the_device(kind: str, project: Path) -> None:
    """The forward schemes take derivatives forward (``torch.func.jvp``), which the stand-in cannot."""
    trained_elsewhere(settings_of((*KINDS[kind], *SHORT)), Layout(Path("chain")))


@pytest.mark.filterwarnings("ignore:for .*copying from a non-meta parameter")
def test_a_chain_of_a_device_that_is_not_here_is_read_on_the_processor(project: Path, server: str) -> None:
    trained_elsewhere(on("cuda:99", settings_of((*KINDS["ode"], *SHORT))), Layout(Path("chain")))
    jko(project, "sample", "chain", "-n", "20", "-o", "samples.csv")
    jko(project, "score", "chain", "samples.csv", "-o", "scores.csv")
    jko(project, "certify", "chain", "--pairing", "emd")
    jko(project, "report", "chain")
    assert Path("chain.report/report.html").is_file()
    jko(project, "verify", "chain")
    for words in (("resume", "chain", "--from-block", "2"), ("refine", "chain", "--chain", "finer")):
        assert "runtime.device = 'cuda:99' is not usable here" in jko(project, *words, code=2)
    assert not Path("finer").exists()
