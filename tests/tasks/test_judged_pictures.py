"""Pictures of models that are judged: every column has its place, and nothing is drawn twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from jko.certify.resolution import Bracket, Projection
from jko.statistics.coverage import coverage
from tasks.report.content import Content
from tasks.report.drawing import MODEL, png
from tasks.report.ranks import of_columns
from tasks.report.resolution import by_resolution
from tasks.report.worst import beside, worst, worst_of
from tests.tasks.test_report_certificate import certificate, content


def projection(names: tuple[str, ...], least: float, lower: float) -> Projection:
    at = Bracket(
        resolution=0.2, upper=1.0, upper_se=0.1, upper_95=1.2, lower=lower, lower_se=0.1,
        lower_95=lower - 0.2, rows=9, samples=9, density="samples",
    )  # fmt: skip
    return Projection(columns=names, bracket=(at,), least=least)


@pytest.mark.parametrize(
    ("count", "across", "down"), [(1, 1, 1), (2, 2, 1), (8, 6, 2), (30, 6, 5), (64, 6, 5)]
)
def test_every_column_has_its_ranks(count: int, across: int, down: int) -> None:
    rng = np.random.default_rng(0)
    columns = [
        coverage(rng.normal(size=300), rng.normal(size=900) * (2 if i == 0 else 1), f"a column {i}")
        for i in range(count)
    ]
    figure = of_columns(columns)
    panels = figure.get_axes()
    assert len(panels) == min(count, 30)
    grid = panels[0].get_gridspec()
    assert (grid.ncols, grid.nrows) == (across, down)
    assert panels[0].get_title() == "a column 0"  # the wrong one is the first in any order
    red = [axes.get_title() for axes in panels if axes.patches[-1].get_facecolor()[:3] == rgb(MODEL)]
    assert red == [one.column for one in columns if not one.even][: len(red)]
    assert "a column 0" in red
    assert ("30 of 64 columns" in figure.get_suptitle()) == (count == 64)
    assert len(png(figure)) > 5000


@pytest.mark.parametrize("models", [1, 3])
def test_the_legend_of_the_curves_lies_on_none_of_them(models: int) -> None:
    """It is below the axes, and within the picture."""
    brackets = [
        Bracket(
            resolution=s, upper=1 / s, upper_se=0.1, upper_95=1 / s + 0.2, lower=-1 / s, lower_se=0.1,
            lower_95=-1 / s - 0.2, rows=9, samples=9, density="samples",
        )
        for s in (0.1, 0.4, 0.9)
    ]  # fmt: skip
    figure = by_resolution({f"model {i}": brackets for i in range(models)}, 0.4)
    assert len(png(figure)) > 5000
    (axes,) = figure.get_axes()
    legend = axes.get_legend()
    assert legend is not None
    texts = [text.get_text() for text in legend.get_texts()]
    assert len(texts) == 2 * models + 1
    assert legend.get_window_extent().y1 < axes.xaxis.label.get_window_extent().y0
    assert legend.get_window_extent().y0 >= figure.bbox.y0
    grey = axes.patches[-1].get_extents()
    zero = axes.transData.transform((0.1, 0.0))[1]
    assert grey.y1 == pytest.approx(zero, abs=1)
    assert grey.y0 == pytest.approx(axes.get_window_extent().y0, abs=1)


def rgb(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))


def test_the_worst_pair_is_the_one_that_is_known_to_be_wrong_most_or_else_comes_nearest() -> None:
    known = projection(("a", "b"), 0.1, 0.3), projection(("a", "c"), 0.2, 0.25)
    assert worst_of(known).columns == ("a", "c")
    unknown = projection(("a", "b"), 0.0, -0.1), projection(("a", "c"), 0.0, 0.05)
    assert worst_of(unknown).columns == ("a", "c")
    assert worst_of(()) is None


def test_data_and_samples_share_a_window_and_units() -> None:
    rng = np.random.default_rng(1)
    rows, samples = rng.normal(size=(500, 2)), rng.normal(size=(9000, 2))
    rows[:, 1] *= 1e15
    samples[:, 1] *= 1e16
    figure = beside(projection(("price of a very long name indeed, in euro", "b"), 0.3, 0.4), rows, samples)
    left, right = figure.get_axes()
    assert left.get_xlim() == right.get_xlim()
    assert left.get_ylim() == right.get_ylim()
    assert abs(left.get_ylim()[1]) < 10
    assert left.get_ylabel() == "b / 1e+15"
    assert len(left.get_xlabel()) == 40
    assert left.get_title().startswith("data (500 rows")
    assert "outside" in right.get_title()
    assert "by at least 0.3 nats" in figure.get_suptitle()
    constant = beside(projection(("a", "b"), 0.0, 0.0), np.ones((5, 2)), np.ones((5, 2)))
    assert "no pair is known to be wrong" in constant.get_suptitle()
    assert len(png(constant)) > 1000


def test_names_with_dollars_are_no_mathematics() -> None:
    rows = np.random.default_rng(0).normal(size=(200, 2))
    names = (r"$\frac$", "$x^2$ and a very long name of a column")
    assert png(beside(projection(names, 0.1, 0.2), rows * [1, 1e40], rows * [1, 1e40]))
    assert png(of_columns([coverage(rows[:, i], rows[:, i], name) for i, name in enumerate(names)]))


def with_pairs(made: Content, *pairs: Projection, **changes: object) -> Content:
    chain = made.certificate.chain.model_copy(update={"pairs": pairs})
    certificate = made.certificate.model_copy(update={"chain": chain})
    return replace(made, certificate=certificate, **changes)


def test_a_chain_shows_its_test_rows_alone_and_its_contexts() -> None:
    rng = np.random.default_rng(2)
    made = content(certificate())
    facts = replace(made.facts, context_columns=("age",))
    rows = np.concatenate([rng.normal(size=(10, 2)), 100 + rng.normal(size=(90, 2))])
    contexts = np.arange(100.0)[:, None], rng.uniform(0, 9, (300, 1))
    shown = with_pairs(
        made, projection(("y", "age"), 0.1, 0.2), facts=facts, data=rows, generated=rng.normal(size=(300, 2)),
        contexts=contexts,
    )  # fmt: skip
    left, right = worst(shown).get_axes()
    assert (left.get_xlabel(), left.get_ylabel()) == ("y", "age")
    points = left.collections[0].get_offsets()
    assert sorted(points[:, 1]) == list(range(10))
    assert len(right.collections[0].get_offsets()) == 10
    assert worst(made) is None


def test_pictures_are_shown_by_their_components() -> None:
    rng = np.random.default_rng(3)
    made = content(certificate())
    facts = replace(made.facts, image_shape=(2, 3), columns=tuple("abcdef"))
    rows, samples = rng.normal(size=(100, 6)) * 50 + 7, rng.normal(size=(400, 6)) * 50 + 7
    shown = with_pairs(
        made, projection(("component 1", "component 4"), 0.1, 0.2), facts=facts, data=rows, generated=samples
    )
    left, right = worst(shown).get_axes()
    assert left.get_xlabel() == "component 1"
    for axes in (left, right):
        points = axes.collections[0].get_offsets()
        assert len(points) == 10
        assert 0.3 < points.std() < 2  # components have variance 1
