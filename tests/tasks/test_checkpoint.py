"""Checkpoints on disk: whole or absent, checked to the byte, never in training's way."""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from jko.build import new_block
from jko.config import Config, parse_config
from jko.disk.checkpoint import BlockCheckpoints, read_checkpoint, remove_checkpoint, write_checkpoint
from jko.disk.commit import committing, remove_temporary
from jko.disk.layout import Layout
from jko.disk.tensors import pack_tensors
from jko.maps.ode_block import Block
from jko.training.block_trainer import FitResult, fit_block
from jko.training.fit_state import FitState
from tasks.adapters.store.plan import checkpointed_iteration
from tests.campaign.forked import forked
from tests.oracles import normal

FINGERPRINT = "f" * 64
TOTAL = 12


def config(seconds: float = 0.0, hidden: int = 4) -> Config:
    training = {"flow_matching_iterations": 6, "iterations": 6, "batch_size": 8, "validate_every": 4}
    return parse_config(
        {
            "steps": {"count": 2}, "network": {"hidden": [hidden]}, "solver": {"steps": 2},
            "training": training, "runtime": {"checkpoint_seconds": seconds},
        }
    )  # fmt: skip


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "chain")


@pytest.fixture
def path(layout: Layout) -> Path:
    return layout.checkpoint(1, FINGERPRINT)


class Stopped(Exception):
    """The process ends here."""


def train(
    layout: Layout, *, settings: Config | None = None, last: int = TOTAL + 1
) -> tuple[Block, FitResult, list[int]]:
    """Train a small block as the task does; stopped in iteration ``last``, before that is kept.

    Returns:
        The block, the outcome and from where it went on.
    """
    settings = settings or config()
    block = new_block(settings, 1, dim=2)
    resumed: list[int] = []
    kept = BlockCheckpoints(settings, layout, 1, FINGERPRINT, block=block, on_resume=resumed.append)

    def stop(iteration: int) -> None:
        if iteration == last:
            raise Stopped

    result = fit_block(
        block, normal(40, 2, seed=1).float(), normal(20, 2, seed=2).float(), settings.training_of(1),
        seed=0, index=1, checkpoints=kept, on_iteration=stop,
    )  # fmt: skip
    return block, result, resumed


def stopped(layout: Layout, last: int = 9, **words: object) -> None:
    with pytest.raises(Stopped):
        train(layout, last=last, **words)


def same(one: tuple[Block, FitResult, list[int]], other: tuple[Block, FitResult, list[int]]) -> None:
    assert repr(one[1]) == repr(other[1])
    for name, value in one[0].state_dict().items():
        assert torch.equal(value, other[0].state_dict()[name]), name


@pytest.fixture
def whole(tmp_path: Path) -> tuple[Block, FitResult, list[int]]:
    return train(Layout(tmp_path / "whole"))


@pytest.mark.parametrize("last", [2, 6, 7, 8, 12])
def test_from_disk_it_goes_on_to_the_same_bits(
    layout: Layout, path: Path, whole: tuple[Block, FitResult, list[int]], last: int
) -> None:
    stopped(layout, last)
    assert [file.name for file in path.parent.iterdir()] == [f"1-{FINGERPRINT[:12]}.safetensors"]
    assert checkpointed_iteration(layout, 1, FINGERPRINT) == last - 1
    again = train(layout)
    assert again[2] == [last - 1]
    same(again, whole)
    assert checkpointed_iteration(layout, 1, FINGERPRINT) == TOTAL


def test_without_a_checkpoint_nothing_is_said(layout: Layout, caplog: pytest.LogCaptureFixture) -> None:
    assert train(layout)[2] == []
    assert checkpointed_iteration(layout, 2, FINGERPRINT) is None
    assert not caplog.records


def state_on_disk(layout: Layout) -> FitState:
    block = new_block(config(), 1, dim=2)
    state = BlockCheckpoints(
        config(), layout, 1, FINGERPRINT, block=block, on_resume=lambda iteration: None
    ).load()
    assert state is not None
    return state


