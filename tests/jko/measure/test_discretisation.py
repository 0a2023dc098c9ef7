"""The error of the fixed-step solver against a finer one: closed forms of linear fields, and convergence."""

from __future__ import annotations

import math

import pytest
import torch

from jko.maps.ode_block import Block, Solver
from jko.measure.discretisation import SolverError, solver_error
from tests.oracles import AffineField, identity_residual, normal, random_block, random_field

X = normal(600, 2, seed=0)


def error_of(*blocks: Block, x: torch.Tensor = X) -> SolverError:
    found = solver_error(blocks, x)
    assert found is not None
    return found


def test_of_a_contraction_it_is_the_known_error_of_rk4() -> None:
    """dx/dt = −.7 x: a step takes x to the polynomial of degree 4 of e^(−.7), and ∫ div is exactly −1.4."""
    block = Block(AffineField(-0.7 * torch.eye(2, dtype=torch.float64)), 0.5, Solver(steps=1))
    off = sum((-0.7) ** j / math.factorial(j) for j in range(5)) - math.exp(-0.7)
    found = error_of(block)
    assert found.w2.value == pytest.approx(abs(off) * float((X**2).sum(1).mean().sqrt()), rel=1e-3)
    assert found.w2.tail == 0
    assert found.log_det.value == pytest.approx(0, abs=1e-12)
    assert found.rows == len(X)
    squares = (off * X).pow(2).sum(1)
    expected = float(squares.std()) / math.sqrt(len(X)) / (2 * float(squares.mean().sqrt()))
    assert found.w2.se == pytest.approx(expected, rel=1e-2)


def test_the_errors_of_blocks_add_up_along_the_chain() -> None:
    block = Block(AffineField(-0.7 * torch.eye(2, dtype=torch.float64)), 0.5, Solver(steps=1))
    off = sum((-0.7) ** j / math.factorial(j) for j in range(5)) ** 2 - math.exp(-1.4)
    expected = abs(off) * float((X**2).sum(1).mean().sqrt())
    assert error_of(block, block).w2.value == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("probes", [0, 2])
def test_log_determinants_are_compared_with_those_of_a_far_finer_solver(probes: int) -> None:
    """Without Hutchinson's noise, whatever the chain's own are made with."""
    block = random_block("two_layers", 2, steps=1, probes=probes, size=0.5)
    assert isinstance(block, Block)
    with torch.no_grad():
        exact = block.exact()
        fine = exact.with_steps(64)(X).log_det
        expected = float((exact(X).log_det - fine).mean())
    found = error_of(block)
    assert abs(expected) > 1e-5
    assert found.log_det.value == pytest.approx(expected, rel=0.02)
    assert found.log_det.se > 0


def test_it_falls_with_the_fourth_power_of_the_steps() -> None:
    field = random_field("two_layers", 2, size=0.5)
    one, two = (error_of(Block(field, 0.5, Solver(steps=steps))).w2.value for steps in (4, 8))
    assert 10 < one / two < 40


def test_float32_counts_as_it_is_used() -> None:
    block = random_block("two_layers", 2, steps=16, dtype=torch.float32)
    assert isinstance(block, Block)
    found = error_of(block, x=X.float())
    assert 1e-9 < found.w2.value < 1e-5


def test_residual_blocks_have_no_steps() -> None:
    assert solver_error([identity_residual(2)], X) is None
