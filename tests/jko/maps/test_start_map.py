"""Start maps: increasing, inverted exactly, with the log-determinant of what they do."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from jko.chain.chain import Chain
from jko.core.errors import InputError
from jko.maps.ode_block import Block, Solver
from jko.maps.spline import smooth_slopes
from jko.maps.start_fit import fit_marginals, fit_start, fit_whiten
from jko.maps.start_kinds import start_map
from jko.maps.start_map import Marginals, log_normal_density
from jko.maps.velocity import VelocityField

ROWS = 2000


def columns(name: str, rows: int = ROWS, seed: int = 0) -> np.ndarray:
    """Columns of the kinds that tables have, standardised."""
    draw = np.random.default_rng(seed)
    percent = np.where(draw.random(rows) < 0.45, 0, np.round(100 * draw.beta(2, 7, rows), 1))
    made = {
        "normal": draw.normal(size=rows),
        "log-normal": np.exp(2 * draw.normal(size=rows)),
        "zeros": percent + 0.1 * (draw.random(rows) - 0.5),
        "grid": draw.poisson(3, rows) + draw.random(rows) - 0.5,
        "heavy": draw.standard_t(1.5, rows),
        "capped": np.minimum(draw.exponential(size=rows), 1.5) + 1e-3 * draw.random(rows),
        "atom": np.where(draw.random(rows) < 0.3, 0.0, draw.normal(size=rows)),
        "gap": np.where(draw.random(rows) < 0.5, -5, 5) + 0.1 * draw.normal(size=rows),
    }[name]
    standard = (made - made.mean()) / made.std()
    return standard[:, None]


KINDS = ("normal", "log-normal", "zeros", "grid", "heavy", "capped", "atom", "gap")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [20, ROWS])
def test_the_inverse_is_exact_also_far_out(kind: str, rows: int) -> None:
    u = columns(kind, rows)
    spline = fit_marginals(u, rows)
    far = np.concatenate([u, [[-1e4], [1e4]], np.linspace(u.min(), u.max(), 999)[:, None]])
    z, log_det = spline(torch.from_numpy(far))
    assert log_det.isfinite().all()
    back = spline.inverse(z).numpy()
    np.testing.assert_allclose(back, far, rtol=1e-9, atol=1e-9)
    # in the precision in which rows are stored
    stored = spline.inverse(z.float().double()).numpy()
    steep = torch.exp(-log_det).clamp(min=1).numpy()[:, None]
    assert (np.abs(stored - far) <= 1e-6 * steep * (1 + np.abs(z.numpy()))).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_density_integrates_to_one(kind: str) -> None:
    spline = fit_marginals(columns(kind), ROWS)
    # a grid that follows the map: equal steps of z, so that no narrow part is stepped over
    z = torch.linspace(-12, 12, 400_001, dtype=torch.float64)[:, None]
    u = spline.inverse(z)
    log_p = log_normal_density(spline(u)[0][:, 0]) + spline(u)[1]
    mass = torch.trapezoid(log_p.exp(), u[:, 0])
    assert mass.item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_log_determinant_is_that_of_the_map(kind: str) -> None:
    spline = fit_marginals(columns(kind), ROWS)
    u = torch.from_numpy(columns(kind, 300, seed=1)).requires_grad_()
    z, log_det = spline(u)
    (slope,) = torch.autograd.grad(z.sum(), u)
    torch.testing.assert_close(log_det, slope.log().sum(1))
    torch.testing.assert_close(spline.log_det_at(z.detach()), log_det.detach(), rtol=1e-6, atol=1e-6)


def test_the_slope_has_no_jump_between_knots() -> None:
    at, z = np.array([-2.0, -0.5, 0.0, 0.01, 3.0]), np.array([-1.5, -1.0, 0.5, 1.0, 1.7])
    spline = Marginals(*(torch.from_numpy(part)[None] for part in (at, z, smooth_slopes(at, z))))
    for knot in at:
        near = knot + torch.tensor([-1e-5, -1e-6, 1e-6, 1e-5], dtype=torch.float64)
        slope = spline(near[:, None])[1].exp()
        left, right = (slope[1] - slope[0]) / 9e-6, (slope[3] - slope[2]) / 9e-6
        assert abs(left - right) <= 0.02 * (1 + abs(left) + abs(right))


@pytest.mark.parametrize("kind", ["normal", "log-normal", "zeros", "grid", "heavy"])
def test_fresh_rows_are_standard_normal_behind_it(kind: str) -> None:
    both = columns(kind, 2 * ROWS)
    z = fit_marginals(both[:ROWS], ROWS)(torch.from_numpy(both[ROWS:]))[0][:, 0]
    assert abs(float(z.mean())) < 0.15
    assert 0.85 < float(z.std()) < 1.2
    assert float(z.abs().max()) < 8


def test_a_row_one_step_beyond_a_bounded_column_stays_near() -> None:
    """Beyond the rows that were seen the map is no steeper than it is on average."""
    draw = np.random.default_rng(0)
    u = np.repeat(np.arange(5.0), 400)[:, None] + draw.random((ROWS, 1)) - 0.5
    z = fit_marginals(u, ROWS)(torch.tensor([[5.4]], dtype=torch.float64))[0]
    assert 3 < float(z) < 6


def test_few_knots_are_chosen_for_a_normal_column_and_many_for_a_spike() -> None:
    plain, spiked = (fit_marginals(columns(kind), ROWS) for kind in ("normal", "zeros"))
    assert plain.knots.shape[1] <= 25
    assert spiked.knots.shape[1] >= 50


def test_of_ten_million_rows_a_sample_is_enough() -> None:
    draw = np.random.default_rng(0)
    spline = fit_marginals(draw.normal(size=(10_000_000, 1)), 10_000_000)
    u = torch.linspace(-3, 3, 61, dtype=torch.float64)[:, None]
    assert float((spline(u)[0] - u).abs().max()) < 0.05


def test_whitening_leaves_no_correlation() -> None:
    draw = np.random.default_rng(0)
    u = draw.normal(size=(500, 3)) @ np.array([[1, 0.9, 0], [0, 0.2, 0.5], [0, 0, 2.0]]) + 3
    white = fit_whiten(u)
    z, log_det = white(torch.from_numpy(u))
    np.testing.assert_allclose(np.cov(z.numpy(), rowvar=False), np.eye(3), atol=1e-9)
    np.testing.assert_allclose(white.inverse(z), u, atol=1e-9)
    jacobian = torch.func.jacrev(lambda row: white(row[None])[0][0])(torch.from_numpy(u[0]))
    assert float(log_det[0]) == pytest.approx(float(torch.linalg.slogdet(jacobian)[1]))


def test_equal_columns_can_be_whitened() -> None:
    u = np.repeat(np.random.default_rng(0).normal(size=(200, 1)), 2, axis=1)
    assert fit_whiten(u)(torch.from_numpy(u))[0].isfinite().all()


@pytest.mark.parametrize("kind", ["whiten", "marginals", pytest.param("mixture", marks=pytest.mark.slow)])
def test_a_map_is_made_again_from_its_numbers(kind: str) -> None:
    u = np.concatenate([columns("zeros"), columns("heavy")], axis=1)
    fitted = fit_start(kind, u, ROWS)
    again = start_map(kind, fitted.state_dict())
    x = torch.from_numpy(u)
    assert torch.equal(again(x)[0], fitted(x)[0])


def test_numbers_that_make_no_map_are_refused() -> None:
    spline = fit_marginals(columns("normal"), ROWS)
    state = spline.state_dict()
    with pytest.raises(InputError, match="does not increase"):
        start_map("marginals", {**state, "values": state["values"].flip(1)})
    with pytest.raises(InputError, match="does not increase"):
        start_map("marginals", {**state, "slopes": -state["slopes"]})
    with pytest.raises(InputError, match="finite tables of one shape"):
        start_map("marginals", {**state, "knots": state["knots"] * math.nan})
    with pytest.raises(InputError, match="cannot be made of"):
        start_map("marginals", {"knots": state["knots"]})
    with pytest.raises(InputError, match="unknown"):
        start_map("other", state)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3), min_size=8, max_size=40, unique=True))
def test_any_distinct_numbers_give_an_increasing_map(values: list[float]) -> None:
    u = np.array(values)[:, None]
    if np.ptp(u) < 1e-3:
        return
    u = (u - u.mean()) / u.std()
    spline = fit_marginals(u, len(u))
    z = spline(torch.from_numpy(np.sort(u, axis=0)))[0][:, 0]
    assert (z.diff() >= -1e-12).all()  # up to rounding
    assert float(z.abs().max()) < 50


def test_a_chain_counts_its_start() -> None:
    """Density, samples and round trip in data units, against the chain without the map behind it."""
    u = np.concatenate([columns("zeros"), columns("log-normal")], axis=1)
    start = fit_marginals(u, ROWS)
    shift, scale = torch.tensor([5.0, -1.0]).double(), torch.tensor([10.0, 0.1]).double()
    field = VelocityField(2, (8,), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        field.layers[-1].weight.normal_(0, 0.3, generator=torch.Generator().manual_seed(1))
    blocks = [Block(field, 1.0, Solver(steps=64)).double()]
    chain = Chain(blocks, shift, scale, start=start)
    plain = Chain(blocks, torch.zeros(2).double(), torch.ones(2).double())
    x = torch.from_numpy(u) * scale + shift
    z, log_det = start(torch.from_numpy(u))
    wanted = plain.log_prob(z)[0] + log_det - scale.log().sum()
    torch.testing.assert_close(chain.log_prob(x)[0], wanted)
    torch.testing.assert_close(chain.in_data_units(chain.standardise(x)), x)
    torch.testing.assert_close(chain.inverse(chain.forward(x).x), x, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(chain.sample(50), chain.in_data_units(plain.sample(50)))
    with pytest.raises(InputError, match="a start map of 2 columns for a state of 3"):
        Chain([], torch.zeros(3), torch.ones(3), start=start)
