"""JSON files that are read only if they are what was written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from jko.core.records import Number, Record
from jko.disk.sealed import (
    SEAL,
    is_damaged,
    read_json,
    read_model,
    read_models,
    read_sealed,
    read_verified,
    write_json,
    write_sealed,
)

VALUE = {"kl_bound": 5.28, "blocks": [{"index": 1}], "none": None, "pair": (1, 2)}


def body_of(path: Path, identity: str | None = None) -> dict[str, JsonValue] | None:
    """What a sealed file holds."""
    found = read_sealed(path, Record, identity)
    return None if found is None else found.plain()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_sealed(tmp_path / "file.json", VALUE, "mine")
    return tmp_path / "file.json"


def test_what_was_written_is_read(path: Path) -> None:
    assert body_of(path, "mine") == body_of(path) == {**VALUE, "pair": [1, 2]}
    assert body_of(path, "another") is None
    assert not is_damaged(path)


def test_keys_that_are_no_text_seal_too(tmp_path: Path) -> None:
    write_sealed(tmp_path / "file.json", {"by step": {10: 1.0, 9: 2.0}}, "mine")
    assert body_of(tmp_path / "file.json", "mine") == {"by step": {"10": 1.0, "9": 2.0}}


@settings(max_examples=150, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_no_flipped_bit_gives_another_value(place: float, bit: int) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder) / "file.json"
        write_sealed(path, VALUE, "mine")
        right, content = body_of(path, "mine"), bytearray(path.read_bytes())
        content[int(place * len(content))] ^= 1 << bit
        path.write_bytes(content)
        # a flip between two kinds of white space changes nothing that is read
        assert body_of(path, "mine") in (None, right)


@pytest.mark.parametrize(
    "text", ["", "[]", "3", "null", '"x"', "{}", "[" * 100_000, '{"a": NaN}', '{"a": 1e999}', "\udcff"]
)
def test_anything_else_is_damage(path: Path, text: str) -> None:
    path.write_bytes(text.encode(errors="surrogateescape"))
    assert body_of(path) is None
    assert is_damaged(path) == (text != "{}")  # without a seal: of an older version


def test_an_edited_figure_breaks_the_seal(path: Path) -> None:
    body = json.loads(path.read_text())
    for change in ({"kl_bound": 0.02}, {"identity": "another"}, {SEAL: "0" * 64}):
        path.write_text(json.dumps({**body, **change}))
        assert body_of(path) is None
        assert is_damaged(path)
    path.write_text(json.dumps({name: value for name, value in body.items() if name != SEAL}))
    assert body_of(path) is None


def test_a_deep_object_with_a_seal_is_damage(path: Path) -> None:
    deep = "[" * 900 + "]" * 900
    path.write_text(f'{{"a": {deep}, "identity": "mine", "{SEAL}": "x"}}')
    assert body_of(path) is None


def test_a_file_that_is_not_there_is_no_damage(tmp_path: Path) -> None:
    assert read_json(tmp_path / "none.json") is None
    assert not is_damaged(tmp_path / "none.json")


def test_a_verified_file_that_cannot_be_read_any_more_is_the_systems_error(tmp_path: Path) -> None:
    """Not ``None``, which readers of a verified file do not expect."""
    write_json(tmp_path / "file.json", {"a": 1})
    assert read_verified(tmp_path / "file.json") == {"a": 1}
    with pytest.raises(OSError, match="absent"):
        read_verified(tmp_path / "absent.json")


class Point(Record):
    x: Number


@pytest.mark.parametrize("values", [{}, {"x": "1"}, {"x": True}, {"x": None}])
def test_a_record_of_another_shape_is_none(tmp_path: Path, values: dict[str, JsonValue]) -> None:
    path = tmp_path / "file.json"
    write_sealed(path, values, "mine")
    assert read_sealed(path, Point, "mine") is None
    write_json(path, values)
    assert read_model(path, Point) is None
    write_json(path, [{"x": 1}, values])
    assert read_models(path, Point) == []


def test_a_record_is_written_as_it_was_read(tmp_path: Path) -> None:
    """Whole numbers stay whole, and what the model does not name stays there."""
    values = {"x": 1, "y": [0.5, None]}
    write_json(tmp_path / "file.json", values)
    found = read_model(tmp_path / "file.json", Point)
    assert found is not None
    assert found.x == 1
    assert json.dumps(found.plain()) == json.dumps(values)
    write_json(tmp_path / "file.json", [values, values])
    assert [one.x for one in read_models(tmp_path / "file.json", Point)] == [1, 1]
