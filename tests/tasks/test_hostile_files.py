"""JSON, weights and arrays that lie: refused or healed before anything of their size is made."""

from __future__ import annotations

import json
import os
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

from jko.core.errors import InputError
from jko.disk.sealed import parse_json, read_json, read_lines
from jko.disk.tensors import unpack_tensors
from jko.disk.weights import WEIGHTS, load_weights, save_weights
from jko.maps.ode_block import Block
from jko.maps.velocity import VelocityField
from tasks.adapters.store.arrays import read_array, write_arrays
from tasks.adapters.system.journal import Journal

DEEP = "[" * 100_000
JSON = {
    "deep": DEEP,
    "deep and closed": "[" * 900 + "]" * 900,
    "deep objects": '{"a":' * 900 + "1" + "}" * 900,
    "no text": b"\xff\xfe\x00",
    "nan": '{"a": NaN}',
    "infinity by digits": '{"a": 1e999}',
    "an integer of 5000 digits": '{"a": ' + "9" * 5000 + "}",
    "an integer of 30 digits": '{"a": ' + "9" * 30 + "}",
    "cut off": '{"a": 1',
    "empty": "",
}


@pytest.mark.parametrize("name", JSON)
def test_json_that_is_not_ours_is_damage(name: str, tmp_path: Path) -> None:
    content = JSON[name]
    data = content if isinstance(content, bytes) else content.encode()
    (tmp_path / "a.json").write_bytes(data)
    assert read_json(tmp_path / "a.json") is None
    with pytest.raises(ValueError, match=r"\w"):
        parse_json(data)


def test_pipes_folders_and_links_in_a_circle_are_no_json(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")  # reading it would wait for ever
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "circle.json").symlink_to("circle.json")
    (tmp_path / "zero.json").symlink_to("/dev/zero")
    for name in ("pipe", "folder", "circle", "zero", "absent"):
        assert read_json(tmp_path / f"{name}.json") is None


def test_a_file_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.json").open("wb") as stream:
        stream.truncate(10**12)
    tracemalloc.start()
    assert read_json(tmp_path / "a.json") is None
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()


def test_lines_are_read_as_far_as_they_are_whole(tmp_path: Path) -> None:
    lines = ['{"a": 1}', DEEP, "[1]", "3", '{"b": NaN}', "\x00", '{"c": 2}']
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    assert read_lines(tmp_path / "a.jsonl") == [{"a": 1}, {"c": 2}]
    entry = {"key": "x", "value": 1.0, "step": 1, "timestamp": 5}
    wrong = [{**entry, "key": 3}, {**entry, "value": "1"}, {**entry, "step": []}, {"key": "x"}]
    (tmp_path / "j.jsonl").write_text("\n".join(map(json.dumps, [*wrong, entry])))
    assert list(Journal(tmp_path / "j.jsonl").entries) == [("x", 1)]


def block() -> Block:
    torch.manual_seed(0)
    return Block(VelocityField(2, (4,)), 0.5)


def packed(header: str | bytes, data: bytes = b"\0\0\x80?") -> bytes:
    text = header.encode() if isinstance(header, str) else header
    return struct.pack("<Q", len(text)) + text + data


def entry(**changes: object) -> str:
    return json.dumps({"dtype": "F32", "shape": [1], "data_offsets": [0, 4], **changes})


def changed(change: Callable[[dict[str, torch.Tensor]], object]) -> bytes:
    state = {name: value.clone() for name, value in block().state_dict().items()}
    change(state)
    return save(state)


