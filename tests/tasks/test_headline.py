"""Times of a chain, the figures that stand for it, and the identity of its test rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tasks.adapters.environment import first_line
from tasks.adapters.events import events_of, timed, times_of
from tasks.adapters.layout import Layout
from tasks.headline import step_headline

CHAIN = tuple(letter * 64 for letter in "abc")


def test_times_are_those_of_the_present_blocks(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "chain")
    for k, fingerprint in ((1, CHAIN[1]), (2, "d" * 64), (2, CHAIN[2])):
        with timed(layout, "train", k, fingerprint):
            sum(range(300_000))
    with timed(layout, "evaluate", of=CHAIN[2]):
        pass
    events = events_of(layout, CHAIN)
    assert [(event["what"], event["block"]) for event in events] == [
        ("train", 1),
        ("train", 2),
        ("evaluate", 0),
    ]
    found = times_of(events, 2)
    assert found["time/train_cpu_s"] == pytest.approx(sum(event["cpu_s"] for event in events[:2]), abs=1e-3)
    assert found["time/wall_s"] == pytest.approx(sum(event["wall_s"] for event in events), abs=1e-3)


def test_blocks_that_were_trained_elsewhere_leave_the_times_unknown(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "chain")
    with timed(layout, "train", 1, CHAIN[1]):
        pass
    with timed(layout, "train", 2, CHAIN[2], skipped=True):
        pass
    assert times_of(events_of(layout, CHAIN), 2) == {}
    assert times_of(events_of(layout, CHAIN), 1) != {}
    assert times_of([], 0) == {}


def test_an_interrupted_attempt_is_counted_and_a_cut_line_is_not(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "chain")
    with pytest.raises(KeyboardInterrupt), timed(layout, "train", 1, CHAIN[1]):
        raise KeyboardInterrupt
    assert times_of(events_of(layout, CHAIN), 1) == {}  # the block is not trained
    with (layout.run / "events.jsonl").open("a") as stream:
        stream.write('{"what": "tra')
    with timed(layout, "train", 1, CHAIN[1]):
        pass
    assert [event["done"] for event in events_of(layout, CHAIN)] == [False, True]


def test_a_line_of_events_that_was_changed_costs_the_times(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "chain")
    with timed(layout, "train", 1, CHAIN[1]):
        pass
    path = layout.run / "events.jsonl"
    text = path.read_text()
    path.write_text(text.replace('"cpu_s": 0', '"cpu_s": 9', 1))
    assert times_of(events_of(layout, CHAIN), 1) == {}
    path.write_text(text)
    assert times_of(events_of(layout, CHAIN), 1) != {}


@pytest.mark.parametrize(("exact", "expected"), [(None, 2.0), (3.0, 3.0), (0.0, 0.0)])
def test_epsilon_is_the_exact_one_where_it_is_known(exact: float | None, expected: float) -> None:
    figures = {"nll": 1.5, "epsilon": 2.0, "epsilon_exact": exact}
    found = step_headline(figures, {"value": 1.0, "se": 0.1})
    assert found["epsilon"] == expected
    assert found["kl_measured"] == 0.5
    assert step_headline(figures)["kl_measured"] is None


def test_equal_standardised_rows_of_other_units_are_other_rows() -> None:
    """What the evaluation hashes: row numbers, and values in data units."""
    from tasks.adapters.store import array_digest

    rows, standard = np.arange(4), np.linspace(-1, 1, 8, dtype=np.float32).reshape(4, 2)

    def digest(shift: float, scale: float, order: np.ndarray = rows) -> str:
        return array_digest({"row": order, "values": standard * np.array(scale) + np.array(shift)})

    assert digest(0.0, 1.0) == digest(0.0, 1.0)
    assert len({digest(0.0, 1.0), digest(0.5, 1.0), digest(0.0, 2.0), digest(0.0, 1.0, rows + 1)}) == 4


def test_an_outside_system_s_words_come_without_passwords() -> None:
    error = OSError("API request to https://me:secret@host/api failed\nwith details")
    assert first_line(error) == "API request to https://host/api failed"
    assert first_line(ValueError()) == "ValueError"
