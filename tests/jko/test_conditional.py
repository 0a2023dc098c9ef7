"""Blocks and chains with a context: the context stays, and everything else is of the state given it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from jko.chain.chain import Chain
from jko.config.sections import Measure, Training
from jko.core.context import joined, reference_rows, state_of, with_context
from jko.core.errors import InputError
from jko.energies.objective import jko_objective
from jko.energies.scheme import Step
from jko.maps.jacobian import jacobian
from jko.maps.ode_block import Block, Solver
from jko.maps.velocity import VelocityField
from jko.measure.measures import HeldOut, measure_block
from jko.measure.residual import LinearCritic
from jko.statistics.two_sample import energy_test, kl_lower_bound
from jko.training.block_trainer import fit_block, flow_matching_loss
from tests.oracles import FIELD_KINDS, normal, stream
from tests.oracles import jacobian as autograd_jacobian

DIM, CONTEXT = 3, 2
TIME = torch.tensor(0.37, dtype=torch.float64)


def conditional_field(kind: str, dim: int = DIM, context: int = CONTEXT) -> VelocityField:
    """All parameters non-zero: N(0, 0.4²)."""
    field = VelocityField(dim, **FIELD_KINDS[kind], context=context, generator=stream(0)).double()
    with torch.no_grad():
        for parameter in field.parameters():
            parameter.normal_(0, 0.4, generator=stream(parameter.numel()))
    return field


def rows(count: int = 8, *, seed: int = 1) -> Tensor:
    return normal(count, DIM + CONTEXT, seed=seed)


@pytest.mark.parametrize("kind", FIELD_KINDS)
def test_the_context_has_no_velocity_and_matters(kind: str) -> None:
    field, x = conditional_field(kind), rows()
    other = torch.cat([x[:, :DIM], x[:, DIM:] + 1], 1)
    velocity = field(x, TIME)
    assert torch.equal(velocity[:, DIM:], torch.zeros(8, CONTEXT, dtype=x.dtype))
    assert (velocity - field(other, TIME))[:, :DIM].abs().min() > 1e-4
    pushed = Block(field, 0.5)(x)
    assert torch.equal(pushed.x[:, DIM:], x[:, DIM:])


@pytest.mark.parametrize("kind", FIELD_KINDS)
def test_the_divergence_is_the_trace_over_the_state(kind: str) -> None:
    field, x = conditional_field(kind), rows()
    velocity, div = field.with_divergence(x, TIME)
    whole = autograd_jacobian(lambda y: field(y, TIME), x)
    trace = whole[:, :DIM, :DIM].diagonal(dim1=1, dim2=2).sum(-1)
    torch.testing.assert_close(div, trace, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(velocity, field(x, TIME), rtol=1e-12, atol=1e-12)
    signs = torch.sign(normal(2, *x.shape, seed=3))
    estimates = field.probed(signs)(x, TIME)[1]
    e = signs[..., :DIM]
    wanted = torch.einsum("pni,nij,pnj->np", e, whole[:, :DIM, :DIM], e)
    torch.testing.assert_close(estimates, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", FIELD_KINDS)
def test_a_block_goes_back_and_its_log_det_is_that_of_the_state(kind: str) -> None:
    block, x = Block(conditional_field(kind), 0.5, Solver(steps=24)), rows()
    pushed = block(x)
    torch.testing.assert_close(block.pull_back(pushed.x), x, rtol=1e-4, atol=1e-4)
    square = jacobian(block, x)
    assert square.shape == (8, DIM, DIM)
    torch.testing.assert_close(pushed.log_det, torch.linalg.slogdet(square)[1], rtol=1e-4, atol=1e-4)
    exact = block.pull_back_exactly(pushed.x, index=1)
    torch.testing.assert_close(exact, x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", FIELD_KINDS)
@pytest.mark.parametrize("probes", [0, 2])
def test_every_parameter_gets_a_gradient(kind: str, probes: int) -> None:
    block = Block(conditional_field(kind), 0.5, Solver(steps=2, probes=probes))
    jko_objective(block, rows(32), stream(6)).total.backward()
    flow_matching_loss(block, rows(32), stream(7)).backward()
    for name, parameter in block.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_a_new_field_is_zero_and_has_the_weights_of_one_without_context() -> None:
    plain, conditional = (VelocityField(DIM, (6, 5), context=c, generator=stream(2)) for c in (0, CONTEXT))
    assert set(plain.state_dict()) == set(conditional.state_dict()) - {"conditioning.weight", "shift.weight"}
    for name, value in plain.state_dict().items():
        assert torch.equal(value, conditional.state_dict()[name]), name
    assert conditional.conditioning.weight.abs().min() > 0
    x = rows().float()
    assert torch.equal(conditional(x, torch.tensor(0.5)), torch.zeros_like(x))


def test_objective_and_flow_matching_are_of_the_state() -> None:
    """The context's own squares would enter otherwise."""
    block, x = Block(VelocityField(DIM, (6,), context=CONTEXT, generator=stream(0)).double(), 0.5), rows(64)
    big = torch.cat([x[:, :DIM], 100 * x[:, DIM:]], 1)
    terms = jko_objective(block, big)
    assert float(terms.total.detach()) == pytest.approx(float(0.5 * (x[:, :DIM] ** 2).sum(-1).mean()))
    loss = flow_matching_loss(block, big, stream(1))
    pair = Step().pair(x[:, :DIM], 0.5, stream(1))
    assert float(loss.detach()) == pytest.approx(float(((pair - x[:, :DIM]) ** 2).mean()))