STATES: dict[str, bytes] = {
    "empty": b"",
    "three bytes": b"abc",
    "a header beyond the file": struct.pack("<Q", 2**62) + b"{}",
    "no JSON": packed("hello"),
    "deep JSON": packed(DEEP),
    "no UTF-8": packed(b"\xff\xfe"),
    "a list": packed("[]", b""),
    "a shape beyond the file": packed('{"a": ' + entry(shape=[10**12]) + "}"),
    "a shape beyond numbers": packed('{"a": ' + entry(shape=[2**64 - 1, 2]) + "}"),
    "an unknown dtype": packed('{"a": ' + entry(dtype="XX") + "}"),
    "one name twice": packed('{"a": ' + entry() + ', "a": ' + entry(dtype="I32") + "}"),
    "no weights": packed("{}", b""),
    "a name less": changed(lambda state: state.pop(sorted(state)[0])),
    "a name more": changed(lambda state: state.update(more=torch.zeros(1))),
    "another shape": changed(lambda state: state.update({sorted(state)[0]: torch.zeros(7)})),
    "another dtype": changed(lambda state: state.update({n: v.double() for n, v in state.items()})),
}


@pytest.mark.parametrize("name", STATES)
def test_weights_that_lie_are_one_sentence(name: str, tmp_path: Path) -> None:
    (tmp_path / WEIGHTS).write_bytes(STATES[name])
    with pytest.raises(InputError, match=WEIGHTS) as error:
        load_weights(tmp_path, block())
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["empty", "a header beyond the file", "deep JSON", "an unknown dtype"])
def test_packed_tensors_that_lie_are_a_value_error(name: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        unpack_tensors(STATES[name])


def test_whole_weights_come_back_and_others_may_read_them(tmp_path: Path) -> None:
    save_weights(tmp_path, block())
    assert (tmp_path / WEIGHTS).stat().st_mode & 0o777 == 0o644
    other = load_weights(tmp_path, Block(VelocityField(2, (4,)), 0.5))
    for name, value in block().state_dict().items():
        assert torch.equal(value, other.state_dict()[name])


ROWS = np.arange(20, dtype=np.float32).reshape(10, 2)
ZARR: dict[str, Callable[[dict[str, object]], object]] = {
    "10^12 rows": lambda meta: meta.update(shape=[10**12, 2]),
    "10^12 rows in small chunks": lambda meta: meta.update(shape=[10**12, 2], chunk_grid=grid(1, 2)),
    "no width": lambda meta: meta.update(shape=[10**12, 0], chunk_grid=grid(1, 1)),
    "a huge chunk": lambda meta: meta.update(chunk_grid=grid(10**12, 2)),
    "other chunks": lambda meta: meta.update(chunk_grid=grid(10, 1)),
    "a wider dtype": lambda meta: meta.update(data_type="float64"),
    "text": lambda meta: meta.update(data_type="string", fill_value=""),
    "no dtype": lambda meta: meta.pop("data_type"),
    "an unknown dtype": lambda meta: meta.update(data_type="float7"),
    "compressed": lambda meta: meta.update(
        codecs=[{"name": "bytes", "configuration": {"endian": "little"}},
                {"name": "gzip", "configuration": {"level": 1}}]
    ),
    "negative": lambda meta: meta.update(shape=[-1, 2]),
    "no shape": lambda meta: meta.update(shape="wide"),
    "many axes": lambda meta: meta.update(shape=[1] * 10 + [2], chunk_grid=grid(*[1] * 10, 2)),
}  # fmt: skip


def grid(*shape: int) -> dict[str, object]:
    return {"name": "regular", "configuration": {"chunk_shape": list(shape)}}


@pytest.mark.parametrize("name", ZARR)
def test_an_array_that_lies_is_one_sentence(name: str, tmp_path: Path) -> None:
    write_arrays(tmp_path / "g", {"rows": ROWS}, {})
    path = tmp_path / "g" / "rows" / "zarr.json"
    meta = json.loads(path.read_text())
    ZARR[name](meta)
    path.write_text(json.dumps(meta))
    tracemalloc.start()
    with pytest.raises(InputError, match="rows") as error:
        read_array(tmp_path / "g", "rows")
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("content", [DEEP, "[]", "{}", "hello"])
def test_array_metadata_that_is_none(content: str, tmp_path: Path) -> None:
    write_arrays(tmp_path / "g", {"rows": ROWS}, {})
    (tmp_path / "g" / "rows" / "zarr.json").write_text(content)
    with pytest.raises(InputError, match="rows"):
        read_array(tmp_path / "g", "rows")
