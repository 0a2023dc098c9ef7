"""Every kind: back again, its log-determinant, the mass that it gives to cells."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm

from jko.columns.aside import Constant, Text
from jko.columns.atoms import Atoms
from jko.columns.circular import Circular
from jko.columns.column import Column, Values
from jko.columns.dates import Dates
from jko.columns.discrete import Gridded, Integer
from jko.columns.levels import Boolean, Categorical, Ordinal
from jko.columns.noise import corners, log_normal
from jko.columns.real import Bounded, Continuous, Positive
from jko.core.errors import InputError

RNG = np.random.default_rng(0)
LEVELS = ("a", "b", "c", "d", "e")
POSITIVE = Positive(name="x")


def dates(days: Values) -> Values:
    return np.array([day.strftime("%d.%m.%Y") for day in days.tolist()], dtype=object)


#: a column of every kind, with cells that it can have
KINDS: dict[str, tuple[Column, Callable[[np.random.Generator, int], Values]]] = {
    "continuous": (Continuous(name="x"), lambda rng, n: rng.normal(3, 50, n)),
    "two places": (Continuous(name="x", places=2), lambda rng, n: np.round(rng.normal(3, 50, n), 2)),
    "positive": (POSITIVE, lambda rng, n: np.exp(rng.normal(0, 20, n))),
    "positive, float32": (
        Positive(name="x", dtype="float32"), lambda rng, n: np.exp(rng.normal(0, 3, n)).astype(np.float32),
    ),
    "below a cap": (Positive(name="x", edge=50.0, side="below"), lambda rng, n: 50 - rng.gamma(2, 9, n)),
    "bounded": (Bounded(name="x", low=-2, high=5), lambda rng, n: -2 + 7 * rng.beta(0.5, 0.5, n)),
    "integer": (Integer(name="x"), lambda rng, n: rng.integers(-(10**6), 10**6, n)),
    "count": (Integer(name="x", low=0, high=9), lambda rng, n: rng.integers(0, 10, n)),
    "count of 8 bits": (
        Integer(name="x", low=0, dtype="uint8"), lambda rng, n: rng.integers(0, 256, n).astype(np.uint8),
    ),
    "prices": (Gridded(name="x", step=0.01, low=0.0), lambda rng, n: np.round(rng.gamma(2, 90, n), 2)),
    "halves": (Gridded(name="x", origin=0.25, step=0.5), lambda rng, n: 0.25 + rng.integers(-99, 99, n) / 2),
    "ordinal": (Ordinal(name="x", levels=(0.0, 0.5, 3.7)), lambda rng, n: rng.choice([0.0, 0.5, 3.7], n)),
    "simplex": (
        Categorical(name="x", levels=LEVELS, spread="simplex"),
        lambda rng, n: rng.choice(np.array(LEVELS, dtype=object), n),
    ),
    "line": (
        Categorical(name="x", levels=LEVELS, spread="line"),
        lambda rng, n: rng.choice(np.array(LEVELS, dtype=object), n),
    ),
    "boolean": (Boolean(name="x"), lambda rng, n: rng.random(n) < 0.3),
    "yes and no": (
        Boolean(name="x", levels=("no", "yes")),
        lambda rng, n: rng.choice(np.array(["no", "yes"], dtype=object), n),
    ),
    "degrees": (Circular(name="x", period=360, low=-180), lambda rng, n: rng.uniform(-180, 180, n)),
    "hours": (Circular(name="x", period=24, step=1, dtype="int64"), lambda rng, n: rng.integers(0, 24, n)),
    "wind": (
        Circular(name="x", period=360, low=10, step=10, dtype="int64"),
        lambda rng, n: 10 * rng.integers(1, 37, n),
    ),
    "days": (
        Dates(name="x", origin="2024-01-01", form="%d.%m.%Y"),
        lambda rng, n: dates(np.datetime64("2020-01-01") + rng.integers(0, 3000, n)),
    ),
    "months": (
        Dates(name="x", unit="M", origin="2024-01", dtype="datetime64[s]"),
        lambda rng, n: (np.datetime64("1999-01") + rng.integers(0, 600, n)).astype("M8[s]"),
    ),
    "quarters of an hour": (
        Dates(name="x", unit="m", step=15, origin="2024-01-01T00:00", dtype="datetime64[ns]"),
        lambda rng, n: (np.datetime64("2024-01-01T00:00") + 15 * rng.integers(0, 9999, n)).astype("M8[ns]"),
    ),
    "zeros": (
        Atoms(name="x", atoms=(0.0,), value=POSITIVE),
        lambda rng, n: np.where(rng.random(n) < 0.4, 0.0, np.exp(rng.normal(1, 1, n))),
    ),
    "two ends": (
        Atoms(name="x", atoms=(0.0, 1.0), value=Bounded(name="x")),
        lambda rng, n: np.clip(rng.uniform(-0.5, 1.5, n), 0, 1),
    ),
    "two ends on a line": (
        Atoms(name="x", atoms=(0.0, 1.0), value=Bounded(name="x"), line=True),
        lambda rng, n: np.clip(rng.uniform(-0.5, 1.5, n), 0, 1),
    ),
    "a mark among counts": (
        Atoms(name="x", atoms=(-999.0,), value=Integer(name="x", low=0), centre=(20.0,), spread=(9.0,)),
        lambda rng, n: np.where(rng.random(n) < 0.1, -999, rng.poisson(20, n)),
    ),
    "calm wind": (
        Atoms(name="x", atoms=(0.0,), value=Circular(name="x", period=360, low=10, step=10, dtype="int64")),
        lambda rng, n: np.where(rng.random(n) < 0.3, 0, 10 * rng.integers(1, 37, n)),
    ),
    "constant": (Constant(name="x", value=7, dtype="int64"), lambda rng, n: np.full(n, 7)),
}  # fmt: skip
DISCRETE = [name for name, (column, _) in KINDS.items() if column.meaning == "mass"]
EACH = pytest.mark.parametrize("name", KINDS)


def noise_for(column: Column, rows: int, rng: np.random.Generator) -> np.ndarray:
    return np.clip(rng.random((rows, column.noise_width)), 1e-12, 1 - 1e-12)


def apart(column: Column, one: Values, other: Values) -> np.ndarray:
    """How far numbers are apart, relative to their size and on the circle."""
    difference = np.abs(one.astype(float) - other.astype(float))
    if isinstance(column, Circular):
        difference = np.minimum(difference, column.period - difference)
    return difference / np.maximum(np.abs(other.astype(float)), 1)


@EACH
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_column_comes_back(name: str, seed: int) -> None:
    """Discrete cells exactly, others to 1e-6, in the type that they had."""
    column, draw = KINDS[name]
    rng = np.random.default_rng(seed)
    cells = draw(rng, 64)
    z, log_det = column.encode(cells, noise_for(column, 64, rng))
    assert z.shape == (64, column.width)
    assert z.dtype == log_det.dtype == np.float64
    assert np.isfinite(z).all()
    assert np.isfinite(log_det).all()
    back = column.decode(z)
    assert back.dtype == cells.dtype
    if column.meaning == "mass":
        assert (back == cells).all()
    else:
        assert apart(column, back, cells).max() < 1e-6
        if isinstance(column, Atoms):
            assert ((back == column.atoms[0]) == (cells == column.atoms[0])).all()


@EACH
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), size=st.floats(0.01, 1e6))
def test_any_numbers_decode_to_cells_of_the_kind(name: str, seed: int, size: float) -> None:
    column, _ = KINDS[name]
    rng = np.random.default_rng(seed)
    cells = column.decode(size * rng.standard_normal((50, column.width)))
    assert len(cells) == 50
    z, _ = column.encode(cells, noise_for(column, 50, rng))  # it refuses what is none
    assert (column.decode(z) == cells).all() or column.meaning != "mass"


def room(column: Column, cell: Values) -> float:
    """How far a number is from an end that it may not reach."""
    own = column.value if isinstance(column, Atoms) else column
    if isinstance(own, Positive):
        return abs(float(cell[0]) - own.edge)
    return min(float(cell[0]) - own.low, own.high - float(cell[0])) if isinstance(own, Bounded) else 1.0


def log_volume(column: Column, cell: Values, noise: np.ndarray, *, moves: bool) -> float:
    """log |det ∂z / ∂(x, u)| of one cell by central differences; noise that it does not take is left out."""

    def z(at: np.ndarray) -> np.ndarray:
        own = cell + at[:1] if moves else cell
        return column.encode(own, noise + at[None, int(moves) :])[0][0]

    steps = np.r_[
        np.full(int(moves), 1e-6 * room(column, cell) if moves else 0), np.full(noise.shape[1], 1e-5)
    ]
    rows = [(z(step) - z(-step)) / (2 * step.sum()) for step in np.diag(steps)]
    used = np.array([row for row in rows if np.abs(row).max() > 0])
    return float(np.linalg.slogdet(used)[1])


@EACH
def test_the_log_determinant_is_that_of_finite_differences(name: str) -> None:
    column, draw = KINDS[name]
    rng = np.random.default_rng(1)
    cells = draw(rng, 12)
    if not column.width:
        assert (column.encode(cells, noise_for(column, 12, rng))[1] == 0).all()
        return
    for i in range(12):
        cell, noise = (
            cells[i : i + 1].astype(float) if cells.dtype == np.float32 else cells[i : i + 1],
            rng.uniform(0.1, 0.9, (1, column.noise_width)),
        )
        moves = column.meaning == "density" or (column.meaning == "mixed" and cell[0] not in column.atoms)  # type: ignore[attr-defined]
        found = column.encode(cell, noise)[1][0] + math.log(column.sheets)
        assert found == pytest.approx(log_volume(column, cell, noise, moves=moves), abs=2e-4), (name, cell)


def mass(
    column: Column, cell: object, law: multivariate_normal, draws: int, seed: int = 2
) -> tuple[float, float]:
    """The probability of a cell under a law of encoded rows, by importance weights; its standard error."""
    dtype = object if isinstance(cell, str) else None
    z, log_det = column.encode(
        np.array([cell] * draws, dtype=dtype), noise_for(column, draws, np.random.default_rng(seed))
    )
    weights = np.exp(law.logpdf(z).reshape(-1) + log_det)
    return float(weights.mean()), float(weights.std() / math.sqrt(draws))


@pytest.mark.parametrize("name", ["simplex", "boolean", "count", "ordinal", "hours", "wind", "line"])
def test_the_masses_of_all_cells_are_one_and_those_that_decoding_gives(name: str) -> None:
    """Under a law that is not the one of the noise; ends of a line lose what is beyond half a step."""
    column, draw = KINDS[name]
    rng = np.random.default_rng(3)
    mean = 2.0 if column.width == 1 else rng.normal(0, 0.5, column.width)
    law = multivariate_normal(mean, 0.4)
    cells = sorted(set(draw(rng, 2000).tolist()))
    found = np.array([mass(column, cell, law, 30_000, seed) for seed, cell in enumerate(cells)])
    decoded = column.decode(np.reshape(law.rvs(200_000, random_state=4), (-1, column.width)))
    shares = np.array([(decoded == cell).mean() for cell in cells])
    error = np.hypot(found[:, 1], np.sqrt(shares * (1 - shares) / 200_000))
    loss = law.cdf(-0.5) + 1 - law.cdf(len(cells) - 0.5) if column.width == 1 and name != "boolean" else 0.0
    assert found[:, 0].sum() == pytest.approx(1 - loss, abs=0.005 + 4 * float(np.hypot.reduce(found[:, 1])))
    assert (np.abs(found[:, 0] - shares) <= 5 * error + loss + 1e-4).all()


def test_a_uniform_circle_is_exact_in_every_draw() -> None:
    """The density is 1 / period under N(0, I), which integrates to 1."""
    column, draw = KINDS["degrees"]
    rng = np.random.default_rng(5)
    z, log_det = column.encode(draw(rng, 500), noise_for(column, 500, rng))
    assert np.exp(log_normal(z) + log_det) == pytest.approx(np.full(500, 1 / 360), rel=1e-9)


def test_the_density_on_a_circle_integrates_to_one() -> None:
    """Under a law that is far from uniform, with no jump where a turn ends."""
    column = Circular(name="x", period=2 * math.pi)
    law = multivariate_normal([0.8, -0.3], [[0.7, 0.2], [0.2, 0.5]])
    points = np.linspace(0, 2 * math.pi, 200, endpoint=False)
    rng = np.random.default_rng(6)
    z, log_det = column.encode(np.repeat(points, 1000), noise_for(column, 200_000, rng))
    log_density = logsumexp((law.logpdf(z) + log_det).reshape(200, 1000), axis=1) - math.log(1000)
    density = np.exp(log_density)
    assert density.mean() * 2 * math.pi == pytest.approx(1, abs=0.01)
    assert density[0] == pytest.approx(density[-1], rel=0.1)


def test_atoms_keep_their_mass() -> None:
    """P(0) and the integral over the others are those of the law of the encoded rows, which are dependent."""
    column = Atoms(name="x", atoms=(0.0,), value=POSITIVE, centre=(0.3,), spread=(1.2,))
    law = multivariate_normal([0.4, 0.2], [[1.0, 0.3], [0.3, 0.8]])
    atom, error = mass(column, 0.0, law, 20_000)
    truth = 1 - norm.cdf(-0.4)  # the region of the first corner is where z is above 0
    assert atom == pytest.approx(truth, abs=5 * error + 1e-9)
    points = np.exp(np.linspace(-5, 5, 400))
    others = np.array([mass(column, point, law, 500, seed)[0] for seed, point in enumerate(points)])
    assert atom + np.trapezoid(others, points) == pytest.approx(1, abs=0.01)
    decoded = column.decode(law.rvs(100_000, random_state=0))
    assert (decoded == 0).mean() == pytest.approx(truth, abs=0.01)


def test_equally_likely_categories_are_standard_normal() -> None:
    column, draw = KINDS["simplex"]
    rng = np.random.default_rng(7)
    z, log_det = column.encode(draw(rng, 40_000), noise_for(column, 40_000, rng))
    assert np.abs(z.mean(axis=0)).max() < 0.03
    assert np.cov(z.T) == pytest.approx(np.eye(4), abs=0.04)
    assert log_normal(z) + log_det == pytest.approx(np.full(40_000, -math.log(5)))


@pytest.mark.parametrize("count", [2, 3, 7])
def test_corners_are_those_of_a_regular_simplex(count: int) -> None:
    directions = corners(count)
    assert directions.T @ directions == pytest.approx(np.eye(count - 1))
    assert directions @ directions.T == pytest.approx(np.eye(count) - 1 / count)


@pytest.mark.parametrize(
    ("column", "cell", "told"),
    [
        (POSITIVE, 0.0, "numbers above 0"),
        (Bounded(name="x"), 1.0, "between 0 and 1"),
        (Integer(name="x", low=0), -1, "from 0 on"),
        (Integer(name="x"), 1.5, "steps of 1"),
        (Gridded(name="x", step=0.1, high=1.0), 1.1, "up to 1"),
        (Categorical(name="x", levels=("a", "b")), "c", "2 levels"),
        (Circular(name="x", period=24), 24.0, "to below 24"),
        (Constant(name="x", value="de"), "fr", "'de' alone"),
        (Dates(name="x", origin="2024-01-01", form="%Y-%m-%d"), "31.1.2024", "no date written"),
        (Dates(name="x", unit="M", origin="2024-01"), np.datetime64("2024-01-02"), "1 months"),
        (Continuous(name="x"), "much", "needs numbers"),
        (Continuous(name="x"), math.inf, "not finite"),
    ],
)  # fmt: skip
def test_a_cell_that_is_none_is_refused(column: Column, cell: object, told: str) -> None:
    cells = np.array([cell], dtype=object if isinstance(cell, str) else None)
    with pytest.raises(InputError, match=told) as caught:
        column.encode(cells, np.full((1, column.noise_width), 0.5))
    assert "'x'" in str(caught.value)


def test_ends_that_are_no_points_of_the_grid_are_kept() -> None:
    column = Gridded(name="x", origin=0.25, step=0.5, low=0.0, high=2.0)
    assert column.decode(np.array([[-9.0], [0.6], [9.0]])).tolist() == [0.25, 0.75, 1.75]


@pytest.mark.parametrize("edge", [0.0, 5.0, -1e300])
def test_numbers_far_out_stay_on_their_side(edge: float) -> None:
    for column in (Positive(name="x", edge=edge), Positive(name="x", edge=edge, side="below")):
        found = column.decode(np.array([[-1e5], [-1.0], [1e5]]))
        assert np.isfinite(found).all()
        assert ((found > edge) if column.side == "above" else (found < edge)).all()
    inside = Bounded(name="x", low=2, high=3, places=1).decode(np.array([[-1e5], [-9.0], [9.0], [1e5]]))
    assert inside.tolist() == [2.1, 2.1, 2.9, 2.9]


def test_what_is_left_out_has_no_encoded_column() -> None:
    column = Text(name="x")
    assert (column.width, column.kept, column.meaning) == (0, False, "none")
