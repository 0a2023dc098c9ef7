"""``jko.fit`` and ``jko.load``: what goes in comes out, kills, folders, and rows that cannot be used."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import jko
from jko.disk.layout import Layout

#: settings under which a training takes a second
FEW = {
    "steps.sizes": [0.5, 2.0], "network.hidden": [16, 16], "data.standardise": "on", "data.augment.copies": 1,
    "training": {"flow_matching_iterations": 40, "iterations": 4, "batch_size": 64, "validate_every": 20},
}  # fmt: skip
ROOT = Path(__file__).resolve().parents[2]


def rows(count: int = 300, seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    z = torch.randn(count, 3, generator=draw, dtype=torch.float64)
    return z @ torch.tensor([[2.0, 0.5, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 0.5]], dtype=torch.float64) + 7


def weights(folder: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in folder.glob("blocks/*/weights.safetensors")}


def fitted(x: object, **more: object) -> jko.Flow:
    return jko.fit(x, settings=FEW, progress=False, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def flow() -> jko.Flow:
    return fitted(rows())


def test_what_goes_in_comes_out(flow: jko.Flow) -> None:
    x = rows()
    assert isinstance(flow.sample(4), torch.Tensor)
    assert flow.sample(4).dtype == torch.float64
    array = fitted(x.numpy())
    assert isinstance(array.sample(4), np.ndarray)
    np.testing.assert_array_equal(array.sample(4), flow.sample(4).numpy())
    frame = pd.DataFrame(x.numpy(), columns=["a", "b", "c"], index=range(5, 305))
    framed = fitted(frame)
    assert list(framed.sample(4).columns) == ["a", "b", "c"]
    np.testing.assert_array_equal(framed.sample(4).to_numpy(), flow.sample(4).numpy())
    scores = framed.log_prob(frame[["c", "a", "b"]])
    assert list(scores.index) == list(frame.index)
    np.testing.assert_array_equal(scores.to_numpy(), flow.log_prob(x).numpy())
    assert fitted(x.float()).sample(2).dtype == torch.float32


def test_samples_bring_their_log_densities(flow: jko.Flow) -> None:
    x, log_p = flow.sample(50, return_log_prob=True)
    assert torch.equal(log_p, flow.log_prob(x))
    assert torch.equal(x, flow.sample(50))
    assert not torch.equal(x, flow.sample(50, seed=1))


def test_there_and_back_again(flow: jko.Flow) -> None:
    x = rows(20, seed=1)
    z = flow.forward(x)
    way = flow.trajectory(x)
    assert way.shape == (len(flow) + 1, 20, 3)
    assert torch.allclose(way[-1].double(), z, atol=1e-6)
    assert torch.allclose(flow.inverse(z), x, atol=1e-4)
    assert torch.equal(flow(x), z)


def test_the_same_call_goes_on_where_the_last_one_was_killed(tmp_path: Path) -> None:
    """In another process, killed in the middle of the second block; the weights are those of a whole run."""
    code = f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
import torch
from tests.jko.test_face import FEW, rows
import jko
training = {{**FEW["training"], "flow_matching_iterations": 3000}}
slow = {{**FEW, "training": training, "runtime.checkpoint_seconds": 0.05}}
jko.fit(rows(), settings=slow, folder={str(tmp_path / "a")!r}, progress=False)
"""
    process = subprocess.Popen([sys.executable, "-c", code])
    layout = Layout(tmp_path / "a")
    deadline = time.monotonic() + 300
    while not (list(layout.run.glob("checkpoints/2-*")) or process.poll() is not None):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert len(weights(tmp_path / "a")) == 1
    done: list[bool] = []
    training = {**FEW["training"], "flow_matching_iterations": 3000}  # type: ignore[dict-item]
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


def test_conditional_flows_take_columns_numbers_and_classes(tmp_path: Path) -> None:
    x = rows(200)
    age = torch.linspace(20, 80, 200, dtype=torch.float64)
    frame = pd.DataFrame(x.numpy(), columns=["a", "b", "c"]).assign(age=age.numpy())
    by_name, by_number = fitted(frame, context=["age"]), fitted(x, context=age)
    assert by_name.context_columns == ("age",)
    np.testing.assert_array_equal(by_name.log_prob(frame), by_number.log_prob(x, age[:, None]).numpy())
    np.testing.assert_array_equal(
        by_name.sample(3, context=[40.0]), by_number.sample(3, context=torch.tensor([40.0]))
    )
    classes = np.arange(200) % 2
    by_class = fitted(x, context=classes, folder=tmp_path / "c")
    assert by_class.context_columns == ("class",)
    one_hot = torch.eye(2, dtype=torch.float64)[classes]
    assert torch.equal(by_class.log_prob(x, classes), by_class.log_prob(x, one_hot))
    assert torch.equal(jko.load(tmp_path / "c").log_prob(x, classes), by_class.log_prob(x, classes))
    with pytest.raises(jko.InputError, match="the flow is conditional: give context"):
        by_class.sample(3)
    with pytest.raises(jko.InputError, match="class 7 is unknown"):
        by_class.sample(3, context=7)