@pytest.mark.parametrize("scheme", ["forward_euler", "forward_backward"])
def test_the_other_schemes_see_the_state_only(scheme: str) -> None:
    """At the identity the objective does not depend on the scale of the context."""
    block, x = Block(VelocityField(DIM, (6,), context=CONTEXT, generator=stream(0)).double(), 0.5), rows(64)
    big = torch.cat([x[:, :DIM], 100 * x[:, DIM:]], 1)
    one, other = (Step(scheme=scheme).objective(block, y).total for y in (x, big))
    torch.testing.assert_close(one, other)


def conditional_gaussian(count: int, *, seed: int) -> Tensor:
    """Rows (x, c) with c = ±1 and x ~ N(2c, 1.5²)."""
    c = torch.sign(normal(count, 1, seed=seed))
    return torch.cat([2 * c + 1.5 * normal(count, 1, seed=seed + 1), c], 1)


@pytest.fixture(scope="module")
def trained() -> tuple[Block, Tensor]:
    """One JKO step, γ = 1, of a Gaussian whose mean is the context's."""
    field = VelocityField(1, (16,), context=1, generator=stream(0)).double()
    block, held_out = Block(field, 1.0), conditional_gaussian(2000, seed=20)
    settings = Training(
        flow_matching_iterations=150, flow_matching_learning_rate=0.02, iterations=200, learning_rate=0.01,
        batch_size=512, validate_every=50,
    )  # fmt: skip
    fit_block(block, conditional_gaussian(4000, seed=10), held_out, settings, seed=0, index=1)
    return block, held_out


def test_a_trained_step_follows_the_closed_form_for_each_context(trained: tuple[Block, Tensor]) -> None:
    """Mean m/(1+γ) and width [s + √(s² + 4γ(1+γ))]/(2(1+γ)), theory.md section 6."""
    block, _ = trained
    width = (1.5 + math.sqrt(1.5**2 + 8)) / 4
    for c in (-1.0, 1.0):
        x = torch.full((4000, 2), c, dtype=torch.float64)
        x[:, 0] = 2 * c + 1.5 * normal(4000, seed=5)
        y = block.push_forward(x).detach()[:, 0]
        assert float(y.mean()) == pytest.approx(c, abs=0.12)
        assert float(y.std()) == pytest.approx(width, abs=0.06)


def test_its_figures_are_averages_over_contexts(trained: tuple[Block, Tensor]) -> None:
    """KL falls from 2 + ½(1.5² − 1) − log 1.5 to that of N(±1, width²); the marginal law has others."""
    block, x = trained
    with torch.no_grad():
        pushed = block(x)
    zero = torch.zeros_like(pushed.log_det)
    held_out = HeldOut(x, pushed.x, pushed.log_det, zero, pushed.log_det)
    found = measure_block([block], held_out, Measure(reference_rows=50, critic_centres=5))
    width = (1.5 + math.sqrt(1.5**2 + 8)) / 4
    kl = [0.5 * (m**2 + s**2 - 1) - math.log(s) for m, s in ((2, 1.5), (1, width))]
    assert found.kl_drop == pytest.approx(kl[0] - kl[1], abs=0.2)
    assert abs(found.identity_mean) < 0.15
    assert abs(found.identity_covariance) < 0.5
    assert found.epsilon_squared < 0.1
    # E|∇V + ∇log p|² given the context: m² + (s − 1/s)²
    assert found.fisher == pytest.approx(1 + (width - 1 / width) ** 2, abs=0.25)
    assert 0.5 * kl[1] < found.kl_lower_classifier < kl[1] + 3 * found.kl_lower_classifier_se + 0.1
    assert found.kappa == pytest.approx(0, abs=1e-9)  # one dimension


