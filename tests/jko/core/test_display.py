"""Figures as text: a dash for what is none."""

from __future__ import annotations

import math

import pytest

from jko.core.display import figure, pair_of, with_error


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_what_is_no_figure_is_a_dash(value: float | None) -> None:
    assert figure(value) == figure(value, "+.3f") == with_error(value, 1.0) == "–"
    assert with_error(1.0, value) == "1.000"
    assert pair_of({"nll": value, "nll_se": 0.1}, "nll") == "–"


def test_figures_are_written_as_asked() -> None:
    assert figure(1234.5, ".6g") == "1234.5"
    assert with_error(1.5, 0.25) == "1.500 ± 0.250"
    assert with_error(1.5, 0.25, "+.1f", ".2g") == "+1.5 ± 0.25"
    assert pair_of({"a": 1.0, "a_se": 0.5}, "a") == "1.000 ± 0.500"
    assert pair_of({}, "a") == "–"
