"""Tables and pictures of a comparison, for every shape of data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flows.views.compare import unique
from jko.certify.records import Measured
from jko.config import Config
from tasks.adapters.store.evaluated import EvaluationFigures
from tasks.compare.comparison import Comparison, Subject, pair_of
from tasks.compare.page import render, write_results
from tasks.compare.pictures import curves, samples
from tasks.compare.record import About, Record, read_record, save_record

STEP = Measured.model_validate({
    "kl_drop": 0.5, "kl_drop_se": 0.1, "nll": 2.0, "nll_se": 0.1, "epsilon": 1.0, "epsilon_exact": None,
    "movement": 0.3, "inversion_error": 0.0, "certificate_c": None, "kl_bound": None,
    "symmetric_part_positive": True, "reasons": {"kl_bound": "no"}, "entropy_interval": [None, 1.0],
    "loss_potential": 1.0, "loss_log_det": 0.0, "potential_before": 1.0,
})  # fmt: skip


def subject(
    label: str, dim: int = 2, image_shape: Any = None, *, shift: float = 0.0, names: str = "x"
) -> Subject:
    rng = np.random.default_rng(0)
    test = rng.standard_normal((30, dim)) * np.arange(1, dim + 1)
    parts = {"generated": test + shift, "test": test}
    frames = [pd.DataFrame(rows).add_prefix("x").assign(part=name) for name, rows in parts.items()]
    figures = EvaluationFigures.model_validate({
        "steps": 2, "test_digest": "rows", "test": {"nll": 2.0 + shift, "nll_se": 0.1},
        "baselines": {name: {"nll": 2.5} for name in ("gaussian", "mixture")},
        "nearest_training_row": 1.0, "inversion_error_chain": 1e-5,
    })  # fmt: skip
    about = About.model_validate({
        "state": "complete", "blocks": 2, "planned": 2, "digest": "d", "data": "toy", "data_digest": "e",
        "columns": [f"{names}{i}" for i in range(dim)], "image_shape": image_shape, "entropy": None,
        "config": Config().model_dump(mode="json"),
    })  # fmt: skip
    rows = pd.DataFrame({"row": np.arange(30), "log_density": -2.0 - shift + 0.1 * rng.standard_normal(30)})
    record = Record(
        about,
        [STEP, STEP.model_copy(update={"kl_drop": 0.1})],
        figures,
        None,
        [],
        rows,
        pd.concat(frames, ignore_index=True),
    )
    return Subject(label, "a test", record)


@pytest.mark.parametrize(
    ("dim", "shape", "panels", "says"),
    [
        (1, None, 1, "Histograms"),
        (2, None, 3, "data units"),
        (5, None, 3, "first two principal components of the pooled test rows"),
        (6, (2, 3), 2, "generated pictures"),
    ],
)
def test_samples_are_shown_as_their_data_ask_for(dim: int, shape: Any, panels: int, says: str) -> None:
    figure, said = samples(Comparison([subject("a", dim, shape), subject("b", dim, shape, shift=0.5)]))
    assert figure is not None
    assert len(figure.axes) == panels
    assert says in said


def test_projections_keep_what_the_runs_differ_in_most() -> None:
    """The last column spreads most, so the first component is along it: a shift of all columns shows."""
    figure, _ = samples(Comparison([subject("a", 5), subject("b", 5, shift=3.0)]))
    assert figure is not None
    test, own, other = (np.asarray(axes.collections[0].get_offsets()) for axes in figure.axes)
    np.testing.assert_allclose(own, test, atol=1e-9)
    assert np.ptp(test[:, 0]) > np.ptp(test[:, 1])
    moved = other.mean(axis=0) - own.mean(axis=0)
    assert 2.0 < np.abs(moved).max() < 3.0 * np.sqrt(5)


def test_samples_of_other_columns_share_no_picture() -> None:
    figure, said = samples(Comparison([subject("a", 2), subject("b", 2, names="y")]))
    assert figure is None
    assert "other columns" in said
    bare = replace(subject("c"), record=replace(subject("c").record, sample_rows=None))
    figure, said = samples(Comparison([subject("a"), bare]))
    assert figure is not None
    assert "Without samples: c." in said
    assert samples(Comparison([bare, bare]))[0] is None


def test_runs_without_blocks_have_a_page_too() -> None:
    about = subject("a").record.about.model_copy(update={"blocks": 0, "state": "partial", "digest": ""})
    empty = [Subject(label, "a test", Record(about)) for label in ("a", "b")]
    assert curves(Comparison(empty)) is None
    page = render(Comparison(empty))
    assert "no verdict" in page
    assert "No run compared kept samples." in page
    assert len(Comparison(empty).long())


def test_names_from_outside_cannot_break_the_page() -> None:
    page = render(Comparison([subject("<script>alert(1)</script>"), subject("b", shift=0.1)]))
    assert "<script>" not in page


def test_an_evaluation_of_an_earlier_version_gets_no_verdict() -> None:
    new = subject("a")
    assert new.record.figures is not None
    figures = new.record.figures.model_copy(update={"test_digest": ""})
    old = replace(subject("b"), record=replace(subject("b").record, figures=figures))
    assert "earlier version" in pair_of(new, old).reason
    assert "earlier version" in pair_of(old, old).reason
    assert Comparison([old, old]).difference("b", "test/nll") is None


def test_labels_are_unique() -> None:
    same = [replace(subject("a"), run_id=run_id) for run_id in ("1" * 32, "2" * 32, "2" * 32, "")]
    assert [own.label for own in unique(same)] == ["a 11111111", "a 22222222", "a 22222222 #2", "a"]
    assert [own.label for own in unique([subject("a"), subject("a")])] == ["a", "a #2"]


def test_a_record_is_read_as_it_was_saved(tmp_path: Path) -> None:
    record = subject("a").record
    save_record(record, tmp_path / "kept")
    again = read_record(tmp_path / "kept")
    assert again is not None
    assert again.metrics == record.metrics
    assert again.settings == record.settings
    pd.testing.assert_frame_equal(again.steps, record.steps, check_like=True)
    assert again.test_rows is not None
    pd.testing.assert_frame_equal(again.test_rows, record.test_rows)
    # an unfinished record saved over it does not show the files of the finished one
    save_record(Record(record.about.model_copy(update={"blocks": 1}), record.measures[:1]), tmp_path / "kept")
    partial = read_record(tmp_path / "kept")
    assert partial is not None
    assert (partial.figures, partial.test_rows, len(partial.measures)) == (None, None, 1)
    assert read_record(tmp_path) is None


@pytest.mark.parametrize(
    "name", ["about.json", "measures.json", "figures.json", "test_rows.parquet", "events.jsonl"]
)
def test_a_record_that_was_changed_is_not_read(tmp_path: Path, name: str) -> None:
    save_record(subject("a").record, tmp_path)
    content = (tmp_path / name).read_bytes()
    for other in (content + b"x", b"[]"):
        (tmp_path / name).write_bytes(other)
        assert read_record(tmp_path) is None
    (tmp_path / name).unlink()
    assert read_record(tmp_path) is None
    (tmp_path / name).write_bytes(content)
    assert read_record(tmp_path) is not None


def test_the_long_table_holds_every_figure_once(tmp_path: Path) -> None:
    comparison = Comparison([subject("a"), subject("b", shift=0.5)])
    files = write_results(comparison, [], tmp_path)
    table = pd.read_parquet(files[2])
    assert not table.duplicated(["run", "kind", "name", "step"]).any()
    own = table[(table.kind == "step") & (table.run == "a") & (table.name == "kl_drop")]
    assert own[["step", "value", "se"]].values.tolist() == [[1, 0.5, 0.1], [2, 0.1, 0.1]]
    paired = table[table.kind == "paired"]
    assert paired.name.tolist() == ["test/nll", "test/nll_median", "test/nll_trimmed"]
    assert set(paired.run) == {"b"}
    assert set(paired.text) == {"worse"}
    assert paired.value.tolist() == [pytest.approx(0.5)] * 3
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "compare.csv", "compare.html", "compare.parquet",
    ]  # fmt: skip


def test_a_verdict_that_hangs_on_a_row_is_unreliable_and_names_it() -> None:
    baseline, other = subject("a"), subject("b", shift=0.01)
    assert other.record.test_rows is not None
    other.record.test_rows.loc[12, "log_density"] = -5_000.0
    pair = pair_of(baseline, other)
    assert "b against a: unreliable; test NLL +166" in pair.says
    assert "(trimmed mean +0.0100 ± " in pair.says
    assert "row 12 of the source is 97 % of the squared standard error (+4998.1 nats)" in pair.says
    assert "unreliable" in render(Comparison([baseline, other]))


def test_the_number_of_a_row_has_no_difference() -> None:
    runs = []
    for place, own in enumerate([subject("a"), subject("b")]):
        figures = own.record.figures
        assert figures is not None
        test = figures.test.model_copy(update={"nll_worst_row": 3 + place, "nll_median": 1.0 + place})
        figures = figures.model_copy(update={"test": test})
        runs.append(replace(own, record=replace(own.record, figures=figures)))
    assert Comparison(runs).difference("b", "test/nll_worst_row") is None
    assert Comparison(runs).difference("b", "test/nll_median") == 1.0
