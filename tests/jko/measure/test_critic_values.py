"""The critic's estimate and its standard error beside the same sums in the open, and how it is chosen."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from jko.core.errors import InputError
from jko.energies.functional import Entropy, PotentialEnergy, PowerEnergy, half_square
from jko.measure import epsilon as sizes
from jko.measure.critic_features import features_of, varying
from jko.measure.epsilon import at_first, measure_epsilon
from jko.measure.residual import EpsilonSquared, LinearCritic, linear_critic, residual_data
from tests.oracles import normal

NO_CRITIC = (
    "no critic can be fitted: the held-out particles are constant or linearly dependent in some columns, or "
    "their tails are too heavy"
)


class InTheOpen:
    """The estimate pair by pair, its influence row by row, and the floor of its variance."""

    def __init__(self, features: Tensor, slopes: Tensor, u: Tensor, ridge: float) -> None:
        p, self.n = features.numpy(), len(features)
        self.terms = p[:, :, None] * u.numpy()[:, None, :] - slopes.numpy()
        self.fold = np.arange(self.n) % 10
        size = p.shape[1]
        self.strength = ridge * (p**2).sum() / self.n / size

        def factor(f: int, g: int) -> np.ndarray:
            rest = p[(self.fold != f) & (self.fold != g)]
            m = len(rest)
            gram = (rest.T @ rest / m + self.strength * np.eye(size)) * m / (m - size - 1)
            return np.linalg.cholesky(gram)

        h = [[np.linalg.inv(factor(f, g)) for g in range(10)] for f in range(10)]
        total = 0.0
        for i in range(self.n):
            for j in range(self.n):
                if i != j:
                    white = h[self.fold[i]][self.fold[j]]
                    total += float(((white @ self.terms[i]) * (white @ self.terms[j])).sum())
        self.value = total / (self.n * (self.n - 1))
        own = np.stack([h[f][f] @ term for f, term in zip(self.fold, self.terms, strict=True)])
        fields = np.stack([h[f][f] @ row for f, row in zip(self.fold, p, strict=True)])
        mean = own.mean(0)
        influence = 2 * (own * mean).sum((1, 2)) - ((fields @ mean) ** 2).sum(1)
        flat = (own - mean).reshape(self.n, -1)
        gram = (flat @ flat.T) ** 2
        square = max((gram.sum() - np.trace(gram)) / (self.n * (self.n - 1)), 0.0)
        self.floor = 2 * square / self.n**2
        self.rest = influence.var(ddof=1) / self.n - self.floor
        self.se = math.sqrt(max(self.rest, self.floor))


def affine(y: Tensor) -> Tensor:
    return torch.cat([torch.ones(len(y), 1).double(), (y - y.mean(0)) / y.std(0)], 1)


def affine_slopes(y: Tensor) -> Tensor:
    one = torch.cat([torch.zeros(1, y.shape[1]).double(), torch.diag(1 / y.std(0))])
    return one.expand(len(y), -1, -1)


@pytest.mark.parametrize(("stretch", "floor"), [(1.0, True), (1.6, False)])
def test_the_estimate_and_its_error_are_those_in_the_open(stretch: float, floor: bool) -> None:
    """At an exact step the influence scatters less than the pairs do: then the floor counts."""
    y = stretch * normal(57, 2, seed=0)
    u = residual_data(y, y, 1.0)
    found, other = LinearCritic(y).estimate(u), InTheOpen(affine(y), affine_slopes(y), u, 1e-10)
    assert (other.rest < other.floor) == floor
    assert found.value == pytest.approx(other.value, rel=1e-9)
    assert found.se == pytest.approx(other.se, rel=1e-9)
    assert (found.critic, found.reason) == ("affine", "")


def test_the_floor_is_as_small_as_the_rows_make_it() -> None:
    """Of N(0, 100 I) at rest everything is a hundredth, and the trace below 1."""
    y = 10 * normal(57, 2, seed=0)
    found, other = LinearCritic(y).estimate(y / 100), InTheOpen(affine(y), affine_slopes(y), y / 100, 1e-10)
    assert other.rest < other.floor < 2 / 57**2
    assert found.se == pytest.approx(other.se, rel=1e-9)


@pytest.mark.parametrize("ridge", [1e-3, 0.2])
def test_with_bumps_and_weights_it_is_that_in_the_open(ridge: float) -> None:
    y, u = 1.3 * normal(80, 2, seed=4), normal(80, 2, seed=5)
    weight = normal(80, seed=6).exp()
    features, slopes = features_of(y, 3, 0.8)
    critic = LinearCritic(y, centres=3, ridge=ridge, width=0.8)
    other = InTheOpen(features[3:], slopes[3:] * weight[3:, None, None], u[3:], ridge)
    found = critic.estimate(u, weight)
    assert found.value == pytest.approx(other.value, rel=1e-11)
    assert found.se == pytest.approx(other.se, rel=1e-11)
    assert found.critic == "affine + 3 RBF"
    assert critic.estimate(u.float(), weight.float()).value == pytest.approx(other.value, rel=1e-4)
    plain = InTheOpen(features[3:], slopes[3:], u[3:], ridge)
    assert critic.estimate(u).value == pytest.approx(plain.value, rel=1e-8)


def test_the_context_is_looked_at_and_not_derived_along() -> None:
    """Two columns of the state, one of the context, and one that is the same in all rows."""
    y = torch.cat([normal(70, 3, seed=7), torch.ones(70, 1)], 1).double()
    u = normal(70, 2, seed=8)
    kept = y[:, :3]
    other = InTheOpen(affine(kept), affine_slopes(kept)[..., :2], u, 1e-10)
    found = LinearCritic(y, dim=2).estimate(u)
    assert (found.value, found.se) == (
        pytest.approx(other.value, rel=1e-9),
        pytest.approx(other.se, rel=1e-9),
    )
    assert torch.equal(varying(y, 2), kept)
    assert torch.equal(varying(kept[:, :2], 2), kept[:, :2])
    assert varying(torch.ones(5, 3), 2).shape == (5, 2)
    assert varying(torch.ones(5, 3), 3).shape == (5, 3)
    late = torch.zeros(5, 4)
    late[4, 3] = 1
    assert torch.equal(varying(late, 2), late[:, [0, 1, 3]])


@pytest.mark.parametrize("relative", [0.0, 0.7])
@pytest.mark.parametrize("spread", [0.3, 30.0])
def test_features_are_one_the_rows_and_bumps_with_their_gradients(relative: float, spread: float) -> None:
    """Bumps are .45 times the median distance of their centres wide, and half a deviation at least."""
    y = torch.cat([normal(4, 3, seed=1) * spread, normal(20, 3, seed=2)]) + 2
    found, slopes = features_of(y, 4, relative)
    std, middle = y.std(0), y[:4]
    apart = sorted(float((a - b).norm()) for a in middle for b in middle)
    width = float(max(0.45 * apart[7], 0.5 * std.mean()))
    assert (width > 0.5 * std.mean() + 1e-9) == (spread > 1)
    width = relative * float(std.mean()) if relative else width
    torch.testing.assert_close(found[:, 0], torch.ones(24).double())
    torch.testing.assert_close(found[:, 1:4], (y - y.mean(0)) / std)
    square = (y[:, None] - middle).square().sum(-1)
    torch.testing.assert_close(found[:, 4:], (-square / (2 * width**2)).exp())
    torch.testing.assert_close(slopes[:, 0], torch.zeros(24, 3).double())
    torch.testing.assert_close(slopes[:, 1:4], torch.diag(1 / std).expand(24, 3, 3))
    torch.testing.assert_close(slopes[:, 4:], -found[:, 4:, None] * (y[:, None] - middle) / width**2)
    assert found.dtype == slopes.dtype == torch.float64


def test_a_single_bump_is_one() -> None:
    y = normal(9, 2, seed=1)
    assert features_of(y, 1, 0.0)[0].shape == (9, 4)
    assert features_of(y, 1, 0.0)[1].shape == (9, 4, 2)


def test_features_without_bumps_are_the_affine_ones() -> None:
    y = normal(9, 2, seed=1)
    found, slopes = features_of(y, 0, 0.7)
    torch.testing.assert_close(found, affine(y))
    torch.testing.assert_close(slopes, affine_slopes(y))


def test_what_a_critic_refuses_and_what_it_takes() -> None:
    """Four fifths of the rows must be more than the features and two."""
    y = normal(200, 2, seed=1)
    assert isinstance(LinearCritic(y[:7]), LinearCritic)
    with pytest.raises(InputError, match=r"^6 rows are too few for a critic with 3 features a coordinate$"):
        LinearCritic(y[:6])
    with pytest.raises(InputError, match=r"^10 rows are too few for a critic with 6 features a coordinate$"):
        LinearCritic(normal(10, 5, seed=1))
    with pytest.raises(InputError, match=r"^8 rows are too few for a critic with 5 features a coordinate$"):
        LinearCritic(y[:8], centres=2)
    with pytest.raises(
        InputError,
        match=f"^{NO_CRITIC}$",
    ):
        LinearCritic(torch.ones(50, 2))
    with pytest.raises(InputError, match="no critic can be fitted"):
        LinearCritic(y, centres=2, ridge=-9.0)
    critic = LinearCritic(y)
    with pytest.raises(InputError, match=r"^200 rows need as many weights, not \(199,\)$"):
        critic.estimate(y, torch.ones(199))
    gone = critic.estimate(y * math.inf)
    assert gone.reason == "the values of the particles leave the range of numbers"
    assert math.isnan(gone.value)
    assert math.isnan(gone.se)
    assert gone.critic == "none"


def test_an_estimate_of_which_only_the_error_leaves_the_range_is_none() -> None:
    """Values near 1e90: their squares are numbers, and the fourth powers of the floor are not."""
    y = normal(60, 2, seed=1)
    u = 1e90 * normal(60, 2, seed=2)
    assert LinearCritic(y).estimate(u).reason == "the values of the particles leave the range of numbers"


def test_the_root_of_an_estimate() -> None:
    assert EpsilonSquared(0.25, 0.1, "affine").epsilon == 0.5
    assert EpsilonSquared(-0.25, 0.1, "affine").epsilon == 0
    missing = EpsilonSquared.missing("few")
    assert math.isnan(missing.epsilon)
    assert math.isnan(missing.value)
    assert math.isnan(missing.se)
    assert (missing.critic, missing.reason) == ("none", "few")


def test_the_known_part_of_the_residual() -> None:
    x, y = torch.tensor([[2.0, 1.0]]), torch.tensor([[1.0, 3.0]])
    assert residual_data(x, y, 0.5).tolist() == [[-1.0, 7.0]]
    assert residual_data(x, y, 0.5, torch.tensor([[0.0, 0.5]])).tolist() == [[-2.0, 4.5]]


def test_the_short_way_is_the_long_one() -> None:
    y = normal(150, 2, seed=1) * 1.2
    assert linear_critic(y, y) == LinearCritic(y).estimate(y)
    assert linear_critic(y, y, centres=5, ridge=0.1) == LinearCritic(y, centres=5, ridge=0.1).estimate(y)
    plain = LinearCritic(y, centres=5, ridge=1e-3, width=0.0).estimate(y)
    assert linear_critic(y, y, centres=5) == LinearCritic(y, centres=5).estimate(y) == plain


def surest(critics: Sequence[LinearCritic], u: Tensor, weight: Tensor | None = None) -> EpsilonSquared:
    return max((one.estimate(u, weight) for one in critics), key=lambda one: one.value - 2 * one.se)


def test_of_three_widths_the_surest_is_taken_for_each_figure() -> None:
    """150 rows carry (150 − 90)/31 bumps, at most as many as wanted."""
    y = 1.3 * normal(400, 2, seed=1)
    x = y + 0.5 * y + 0.1 * normal(400, 2, seed=2)
    for rows, wanted, bumps in ((152, 30, 2), (151, 30, 1), (400, 4, 4), (90, 30, 0)):
        error, fisher = measure_epsilon(x[:rows], y[:rows], 0.5, wanted)
        widths = (0.0, 0.5, 0.25) if bumps else (0.0,)
        critics = [LinearCritic(y[:rows], centres=bumps, width=width) for width in widths]
        assert error == surest(critics, residual_data(x[:rows], y[:rows], 0.5))
        assert fisher == surest(critics, y[:rows])
    assert measure_epsilon(x[:89], y[:89], 0.5, 30)[0].reason == (
        "too few held-out rows for a critic in dimension 2: 89, and 90 are needed"
    )


def test_two_errors_down_decide_between_widths() -> None:
    """Here the width of one half shows most two errors down, and the critic's own three errors down."""
    y = 1.3 * normal(200, 2, seed=0)
    found = [LinearCritic(y, centres=3, width=width).estimate(y) for width in (0.0, 0.5, 0.25)]
    assert found[0].value - 3 * found[0].se > found[1].value - 3 * found[1].se
    assert measure_epsilon(y, y, 1.0, 3)[1] == found[1]


