"""What the measuring task adds to the figures: unfit data, limits, nulls."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from jko.config import Config, parse_config
from jko.core.errors import NumericalError
from jko.measure.figures import BlockFigures
from jko.preparation.facts import DataFacts
from tasks.measure import ALWAYS, check_finite, check_inversion, unfit


def facts(*, grid: float = 0.0, smoothing: float = 0.0) -> DataFacts:
    return DataFacts("x", ("a",), (0.0,), (1.0,), (grid,), (), {}, None, None, smoothing)


@pytest.mark.parametrize(
    ("source", "grid", "smoothing", "words"),
    [
        ("moons", 0.0, 0.0, ""),
        ("digits", 1.0, 0.0, "dequantised"),
        ("digits", 1.0, 0.01, ""),
        ("curve", 0.0, 0.0, "on a curve"),
        ("curve", 0.0, 0.02, ""),
    ],
)
def test_jumps_and_curves_need_smoothing(source: str, grid: float, smoothing: float, words: str) -> None:
    why = unfit(parse_config({"data": {"source": source}}), facts(grid=grid, smoothing=smoothing))
    assert words in why
    assert bool(why) == bool(words)
    assert not why or "data.smoothing" in why


def test_atoms_leave_no_density_and_so_no_certificate() -> None:
    why = unfit(Config(), replace(facts(grid=0.0, smoothing=0.0), atoms=("area",)))
    assert why.startswith("area: a value has a probability of its own")
    assert unfit(Config(), replace(facts(grid=0.0, smoothing=0.01), atoms=("area",))) == ""


@pytest.mark.parametrize("name", ["inversion_error", "inversion_error_reference"])
@pytest.mark.parametrize("value", [0.06, None])
def test_a_block_that_does_not_invert_stops_the_run(name: str, value: float | None) -> None:
    known = {"inversion_error": 1e-5, "inversion_error_reference": 1e-5}
    figures = BlockFigures.model_validate(dict.fromkeys(ALWAYS, 1.0) | known)
    check_inversion(Config(), 3, figures)
    with pytest.raises(NumericalError, match="block 3: the block does not invert") as caught:
        check_inversion(Config(), 3, figures.model_copy(update={name: value}))
    assert caught.value.exit_code == 3
    assert caught.value.bound == 0.05


@pytest.mark.parametrize("name", ALWAYS)
def test_a_block_without_finite_figures_stops_the_run(name: str) -> None:
    figures = BlockFigures.model_validate(dict.fromkeys(ALWAYS, 1.0))
    check_finite(figures, 2)
    with pytest.raises(NumericalError, match=f"block 2: the figure {name} .* is not finite"):
        check_finite(figures.model_copy(update={name: math.nan}), 2)
