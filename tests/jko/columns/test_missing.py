"""Columns with empty cells: back again, their log-determinants, and the masses of a known law."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest, multivariate_normal, norm

from jko.columns.aside import Constant, Text
from jko.columns.atoms import Atoms
from jko.columns.cells import Cells, read_cells, with_holes
from jko.columns.column import Column, Values
from jko.columns.conditions import EMPTY, THERE, Condition, Op
from jko.columns.discrete import Integer
from jko.columns.infer import infer
from jko.columns.levels import Categorical
from jko.columns.missing import Missing, Presence, missing_of
from jko.columns.real import Continuous, Positive
from jko.columns.schema import Schema, schema_of
from jko.columns.written import described, from_yaml, read_schema, to_yaml
from jko.conditional.kinds import Kinds, constraints_of
from jko.core.errors import InputError
from jko.preparation.holes import with_missing
from tests.jko.columns.test_kinds import EACH, KINDS, apart, log_volume, mass, noise_for

ROWS = 64
HOLES: tuple[Op, ...] = (EMPTY, THERE)


def holed(name: str, rng: np.random.Generator, rows: int = ROWS) -> tuple[Missing, Values, np.ndarray]:
    """A column of a kind with about a third of its cells empty, its cells, and where there are some."""
    inner, draw = KINDS[name]
    own = draw(rng, rows)
    present = rng.random(rows) > 0.3
    share = (None, 0.3, 0.002)[len(name) % 3]
    return missing_of(inner, own[present], share), with_holes(own, present), present


@EACH
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_column_comes_back_with_its_holes(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    column, cells, present = holed(name, rng)
    z, log_det = column.encode(cells, noise_for(column, ROWS, rng))
    assert z.shape == (ROWS, column.width)
    assert np.isfinite(z).all()
    np.testing.assert_allclose(column.log_det(z), log_det, rtol=1e-6, atol=1e-6)
    back = column.decode(z)
    assert back.dtype == cells.dtype
    assert (read_cells(back).present == present).all()
    own, there = read_cells(back).there, read_cells(cells).there
    if column.value.meaning == "mass":
        assert (own == there).all()
    else:
        inner = column.value
        assert apart(inner, own, there).max(initial=0) < 1e-6


@EACH
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), size=st.floats(0.01, 1e6))
def test_any_numbers_decode_to_cells_or_holes(name: str, seed: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    column, _, _ = holed(name, rng)
    raw = size * rng.standard_normal((50, column.width))
    cells = column.decode(raw)
    assert (read_cells(cells).present == (raw[:, 0] < 0)).all()
    column.encode(cells, noise_for(column, 50, rng))  # it refuses what is none


@EACH
def test_the_log_determinant_is_that_of_finite_differences(name: str) -> None:
    rng = np.random.default_rng(1)
    column, cells, present = holed(name, rng, 16)
    inner: Column = column.value
    for i in range(16):
        cell, noise = cells[i : i + 1], rng.uniform(0.1, 0.9, (1, column.noise_width))
        cell = cell.astype(float) if cell.dtype == np.float32 else cell
        found = column.encode(cell, noise)[1][0]
        atoms = inner.atoms if isinstance(inner, Atoms) else ()
        moves = bool(present[i]) and inner.meaning in ("density", "mixed") and cell[0] not in atoms
        halves = column.sheets // inner.sheets
        sheets = column.sheets if present[i] else halves
        if moves:  # the cell itself is moved where it is a number, so the value is looked at alone
            part = noise[:, 1 + inner.width :]
            found -= column.encode(cell, noise)[1][0] - inner.encode(cell, part)[1][0]
            expected = log_volume(inner, cell, part, moves=True) - math.log(inner.sheets)
            half = column.encode(cell, noise)[1][0] - inner.encode(cell, part)[1][0]
            z = column.encode(cell, noise)[0][0, 0]
            share = column.share or 0.5
            moved = norm.isf(share) if column.share else 0.0
            assert half == pytest.approx(math.log(1 - share) - norm.logpdf(z + moved))
        else:
            expected = log_volume(column, cell, noise, moves=False) - math.log(sheets)
        assert found == pytest.approx(expected, abs=2e-4), (name, cell)


def test_what_was_observed_has_its_closed_probability() -> None:
    """(s, v, y) is a Gaussian: P(empty, y) = N(y) P(s > 0 | y), whatever v is."""
    covariance = np.array([[1.0, 0.4, 0.5], [0.4, 1.2, 0.3], [0.5, 0.3, 0.8]])
    law = multivariate_normal([0.3, 1.0, -0.2], covariance)
    column = Missing(name="x", value=Continuous(name="x"), centre=(0.8,), spread=(1.5,))
    rng, draws = np.random.default_rng(0), 100_000
    for y in (-1.0, 0.4):
        slope = covariance[0, 2] / covariance[2, 2]
        mean = 0.3 + slope * (y + 0.2)
        deviation = math.sqrt(covariance[0, 0] - slope * covariance[0, 2])
        truth = norm.pdf(y, -0.2, math.sqrt(0.8)) * norm.sf(0, mean, deviation)
        z, log_det = column.encode(np.full(draws, np.nan), noise_for(column, draws, rng))
        weights = np.exp(law.logpdf(np.column_stack([z, np.full(draws, y)])) + log_det)
        error = weights.std() / math.sqrt(draws)
        assert abs(weights.mean() - truth) < 4.5 * error
        assert error < 0.02 * truth
        x = 1.7
        z, log_det = column.encode(np.full(draws, x), noise_for(column, draws, rng))
        weights = np.exp(law.logpdf(np.column_stack([z, np.full(draws, y)])) + log_det)
        gain = covariance[0, 1:] @ np.linalg.inv(covariance[1:, 1:])
        mean = 0.3 + gain @ (np.array([x, y]) - [1.0, -0.2])
        deviation = math.sqrt(1.0 - gain @ covariance[0, 1:])
        both = multivariate_normal([1.0, -0.2], covariance[1:, 1:]).pdf([x, y])
        assert abs(weights.mean() - both * norm.cdf(0, mean, deviation)) < 4.5 * weights.std() / math.sqrt(
            draws
        )


def test_a_law_that_fills_holes_as_the_noise_does_is_exact_in_every_draw() -> None:
    """p(s, v) = ½-normals times r(v): an empty cell has probability ½ whatever is drawn."""
    column = Missing(name="x", value=Positive(name="x"), centre=(2.0,), spread=(0.5,))
    z, log_det = column.encode(np.full(200, np.nan), noise_for(column, 200, np.random.default_rng(0)))
    log_p = norm.logpdf(z[:, 0]) + norm.logpdf(z[:, 1], 2.0, 0.5)
    np.testing.assert_allclose(np.exp(log_p + log_det), 0.5, rtol=1e-9)


@pytest.mark.parametrize("spread", ["line", "simplex"])
def test_the_masses_of_all_levels_and_of_none_are_one(spread: str) -> None:
    value = Categorical.model_validate({"name": "x", "levels": ("a", "b", "c"), "spread": spread})
    column = missing_of(value, np.array(["a", "b", "b", "c"], dtype=object))
    law = multivariate_normal(np.r_[-0.4, np.full(value.width, 0.8)], 0.4)
    found = [mass(column, cell, law, 60_000, seed) for seed, cell in enumerate(["a", "b", "c"])]
    z, log_det = column.encode(
        np.full(60_000, None, dtype=object), noise_for(column, 60_000, np.random.default_rng(9))
    )
    weights = np.exp(law.logpdf(z) + log_det)
    found.append((float(weights.mean()), float(weights.std()) / math.sqrt(60_000)))
    masses, errors = np.array(found).T
    # a line loses what lies beyond the last half step
    loss = (
        (norm.cdf(-0.5, 0.8, math.sqrt(0.4)) + norm.sf(2.5, 0.8, math.sqrt(0.4))) if spread == "line" else 0.0
    )
    lost = loss * norm.sf(0.4 / math.sqrt(0.4) * -1)  # of those that are there, s < 0
    assert masses[3] == pytest.approx(norm.sf(0.4 / math.sqrt(0.4)), abs=5 * errors[3])
    assert masses.sum() == pytest.approx(1 - lost, abs=5 * float(np.hypot.reduce(errors)) + 0.002)


def test_a_condition_is_fulfilled_by_cells_alone() -> None:
    column = Missing(name="n", value=Integer(name="n", low=0))
    region = column.constraint([Condition("n", ">=", (2,))]).region
    z = np.array([[-1.0, 3.0], [1.0, 3.0], [-1.0, 1.0]])
    assert region.inside(z).tolist() == [True, False, False]
    known = column.constraint([Condition("n", "=", ("4",))])
    assert known.cell == 4
    assert not known.thin
    assert Missing(name="x", value=Continuous(name="x")).constraint([Condition("x", "=", (1.5,))]).thin


def test_that_there_is_a_cell_can_be_held() -> None:
    near, of_near = Presence(0.01).encode(np.zeros(500), np.random.default_rng(0).random((500, 1)))
    assert (near < 0).all()
    assert near.mean() == pytest.approx(-norm.isf(0.01), abs=0.2)
    np.testing.assert_allclose(of_near, math.log(0.99) - norm.logpdf(near[:, 0] + norm.isf(0.01)), rtol=1e-9)
    z, log_det = Presence().encode(np.zeros(500), np.random.default_rng(0).random((500, 1)))
    assert (z < 0).all()
    np.testing.assert_allclose(log_det, -math.log(2) - norm.logpdf(z[:, 0]))


def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(
        {
            "x": rng.normal(size=60), "city": rng.choice(["Rome", "Oslo"], 60), "n": rng.poisson(4, 60),
            "paid": np.where(rng.random(60) < 0.5, 0.0, rng.gamma(2, 30, 60)), "flag": 1.0,
        }
    )  # fmt: skip
    return rows.mask(rng.random(rows.shape) < 0.2)


def modelled() -> Schema:
    schema = infer(table())
    cells = {name: read_cells(table()[name]) for name in schema.names}
    return schema_of([missing_of(one, cells[one.name].there) for one in schema.kept], schema.rows)


@EACH
def test_empty_cells_and_others_are_asked_for(name: str) -> None:
    rng = np.random.default_rng(0)
    column, cells, present = holed(name, rng)
    z, _ = column.encode(cells, noise_for(column, ROWS, rng))
    empty, there = (Condition(column.name, op, ()) for op in HOLES)
    assert (column.constraint([empty, empty]).region.inside(z) == ~present).all()
    assert (column.constraint([there]).region.inside(z) == present).all()
    assert not column.constraint([empty]).thin
    with pytest.raises(InputError, match=r"no cell can fulfil .* is empty and .* is not empty"):
        column.constraint([empty, there])


def test_of_cells_that_are_there_other_conditions_are_asked() -> None:
    column = Missing(name="n", value=Integer(name="n"))
    there, four = Condition("n", "is not empty", ()), Condition("n", "=", (4,))
    assert column.constraint([there, four]) == column.constraint([four])
    with pytest.raises(InputError, match="no cell can fulfil n is empty and n = 4"):
        column.constraint([Condition("n", "is empty", ()), four])


def test_a_column_without_holes_is_not_asked_for_some() -> None:
    schema = schema_of([
        Integer(name="n"), Missing(name="m", value=Integer(name="m")), Constant(name="none"),
        Constant(name="one", value=1), Text(name="t"),
    ])  # fmt: skip
    kinds = Kinds(schema.kept, schema)
    for name in ("n", "one"):
        for op in HOLES:
            with pytest.raises(InputError, match=rf"^{name} {op}: column '{name}' has no empty cells in"):
                constraints_of(kinds, [Condition(name, op, ())])
    for name in ("m", "none"):
        assert constraints_of(kinds, [Condition(name, "is empty", ())])
    with pytest.raises(InputError, match="every cell is empty"):
        constraints_of(kinds, [Condition("none", "is not empty", ())])
    with pytest.raises(InputError, match="is left out of the model"):
        constraints_of(kinds, [Condition("t", "is empty", ())])


def test_a_schema_with_holes_is_written_and_read(tmp_path: Path) -> None:
    schema = modelled()
    path = tmp_path / "columns.yaml"
    path.write_text(to_yaml(schema), encoding="utf-8")
    assert read_schema(path).content == schema.content
    assert read_schema(path).plain() == schema.plain()
    text = to_yaml(schema)
    assert text.count("name:") == len(schema.columns)
    other = from_yaml(text.replace("- Rome", "- Paris"), "c.yaml")
    assert other.content != schema.content
    lines = described(schema)
    assert any("missing + atoms + positive" in line and "% missing" in line for line in lines)
    assert any("missing + constant" in line for line in lines)


def test_a_schema_encodes_rows_with_holes_and_gives_them_back() -> None:
    schema, rows = modelled(), table()
    encoded = schema.encode(rows, seed=1)
    assert encoded.names[:2] == ("x/missing", "x")
    np.testing.assert_allclose(schema.log_det(encoded.values), encoded.log_det, atol=1e-9)
    back = pd.DataFrame(schema.decode(encoded.values))
    assert (back.isna() == rows.isna()).all().all()
    for name in ("city", "n", "flag"):
        assert (back[name].dropna() == rows[name].dropna()).all()
    np.testing.assert_allclose(back["x"], rows["x"], atol=1e-9)
    again = schema.encode(rows, seed=1, draw=1)
    empty = rows["x"].isna().to_numpy()
    assert (again.values[empty, 1] != encoded.values[empty, 1]).all()  # what stands in a hole is drawn again
    assert (again.values[~empty, 1] == encoded.values[~empty, 1]).all()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"value": {"kind": "continuous"}, "centre": [1.0, 2.0]}, "centre and spread need 1 numbers"),
        ({"value": {"kind": "text"}}, "does not match any of the expected tags"),
        ({}, "Field required"),
        ({"value": {"kind": "continuous"}, "spread": [0.0]}, "greater than 0"),
    ],
)
def test_a_column_that_cannot_be_is_refused(given: dict[str, object], told: str) -> None:
    text = f"version: 1\ncolumns: [{{name: x, kind: missing, {str(given)[1:-1]}}}]\n"
    with pytest.raises(InputError, match=told) as caught:
        from_yaml(text.replace("'", ""), "c.yaml")
    assert "column 'x'" in str(caught.value)


def test_cells_and_holes_of_every_type() -> None:
    present = np.array([True, False])
    assert with_holes(np.array([3, 4]), present).tolist()[0] == 3.0
    assert with_holes(np.array([2**60, 4]), present).tolist() == [2**60, None]
    assert with_holes(np.array([True, False]), present).tolist() == [True, None]
    assert np.isnat(with_holes(np.array(["2025-01-01", "2025-01-02"], dtype="M8[D]"), present)[1])
    whole = np.array([3, 4])
    assert with_holes(whole, np.array([True, True])) is whole
    none = missing_of(Constant(name="k", value=1), np.empty(0))
    assert (none.centre, none.width) == ((), 1)
    assert Cells(whole, present).there.tolist() == [3]


@pytest.mark.parametrize("share", [0.0002, 0.05, 0.5, 0.97])
def test_whether_cells_are_empty_is_normal_over_all_rows(share: float) -> None:
    """So rare holes are a tail of it, and its density has no jump where they begin."""
    rng = np.random.default_rng(0)
    column = missing_of(Constant(name="k", value=1), np.empty(0), share)
    present = rng.random(20_000) >= share
    cells = with_holes(np.ones(20_000), present)
    z, log_det = column.encode(cells, rng.random((20_000, 1)))
    cut = norm.isf(share)
    assert kstest(z[:, 0] + cut, "norm").pvalue > 1e-3
    assert ((z[:, 0] > 0) == ~present).all()
    np.testing.assert_allclose(column.log_det(z), log_det, atol=1e-12)
    # −log q, integrated over its half, says a mass of one each
    grid = np.linspace(-12, 12, 48_001)[:, None]
    density = np.exp(-column.log_det(grid)) * 5e-4
    assert density[grid[:, 0] > 0].sum() == pytest.approx(1, abs=2e-3)
    assert density[grid[:, 0] < 0].sum() == pytest.approx(1, abs=2e-3)


def test_rare_holes_know_their_share_from_the_training_rows() -> None:
    rng = np.random.default_rng(0)
    draw = rng.random(4000)
    frame = {
        name: np.where(draw < share, np.nan, rng.normal(size=4000))
        for name, share in {"x": 0.05, "y": 0.0, "many": 0.3}.items()
    }
    cells = {name: read_cells(own) for name, own in frame.items()}
    first, second, many = with_missing(infer(frame), cells, np.arange(2000)).columns
    assert isinstance(many, Missing)
    assert many.share is None
    assert isinstance(first, Missing)
    assert first.share == pytest.approx(np.isnan(frame["x"][:2000]).mean())
    assert not isinstance(second, Missing)
    assert missing_of(first.value, np.empty(0)).share is None
