"""Times of a chain, the figures that stand for it, and the identity of its test rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from jko.config import Config
from jko.disk.layout import Layout
from jko.measure.figures import StepFigures
from jko.preparation.facts import DataFacts
from tasks.adapters.prefect.prefect_artifacts import result_text
from tasks.adapters.store.evaluated import ChainNll, EvaluationFigures
from tasks.adapters.system.environment import first_line
from tasks.adapters.system.events import EventLog, events_of, timed, times_of
from tasks.compare.comparison import Comparison, Subject
from tasks.compare.page import render
from tasks.compare.record import About, Record, _description
from tasks.cuts import cut_figures, nll_figures
from tasks.headline import headline, nll_warning, step_headline
from tasks.measure import ALWAYS

FACTS = DataFacts(
    name="table", columns=("x",), shift=(0.0,), scale=(1.0,), grid=(0.0,), notes=(), rows={}, entropy=None,
    image_shape=None,
)  # fmt: skip
ABOUT = About.model_validate({
    "blocks": 2, "state": "complete", "planned": 2, "digest": "d", "data": "toy", "data_digest": "e",
    "columns": ["x"], "image_shape": None, "entropy": None, "config": Config().model_dump(mode="json"),
})  # fmt: skip
CHAIN = tuple(letter * 64 for letter in "abc")


def test_times_are_those_of_the_present_blocks(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "chain")
    for k, fingerprint in ((1, CHAIN[1]), (2, "d" * 64), (2, CHAIN[2])):
        with timed(EventLog(layout), "train", k, fingerprint):
            sum(range(300_000))
    with timed(EventLog(layout), "evaluate", of=CHAIN[2]):
        pass
    events = events_of(layout, CHAIN)
    assert [(event.what, event.block) for event in events] == [
        ("train", 1),
        ("train", 2),
        ("evaluate", 0),
    ]
    found = times_of(events, 2)
    assert found["time/train_cpu_s"] == pytest.approx(sum(event.cpu_s for event in events[:2]), abs=1e-3)
    assert found["time/wall_s"] == pytest.approx(sum(event.wall_s for event in events), abs=1e-3)


def test_blocks_that_were_trained_elsewhere_leave_the_times_unknown(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "chain")
    with timed(EventLog(layout), "train", 1, CHAIN[1]):
        pass
    with timed(EventLog(layout), "train", 2, CHAIN[2], skipped=True):
        pass
    assert times_of(events_of(layout, CHAIN), 2) == {}
    assert times_of(events_of(layout, CHAIN), 1) != {}
    assert times_of([], 0) == {}


def test_an_interrupted_attempt_is_counted_and_a_cut_line_is_not(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "chain")
    with pytest.raises(KeyboardInterrupt), timed(EventLog(layout), "train", 1, CHAIN[1]):
        raise KeyboardInterrupt
    assert times_of(events_of(layout, CHAIN), 1) == {}  # the block is not trained
    with (layout.run / "events.jsonl").open("a") as stream:
        stream.write('{"what": "tra')
    with timed(EventLog(layout), "train", 1, CHAIN[1]):
        pass
    assert [event.done for event in events_of(layout, CHAIN)] == [False, True]


def test_a_line_of_events_that_was_changed_costs_the_times(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "chain")
    with timed(EventLog(layout), "train", 1, CHAIN[1]):
        pass
    path = layout.run / "events.jsonl"
    text = path.read_text()
    path.write_text(text.replace('"cpu_s": 0', '"cpu_s": 9', 1))
    assert times_of(events_of(layout, CHAIN), 1) == {}
    path.write_text(text)
    assert times_of(events_of(layout, CHAIN), 1) != {}


@pytest.mark.parametrize(("exact", "expected"), [(None, 2.0), (3.0, 3.0), (0.0, 0.0)])
def test_epsilon_is_the_exact_one_where_it_is_known(exact: float | None, expected: float) -> None:
    always = dict.fromkeys(ALWAYS, 0.0) | {"nll": 1.5}
    figures = StepFigures.model_validate({**always, "epsilon": 2.0, "epsilon_exact": exact})
    found = step_headline(figures, {"value": 1.0, "se": 0.1})
    assert found["epsilon"] == expected
    assert found["kl_measured"] == 0.5
    assert step_headline(figures)["kl_measured"] is None


def test_equal_standardised_rows_of_other_units_are_other_rows() -> None:
    """What the evaluation hashes: row numbers, and values in data units."""
    from jko.preparation.facts import array_digest

    rows, standard = np.arange(4), np.linspace(-1, 1, 8, dtype=np.float32).reshape(4, 2)

    def digest(shift: float, scale: float, order: np.ndarray = rows) -> str:
        return array_digest({"row": order, "values": standard * np.array(scale) + np.array(shift)})

    assert digest(0.0, 1.0) == digest(0.0, 1.0)
    assert len({digest(0.0, 1.0), digest(0.5, 1.0), digest(0.0, 2.0), digest(0.0, 1.0, rows + 1)}) == 4


def test_an_outside_system_s_words_come_without_passwords() -> None:
    error = OSError("API request to https://me:secret@host/api failed\nwith details")
    assert first_line(error) == "API request to https://host/api failed"
    assert first_line(ValueError()) == "ValueError"


def exploded(row: int = 17) -> EvaluationFigures:
    """Figures of an evaluation on two hundred rows, numbered from 1000, of which one explodes."""
    values = -9 - np.random.default_rng(0).standard_normal(200)
    values[row] = -109_638.0
    test = nll_figures(values, None, FACTS, 1000 + np.arange(200))
    usual = nll_figures(np.delete(values, row), None, FACTS, np.arange(199))
    return EvaluationFigures.model_validate({
        "test": test.plain(), "baselines": {"gaussian": usual, "mixture": usual}, "steps": 2,
        "nearest_training_row": 1.0, "inversion_error_chain": 1e-5,
    })  # fmt: skip


def test_a_row_that_decides_the_mean_is_named_by_its_number() -> None:
    figures = exploded()
    flat = headline(figures)
    assert flat["test/nll"] > 500
    assert flat["test/nll_median"] == pytest.approx(9, abs=0.3)
    assert flat["test/nll_trimmed"] == pytest.approx(9, abs=0.3)
    assert flat["test/nll_trimmed_se"] < 0.1
    assert flat["test/nll_worst_row"] == 1017
    assert flat["test/nll_worst"] == 109_638.0
    assert flat["test/nll_worst_share"] > 0.99
    assert flat["test/nll_worst_part"] > 0.9
    assert figures.test.dominating_rows == (1017,)
    assert nll_warning(figures).startswith(
        "warning: row 1017 of the source (counted from 0) alone adds 548 nats to the test NLL of 557"
    )
    usual = ChainNll.model_validate(figures.baselines.mixture.plain())
    for test in (usual, ChainNll(nll=2.0)):  # the second is of an earlier version
        assert nll_warning(figures.model_copy(update={"test": test})) == ""
    assert nll_warning(None) == ""


def test_cuts_have_the_same_beside_their_means() -> None:
    cuts = np.stack([np.arange(100.0), np.arange(100.0) + 1])
    found = cut_figures(cuts, [0.0], np.arange(100))
    assert [cut.nll_median for cut in found] == [-49.5, -50.5]
    assert found[1].change == -1


def test_everybody_who_shows_the_mean_names_the_row() -> None:
    """What MLflow says of the run, what Prefect's page does, and the report's table of models."""
    figures = exploded()
    record = Record(ABOUT, figures=figures)
    assert "row 1017 of the source" in _description(record)
    assert "(median 9.0" in _description(record)
    text = result_text(Layout(Path("chain")), headline(figures), None, nll_warning(figures))
    assert "**warning: row 1017 of the source" in text
    runs = [Subject("a", "a test", record), Subject("b", "a test", Record(ABOUT))]
    assert [said.startswith("a: warning: row 1017") for said in Comparison(runs).warnings] == [True]
    assert "a: warning: row 1017" in render(Comparison(runs))
