"""Step sizes: the geometric rule and the explicit list."""

import pytest

from jko.core.step_sizes import step_sizes


def test_geometric_until_the_maximum() -> None:
    assert step_sizes(5, first=0.25, ratio=2.0, maximum=1.5) == (0.25, 0.5, 1.0, 1.5, 1.5)


def test_ratio_one_is_constant() -> None:
    assert step_sizes(3, first=0.5, ratio=1.0) == (0.5, 0.5, 0.5)


def test_the_maximum_also_bounds_the_first_step() -> None:
    assert step_sizes(2, first=3.0, ratio=1.0, maximum=0.5) == (0.5, 0.5)


def test_a_longer_chain_begins_with_the_shorter_one_s_steps() -> None:
    """What lets a chain be extended without retraining."""
    assert step_sizes(9, first=0.3, ratio=1.3)[:4] == step_sizes(4, first=0.3, ratio=1.3)


def test_a_list_is_used_as_it_is() -> None:
    assert step_sizes(sizes=[0.1, 0.7, 0.2]) == (0.1, 0.7, 0.2)
    assert step_sizes(2, first=9.0, maximum=0.01, sizes=[0.1, 0.7, 0.2]) == (0.1, 0.7)


def test_too_short_a_list_is_refused_with_both_numbers() -> None:
    with pytest.raises(ValueError, match=r"steps\.count = 4.*got 3"):
        step_sizes(4, sizes=[0.1, 0.7, 0.2])


def test_nothing_asked_gives_nothing() -> None:
    assert step_sizes() == ()
    assert step_sizes(0) == ()


@pytest.mark.parametrize("ratio", [2.1, 10.0])
def test_a_long_growing_schedule_stays_at_its_maximum(ratio: float) -> None:
    """ratio^(k−1) leaves the range of floats; the step size does not."""
    assert step_sizes(1000, first=0.5, ratio=ratio, maximum=5.0)[-1] == 5.0