def test_the_critic_sees_what_only_the_context_shows() -> None:
    """The mixture of N(1, .5²) and N(−1, .5²) has mean 0, so a critic without context sees no shift."""
    c = torch.sign(normal(4000, 1, seed=3))
    y = torch.cat([c + normal(4000, 1, seed=4), c], 1)
    u = y[:, :1]
    assert LinearCritic(y, dim=1).estimate(u).value == pytest.approx(1.0, abs=0.1)
    blind = LinearCritic(y[:, :1]).estimate(u).value
    assert blind == pytest.approx(0.5, abs=0.1)  # affine class on variance 2: (s − 1/s)²


def test_a_constant_column_of_the_context_does_no_harm() -> None:
    y = torch.cat([normal(500, 2, seed=1), torch.ones(500, 1, dtype=torch.float64)], 1)
    assert math.isfinite(LinearCritic(y, dim=2, centres=5).estimate(y[:, :2]).value)


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_tests_against_the_reference_keep_the_context(shift: float) -> None:
    """A state N(shift·c, 1) is N(0, 1) given c for no shift only, whatever the law of c."""
    c = torch.sign(normal(1000, 1, seed=3)) * 3
    y = torch.cat([shift * c + normal(1000, 1, seed=4), c], 1)
    found, bound = energy_test(y, dim=1, permutations=199), kl_lower_bound(y, dim=1)
    assert (found.p < 0.02) == bool(shift)
    assert (bound.value > 2 * bound.se) == bool(shift)
    assert bound.value < 0.5 * (3 * shift) ** 2 + 3 * bound.se + 0.05


def linear_chain() -> Chain:
    """x given u is N(a + 2u, 9) for x = 3 z + 2u + a, through shift and scale and one linear block."""
    field = VelocityField(1, (4,), context=1, generator=stream(0)).double()
    with torch.no_grad():
        field.shift.weight.fill_(-0.5)
    shift = torch.tensor([5.0, 1.0], dtype=torch.float64)
    return Chain([Block(field, 1.0)], shift, torch.tensor([3.0, 2.0], dtype=torch.float64), context=1)


def test_a_chain_samples_and_scores_given_the_context() -> None:
    """z = (x − 5)/3 − ½(u − 1)/2, so x given u is N(5 + ¾(u − 1), 9)."""
    chain = linear_chain()
    x = 5 + 3 * normal(20, 1, seed=1)
    for u in (-1.0, 4.0):
        given = torch.tensor([u], dtype=torch.float64)
        mean = 5 + 0.75 * (u - 1)
        wanted = -0.5 * ((x[:, 0] - mean) / 3) ** 2 - math.log(3) - 0.5 * math.log(2 * math.pi)
        torch.testing.assert_close(chain.log_prob(x, context=given)[0], wanted)
        together = torch.cat([x, given.expand(20, 1)], 1)
        assert torch.equal(chain.log_prob(together)[0], chain.log_prob(x, context=given)[0])
        drawn = chain.sample(4000, context=given, seed=3)
        assert drawn.shape == (4000, 1)
        assert float(drawn.mean()) == pytest.approx(mean, abs=0.15)
        assert float(drawn.std()) == pytest.approx(3, abs=0.15)


def test_contexts_that_do_not_fit_are_refused() -> None:
    chain, x = linear_chain(), normal(5, 1, seed=1)
    for context in (None, torch.zeros(2), torch.zeros(4, 1)):
        with pytest.raises(InputError, match="context"):
            chain.log_prob(x, context=context)
    plain = Chain([], torch.zeros(1), torch.ones(1))
    with pytest.raises(InputError, match="context"):
        plain.sample(5, context=torch.zeros(1))


def test_parts_of_rows() -> None:
    x, state = rows(4), normal(4, DIM, seed=9)
    assert state_of(state, DIM) is state
    assert with_context(state, state) is state
    assert torch.equal(with_context(state, x), torch.cat([state, x[:, DIM:]], 1))
    assert torch.equal(joined(state, x[0, DIM:], CONTEXT)[:, DIM:], x[:1, DIM:].expand(4, -1))
    drawn = reference_rows(x, DIM, stream(0))
    assert torch.equal(drawn[:, DIM:], x[:, DIM:])
    assert not torch.equal(drawn[:, :DIM], x[:, :DIM])
