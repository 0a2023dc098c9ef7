"""What is left open in the preparation is chosen on validation rows, and told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from jko.config import Config, parse_config
from jko.preparation import auto_choices
from jko.preparation.auto_choices import START_ROUNDS, VALIDATION_ROWS, choose
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


def followed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, float, int]]:
    """Start, copies, part and number of training rows of every trial, which is run as ever."""
    seen: list[tuple[str, int, float, int]] = []
    run = auto_choices.trial_log_density

    def noted(config: Config, parts: dict[str, torch.Tensor], dim: int, *, part: float) -> torch.Tensor:
        copies = config.data.augment.copies_of(1)
        seen.append((config.data.standardise, copies, part, len(parts["train"])))
        return run(config, parts, dim, part=part)

    monkeypatch.setattr(auto_choices, "trial_log_density", noted)
    return seen


def test_a_start_that_is_surely_behind_has_a_short_trial_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whitening an ordinary table changes little; splines are far better for a spike."""
    seen = followed(monkeypatch)
    found = choose(spiked(), config(standardise="auto", augment={"copies": "auto", "width": 0.2}))
    short, whole = START_ROUNDS
    own = round(0.8 * ROWS)
    assert [one[:3] for one in seen[:3]] == [
        ("marginals", 1, short), ("on", 1, short), ("whiten", 1, short),
    ]  # fmt: skip
    assert found.config.data.standardise == "marginals"
    # the copies are tried for as long as rows without, behind the start that was chosen
    assert seen[3:] == [("marginals", 1, whole, own), ("marginals", 16, whole, 16 * own)]
    assert all(f", {name} +" in found.notes[0] for name in ("on", "whiten"))


def test_starts_that_are_near_each_other_are_tried_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = followed(monkeypatch)
    rows = np.random.default_rng(1).standard_normal((ROWS, 2))
    choose(Table("t.csv", rows, ("a", "b")), config(standardise="auto", augment={"copies": 1}))
    assert [one[:3] for one in seen] == [
        (name, 1, part) for part in START_ROUNDS for name in ("marginals", "on", "whiten")
    ]


def test_trials_have_some_of_the_rows_of_a_large_table(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = followed(monkeypatch)
    lengths: list[int] = []
    prepared = auto_choices.prepare

    def noted(table: Table, settings: Config, parts: dict[str, Any]) -> Any:
        lengths.append(len(parts["validation"]))
        test = split_rows(len(table.rows), settings.data, settings.seed, "t")["test"]
        assert not any(np.isin(numbers, test).any() for numbers in parts.values())
        return prepared(table, settings, parts)

    monkeypatch.setattr(auto_choices, "prepare", noted)
    rows = np.random.default_rng(2).standard_normal((30_000, 2))
    choose(Table("t.csv", rows, ("a", "b")), config(standardise="auto", augment={"copies": 1}))
    assert {one[3] for one in seen} == {auto_choices.TRAIN_ROWS}
    assert lengths == [VALIDATION_ROWS] * 3  # prepared once for both rounds


def test_copies_are_tried_where_rows_are_few() -> None:
    found = choose(spiked(), config(augment={"copies": "auto", "width": 0.2}))
    assert found.config.data.augment.copies in (1, 16)
    assert found.config.data.standardise == "on"
    assert "copies" in found.notes[0]
    assert ", chosen by short trials on validation rows: NLL " in found.notes[0]


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
        ({"standardise": "auto"}, "the start (marginals, conditionals, on, whiten): chosen by short trials"),
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
