"""The model of a chain and a broad law: its floor, its mass, its samples, its price."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from jko.chain.chain import Chain
from jko.chain.defence import Defence, price, total_variation
from jko.core.context import state_of
from jko.laws.student_t import StudentT
from jko.maps.spline import smooth_slopes
from jko.maps.start_map import Marginals
from jko.maps.triangular import MixtureMap
from tests.oracles import affine_block, grid, identity_block, normal, random_block, random_chain, stream


def student(dim: int, degrees: float = 3.0, width: float = 1.5) -> StudentT:
    factor = width * torch.eye(dim) + 0.2 * torch.ones(dim, dim).tril(-1)
    return StudentT(torch.full((dim,), 0.3), factor, degrees)


def defended(chain: Chain, share: float, law: StudentT | None = None) -> Chain:
    defence = Defence(share, law or student(chain.dim))
    return Chain(list(chain), chain.shift, chain.scale, context=chain.context, defence=defence)


def test_no_row_is_below_the_floor() -> None:
    """log η + log q_broad, also where the blocks' float32 overflows or their numbers are none."""
    chain = random_chain(2, dtype=torch.float32)
    model = defended(chain, 1e-3)
    size = torch.tensor([0.0, 1.0, 30.0, 1e3, 1e6, 1e20, 1e39, 1e200], dtype=torch.float64)[:, None]
    x = torch.cat([torch.ones(2) * size, torch.tensor([[1.0, -1.0]]) * size])
    values, errors = model.log_prob(x)
    alone, _ = chain.log_prob(x)
    broad = model.broad_log_prob(x)
    assert broad is not None
    assert not alone.isfinite().all()  # without a defence these rows have no score
    assert values.isfinite().all()
    assert (values >= math.log(1e-3) + broad).all()
    assert errors.isfinite().all()
    whole = alone.isfinite()
    assert (values[whole] >= alone[whole] - price(1e-3) - 1e-12).all()


def test_the_model_is_the_mixture_of_both_densities() -> None:
    chain = random_chain(3)
    model, x = defended(chain, 0.2), 2 * normal(40, 3, seed=1)
    law, y = student(3), (x - chain.shift) / chain.scale
    scale = (law.factor @ law.factor.mT).numpy()
    broad = stats.multivariate_t(law.location.numpy(), scale, df=3).pdf(y.numpy()) / float(chain.scale.prod())
    expected = 0.8 * chain.log_prob(x)[0].exp().numpy() + 0.2 * broad
    np.testing.assert_allclose(model.log_prob(x)[0].exp().numpy(), expected, rtol=1e-9)


def test_the_density_integrates_to_one() -> None:
    """Over the half-line's tails as well: tan maps (−π/2, π/2) to the line."""
    model = defended(random_chain(1), 0.3, student(1, degrees=1.0))
    angle = (torch.arange(20000, dtype=torch.float64) + 0.5) / 20000 * math.pi - math.pi / 2
    density = model.log_prob(angle.tan()[:, None])[0].exp()
    assert float((density / angle.cos() ** 2).mean() * math.pi) == pytest.approx(1, abs=1e-4)


def test_in_the_plane_it_does_too() -> None:
    model = defended(random_chain(2), 0.1, student(2, degrees=30.0, width=0.8))
    nodes, cell = grid(2, 14.0, 161)
    assert float(model.log_prob(torch.from_numpy(nodes))[0].exp().sum() * cell) == pytest.approx(1, abs=1e-4)


def test_samples_follow_the_density() -> None:
    """A chain that is N(0, 1) and a broad law of half the weight: Kolmogorov and Smirnov."""
    unit = torch.ones(1, dtype=torch.float64)
    law = StudentT(torch.tensor([4.0]), torch.tensor([[2.0]]), 2.0)
    model = defended(Chain([identity_block(1)], 0 * unit, unit), 0.5, law)
    x = model.sample(4000, seed=3)[:, 0].numpy()
    both = lambda v: 0.5 * stats.norm.cdf(v) + 0.5 * stats.t(2, loc=4, scale=2).cdf(v)  # noqa: E731
    assert stats.kstest(x, both).pvalue > 0.01
    assert stats.kstest(x, stats.norm.cdf).pvalue < 1e-6


def test_the_other_samples_are_those_of_the_chain_alone() -> None:
    chain = random_chain(2, dtype=torch.float32)
    model = defended(chain, 0.05)
    one, other = model.sample(2000, seed=7), chain.sample(2000, seed=7)
    differ = (one != other).any(1)
    assert torch.equal(one, model.sample(2000, seed=7))
    assert abs(float(differ.double().mean()) - 0.05) < 4 * (0.05 * 0.95 / 2000) ** 0.5
    chosen, _ = model.defence.draws(2000, 7)  # type: ignore[union-attr]
    assert torch.equal(differ.nonzero()[:, 0], chosen)