def assert_starts_anew(
    layout: Layout, whole: tuple[Block, FitResult, list[int]], caplog: pytest.LogCaptureFixture, why: str
) -> None:
    """With one warning line, and to the same end."""
    caplog.clear()
    again = train(layout)
    assert again[2] == []
    assert len(caplog.records) == 1
    said = caplog.records[0].getMessage()
    assert said.startswith("block 1 starts anew")
    assert why in said
    assert "\n" not in said
    assert caplog.records[0].levelno == logging.WARNING
    same(again, whole)


@pytest.mark.parametrize(("head", "body"), [(7, 61), pytest.param(1, 13, marks=pytest.mark.slow)])
def test_every_flipped_byte_and_every_cut_is_seen(layout: Layout, path: Path, head: int, body: int) -> None:
    """Of the header and of what comes behind it every so many bytes."""
    stopped(layout)
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    places = [*range(0, 8 + length, head), *range(8 + length, len(content), body), len(content) - 1]
    for place in places:
        harmed = bytearray(content)
        harmed[place] ^= 1 << place % 8
        path.write_bytes(harmed)
        with pytest.raises(ValueError, match="damaged"):
            read_checkpoint(path, FINGERPRINT)
    for size in places[::5]:
        path.write_bytes(content[:size])
        with pytest.raises(ValueError, match="damaged"):
            read_checkpoint(path, FINGERPRINT)
    path.write_bytes(content + b"\0")
    with pytest.raises(ValueError, match="damaged"):
        read_checkpoint(path, FINGERPRINT)
    path.write_bytes(content)
    assert read_checkpoint(path, FINGERPRINT)[0].iteration == 8


