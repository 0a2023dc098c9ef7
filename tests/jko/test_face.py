"""``jko.fit`` and ``jko.load``: what goes in comes out, and what is said on the way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import jko
from tests.jko.faces import FEW, fitted, rows

ROOT = Path(__file__).resolve().parents[2]


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


def test_samples_of_a_data_frame_bring_their_log_densities() -> None:
    frame = pd.DataFrame(rows().numpy(), columns=["a", "b", "c"])
    flow = fitted(frame)
    drawn, log_p = flow.sample(5, return_log_prob=True)
    assert list(drawn.index) == list(log_p.index) == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(log_p.to_numpy(), flow.log_prob(drawn).to_numpy(), rtol=1e-7)


def test_there_and_back_again(flow: jko.Flow) -> None:
    x = rows(20, seed=1)
    z = flow.forward(x)
    way = flow.trajectory(x)
    assert way.shape == (len(flow) + 1, 20, 3)
    assert torch.allclose(way[-1].double(), z, atol=1e-6)
    assert torch.allclose(flow.inverse(z), x, atol=1e-4)
    assert torch.equal(flow(x), z)


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


@pytest.fixture(scope="module")
def of_pictures() -> jko.Flow:
    short = {"blocks": {1: {"flow_matching_iterations": 40, "iterations": 4}}}  # the preset's first is long
    return jko.fit(pictures(), settings={**FEW, **short}, progress=False)


def pictures() -> torch.Tensor:
    """Two hundred of one line of three pixels."""
    return torch.from_numpy(np.random.default_rng(0).poisson(3.0, (200, 1, 3)) * 1.0)


def test_pictures_are_rows(of_pictures: jko.Flow) -> None:
    assert of_pictures.facts.image_shape == (1, 3)
    assert of_pictures.dim == 3


def test_pictures_come_back_as_pictures(of_pictures: jko.Flow) -> None:
    own, flow = pictures(), of_pictures
    assert flow.sample(4).shape == (4, 1, 3)
    assert torch.equal(flow.log_prob(own), flow.log_prob(own.reshape(200, 3)))
    z = flow.forward(own)
    assert flow.inverse(z).shape == z.shape == (200, 1, 3)


def test_a_line_a_block_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    jko.fit(rows(), settings=FEW)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["block 1/2", "block 2/2"]


def test_what_was_done_to_the_rows_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    counted = torch.poisson(torch.full((200, 1), 4.0), generator=torch.Generator().manual_seed(0))
    open_ = {key: value for key, value in FEW.items() if key != "data.standardise"}
    jko.fit(torch.cat([rows(200), counted], 1), settings=open_)
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("the start (marginals, conditionals, on, whiten): chosen by short trials")
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


def test_settings_of_a_flow_and_numbers_of_other_libraries(flow: jko.Flow) -> None:
    again = jko.fit(rows(), settings=flow.config, progress=False)
    assert again.config == flow.config
    other = jko.fit(rows(seed=1), settings=flow.config, progress=False)
    assert other.config.data.content != flow.config.data.content
    given = {**FEW, "steps.sizes": np.array([0.5]), "training": {"iterations": np.int64(1)}}
    assert len(jko.fit(rows(), settings=given, seed=np.int64(1), progress=False)) == 1  # type: ignore[arg-type]


def test_samples_of_gridded_columns_are_on_their_grid(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({
        "kids": draw.poisson(1.0, 300), "price": np.round(draw.integers(1, 40, 300) * 0.05, 2),
        "weight": draw.normal(size=300), "whole": draw.poisson(3.0, 300) * 1.0,
    })  # fmt: skip
    flow = fitted(frame, folder=tmp_path / "run")
    drawn, raw = flow.sample(200), flow.sample(200, continuous=True)
    assert [kind.kind for kind in drawn.dtypes] == ["i", "f", "f", "f"]
    assert [kind.kind for kind in raw.dtypes] == ["f"] * 4
    assert flow.facts.kinds is not None
    highs = {column.name: getattr(column, "high", None) for column in flow.facts.kinds.columns}
    for name, step in (("kids", 1.0), ("price", 0.05), ("whole", 1.0)):
        assert (raw[name] % step != 0).all()
        inside = raw[name].clip(lower=0, upper=highs[name])  # what is drawn beyond an end is led back to it
        assert ((drawn[name] - inside).abs() <= step * 0.500001).all()
        assert (drawn[name] >= 0).all()
    assert set(drawn["price"]) <= {round(0.05 * k, 2) for k in range(-200, 300)}
    pd.testing.assert_series_equal(drawn["weight"], raw["weight"])
    pd.testing.assert_frame_equal(raw, flow.sample(200, return_log_prob=True)[0])
    loaded = jko.load(tmp_path / "run")
    pd.testing.assert_frame_equal(loaded.sample(200), drawn)


def test_gridded_columns_of_plain_numbers_are_on_their_grid_too() -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"kids": draw.poisson(1.0, 300), "weight": draw.normal(size=300)})
    plain = jko.fit(frame, settings={**FEW, "data.kinds": "off"}, progress=False)
    drawn = plain.sample(200)
    assert [kind.kind for kind in drawn.dtypes] == ["i", "f"]
    np.testing.assert_array_equal(
        fitted(frame.to_numpy(dtype=float)).sample(200), drawn.to_numpy(dtype=float)
    )


def test_samples_of_pictures_are_on_the_grid_of_their_pixels(of_pictures: jko.Flow) -> None:
    flow = of_pictures
    assert flow.sample(20).shape == (20, 1, 3)
    assert (flow.sample(20) % 1 == 0).all()
    assert (flow.sample(20, continuous=True) % 1 != 0).all()
