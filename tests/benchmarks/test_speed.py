"""The peer's block computes what ours does, and the timing takes turns."""

from __future__ import annotations

import pytest
import torch

from benchmarks.adjoint import TRACES, AdjointBlock
from benchmarks.compare import compare
from benchmarks.solving import Timed, in_processes, keep, new_chain
from benchmarks.speed import CASES, Case, agreement
from jko.energies.objective import jko_objective

SMALL = Case(3, (8, 8), 20, steps=8)


@pytest.mark.parametrize("trace", TRACES)
def test_the_adjoint_peer_has_our_objective(trace: str) -> None:
    """Probes are unbiased, so their mean over many rows is near; an exact trace is exact."""
    case = SMALL if trace.startswith("exact") else Case(3, (8, 8), 20_000, steps=8)
    block = case.block()
    peer = AdjointBlock(block.field, block.step_size, block.solver, TRACES[trace])
    mine, theirs = (float(jko_objective(one, case.rows()).total.detach()) for one in (block, peer))
    assert theirs == pytest.approx(mine, abs=1e-5 if trace.startswith("exact") else 0.02)


def test_objective_and_gradient_agree_with_the_adjoint() -> None:
    found = agreement("moons")
    assert found["objective"] < 1e-5
    assert found["gradient_relative"] < 1e-3


@pytest.mark.slow
def test_solvers_are_timed_in_processes_of_their_own() -> None:
    chain, rows = new_chain(torch.zeros(2), torch.ones(2)), torch.zeros(600, 2)
    weights = keep(chain.state_dict())
    few, many = (Timed("ours", steps, density=True, chain=weights, rows=keep(rows)) for steps in (1, 32))
    assert in_processes(few, many, 3).value > 4


def test_cases_are_blocks_that_move_rows() -> None:
    for case in CASES.values():
        x = case.rows()[:5]
        with torch.no_grad():
            assert (case.block().push_forward(x) - x).abs().max() > 1e-3


def test_two_computations_are_timed_in_turn() -> None:
    calls = []
    ratio = compare(lambda: calls.append("a"), lambda: calls.append("b"), 3)
    assert calls == ["a"] + ["a", "b"] * 4
    assert ratio.low <= ratio.value <= ratio.high