def test_pictures_are_rows(tmp_path: Path) -> None:
    pictures = rows(200).reshape(200, 1, 3)
    flow = fitted(pictures)
    assert flow.facts.image_shape == (1, 3)
    assert flow.dim == 3


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (["a", "b"], "rows of numbers are expected"),
        (np.zeros((20, 2, 2, 2)), r"rows of shape \(rows, columns\) are expected"),
        (np.array([[1.0, np.nan]] * 30), "row 0 holds a number that is not finite"),
        (np.ones((30, 2)), "constant"),
        (np.zeros((3, 1)), "at least 6"),
        (pd.DataFrame({"a": ["x"] * 30, "b": range(30)}), "column 'a' holds"),
        (torch.zeros(30, 2, dtype=torch.complex64), "holds no rows of numbers"),
    ],
)
def test_rows_that_cannot_be_used_are_one_sentence(x: object, said: str) -> None:
    with pytest.raises(jko.InputError, match=said):
        fitted(x)


def test_settings_that_cannot_be_used_are_one_sentence(flow: jko.Flow) -> None:
    with pytest.raises(jko.InputError, match=r"unknown key training\.iteration"):
        jko.fit(rows(), settings={"training.iteration": 3})
    with pytest.raises(jko.InputError, match="unknown preset"):
        jko.fit(rows(), preset="tables")
    with pytest.raises(jko.InputError, match=r"need the pipeline: flows\.train"):
        jko.fit(rows(), settings={**FEW, "stop.movement": 0.1})
    with pytest.raises(jko.InputError, match="2 columns; the flow has 3"):
        flow.log_prob(torch.zeros(4, 2))
    with pytest.raises(jko.InputError, match="the flow is not conditional"):
        flow.log_prob(torch.zeros(4, 3), context=1)
    with pytest.raises(jko.InputError, match="no chain there"):
        jko.load("/nowhere")


def test_a_line_a_block_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    jko.fit(rows(), settings=FEW)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["block 1/2", "block 2/2"]


def test_what_was_done_to_the_rows_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    counted = torch.poisson(torch.full((200, 1), 4.0), generator=torch.Generator().manual_seed(0))
    open_ = {key: value for key, value in FEW.items() if key != "data.standardise"}
    jko.fit(torch.cat([rows(200), counted], 1), settings=open_)
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("the start (marginals, on, whiten): chosen by short trials")
    assert "dequantised with uniform noise of one grid step: x3" in said
    assert any(line.startswith("start ") and "NLL" in line for line in said)


def test_threads_are_given_back(flow: jko.Flow) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        fitted(rows())
        flow.sample(3)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_importing_the_library_is_quick_and_light() -> None:
    code = "import sys, jko; print(sorted({'torch', 'numpy', 'pydantic', 'zarr'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout.strip() == "[]"


def test_names_of_columns_come_back_as_they_were(recwarn: pytest.WarningsRecorder) -> None:
    frame = pd.DataFrame(rows().numpy(), columns=[10, "b", 2.5])
    assert list(fitted(frame).sample(2).columns) == [10, "b", 2.5]
    assert fitted(frame, context=[10]).columns == ("b", "2.5")
    heights = fitted(frame["b"])
    assert list(heights.sample(2).columns) == ["b"]
    assert heights.log_prob(frame["b"]).shape == (300,)
    read_only = rows().numpy()
    read_only.setflags(write=False)
    fitted(read_only)
    assert not [found for found in recwarn if "not writable" in str(found.message)]
    twice = pd.DataFrame(rows().numpy(), columns=["a", "b", "a"])
    with pytest.raises(jko.InputError, match="two columns are named 'a'"):
        fitted(twice)


def test_masked_cells_are_missing() -> None:
    masked = np.ma.MaskedArray(rows().numpy(), mask=np.arange(900).reshape(300, 3) == 4)
    with pytest.raises(jko.InputError, match="row 1 holds a number that is not finite"):
        fitted(masked)


def test_pictures_come_back_as_pictures() -> None:
    pictures = rows(200).reshape(200, 1, 3)
    flow = fitted(pictures)
    assert flow.sample(4).shape == (4, 1, 3)
    assert torch.equal(flow.log_prob(pictures), flow.log_prob(pictures.reshape(200, 3)))
    z = flow.forward(pictures)
    assert flow.inverse(z).shape == z.shape == (200, 1, 3)


