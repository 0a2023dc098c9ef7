"""A flow as a density: its mass, its gradients, and what torch asks of a distribution."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.distributions import Normal
from torch.distributions.transforms import AffineTransform

import jko

BASE: dict[str, Any] = {
    "steps.sizes": [0.5, 4.0], "network.hidden": [32, 32], "data.augment.copies": 1, "solver.steps": 6,
    "training": {"flow_matching_iterations": 150, "iterations": 2, "batch_size": 128, "validate_every": 50},
}  # fmt: skip


def two_humps(count: int = 800, dim: int = 1, seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    side = torch.randint(2, (count, 1), generator=draw).double() * 4 - 2
    return side + 0.6 * torch.randn(count, dim, generator=draw, dtype=torch.float64) + 10


def fitted(x: torch.Tensor, start: str = "on", **more: Any) -> jko.Flow:
    context = more.pop("context", None)
    return jko.fit(x, settings={**BASE, "data.standardise": start, **more}, progress=False, context=context)


@pytest.fixture(scope="module")
def plane() -> jko.Flow:
    return fitted(two_humps(dim=2), "marginals")


@pytest.mark.parametrize("start", ["on", "marginals"])
def test_the_density_on_a_line_integrates_to_one(start: str) -> None:
    flow = fitted(two_humps(), start)
    at = torch.linspace(-15, 35, 40_001, dtype=torch.float64)
    assert float(torch.trapezoid(flow.log_prob(at).exp(), at)) == pytest.approx(1, abs=1e-3)


@pytest.mark.slow
def test_the_density_in_the_plane_integrates_to_one(plane: jko.Flow) -> None:
    at = torch.linspace(4, 16, 601, dtype=torch.float64)  # a coarser grid misses knots of the splines
    grid = torch.cartesian_prod(at, at)
    density = plane.log_prob(grid).exp().reshape(601, 601)
    assert float(torch.trapezoid(torch.trapezoid(density, at), at)) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("kind", ["ode", "residual"])
@pytest.mark.parametrize("start", ["on", "whiten", "marginals", "mixture"])
def test_gradients_in_rows_and_weights_are_those_of_finite_differences(start: str, kind: str) -> None:
    few = {"training.flow_matching_iterations": 20} if kind == "ode" else {"training.iterations": 10}
    network = {"network.kind": kind}
    flow = fitted(two_humps(300, 2), start, **network, **few, **{"runtime.dtype": "float64"})
    flow.requires_grad_()
    x = two_humps(6, 2, seed=1).requires_grad_()
    total = flow.log_prob(x).sum()
    weight = flow.chain.blocks[0].get_parameter("field.linear.weight")  # type: ignore[union-attr]
    in_rows, in_weights = torch.autograd.grad(total, [x, weight])
    step = 1e-6
    with torch.no_grad():
        for i in range(2):
            moved = torch.zeros(2, dtype=torch.float64)
            moved[i] = step
            apart = (flow.log_prob(x + moved) - flow.log_prob(x - moved)) / (2 * step)
            assert torch.allclose(apart, in_rows[:, i], rtol=1e-4, atol=1e-4)
        kept = weight.detach().clone()
        sums = []
        for sign in (1, -1):
            weight.copy_(kept)
            weight.view(-1)[0] += sign * step
            sums.append(float(flow.log_prob(x).sum()))
        weight.copy_(kept)
    assert (sums[0] - sums[1]) / (2 * step) == pytest.approx(
        float(in_weights.flatten()[0]), rel=1e-3, abs=1e-3
    )


def test_without_gradients_the_same_numbers(plane: jko.Flow) -> None:
    x = two_humps(50, 2, seed=2)
    with_gradient = plane.log_prob(x.clone().requires_grad_())
    assert with_gradient.requires_grad
    assert not plane.log_prob(x).requires_grad
    assert torch.allclose(with_gradient, plane.log_prob(x), atol=1e-5)


def test_it_is_a_distribution_of_torch(plane: jko.Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    # torch's default, which zuko switches off for all of a process
    monkeypatch.setattr(torch.distributions.Distribution, "_validate_args", True)
    law = plane.distribution()
    assert (law.event_shape, law.batch_shape) == ((2,), ())
    torch.manual_seed(0)
    drawn = law.sample((3, 5))
    assert drawn.shape == (3, 5, 2)
    assert law.log_prob(drawn).shape == (3, 5)
    torch.manual_seed(0)
    assert torch.equal(law.sample((3, 5)), drawn)
    wide = law.expand((4,))
    assert wide.sample((2,)).shape == (2, 4, 2)
    assert wide.log_prob(drawn[0, :4]).shape == (4,)
    assert torch.allclose(wide.log_prob(drawn[0, 0]), law.log_prob(drawn[0, 0]).expand(4), atol=1e-5)
    with pytest.raises(ValueError, match="support"):
        law.log_prob(torch.tensor([float("nan"), 0.0]))
    moved = torch.distributions.TransformedDistribution(law, [AffineTransform(1.0, 2.0, event_dim=1)])
    y = moved.sample((6,))
    expected = law.log_prob((y - 1) / 2) - 2 * np.log(2)
    assert torch.allclose(moved.log_prob(y), expected, atol=1e-6)


def test_drawn_rows_have_gradients_in_the_weights(plane: jko.Flow) -> None:
    plane.requires_grad_()
    try:
        weight = plane.chain.blocks[0].get_parameter("field.linear.weight")  # type: ignore[union-attr]
        torch.manual_seed(1)
        found = torch.autograd.grad(plane.distribution().rsample((64,)).sum(), weight)[0]
        assert float(found.abs().sum()) > 0
        assert not plane.distribution().sample((2,)).requires_grad
    finally:
        plane.requires_grad_(False)
    residual = fitted(two_humps(200, 2), **{"network.kind": "residual", "training.iterations": 2})
    assert not residual.distribution().has_rsample
    with pytest.raises(NotImplementedError, match="without gradients"):
        residual.distribution().rsample()


def test_contexts_are_a_batch_of_laws() -> None:
    age = torch.linspace(0, 1, 400, dtype=torch.float64)
    x = two_humps(400, 1) * 0.1 + 5 * age[:, None]
    flow = fitted(x, context=age)
    laws = flow.distribution(torch.tensor([[0.1], [0.9]]))
    assert (laws.batch_shape, laws.event_shape) == ((2,), (1,))
    drawn = laws.sample((200,))
    assert drawn.shape == (200, 2, 1)
    low, high = drawn.mean(0)[:, 0]
    assert float(high - low) == pytest.approx(4, abs=1)
    assert torch.equal(laws.log_prob(drawn)[:, 1], flow.log_prob(drawn[:, 1], torch.tensor([0.9])))
    given = torch.tensor([[0.5]], dtype=torch.float64, requires_grad=True)
    law = flow.distribution(given)
    assert float(torch.autograd.grad(law.rsample((50,)).mean(), given)[0]) == pytest.approx(5, abs=3)


def test_integers_have_the_mean_over_the_noise_that_they_were_trained_with() -> None:
    draw = torch.Generator().manual_seed(3)
    x = torch.poisson(torch.full((600, 1), 6.0, dtype=torch.float64), generator=draw)
    flow = fitted(x)
    values, errors = flow.log_prob_with_error(x[:50])
    assert (errors > 0).all()
    # the noise is uniform on one step of the grid, so the mean density there is the mass of the integer
    at = x[:1] + torch.linspace(-0.5, 0.5, 2001, dtype=torch.float64)[:, None]
    mean = float(flow.log_prob(at).mean())
    assert abs(float(values[0]) - mean) < 4 * float(errors[0]) + 1e-3
    again, _ = flow.log_prob_with_error(torch.flip(x[:50], [0]))
    assert torch.equal(torch.flip(again, [0]), values)


def test_other_precision_and_weights_of_another_flow(plane: jko.Flow) -> None:
    x = two_humps(40, 2, seed=4)
    twin = fitted(two_humps(dim=2), "marginals", **{"training.flow_matching_iterations": 3})
    assert not torch.allclose(twin.log_prob(x), plane.log_prob(x), atol=1e-3)
    twin.load_state_dict(plane.state_dict())
    assert torch.equal(twin.log_prob(x), plane.log_prob(x))
    exact = twin.to(torch.float64).log_prob(x)
    assert exact.dtype == torch.float64
    assert torch.allclose(exact, plane.log_prob(x), atol=1e-3)


def test_a_gaussian_is_learned() -> None:
    draw = torch.Generator().manual_seed(5)
    x = 3 + 2 * torch.randn(4000, 1, generator=draw, dtype=torch.float64)
    flow = fitted(x)
    fresh = 3 + 2 * torch.randn(4000, 1, generator=draw, dtype=torch.float64)
    gap = (Normal(3.0, 2.0).log_prob(fresh)[:, 0] - flow.log_prob(fresh)).mean()
    assert abs(float(gap)) < 0.02


@pytest.fixture(scope="module")
def by_class() -> jko.Flow:
    classes = torch.arange(300) % 3
    return fitted(two_humps(300) + 3 * classes[:, None], context=classes)


def test_integers_are_classes_however_many_rows_there_are(by_class: jko.Flow) -> None:
    """Three rows of three classes: their classes are no vector of zeros with a one."""
    x = two_humps(3, seed=6)
    alone = torch.cat([by_class.log_prob(x[i : i + 1], c) for i, c in enumerate((0, 1, 0))])
    for context in (
        torch.tensor([0, 1, 0]),
        [0, 1, 0],
        torch.eye(3)[[0, 1, 0]],
        torch.tensor([[0], [1], [0]]),
    ):
        assert torch.allclose(by_class.log_prob(x, context), alone, atol=1e-5)
    assert not torch.allclose(by_class.log_prob(x, 1), alone, atol=1e-2)
    assert by_class.distribution([0, 1, 2]).batch_shape == (3,)
    with pytest.raises(jko.InputError, match="zeros with a one"):
        by_class.log_prob(x, torch.full((3, 3), 1 / 3))
    with pytest.raises(jko.InputError, match="a context of 2 rows beside 3 rows"):
        by_class.log_prob(x, [0, 1])


def test_a_single_class_is_known_by_its_number() -> None:
    few = {"training.flow_matching_iterations": 5}
    flow = fitted(two_humps(100), context=torch.full((100,), 4), **few)
    assert flow.sample(2, context=4).shape == (2, 1)
    with pytest.raises(jko.InputError, match="class 0 is unknown"):
        flow.sample(2, context=0)


def test_a_context_that_is_no_finite_number_is_refused() -> None:
    few = {"training.flow_matching_iterations": 5}
    flow = fitted(two_humps(100), context=torch.linspace(0, 1, 100), **few)
    x = two_humps(2)
    for context in (float("nan"), [0.5, float("inf")]):
        with pytest.raises(jko.InputError, match="the context holds a number that is not finite"):
            flow.log_prob(x, context)
    with pytest.raises(jko.InputError, match="context: rows of numbers are expected"):
        flow.log_prob(x, "high")
    with pytest.raises(jko.InputError, match=r"a context of shape \(2, 2, 1\)"):
        flow.distribution(torch.zeros(2, 2, 1))


def test_no_rows_and_rows_of_no_number(plane: jko.Flow) -> None:
    nothing = torch.zeros(0, 2)
    assert [len(found) for found in plane.log_prob_with_error(nothing)] == [0, 0]
    assert len(plane.log_prob(nothing)) == len(plane.sample(0)) == 0
    assert plane.log_prob(torch.tensor([[float("nan"), 10.0]])).isnan().all()
    with pytest.raises(jko.InputError, match="the noise holds a number that is not finite"):
        plane.inverse(torch.tensor([[float("nan"), 0.0]]))
    for wrong in (-1, 2.0, None, True):
        with pytest.raises(jko.InputError, match="rows cannot be drawn"):
            plane.sample(wrong)  # type: ignore[arg-type]
    for wrong in (-1, 1.5, 2**70):
        with pytest.raises(jko.InputError, match="seed = "):
            plane.sample(2, seed=wrong)  # type: ignore[arg-type]


def test_units_stay_exact_in_single_precision() -> None:
    """A column around 1e9 has no digits left in float32; its units stay in float64."""
    x = two_humps(200) + 1e9
    flow = fitted(x, "marginals", **{"training.flow_matching_iterations": 5})
    before = flow.log_prob(x)
    assert torch.equal(flow.to(torch.float64).to(torch.float32).log_prob(x), before)
    assert flow.chain.shift.dtype == torch.float64


def test_a_state_holds_all_that_a_density_needs() -> None:
    few = {"training.flow_matching_iterations": 5}
    draw = torch.Generator().manual_seed(7)
    broad = two_humps(300) + 5 * torch.randn(300, 1, generator=draw, dtype=torch.float64) ** 3
    one, other = fitted(two_humps(300), **few), fitted(broad, **few)
    laws = [flow.chain.defence.law.degrees for flow in (one, other)]  # type: ignore[union-attr]
    assert laws[0] != laws[1]
    other.load_state_dict(one.state_dict())
    far = torch.tensor([[1e4], [10.0]])
    assert torch.equal(other.log_prob(far), one.log_prob(far))


@pytest.mark.parametrize("far", [1e30, 1e100, 1e200])
def test_gradients_far_out_are_those_of_the_broad_law(plane: jko.Flow, far: float) -> None:
    """The blocks have no number there; rows beside such a row keep their gradients."""
    near = [0.3, -0.2]
    x = torch.tensor([[far, 1.0], near, [-far, far]], dtype=torch.float64, requires_grad=True)
    log_p = plane.log_prob(x)
    (gradient,) = torch.autograd.grad(log_p.sum(), x)
    assert log_p.isfinite().all()
    assert gradient.isfinite().all()
    torch.testing.assert_close(log_p.detach(), plane.log_prob(x.detach()))
    alone = torch.tensor([near], dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(gradient[1:2], torch.autograd.grad(plane.log_prob(alone).sum(), alone)[0])
