"""A fit interrupted after any iteration goes on to the same bits: weights, moments, curve, roll-backs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest
import torch
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st
from torch import Tensor

from jko.config.sections import Training
from jko.maps.contraction import ContractionField
from jko.maps.invertible import InvertibleBlock
from jko.maps.ode_block import Block, Solver
from jko.maps.residual_block import ResidualBlock
from jko.maps.velocity import VelocityField
from jko.training.block_trainer import FitResult, fit_block
from jko.training.fit_numbers import FitNumbers
from jko.training.fit_state import FitState, copied
from tests.oracles import normal, stream

PLAIN = Training(
    flow_matching_iterations=7, flow_matching_learning_rate=0.02, iterations=6, learning_rate=0.02,
    batch_size=16, validate_every=3, jitter=0.0, weight_decay=0.01,
)  # fmt: skip

JKO_ONLY = PLAIN.model_copy(update={"flow_matching_iterations": 0, "iterations": 10})


class Interrupted(Exception):
    """The process ends here."""


def through_json(state: FitState) -> FitState:
    """A state as it comes back from a store."""
    return FitState.of(
        FitNumbers.model_validate_json(json.dumps(state.record().plain())), copied(state.tensors())
    )


@dataclass
class Memory:
    """Keeps every state, and ends the fit after one of its iterations."""

    start: FitState | None = None
    last: int | None = None
    states: dict[int, FitState] = field(default_factory=dict)

    def load(self) -> FitState | None:
        return self.start and through_json(self.start)

    def due(self) -> bool:
        return True

    def save(self, state: FitState) -> None:
        assert state.iteration not in self.states
        self.states[state.iteration] = state
        if state.iteration == self.last:
            raise Interrupted


@dataclass(frozen=True)
class Case:
    """One small fit.

    Args:
        settings: of the training.
        dtype: of weights and rows.
        warm: whether it starts from weights other than the identity's.
        bad_row: whether one training row is infinite, so that batches that meet it roll back.
        probes: Hutchinson probes, 0 for the exact divergence.
        fourier: random frequencies, which are a buffer of the field.
        residual: whether it is a residual block; flow matching is to be off then.
        seed: of the fit.
    """

    settings: Training = PLAIN
    dtype: torch.dtype = torch.float32
    warm: bool = False
    bad_row: bool = False
    probes: int = 0
    fourier: int = 0
    residual: bool = False
    seed: int = 0

    def new_block(self, draw: torch.Generator) -> InvertibleBlock:
        """The identity with these random weights."""
        if self.residual:
            contraction = ContractionField(2, (6,), generator=draw)
            return ResidualBlock(contraction.to(self.dtype), 0.5, self.probes)
        velocity = VelocityField(2, (6,), fourier=self.fourier, generator=draw)
        return Block(velocity.to(self.dtype), 0.5, Solver(steps=2, probes=self.probes))

    def block(self, *, fresh: bool = True) -> InvertibleBlock:
        """The block at its start; with ``fresh=False`` with weights that must not matter any more."""
        block = self.new_block(stream(0 if fresh else 9))
        if self.warm or not fresh:
            with torch.no_grad():
                for parameter in block.parameters():
                    noise = torch.randn(parameter.shape, generator=stream(parameter.numel()))
                    parameter.add_((0.1 if fresh else 2.0) * noise)
        return block

    def rows(self) -> tuple[Tensor, Tensor]:
        """Training and validation rows."""
        train, held_out = (normal(50, 2, seed=s).to(self.dtype) + 2 for s in (1, 2))
        if self.bad_row:
            train[0] = math.inf
        return train, held_out

    def fit(self, memory: Memory | None = None, block: Block | None = None) -> tuple[Block, FitResult]:
        """Run it, from the start or from what the memory holds."""
        block = block or self.block()
        return block, fit_block(
            block, *self.rows(), self.settings, seed=self.seed, index=3, checkpoints=memory
        )


CASES = {
    "float32": Case(),
    "float64": Case(dtype=torch.float64),
    "jitter": Case(PLAIN.model_copy(update={"jitter": 0.3})),
    "warm start": Case(PLAIN.model_copy(update={"jitter": 0.1}), torch.float64, warm=True),
    "roll-backs": Case(bad_row=True, seed=5),
    "roll-backs float64": Case(dtype=torch.float64, bad_row=True, warm=True, seed=4),
    "no flow matching": Case(PLAIN.model_copy(update={"flow_matching_iterations": 0}), warm=True),
    "flow matching only": Case(PLAIN.model_copy(update={"iterations": 0})),
    "every iteration": Case(PLAIN.model_copy(update={"validate_every": 1, "learning_rate": 0.5})),
    "at the ends only": Case(PLAIN.model_copy(update={"validate_every": 100})),
    "probes and frequencies": Case(probes=2, fourier=3),
    "residual": Case(JKO_ONLY, residual=True, warm=True),
    "residual by series": Case(JKO_ONLY, torch.float64, residual=True, probes=2),
    "residual, roll-backs": Case(JKO_ONLY, residual=True, bad_row=True, seed=5),
}


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> None:
    """Equal names, dtypes and bits."""
    assert list(one) == list(other)
    for name, value in one.items():
        assert value.dtype == other[name].dtype, name
        assert value.cpu().numpy().tobytes() == other[name].cpu().numpy().tobytes(), name


def same_state(one: FitState, other: FitState) -> None:
    assert one.record() == other.record()
    same(one.tensors(), other.tensors())


def same_result(one: tuple[Block, FitResult], other: tuple[Block, FitResult]) -> None:
    """Also where a loss is nan: the text of a float is exact."""
    same(one[0].state_dict(), other[0].state_dict())
    assert repr(one[1]) == repr(other[1])


@dataclass(frozen=True)
class Whole:
    """A case, run through without interruption."""

    case: Case
    outcome: tuple[Block, FitResult]
    states: dict[int, FitState]


@pytest.fixture(scope="module", params=CASES, ids=str)
def whole(request: pytest.FixtureRequest) -> Whole:
    case, memory = CASES[request.param], Memory()
    return Whole(case, case.fit(memory), memory.states)


def test_keeping_states_changes_nothing(whole: Whole) -> None:
    same_result(whole.outcome, whole.case.fit())
    settings = whole.case.settings
    assert list(whole.states) == list(range(1, settings.flow_matching_iterations + settings.iterations + 1))


def test_interrupted_after_any_iteration_it_ends_with_the_same_bits(whole: Whole) -> None:
    """Every later state is the same too, whatever weights the new process starts with."""
    for last in whole.states:
        first = Memory(last=last)
        with pytest.raises(Interrupted):
            whole.case.fit(first)
        second = Memory(start=first.states[last])
        same_result(whole.outcome, whole.case.fit(second, whole.case.block(fresh=False)))
        assert list(second.states) == [i for i in whole.states if i > last]
        for iteration, state in second.states.items():
            same_state(state, whole.states[iteration])


def test_interrupted_after_every_iteration_in_a_row(whole: Whole) -> None:
    memory: Memory = Memory(last=1)
    for iteration in whole.states:
        with pytest.raises(Interrupted):
            whole.case.fit(memory, whole.case.block(fresh=iteration == 1))
        assert list(memory.states) == [iteration]
        memory = Memory(start=memory.states[iteration], last=iteration + 1)
    same_result(whole.outcome, whole.case.fit(memory, whole.case.block(fresh=False)))


def test_the_cases_are_what_their_names_say() -> None:
    """Roll-backs within a phase, at its ends and at the end of all; a best before the end."""
    for name, iterations in (("roll-backs", [4, 7, 12]), ("roll-backs float64", [7, 8, 13])):
        memory = Memory()
        _, result = CASES[name].fit(memory)
        assert [i for i, state in memory.states.items() if not state.moments] == iterations
        assert [memory.states[i].rollbacks for i in iterations] == [1, 2, 3]
        assert result.rollbacks == 3
    _, result = CASES["every iteration"].fit()
    assert 0 < result.best.iteration < result.curve[-1].iteration


@profile(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_small_fit_interrupted_anywhere_any_number_of_times(data: st.DataObject) -> None:
    matching, jko = data.draw(st.integers(0, 5)), data.draw(st.integers(0, 5))
    settings = PLAIN.model_copy(
        update={
            "flow_matching_iterations": matching,
            "iterations": jko,
            "validate_every": data.draw(st.integers(1, 4)),
            "jitter": data.draw(st.sampled_from([0.0, 0.2])),
            "clip": data.draw(st.sampled_from([0.1, 5.0])),
        }
    )
    case = Case(
        settings, data.draw(st.sampled_from([torch.float32, torch.float64])), warm=data.draw(st.booleans()),
        probes=data.draw(st.integers(0, 1)), seed=data.draw(st.integers(0, 9)),
    )  # fmt: skip
    stops = sorted(data.draw(st.sets(st.integers(1, max(matching + jko, 1)), max_size=4)))
    memory = Memory()
    for stop in stops:
        if stop <= matching + jko:
            memory.last = stop
            with pytest.raises(Interrupted):
                case.fit(memory)
            memory = Memory(start=memory.states[stop])
    same_result(case.fit(), case.fit(memory))


def test_a_state_is_not_changed_by_the_training_after_it() -> None:
    case, memory = CASES["float32"], Memory()
    case.fit(memory)
    kept = through_json(memory.states[3])
    case.fit(Memory(start=memory.states[3]))
    same_state(kept, memory.states[3])


def test_a_state_fits_its_own_fit_only() -> None:
    case, memory = CASES["float32"], Memory()
    block, _ = case.fit(memory)
    assert all(state.fits(block, case.settings) for state in memory.states.values())
    state = memory.states[9]
    assert not state.fits(CASES["float64"].block(), case.settings)
    assert not state.fits(CASES["probes and frequencies"].block(), case.settings)
    assert not state.fits(CASES["residual"].block(), case.settings)
    assert not state.fits(block, CASES["no flow matching"].settings)
    for name in state.moments:
        rest = {key: value for key, value in state.moments.items() if key != name}
        assert not replace(state, moments=rest).fits(block, case.settings)
    for changes in (
        {"phase": "other"}, {"step": 0}, {"step": 7, "iteration": 14}, {"iteration": 10}, {"weights": {}},
        {"best_weights": {}}, {"moments": {"field.time.weight/exp": torch.zeros(())}},
    ):  # fmt: skip
        assert not replace(state, **changes).fits(block, case.settings), changes
    assert replace(state, moments={}).fits(block, case.settings)


@pytest.mark.parametrize("harm", ["no curve", "short curve", "other group", "no group"])
def test_tensors_of_something_else_are_a_value_error(harm: str) -> None:
    memory = Memory()
    CASES["float32"].fit(memory)
    record, tensors = memory.states[9].record(), memory.states[9].tensors()
    if harm == "no curve":
        del tensors["curve"]
    elif harm == "short curve":
        tensors["curve"] = tensors["curve"][:, :4]
    elif harm == "other group":
        tensors["other/x"] = torch.zeros(1)
    else:
        tensors["x"] = torch.zeros(1)
    with pytest.raises(ValueError, match=r"fit|unpack"):
        FitState.of(record, tensors)


@pytest.mark.parametrize(
    "values", [{}, {"step": None}, {"step": 1.5}, {"step": True}, {"step": 1, "phase": "other"}]
)
def test_numbers_of_something_else_are_a_value_error(values: dict) -> None:
    whole = {"phase": "jko", "iteration": 3, "rollbacks": 0}
    assert FitNumbers.model_validate({**whole, "step": 1}).step == 1
    with pytest.raises(ValueError, match=r"step|phase"):
        FitNumbers.model_validate({**whole, **values})