@pytest.mark.parametrize("harm", ["flip", "truncate", "empty", "no metadata", "text"])
def test_a_damaged_checkpoint_is_as_good_as_none(
    layout: Layout,
    path: Path,
    whole: tuple[Block, FitResult, list[int]],
    harm: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    stopped(layout)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    harmed = {
        "flip": bytes(content), "truncate": bytes(content[:-8]), "empty": b"", "text": b"not a checkpoint",
        "no metadata": pack_tensors({"curve": torch.zeros(1, 8)}, {}),
    }  # fmt: skip
    path.write_bytes(harmed[harm])
    assert checkpointed_iteration(layout, 1, FINGERPRINT) is None
    assert_starts_anew(layout, whole, caplog, "it is damaged")


@pytest.mark.parametrize("harm", ["name", "shape", "dtype", "step", "missing"])
def test_a_whole_checkpoint_of_something_else_is_not_used(
    layout: Layout,
    path: Path,
    whole: tuple[Block, FitResult, list[int]],
    harm: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    stopped(layout)
    state = state_on_disk(layout)
    weights = dict(state.weights)
    if harm == "name":
        weights["field.other"] = torch.zeros(2)
    elif harm == "shape":
        weights["field.linear.weight"] = torch.zeros(3, 2)
    elif harm == "dtype":
        weights["field.linear.weight"] = weights["field.linear.weight"].double()
    elif harm == "missing":
        del weights["field.linear.weight"]
    step = 7 if harm == "step" else state.step
    write_checkpoint(path, FINGERPRINT, replace(state, weights=weights, step=step))
    assert_starts_anew(layout, whole, caplog, "not of this network and training")


def test_a_checkpoint_of_another_block_is_not_used(
    layout: Layout,
    path: Path,
    whole: tuple[Block, FitResult, list[int]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The same first digits of the fingerprint, and so the same file."""
    stopped(layout)
    write_checkpoint(path, FINGERPRINT[:12] + "0" * 52, state_on_disk(layout))
    assert checkpointed_iteration(layout, 1, FINGERPRINT) is None
    assert_starts_anew(layout, whole, caplog, "of another block")


def test_one_of_another_format_is_not_used(
    layout: Layout,
    path: Path,
    whole: tuple[Block, FitResult, list[int]],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stopped(layout)
    monkeypatch.setattr("jko.disk.checkpoint.FORMAT", 2)
    assert_starts_anew(layout, whole, caplog, "of format 1, not 2")


def test_one_that_cannot_be_read_is_not_used(
    layout: Layout,
    path: Path,
    whole: tuple[Block, FitResult, list[int]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    path.mkdir(parents=True)
    again = train(layout)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert said[0].startswith("block 1 starts anew")
    assert said[1].startswith("block 1: no checkpoint was written, training goes on")
    same(again, whole)
    assert os.listdir(path.parent) == [path.name]


def test_a_place_that_cannot_be_written_costs_one_warning(
    layout: Layout, path: Path, whole: tuple[Block, FitResult, list[int]], caplog: pytest.LogCaptureFixture
) -> None:
    layout.run.mkdir(parents=True)
    path.parent.write_text("a file where the folder should be")
    same(train(layout), whole)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2  # it cannot be read either
    assert said[1].startswith("block 1: no checkpoint was written, training goes on")


def trained_in(chain: Path, limit: int) -> tuple[str, list[str]]:
    """What training comes to and says where no file may be larger."""
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logging.disable(logging.NOTSET)
    logging.getLogger().addHandler(handler)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    _, result, resumed = train(Layout(chain))
    return f"{resumed} {result!r}", said


def test_a_full_disk_costs_a_warning_and_leaves_the_old_one(layout: Layout, path: Path) -> None:
    """A real limit on the size of files, in a process of its own."""
    stopped(layout)
    found, said = forked(trained_in, layout.chain, path.stat().st_size - 100).got()
    (line,) = [one for one in said if "no checkpoint was written" in one]
    assert "File too large" in line
    assert checkpointed_iteration(layout, 1, FINGERPRINT) == 8
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    again = train(layout)
    assert found == f"{again[2]} {again[1]!r}"


def killed_at(moment: str, chain: Path) -> None:
    """Training until a function of ``os`` is called."""
    setattr(os, moment, lambda *given: os.kill(os.getpid(), signal.SIGKILL))
    train(Layout(chain))


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_killed_while_writing_the_old_one_stays_whole(layout: Layout, path: Path, moment: str) -> None:
    """A real SIGKILL; what the writer leaves is removed by the next holder of the chain."""
    stopped(layout, 4)
    assert forked(killed_at, moment, layout.chain).code == -signal.SIGKILL
    assert len(list(path.parent.iterdir())) == 2
    assert checkpointed_iteration(layout, 1, FINGERPRINT) == 3
    remove_temporary(*layout.places)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert train(layout)[2] == [3]


def test_written_at_most_every_so_many_seconds(layout: Layout, path: Path) -> None:
    kept = BlockCheckpoints(
        config(0.15), layout, 1, FINGERPRINT, block=new_block(config(), 1, 2), on_resume=lambda i: None
    )
    assert not kept.due()
    time.sleep(0.16)
    assert kept.due()
    stopped(layout)
    kept.save(state_on_disk(layout))
    assert not kept.due()
    time.sleep(0.16)
    assert kept.due()
    path.unlink()
    train(layout, settings=config(3600.0))
    assert not path.exists()


def test_the_interval_is_no_part_of_a_block_s_identity(layout: Layout) -> None:
    from jko.disk.identity import block_settings, measured_with

    assert block_settings(config(0.0), 1) == block_settings(config(7.5), 1)
    assert measured_with(config(0.0)) == measured_with(config(7.5))


def test_a_trained_block_goes_on_from_nowhere(layout: Layout, path: Path) -> None:
    """Killed between the staging of its weights and the removal of its checkpoint."""
    stopped(layout)
    with committing(layout.staged(1, FINGERPRINT), FINGERPRINT, {}) as folder:
        (folder / "weights").write_text("x")
    assert checkpointed_iteration(layout, 1, FINGERPRINT) is None
    remove_checkpoint(path)
    remove_checkpoint(path)
    assert not path.exists()


def test_the_file_holds_numbers_as_json_and_no_pickle(layout: Layout, path: Path) -> None:
    stopped(layout)
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert set(header["__metadata__"]) == {"record", "sha256"}
    assert json.loads(header["__metadata__"]["record"]) == {
        "fingerprint": FINGERPRINT, "format": 1, "iteration": 8, "phase": "jko", "rollbacks": 0, "step": 2,
    }  # fmt: skip
    groups = {name.split("/")[0] for name in header} - {"__metadata__"}
    assert groups == {"weights", "best", "moments", "curve"}