def test_without_a_defence_every_bit_is_as_before() -> None:
    chain = random_chain(2, dtype=torch.float32, probes=2)
    x = normal(50, 2, seed=0)
    pushed = chain(x)
    values, errors = chain.log_prob(x)
    assert torch.equal(values, chain.reference_log_prob(pushed.x) + pushed.log_det)
    assert torch.equal(errors, pushed.log_det_se)
    z = torch.randn(30, 2, generator=stream(5), dtype=torch.float64)
    assert torch.equal(chain.sample(30, seed=5), chain.inverse(z))
    assert chain.broad_log_prob(x) is None


def test_forward_and_inverse_are_the_blocks_alone() -> None:
    chain, x = random_chain(2), normal(20, 2, seed=1)
    model = defended(chain, 0.3)
    assert torch.equal(model(x).x, chain(x).x)
    assert torch.equal(model.inverse(x), chain.inverse(x))


def test_the_price_is_at_most_that_of_the_share() -> None:
    """Rows of the chain's own law: mean NLL with the defence less without, by many draws."""
    chain = random_chain(2)
    x = chain.sample(20_000, seed=1)
    paid = chain.log_prob(x)[0] - defended(chain, 1e-3).log_prob(x)[0]
    assert 0 < float(paid.mean()) <= price(1e-3) <= 0.00101
    assert float(paid.max()) <= price(1e-3) + 1e-12


def test_one_exploding_row_costs_the_floor_and_no_more() -> None:
    """A chain that sends far rows to −1e5 nats: the mean is that of the others and one floor."""
    unit = torch.ones(1, dtype=torch.float64)
    chain = Chain([affine_block([400.0], [0.0])], 0 * unit, unit)
    x = torch.tensor([[0.001], [1.0]], dtype=torch.float64)
    alone, model = chain.log_prob(x)[0], defended(chain, 1e-3).log_prob(x)[0]
    assert float(alone[1]) < -70_000
    assert float(model[1]) > -12
    assert float(model[0]) == pytest.approx(float(alone[0]) - price(1e-3), abs=1e-4)


def test_errors_shrink_where_the_broad_law_decides() -> None:
    """d log q = part of the chain · d log q_chain."""
    defence = Defence(0.5, student(1))
    values = torch.tensor([0.0, -2.0, -50.0, math.nan, math.inf]).double()
    broad = torch.full((5,), -2.0).double()
    errors = torch.tensor([0.1, 0.1, 0.1, math.nan, math.nan]).double()
    found, spread = defence.mixed(values, errors, broad)
    part = (values[:3].exp() / (values[:3].exp() + math.exp(-2))).nan_to_num()
    torch.testing.assert_close(spread[:3], 0.1 * part)
    torch.testing.assert_close(found[3:], torch.full((2,), math.log(0.5) - 2).double())
    assert spread[3:].tolist() == [0, 0]
    assert defence.carried(values, broad).tolist() == [False, False, True, True, True]


def test_the_gradient_flows_through_the_mixture() -> None:
    defence = Defence(0.3, student(2))
    x = (2 * normal(5, 2, seed=3)).requires_grad_()

    def model(rows: torch.Tensor) -> torch.Tensor:
        chain = -0.5 * rows.square().sum(-1) - math.log(2 * math.pi)
        return defence.mixed(chain, torch.zeros_like(chain), defence.law.log_prob(rows))[0]

    assert torch.autograd.gradcheck(model, (x,))
    far = torch.full((1, 2), 1e6, dtype=torch.float64, requires_grad=True)
    model(far).sum().backward()
    assert far.grad is not None
    assert float(far.grad.abs().max()) > 0  # it points home where the normal law has nothing to say


def bent() -> Marginals:
    """A spline of one column whose tails have other slopes than its middle."""
    knots, values = np.array([-2.0, -1.0, 0.5, 2.0]), np.array([-3.0, -0.5, 0.5, 1.0])
    return Marginals(*(torch.from_numpy(one)[None] for one in (knots, values, smooth_slopes(knots, values))))


