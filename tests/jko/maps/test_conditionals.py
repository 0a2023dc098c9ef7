"""The start map of columns given others: exact masses, exact inverse, its own log-determinant."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from jko.core.cell_line import HALVES, CellLine
from jko.core.errors import InputError
from jko.maps.conditionals import Conditionals
from jko.maps.conditionals_fit import SMALLEST, Listed, conditional_masses, fit_conditionals
from jko.maps.start_kinds import start_map
from jko.maps.start_map import log_normal_density

ROWS = 4000
#: three levels on a line, two halves, real numbers, four levels that know nothing of the others
LINES = (CellLine(3), HALVES, None, CellLine(4))
#: P(second column is above 0 | level of the first)
SHARES = np.array([0.02, 0.5, 0.95])


def codes(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    first = draw.choice(3, rows, p=[0.6, 0.3, 0.1])
    return first, (draw.random(rows) < SHARES[first]).astype(int), draw.integers(4, size=rows)


def table(rows: int = ROWS, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed + 1)
    first, second, last = codes(rows, seed)
    half = np.abs(draw.normal(size=rows)) * np.where(second == 1, 1, -1)
    real = np.where(second == 1, 5 + draw.normal(size=rows), np.exp(draw.normal(size=rows)))
    noise = draw.random((rows, 2)) - 0.5
    return np.stack([first + noise[:, 0], half, real, last + noise[:, 1]], axis=1)


def standard(rows: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    units = (table().mean(0), table().std(0))
    return (rows - units[0]) / units[1], units


@pytest.fixture(scope="module")
def fitted() -> Conditionals:
    u, units = standard(table())
    return fit_conditionals(u, len(u), LINES, units)


def test_columns_that_know_of_each_other_are_joined(fitted: Conditionals) -> None:
    assert sorted(fitted.parents_of(j) for j in (0, 1)) in ([(), (0,)], [(), (1,)])
    assert fitted.parents_of(2) == (1,)
    assert fitted.parents_of(3) == ()


def test_the_inverse_is_exact_also_far_out(fitted: Conditionals) -> None:
    u, _ = standard(
        np.concatenate([table(seed=3), [[-40, -9, -1e3, 90], [40, 9, 1e3, -90], [1.5, 0, 0, 0.5]]])
    )
    z, log_det = fitted(torch.from_numpy(u))
    assert z.isfinite().all()
    assert log_det.isfinite().all()
    np.testing.assert_allclose(fitted.inverse(z), u, rtol=1e-9, atol=1e-9)
    wide = torch.randn(ROWS, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 4
    torch.testing.assert_close(fitted(fitted.inverse(wide))[0], wide, rtol=1e-6, atol=1e-6)


def test_the_log_determinant_is_that_of_the_map(fitted: Conditionals) -> None:
    u = torch.from_numpy(standard(table(40, seed=5))[0])
    jacobian = torch.stack([torch.func.jacrev(lambda row: fitted(row[None])[0][0])(row) for row in u])
    torch.testing.assert_close(fitted(u)[1], torch.linalg.slogdet(jacobian)[1])
    z = fitted(u)[0]
    torch.testing.assert_close(fitted.log_det_at(z), fitted(u)[1], rtol=1e-9, atol=1e-9)


def test_masses_are_the_shares_of_the_rows(fitted: Conditionals) -> None:
    """P(second above 0 | level of the first) by the map's density, against the law."""
    drawn = fitted.inverse(
        torch.randn(200_000, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    )
    _, units = standard(table())
    x = drawn.numpy() * units[1] + units[0]
    first = np.clip(np.rint(x[:, 0]), 0, 2)
    for level, share in enumerate(SHARES):
        assert (x[first == level, 1] >= 0).mean() == pytest.approx(share, abs=0.02)
    first_codes, second_codes, _ = codes(ROWS, 0)
    for level in range(3):
        seen = second_codes[first_codes == level].mean()
        assert (x[first == level, 1] >= 0).mean() == pytest.approx(seen, abs=0.012)


def test_the_density_of_two_columns_integrates_to_one() -> None:
    u, units = standard(table())
    both = fit_conditionals(u[:, :2], len(u), LINES[:2], (units[0][:2], units[1][:2]))
    draw = torch.randn(400_000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 2
    z, log_det = both(draw)
    weight = (
        log_normal_density(z).sum(1) + log_det - log_normal_density(draw / 2).sum(1) + 2 * np.log(2)
    ).exp()
    assert weight.mean().item() == pytest.approx(1, abs=4 * weight.std().item() / 400_000**0.5)


def test_it_is_nearer_to_the_law_than_marginals(fitted: Conditionals) -> None:
    from jko.maps.start_fit import fit_marginals

    u, fresh = standard(table())[0], torch.from_numpy(standard(table(seed=9))[0])
    found = []
    for start in (fitted, fit_marginals(u, len(u))):
        z, log_det = start(fresh)
        found.append(float((log_normal_density(z).sum(1) + log_det).mean()))
    assert found[0] > found[1] + 0.6


def test_it_is_stored_and_read_with_the_same_bits(fitted: Conditionals) -> None:
    again = start_map("conditionals", fitted.state_dict())
    u = torch.from_numpy(standard(table(seed=7))[0])
    assert torch.equal(again(u)[0], fitted(u)[0])


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("parents", 0.0), ("parents", 9.0), ("masses", -1.0), ("scale", 0.0), ("first", 99.0), ("cells", 1.0),
     ("masses", float("nan")), ("halves", 1.0), ("parents", 0.5)],
)  # fmt: skip
def test_damaged_tables_are_refused(fitted: Conditionals, name: str, wrong: float) -> None:
    tables = {key: value.clone() for key, value in fitted.state_dict().items()}
    tables[name].view(-1)[0] = wrong
    with pytest.raises(InputError, match="damaged"):
        start_map("conditionals", tables)


@given(st.integers(2, 6), st.integers(1, 5), st.integers(0, 2**31))
@settings(deadline=None, max_examples=30)
def test_masses_add_up_and_none_is_lost(count: int, groups: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    given_codes = draw.integers(groups, size=50)
    own = Listed(np.minimum(given_codes, count - 1), count)
    found = conditional_masses(own, [Listed(given_codes, groups), Listed(draw.integers(3, size=50), 3)])
    assert found.shape == (3 * groups, count)
    np.testing.assert_allclose(found.sum(1), 1)
    assert (found > SMALLEST / 2).all()
