"""Folders of ``jko.fit``: kills, damage, one writer, and nothing written where nothing can be made."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import jko
from jko.disk.commit import file_digest
from jko.disk.layout import Layout
from tests.jko.faces import FEW, fitted, rows, weights

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def flow() -> jko.Flow:
    return fitted(rows())


def test_the_same_call_goes_on_where_the_last_one_was_killed(tmp_path: Path) -> None:
    """In another process, killed in the middle of the second block; the weights are those of a whole run."""
    code = f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
import torch
from tests.jko.faces import FEW, rows
import jko
training = {{**FEW["training"], "flow_matching_iterations": 300}}
slow = {{**FEW, "training": training, "runtime.checkpoint_seconds": 0.05}}
jko.fit(rows(), settings=slow, folder={str(tmp_path / "a")!r}, progress=False)
"""
    process = subprocess.Popen([sys.executable, "-c", code])
    layout = Layout(tmp_path / "a")
    deadline = time.monotonic() + 300
    while not (list(layout.run.glob("checkpoints/2-*")) or process.poll() is not None):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert len(weights(tmp_path / "a")) == 1
    done: list[bool] = []
    training = {**FEW["training"], "flow_matching_iterations": 300}  # type: ignore[dict-item]
    slow = {**FEW, "training": training, "runtime.checkpoint_seconds": 0.05}
    for folder in ("a", "b"):
        jko.fit(
            rows(), settings=slow, folder=tmp_path / folder, progress=False,
            on_block=lambda block: done.append(block.result is None),
        )  # fmt: skip
    assert done == [True, False, False, False]
    assert weights(tmp_path / "a") == weights(tmp_path / "b")


def test_a_folder_gives_back_the_flow(tmp_path: Path) -> None:
    made = fitted(rows(), folder=tmp_path / "run")
    read = jko.load(tmp_path / "run")
    x = rows(40, seed=2)
    assert torch.equal(read.log_prob(x), made.log_prob(x))
    assert torch.equal(read.sample(9), made.sample(9))
    assert read.folder == tmp_path / "run"
    made.save(tmp_path / "copy")
    assert weights(tmp_path / "copy") == weights(tmp_path / "run")
    assert torch.equal(jko.load(tmp_path / "copy").log_prob(x), made.log_prob(x))
    with pytest.raises(jko.InputError, match="not empty"):
        made.save(tmp_path / "copy")


def test_another_flow_keeps_its_folder(tmp_path: Path) -> None:
    fitted(rows(), folder=tmp_path / "run")
    with pytest.raises(jko.InputError, match="holds a flow of other rows"):
        fitted(rows(seed=3), folder=tmp_path / "run")
    with pytest.raises(jko.InputError, match="holds a flow of other settings"):
        fitted(rows(), folder=tmp_path / "run", seed=1)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("mine")
    with pytest.raises(jko.InputError, match="holds something else"):
        fitted(rows(), folder=tmp_path / "other")


def test_damage_is_refused_where_it_is_read_and_healed_by_the_same_call(tmp_path: Path) -> None:
    made = fitted(rows(), folder=tmp_path / "run")
    before = weights(tmp_path / "run")
    for name in ("weights.safetensors", "data.json", "rows.safetensors"):
        path = next((tmp_path / "run").glob(f"blocks/*/{name}"))
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        if name != "rows.safetensors":  # which nobody reads to sample
            with pytest.raises(jko.InputError, match=name):
                jko.load(tmp_path / "run")
        again = fitted(rows(), folder=tmp_path / "run")
        assert torch.equal(again.sample(5), made.sample(5))
        assert weights(tmp_path / "run") == before


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    def second(block: jko.TrainedBlock) -> None:
        with pytest.raises(jko.ChainInUseError, match="in use by another process"):
            fitted(rows(), folder=tmp_path / "run")

    fitted(rows(), folder=tmp_path / "run", on_block=second)


def test_a_path_below_a_file_is_refused_and_nothing_is_written(tmp_path: Path, flow: jko.Flow) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    for path in ("file", "file/below", "nowhere"):
        with pytest.raises(jko.InputError, match="no folder can be made or used there"):
            fitted(rows(), folder=tmp_path / path)
        with pytest.raises(jko.InputError, match="no folder can be made or used there"):
            flow.save(tmp_path / path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "nowhere"]
    with pytest.raises(jko.InputError, match="give the path of a folder"):
        jko.load(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [b"{", None])
def test_a_lost_chain_json_is_written_again_by_the_same_call(content: bytes | None, tmp_path: Path) -> None:
    made = fitted(rows(), folder=tmp_path / "run")
    path = tmp_path / "run" / "chain.json"
    before = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    again = fitted(rows(), folder=tmp_path / "run")
    assert path.read_bytes() == before
    assert torch.equal(again.sample(5), made.sample(5))


def test_an_interrupt_in_the_middle_keeps_what_is_done(tmp_path: Path) -> None:
    def stop(block: jko.TrainedBlock) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fitted(rows(), folder=tmp_path / "run", on_block=stop)
    done: list[bool] = []
    fitted(rows(), folder=tmp_path / "run", on_block=lambda block: done.append(block.result is None))
    assert done == [True, False]


def test_a_kept_block_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted(rows(), folder=tmp_path / "run")
    hashed: list[str] = []

    def counted(path: Path) -> str:
        hashed.append(str(path.relative_to(tmp_path)))
        return file_digest(path)

    monkeypatch.setattr("jko.disk.commit.file_digest", counted)
    fitted(rows(), folder=tmp_path / "run")
    of_weights = [path for path in hashed if path.endswith("weights.safetensors")]
    assert len(of_weights) == len(set(of_weights)) == 2


@pytest.mark.parametrize("bad", [np.ones((30, 2)), np.zeros((3, 1)), np.full((30, 1), np.nan)])
def test_rows_that_cannot_be_used_leave_nothing_behind(bad: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(jko.InputError):
        fitted(bad, folder=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_damage_names_the_way_back_of_its_kind_of_folder(tmp_path: Path) -> None:
    fitted(rows(), folder=tmp_path / "run").save(tmp_path / "saved")
    ways = {"run": "call jko.fit again with the same rows", "saved": "save the flow again in a new folder"}
    for name, way in ways.items():
        next((tmp_path / name).glob("blocks/2-*/weights.safetensors")).unlink()
        with pytest.raises(jko.InputError, match=rf"block 2 is missing; {way}"):
            jko.load(tmp_path / name)
    fitted(rows(), folder=tmp_path / "run")
    (tmp_path / "run" / "chain.json").write_text("{")
    with pytest.raises(jko.InputError, match=r"changed by hand; call jko\.fit again with the same rows"):
        jko.load(tmp_path / "run")
    fitted(rows(), folder=tmp_path / "run")
    jko.load(tmp_path / "run")