def test_behind_a_start_map_the_broad_law_is_of_start_coordinates() -> None:
    """A density in data units still: mass one, a floor far out, and samples that follow it."""
    chain = random_chain(1)
    defence = Defence(0.5, student(1, degrees=2.0))
    model = Chain(list(chain), chain.shift, chain.scale, start=bent(), defence=defence)
    angle = (torch.arange(40000, dtype=torch.float64) + 0.5) / 40000 * math.pi - math.pi / 2
    density = model.log_prob(angle.tan()[:, None])[0].exp() / angle.cos() ** 2 * math.pi / 40000
    assert float(density.sum()) == pytest.approx(1, abs=1e-4)
    mass = density.cumsum(0).numpy()
    drawn = np.arctan(model.sample(4000, seed=2)[:, 0].numpy())
    assert stats.kstest(np.interp(drawn, angle.numpy(), mass), "uniform").pvalue > 0.01
    far = torch.tensor([[1e30], [-1e200]], dtype=torch.float64)
    assert model.log_prob(far)[0].isfinite().all()
    x = torch.tensor([[0.4], [-3.0], [40.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(model.broad_log_prob, (x,))


def test_behind_a_map_with_curved_tails_the_broad_law_is_of_standardised_units() -> None:
    """The log-determinant of a mixture's map is the difference of two squares; far out none of it is left."""
    weights, means = torch.tensor([0.4, 0.6]).log(), torch.tensor([[-1.0], [1.5]])
    start = MixtureMap(weights, means, torch.tensor([[[0.4]], [[0.8]]]))
    unit = torch.ones(1, dtype=torch.float64)
    chain = Chain([identity_block(1)], unit, 2 * unit, start=start)
    model = Chain(
        list(chain), unit, 2 * unit, start=start, defence=Defence(0.5, student(1, degrees=2.0))
    )  # fmt: skip
    far = torch.tensor([[1e9], [-1e30], [1e200]], dtype=torch.float64)
    values, broad = model.log_prob(far)[0], model.broad_log_prob(far)
    assert broad is not None
    assert not chain.log_prob(far)[0].isfinite().all()
    assert values.isfinite().all()
    assert (values >= broad + math.log(0.5)).all()
    angle = (torch.arange(40000, dtype=torch.float64) + 0.5) / 40000 * math.pi - math.pi / 2
    density = model.log_prob(angle.tan()[:, None])[0].exp() / angle.cos() ** 2 * math.pi / 40000
    assert float(density.sum()) == pytest.approx(1, abs=1e-4)
    drawn = np.arctan(model.sample(2000, seed=2)[:, 0].numpy())
    mass = density.cumsum(0).numpy()
    assert stats.kstest(np.interp(drawn, angle.numpy(), mass), "uniform").pvalue > 0.01


def test_with_a_context_the_broad_law_is_of_the_state() -> None:
    """A density of x for every u: it integrates to one, and samples keep their contexts' chain."""
    block = random_block("two_layers", 1, seed=2)
    unit = torch.ones(2, dtype=torch.float64)
    chain = ContextChain([block], 0 * unit, 2 * unit)
    model = Chain(list(chain), chain.shift, chain.scale, context=1, defence=Defence(0.3, student(1, 30.0)))
    nodes, cell = grid(1, 60.0, 6001)
    for u in (-1.0, 2.0):
        given = torch.tensor([u]).double()
        density = model.log_prob(torch.from_numpy(nodes), context=given)[0].exp()
        assert float(density.sum() * cell) == pytest.approx(1, abs=1e-3)
    drawn = model.sample(200, context=torch.tensor([1.0]).double(), seed=1)
    assert drawn.shape == (200, 1)


class ContextChain(Chain):
    """Blocks of the state that pass a context on."""

    def __init__(self, blocks, shift, scale) -> None:
        super().__init__([PassingBlock(block) for block in blocks], shift, scale, context=1)


class PassingBlock(type(identity_block(1))):  # type: ignore[misc]
    """A block of the state behind which the context stays what it is."""

    def __init__(self, block) -> None:
        super().__init__(block.field, block.step_size, block.solver)

    def draw_probes(self, x, generator=None):
        return None

    def _push(self, x, probes):
        pushed = super()._push(state_of(x, 1), None)
        return type(pushed)(torch.cat([pushed.x, x[:, 1:]], 1), pushed.log_det, pushed.log_det_se)

    def pull_back(self, y):
        return torch.cat([super().pull_back(state_of(y, 1)), y[:, 1:]], 1)


def test_the_price_and_the_total_variation() -> None:
    assert price(0.0) == 0
    assert price(1e-3) == pytest.approx(1.0005e-3, rel=1e-4)
    assert total_variation(0.4, 0.1) == pytest.approx(0.46)
    assert total_variation(1.0, 0.1) == 1
