"""What is left open in the preparation is chosen on validation rows, and told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jko.config import Config, parse_config
from jko.preparation.auto_choices import choose
from jko.preparation.prepare import prepare
from jko.preparation.split import split_rows
from jko.preparation.table import Table

ROWS = 900


def config(**data: Any) -> Config:
    return parse_config(
        {
            "data": {"source": "file", "file": "t.csv", **data},
            "steps": {"sizes": [0.5, 4.0]},
            "network": {"hidden": [16, 16]},
            "training": {"flow_matching_iterations": 300, "iterations": 0, "batch_size": 64},
        }
    )


def spiked(seed: int = 0) -> Table:
    """A percentage with 45 % zeros beside a skewed amount."""
    draw = np.random.default_rng(seed)
    percent = np.where(draw.random(ROWS) < 0.45, 0, np.round(100 * draw.beta(2, 7, ROWS), 1))
    return Table("t.csv", np.stack([percent, np.exp(draw.normal(size=ROWS))], 1), ("percent", "amount"))


def test_a_table_with_a_spike_starts_behind_splines() -> None:
    settings = config(standardise="auto", augment={"copies": 1})
    found = choose(spiked(), settings)
    assert found.config.data.standardise == "marginals"
    (note,) = found.notes
    assert note.startswith("start marginals, chosen by short trials on validation rows: NLL ")
    assert ", on +" in note
    assert ", whiten +" in note
    assert prepare(spiked(), found.config).start is not None


def test_copies_are_tried_where_rows_are_few() -> None:
    found = choose(spiked(), config(augment={"copies": "auto", "width": 0.2}))
    assert found.config.data.augment.copies in (1, 16)
    assert found.config.data.standardise == "on"
    assert "chosen in the same way" in found.notes[0]


def test_the_choice_does_not_look_at_test_rows() -> None:
    settings = config(standardise="auto", augment={"copies": 1})
    table, other = spiked(), spiked()
    test = split_rows(ROWS, settings.data, settings.seed, "t")["test"]
    other.rows[test] = other.rows[test][::-1]  # the same grid and range
    other.rows[test, 1] *= 1.5
    assert choose(table, settings) == choose(other, settings)


def test_what_is_settled_is_left_alone() -> None:
    settings = config(standardise="whiten")
    assert choose(spiked(), settings).config == settings
    assert choose(spiked(), settings).notes == ()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"standardise": "auto"}, "the start (marginals, on, whiten): chosen by short trials"),
        ({"augment": {"copies": "auto"}}, "copies of few rows or none: chosen"),
        ({}, ""),
    ],
)
def test_what_will_be_chosen_is_said_ahead(data: dict[str, Any], said: str) -> None:
    assert config(**data).data.left_open.startswith(said)
    assert bool(config(**data).data.left_open) == bool(said)


def test_a_context_goes_with_no_copies() -> None:
    draw = np.random.default_rng(0)
    table = Table(
        "t.csv",
        draw.normal(size=(60, 2)),
        ("a", "b"),
        context=draw.normal(size=(60, 1)),
        context_columns=("u",),
    )
    settings = config(standardise="marginals", context=["u"], augment={"copies": 1, "width": 0.2})
    prepared = prepare(table, settings)
    assert prepared.arrays["train"].shape == (48, 3)
    assert prepared.start is not None
    assert prepared.start.dim == 2
