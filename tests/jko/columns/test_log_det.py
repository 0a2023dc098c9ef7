"""The log-determinant of a kind from its real columns alone, and what of a schema is its content."""

from __future__ import annotations

import numpy as np
import pytest

from jko.columns.infer import infer
from jko.columns.schema import Schema, parse_schema
from tests.jko.columns.test_kinds import KINDS


@pytest.mark.parametrize("name", KINDS)
def test_it_is_what_encoding_gave(name: str) -> None:
    column, drawn = KINDS[name]
    rng = np.random.default_rng(1)
    cells = drawn(rng, 500)
    noise = np.clip(rng.random((500, column.noise_width)), 1e-9, 1 - 1e-9)
    encoded, log_det = column.encode(cells, noise)
    assert column.log_det(encoded).shape == (500,)
    np.testing.assert_allclose(column.log_det(encoded), log_det, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", KINDS)
def test_neighbouring_cells_are_a_step_apart(name: str) -> None:
    """Whole steps from a cell, with the same noise, are cells again: they decode to others, and come back."""
    column, drawn = KINDS[name]
    assert len(column.steps) == column.width
    if not any(column.steps):
        return
    cells = drawn(np.random.default_rng(2), 50)
    middle = column.encode(cells, np.full((50, column.noise_width), 0.5))[0]
    inside = column.decode(middle) == column.decode(middle + 0.3 * np.array(column.steps))
    beside = column.decode(middle) == column.decode(middle + np.array(column.steps))
    assert inside.all()
    assert not beside.all()


def small() -> Schema:
    rng = np.random.default_rng(0)
    paid = np.where(rng.random(300) < 0.5, 0.0, rng.gamma(2, 30, 300))
    return infer({"n": rng.poisson(3, 300), "paid": paid, "k": np.full(300, 7)})


def test_what_is_only_told_is_no_content() -> None:
    schema = small()
    plain = schema.plain()
    for column in plain["columns"]:  # type: ignore[union-attr]
        column["why"], column["seen"] = "for another reason", {"distinct": 3}  # type: ignore[index,call-overload]
    other = parse_schema({**plain, "rows": 12}, "here")
    assert other.content == schema.content
    assert other.plain() != schema.plain()
    words = str(schema.content)
    assert "why" not in words
    assert "seen" not in words


def test_every_number_of_a_kind_is_content() -> None:
    schema = small()
    changed = schema.plain()
    changed["columns"][1]["value"]["edge"] = -1.0  # type: ignore[index,call-overload]
    assert parse_schema(changed, "here").content != schema.content
