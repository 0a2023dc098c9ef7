"""Arrays and weights on disk."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from safetensors.torch import save_file

from jko.build import new_block
from jko.config import parse_config
from jko.core.errors import InputError
from jko.disk.weights import architecture, load_weights, save_weights
from jko.preparation.facts import array_digest, data_digest
from tasks.adapters.store.arrays import read_array, write_arrays


def rows(count: int = 1000, dim: int = 3) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, dim)).astype(np.float32)


def test_arrays_come_back_bit_for_bit_and_in_order(tmp_path: Path) -> None:
    write_arrays(tmp_path / "s.zarr", {"train": rows(), "row": np.arange(1000)}, {"k": 1})
    np.testing.assert_array_equal(read_array(tmp_path / "s.zarr", "train"), rows())
    np.testing.assert_array_equal(read_array(tmp_path / "s.zarr", "row"), np.arange(1000))


def test_chunks_are_whole_rows_of_a_few_megabytes(tmp_path: Path) -> None:
    write_arrays(tmp_path / "s.zarr", {"train": rows(1_500_000, 2)}, {})
    array = zarr.open_group(str(tmp_path / "s.zarr"), mode="r")["train"]
    assert array.chunks[1] == 2
    assert 2e6 <= array.chunks[0] * 8 <= 13e6
    assert array.metadata.zarr_format == 3


def chunk_files(folder: Path) -> list[Path]:
    return [path for path in (folder / "train" / "c").rglob("*") if path.is_file()]


def test_a_flipped_bit_is_an_error_and_never_data(tmp_path: Path) -> None:
    write_arrays(tmp_path / "s.zarr", {"train": rows()}, {})
    chunk = chunk_files(tmp_path / "s.zarr")[0]
    content = bytearray(chunk.read_bytes())
    content[100] ^= 1
    chunk.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        read_array(tmp_path / "s.zarr", "train")


def test_a_missing_chunk_is_an_error_and_never_nan(tmp_path: Path) -> None:
    write_arrays(tmp_path / "s.zarr", {"train": rows()}, {})
    chunk_files(tmp_path / "s.zarr")[0].unlink()
    with pytest.raises(InputError, match="missing"):
        read_array(tmp_path / "s.zarr", "train")


def test_constant_arrays_are_written_too(tmp_path: Path) -> None:
    zeros = np.zeros((10, 2), dtype=np.float64)
    write_arrays(tmp_path / "s.zarr", {"train": zeros}, {})
    np.testing.assert_array_equal(read_array(tmp_path / "s.zarr", "train"), zeros)


def test_the_digest_sees_values_shape_dtype_and_name_only() -> None:
    x = rows()
    digest = array_digest({"train": x})
    assert digest == array_digest({"train": x.copy(order="F")})
    others = [{"test": x}, {"train": x.astype(np.float64)}, {"train": x.reshape(-1, 1)}, {"train": x[::-1]}]
    assert digest not in {array_digest(other) for other in others}


def test_the_same_rows_in_other_units_are_other_data() -> None:
    """Standardised rows look alike, whatever their units."""
    x, shift, scale = {"train": rows()}, np.array([1.0, 2.0]), np.array([0.5, 3.0])
    digest = data_digest(x, shift, scale)
    assert digest == data_digest(x, shift * (1 + 1e-12), scale)
    others = data_digest(x, 100 * shift, 100 * scale), data_digest(x, shift, 100 * scale), array_digest(x)
    assert digest not in others


@pytest.mark.parametrize("kind", ["ode", "residual"])
def test_weights_round_trip_and_equal_weights_give_equal_bytes(tmp_path: Path, kind: str) -> None:
    config = parse_config({"steps": {"count": 2}, "network": {"hidden": [5, 4], "kind": kind}})
    block = new_block(config, 1, dim=3)
    torch.nn.init.normal_(block.field.layers[-1].weight)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        save_weights(tmp_path / name, block)
    bytes_of = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("a", "b")]
    assert bytes_of[0] == bytes_of[1]
    other = load_weights(tmp_path / "a", new_block(config, 2, dim=3))
    for key, value in block.state_dict().items():
        assert torch.equal(value, other.state_dict()[key])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_neither_written_nor_read(tmp_path: Path, value: float) -> None:
    config = parse_config({"steps": {"count": 1}, "network": {"hidden": [5, 4]}})
    block = new_block(config, 1, dim=3)
    save_weights(tmp_path, block)
    with torch.no_grad():
        block.field.layers[0].weight[0, 0] = value
    (tmp_path / "new").mkdir()
    with pytest.raises(InputError, match="weights of the block are not finite"):
        save_weights(tmp_path / "new", block)
    assert list((tmp_path / "new").iterdir()) == []
    save_file(block.state_dict(), tmp_path / "weights.safetensors")
    with pytest.raises(InputError, match=r"not finite .*nothing can be computed"):
        load_weights(tmp_path, new_block(config, 1, dim=3))


@pytest.mark.parametrize(
    ("settings", "dim", "probes"),
    [
        ({"network": {"hidden": [4, 4]}}, 100, 0),
        ({"network": {"hidden": [4, 4, 4]}}, 8, 0),
        ({"network": {"hidden": [4, 4, 4]}, "solver": {"probes": 3}}, 9, 3),
        ({"network": {"hidden": [4]}, "solver": {"divergence": "hutchinson", "probes": 2}}, 2, 2),
        ({"network": {"hidden": [4, 4, 4]}, "solver": {"divergence": "exact"}}, 20, 0),
    ],
)
def test_auto_takes_the_exact_divergence_where_it_is_cheap(settings: dict, dim: int, probes: int) -> None:
    assert new_block(parse_config({"steps": {"count": 1}, **settings}), 1, dim).solver.probes == probes


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ({}, "dimension 3, hidden [5, 4]"),
        ({"fourier": 2}, "dimension 3, hidden [5, 4], fourier 2"),
        ({"kind": "residual"}, "residual, dimension 3, hidden [5, 4]"),
    ],
)
def test_weights_tell_their_architecture(network: dict, words: str) -> None:
    config = parse_config({"steps": {"count": 1}, "network": {"hidden": [5, 4], **network}})
    assert architecture(new_block(config, 1, dim=3).state_dict()) == words
