"""Errors as sentences."""

from __future__ import annotations

import contextlib

import pytest

from jko.core.errors import ChainInUseError, InputError, NumericalError, was_interrupted


def test_an_error_raised_while_handling_an_interruption_is_one() -> None:
    def stumble() -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise ValueError("cleaning up went wrong")  # noqa: B904  (what libraries do)

    with pytest.raises(ValueError, match="cleaning up") as caught:
        stumble()
    assert was_interrupted(caught.value)


def test_a_library_s_own_signal_counts_as_an_interruption_and_an_exit_does_not() -> None:
    class Terminated(BaseException):
        pass

    def wrapped(inner: BaseException) -> ValueError:
        error = ValueError("not set")
        error.__context__ = inner
        return error

    assert was_interrupted(wrapped(Terminated()))
    assert not was_interrupted(wrapped(SystemExit(2)))
    assert not was_interrupted(wrapped(GeneratorExit()))


def test_an_ordinary_error_is_none() -> None:
    caught: list[BaseException] = []
    with contextlib.suppress(ValueError):
        try:
            raise ValueError("plain")
        except ValueError as error:
            caught.append(error)
            raise
    assert not was_interrupted(caught[0])


def test_a_numerical_error_says_where_what_and_the_remedy() -> None:
    error = NumericalError(
        "the block does not invert", block=3, value=0.5, bound=0.05, remedy="raise solver.steps"
    )
    assert str(error) == "block 3: the block does not invert (value 0.5, bound 0.05); raise solver.steps"
    assert (InputError.exit_code, NumericalError.exit_code, ChainInUseError.exit_code) == (2, 3, 4)