def test_a_critic_without_a_value_is_passed_over() -> None:
    y, weight = normal(200, 2, seed=1), torch.ones(200)
    good, broken = LinearCritic(y), LinearCritic(y)
    broken.slopes = broken.slopes * math.inf
    for critics in ([good, broken], [broken, good]):
        assert sizes._surest(critics, y, weight) == good.estimate(y, weight)
    assert sizes._surest([broken], y, weight).critic == "none"


def test_no_more_rows_are_taken_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows times 2 (3 + bumps) coordinates; below what the affine class needs there is none."""
    y = 1.3 * normal(400, 2, seed=1)
    monkeypatch.setattr(sizes, "CRITIC_BUDGET", 1000)
    critics = [LinearCritic(y[:100], centres=2, width=width) for width in (0.0, 0.5, 0.25)]
    assert measure_epsilon(y, y, 1.0, 2)[0] == surest(critics, y[:100])
    monkeypatch.setattr(sizes, "CRITIC_BUDGET", 540)
    assert measure_epsilon(y, y, 1.0, 0)[0] == LinearCritic(y[:90]).estimate(y[:90])
    assert measure_epsilon(y[:50], y[:50], 1.0, 0)[0].reason.endswith("2: 50, and 90 are needed")
    monkeypatch.setattr(sizes, "CRITIC_BUDGET", 539)
    none = measure_epsilon(y, y, 1.0, 0)
    assert [one.reason for one in none] == ["no critic is affordable in dimension 2"] * 2
    assert measure_epsilon(y[:50], y[:50], 1.0, 0)[0].reason == "no critic is affordable in dimension 2"


def test_a_context_asks_for_more_rows() -> None:
    """Three columns: 120 rows; the residual is of the state alone."""
    y = 1.3 * normal(400, 3, seed=1)
    x = y[:, :2] + 0.5 * y[:, :2] ** 2
    error, fisher = measure_epsilon(x, y, 0.5, 1)
    critics = [LinearCritic(y, dim=2, centres=1, width=width) for width in (0.0, 0.5, 0.25)]
    assert error == surest(critics, residual_data(x, y[:, :2], 0.5))
    assert fisher == surest(critics, y[:, :2])
    assert measure_epsilon(x[:119], y[:119], 0.5, 1)[0].reason.endswith("119, and 120 are needed")


def test_another_functional_gives_its_drift_and_its_pressure() -> None:
    energy = PotentialEnergy(lambda at: 2 * half_square(at), 2.0) + PowerEnergy(2.0)
    y, log_density = 1.3 * normal(200, 2, seed=1), normal(200, seed=2)
    error, fisher = measure_epsilon(1.5 * y, y, 0.5, 0, energy=energy, log_density=log_density)
    critic = LinearCritic(y)
    exact = critic.estimate(2 * y - y, log_density.exp())
    assert error.value == pytest.approx(exact.value, rel=1e-12)
    assert error.se == pytest.approx(exact.se, rel=1e-12)
    assert fisher == critic.estimate(2 * y, log_density.exp())
    plain = PotentialEnergy(half_square, 1.0) + Entropy()
    assert measure_epsilon(1.5 * y, y, 0.5, 0, energy=plain) == measure_epsilon(1.5 * y, y, 0.5, 0)


def test_the_log_density_of_the_first_rows() -> None:
    y = torch.zeros(3, 2, dtype=torch.float32)
    found = at_first(torch.arange(5).double(), y)
    assert (found.tolist(), found.dtype) == ([0.0, 1.0, 2.0], torch.float32)
    assert at_first(None, y).tolist() == [0.0, 0.0, 0.0]


def test_an_estimate_without_a_value_is_taken_where_there_is_no_other() -> None:
    y = normal(200, 2, seed=1)
    x = y.clone()
    x[150] = math.inf
    both = measure_epsilon(x, y, 1.0, 2)
    assert both[0].reason == "the values of the particles leave the range of numbers"
    assert both[1].reason == ""
    refused = measure_epsilon(torch.ones(200, 2), torch.ones(200, 2), 1.0, 2)
    assert [one.reason for one in refused] == [NO_CRITIC] * 2