def test_settings_choose_columns_and_rows() -> None:
    frame = pd.DataFrame(rows().numpy(), columns=["a", "b", "c"])
    two = jko.fit(frame, settings={**FEW, "data.columns": ["c", "a"]}, progress=False)
    assert two.columns == ("c", "a")
    frame.loc[3, "b"] = -999.0
    marked = {**FEW, "data.missing_values": [-999], "data.missing": "drop"}
    dropped = jko.fit(frame, settings=marked, progress=False)
    assert dropped.facts.notes[0] == "dropped 1 of 300 rows with empty cells"
    rest = fitted(frame.drop(index=3).reset_index(drop=True))
    np.testing.assert_array_equal(dropped.sample(5).to_numpy(), rest.sample(5).to_numpy())
    with pytest.raises(jko.InputError, match=r"or set data\.missing=drop"):
        jko.fit(frame, settings={**FEW, "data.missing_values": [-999]}, progress=False)
    with pytest.raises(jko.InputError, match="no column 'z'; it has a, b, c"):
        jko.fit(frame, settings={**FEW, "data.columns": ["z"]})


@pytest.mark.parametrize("name", ["source", "file", "context", "separator", "rows"])
def test_settings_that_would_do_nothing_are_refused(name: str) -> None:
    value = {"source": "moons", "rows": 50, "context": ["a"]}.get(name, "comma")
    with pytest.raises(jko.InputError, match=rf"data\.{name} is a setting of files and drawn laws"):
        jko.fit(rows(), settings={**FEW, f"data.{name}": value})


def test_settings_of_a_flow_and_numbers_of_other_libraries(flow: jko.Flow) -> None:
    again = jko.fit(rows(), settings=flow.config, progress=False)
    assert again.config == flow.config
    other = jko.fit(rows(seed=1), settings=flow.config, progress=False)
    assert other.config.data.content != flow.config.data.content
    given = {**FEW, "steps.sizes": np.array([0.5]), "training": {"iterations": np.int64(1)}}
    assert len(jko.fit(rows(), settings=given, seed=np.int64(1), progress=False)) == 1  # type: ignore[arg-type]


def test_what_looks_wrong_in_the_rows_is_a_warning() -> None:
    frame = pd.DataFrame(rows().numpy(), columns=["a", "b", "c"])
    frame.loc[:20, "b"] = -999.0
    with pytest.warns(UserWarning, match="-999"):
        fitted(frame)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"context": torch.arange(300.0, requires_grad=True)}, None),
        ({"context": pd.DataFrame({"age": range(300)})}, None),
        ({"context": [0]}, "a context of 1 rows beside 300 rows"),
        ({"context": ["a"] * 300}, "context: rows of numbers are expected"),
        ({"context": np.arange(300) > 9}, "context: rows of numbers are expected"),
        ({"context": torch.empty(300, device="meta")}, "context: a sparse or empty"),
        ({"context": {"a": [1, 2], "b": [1]}}, "its columns have different lengths"),
        ({"settings": ["steps.count=3"]}, "give a dict"),
        ({"settings": {**FEW, "runtime.device": "cuda:77"}}, "is not usable here"),
        ({"on_block": 3}, "on_block = 3 cannot be called"),
        ({"folder": 3}, "folder = 3: give the path of a folder"),
        ({"folder": ""}, "folder = '': give the path of a folder"),
        ({"folder": "a\0b"}, "no folder can be made or used there"),
        ({"folder": "a" * 300}, "File name too long"),
        ({"folder": "/proc/flow"}, "no folder can be made or used there"),
    ],
)
def test_what_else_is_given_is_used_or_refused(more: dict[str, object], said: str | None) -> None:
    if said is None:
        jko.fit(rows(), **{"settings": FEW, "progress": False, **more})  # type: ignore[arg-type]
    else:
        with pytest.raises(jko.InputError, match=said):
            jko.fit(rows(), **{"settings": FEW, "progress": False, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("x", "said"),
    [
        ("data.csv", "is text: read a file first, or use flows.train"),
        (torch.zeros(30, 2).to_sparse(), "give a dense one"),
        (torch.zeros(30, 2, device="meta"), "give a dense one"),
        (pd.DataFrame({"a\x1b[31m": range(30), "b": range(30)}), "holds a control character"),
    ],
)
def test_other_things_than_rows_are_one_sentence(x: object, said: str) -> None:
    with pytest.raises(jko.InputError, match=said):
        fitted(x)


def test_a_context_of_every_column_leaves_nothing() -> None:
    with pytest.raises(jko.InputError, match="none is left to model"):
        fitted(pd.DataFrame({"a": range(30)}), context=["a"])


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


def test_samples_of_a_data_frame_bring_their_log_densities() -> None:
    frame = pd.DataFrame(rows().numpy(), columns=["a", "b", "c"])
    flow = fitted(frame)
    drawn, log_p = flow.sample(5, return_log_prob=True)
    assert list(drawn.index) == list(log_p.index) == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(log_p.to_numpy(), flow.log_prob(drawn).to_numpy())
