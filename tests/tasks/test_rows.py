"""Rows that are read where they lie are those of a tensor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from jko.config import Config
from jko.config.sections import Training
from jko.core.errors import InputError
from jko.core.seeds import generator
from jko.disk.commit import committing
from jko.disk.layout import Layout
from jko.maps.ode_block import Block
from jko.maps.velocity import VelocityField
from jko.preparation.facts import DataFacts
from jko.training.block_trainer import fit_block
from tasks.adapters.store import arrays as store
from tasks.adapters.store.arrays import read_rows, write_arrays
from tasks.adapters.store.rows import Pieces, StoredRows
from tasks.report import content

ROWS = np.random.default_rng(0).standard_normal((1000, 3)).astype(np.float32)


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A chain whose first samples are in ten chunks and count as large."""
    monkeypatch.setattr(store, "CHUNK_BYTES", 1300)
    monkeypatch.setattr(store, "STREAMED_BYTES", 2000)
    layout = Layout(tmp_path / "chain")
    with committing(layout.block(0, "f" * 64), "f" * 64, {}) as folder:
        write_arrays(folder / "samples.zarr", {"train": ROWS}, {})
    return layout


def stored(layout: Layout) -> StoredRows:
    found = read_rows(layout, Config(), 0, "f" * 64, "train")
    assert isinstance(found, StoredRows)
    return found


def test_rows_by_number_are_those_of_the_tensor(layout: Layout) -> None:
    numbers = torch.randint(1000, (300,), generator=generator(0))
    assert torch.equal(stored(layout)[numbers], torch.from_numpy(ROWS)[numbers])
    assert stored(layout)[numbers[:0]].shape == (0, 3)


@pytest.mark.parametrize("rows", [1, 64, 108, 5000])
def test_rows_in_order_are_split_as_a_tensor_is(layout: Layout, rows: int) -> None:
    found, wanted = list(stored(layout).split(rows)), torch.from_numpy(ROWS).split(rows)
    assert len(found) == len(wanted)
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_training_on_stored_rows_makes_the_same_weights(layout: Layout) -> None:
    settings = Training(flow_matching_iterations=5, iterations=3, batch_size=32, validate_every=5)
    weights = []
    for train in (stored(layout), torch.from_numpy(ROWS)):
        block = Block(VelocityField(3, (8,), generator=generator(0)), 0.5)
        fit_block(block, train, torch.from_numpy(ROWS[:100]), settings, seed=0, index=1)
        weights.append(torch.cat([value.flatten() for value in block.state_dict().values()]))
    assert torch.equal(*weights)


def test_a_damaged_chunk_is_found_before_it_is_used(layout: Layout) -> None:
    chunk = layout.block(0, "f" * 64) / "samples.zarr" / "train" / "c" / "3" / "0"
    content = bytearray(chunk.read_bytes())
    content[7] ^= 1
    chunk.write_bytes(content)
    with pytest.raises(InputError, match=f"{chunk}: this file of the data is changed"):
        stored(layout)


def test_small_arrays_are_read_whole(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "STREAMED_BYTES", 10**9)
    found = read_rows(layout, Config(), 0, "f" * 64, "train")
    assert isinstance(found, torch.Tensor)
    assert torch.equal(found, torch.from_numpy(ROWS))


@pytest.mark.parametrize("length", [1, 7, 108, 1000])
def test_an_array_made_in_pieces_has_the_bytes_of_the_whole(
    layout: Layout, tmp_path: Path, length: int
) -> None:
    parts = (ROWS[start : start + length] for start in range(0, 1000, length))
    write_arrays(tmp_path / "new.zarr", {"train": Pieces(ROWS.shape, ROWS.dtype, parts)}, {})
    old = layout.block(0, "f" * 64) / "samples.zarr"
    names = sorted(path.relative_to(old) for path in old.rglob("*") if path.is_file())
    assert names == sorted(
        p.relative_to(tmp_path / "new.zarr") for p in (tmp_path / "new.zarr").rglob("*") if p.is_file()
    )
    assert all((old / name).read_bytes() == (tmp_path / "new.zarr" / name).read_bytes() for name in names)


def test_a_report_keeps_some_rows_of_each_part_and_no_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(tmp_path / "chain")
    parts = {"test": ROWS[:100], "validation": ROWS[100:150], "train": ROWS[150:]}
    with committing(layout.block(0, "f" * 64), "f" * 64, {}) as folder:
        write_arrays(folder / "samples.zarr", parts, {})
    facts = DataFacts(
        name="normal", columns=("a", "b", "c"), shift=(1.0, 2.0, 3.0), scale=(2.0, 2.0, 0.5), grid=(0.0,) * 3,
        notes=(), rows={"source": 400}, entropy=None, image_shape=None,
    )  # fmt: skip
    wanted = ROWS[: 150 + 400] * np.array(facts.scale) + np.array(facts.shift)
    np.testing.assert_allclose(content.some_rows(layout, "f" * 64, facts), wanted)
    monkeypatch.setattr(content, "MOST_ROWS", 120)
    found = content.some_rows(layout, "f" * 64, facts)
    np.testing.assert_allclose(found[:150], wanted[:150])
    known = {tuple(row) for row in wanted[150:].round(6)}
    assert len(found) == 150 + 120
    assert {tuple(row) for row in found[150:].round(6)} <= known
