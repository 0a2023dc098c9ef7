"""Conditions on cells and the encoded numbers that they leave: each says the same of every row."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jko.columns.aside import Constant, Text
from jko.columns.atoms import Atoms
from jko.columns.circular import Circular
from jko.columns.column import Column, Values
from jko.columns.conditions import Condition, Op
from jko.columns.discrete import Gridded, Integer
from jko.columns.levels import Boolean, Categorical, Ordinal
from jko.columns.real import Bounded, Continuous, Positive
from jko.columns.regions import Constraint, Intervals
from jko.core.errors import InputError
from tests.jko.columns.test_kinds import KINDS, LEVELS, noise_for

COMPARE: dict[str, Callable[[object, object], bool]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt,
    ">=": operator.ge,
}  # fmt: skip
UNORDERED = ("simplex", "line", "boolean", "yes and no")


def comparable(column: Column, cell: object) -> object:
    """What a cell is compared as: dates that are written day first are none as text."""
    if column.name == "x" and isinstance(cell, str) and cell.count(".") == 2:
        return tuple(reversed(cell.split(".")))
    return cell


def fulfilled(column: Column, cells: Values, conditions: Sequence[Condition]) -> np.ndarray:
    def one(cell: object) -> bool:
        own = comparable(column, cell)
        return all(
            any(own == comparable(column, value) for value in condition.values)
            if condition.op == "in"
            else COMPARE[condition.op](own, comparable(column, condition.values[0]))
            for condition in conditions
        )

    items = list(cells) if cells.dtype.kind == "M" else cells.tolist()
    return np.array([one(cell) for cell in items])


def ops_of(name: str) -> list[Op]:
    ops: list[Op] = ["=", "!=", "in"]
    return ops if name in UNORDERED else [*ops, "<", "<=", ">", ">="]


def constraint_of(column: Column, conditions: Sequence[Condition]) -> Constraint | str:
    """The constraint, or the sentence that there is none."""
    try:
        return column.constraint(conditions)
    except InputError as error:
        return str(error)


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=40, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_numbers_lie_in_the_region_where_their_cells_fulfil_the_conditions(
    name: str, data: st.DataObject, seed: int
) -> None:
    """Of encoded cells with any noise, and of numbers from anywhere, by what they decode to."""
    column, draw = KINDS[name]
    rng = np.random.default_rng(seed)
    cells = draw(rng, 60)
    values = list(cells[:5]) if cells.dtype.kind == "M" else cells[:5].tolist()
    conditions = []
    for _ in range(data.draw(st.integers(1, 2))):
        op = data.draw(st.sampled_from(ops_of(name)))
        many = data.draw(st.integers(1, 3)) if op == "in" else 1
        conditions.append(Condition("x", op, tuple(data.draw(st.sampled_from(values)) for _ in range(many))))
    z, _ = column.encode(cells, noise_for(column, 60, rng))
    wide = z[rng.permutation(60)] + rng.normal(0, 1.5, z.shape)
    both = np.concatenate([z, wide])
    decoded = np.concatenate([cells, column.decode(wide)])
    expected = fulfilled(column, decoded, conditions)
    found = constraint_of(column, conditions)
    if isinstance(found, str):
        assert "no mass" in found or not expected.any(), found
        return
    if found.thin:
        assert found.cell is not None
        point, _ = column.encode(np.array([found.cell]), np.full((1, column.noise_width), 0.3))
        assert np.isclose(column.decode(point).astype(float), float(str(found.cell))).all()
        assert fulfilled(column, np.array([found.cell]), conditions).all()
        return
    inside = found.region.inside(both)
    if column.meaning != "mass":  # a real number itself has no mass, and may go to either side
        named = np.array([value for one in conditions for value in one.values], dtype=float)
        numbers = decoded.astype(float)
        near = np.isclose(numbers[:, None], named, rtol=1e-6, atol=1e-9).any(1)
        atoms = column.atoms if isinstance(column, Atoms) else ()
        apart = ~near | np.isin(numbers, atoms)
        inside, expected, decoded = inside[apart], expected[apart], decoded[apart]
    assert (inside == expected).all()
    if found.cell is not None:
        assert (decoded[inside] == found.cell).all()


def test_half_lines_and_ranges_are_intervals() -> None:
    age = Gridded(name="age", origin=0.0, step=1.0)
    assert age.constraint([Condition("age", "=", ("40",))]).region == Intervals(((39.5, 40.5),))
    assert age.constraint([Condition("age", "=", (40,))]).cell == 40
    between = [Condition("age", ">=", ("30",)), Condition("age", "<", ("40",))]
    assert age.constraint(between).region == Intervals(((29.5, 39.5),))
    count = Integer(name="n", low=0, high=9)
    assert count.constraint([Condition("n", "<", (1,))]).region == Intervals(((-np.inf, 0.5),))
    assert count.constraint([Condition("n", "<", (1,))]).cell == 0
    income = Positive(name="income")
    ((low, high),) = income.constraint([Condition("income", ">", ("50000",))]).region.ends  # type: ignore[attr-defined]
    assert (low, high) == (pytest.approx(np.log(50000)), np.inf)
    assert income.constraint([Condition("income", "=", (50000.0,))]).thin


def test_an_end_between_two_points_leaves_whole_cells() -> None:
    age = Integer(name="age")
    assert age.constraint([Condition("age", ">", (40.5,))]).region == Intervals(((40.5, np.inf),))
    assert age.constraint([Condition("age", "<=", (40.5,))]).region == Intervals(((-np.inf, 40.5),))


def test_rounded_numbers_beside_an_end_do_not_come_back_across_it() -> None:
    price = Continuous(name="p", places=2)
    region = price.constraint([Condition("p", ">", (50,))]).region
    z = np.linspace(49.9, 50.1, 2001)[:, None]
    assert (region.inside(z) == (price.decode(z) > 50)).mean() > 0.999  # but for ties


@pytest.mark.parametrize(
    ("column", "conditions", "sentence"),
    [
        (Integer(name="age"), [("<", 3), (">", 4)], "no cell can be age < 3 and age > 4"),
        (Integer(name="age"), [("=", 3.5)], "no cell can be age = 3.5; steps of 1 from 0 are allowed"),
        (Integer(name="age", low=0), [("<", 0)], "no cell can be age < 0"),
        (Positive(name="age"), [("<", 0)], "no cell can be age < 0; numbers from 0 to inf are there"),
        (Bounded(name="age"), [(">=", 1)], "no cell can be age >= 1"),
        (Continuous(name="age"), [("in", 1, 2)], "have no mass beside each other"),
        (Continuous(name="age"), [("=", "old")], "column 'age' holds numbers, and 'old' is none"),
        (Continuous(name="age"), [("=", 1), ("=", 2)], "no cell can be age = 1 and age = 2"),
        (Continuous(name="age"), [("=", 1), ("!=", 1)], "no cell can be age = 1 and age != 1"),
        (Categorical(name="age", levels=LEVELS), [("=", "z")], "has no level 'z'; it has 'a', 'b'"),
        (Categorical(name="age", levels=LEVELS), [("<", "b")], "have no order"),
        (Ordinal(name="age", levels=("low", "high")), [(">", "high")], "no cell can be age > high"),
        (Circular(name="age", period=360), [("=", 360)], "numbers from 0 to below 360 are there"),
        (Constant(name="age", value=7), [("=", 8)], "no cell can be age = 8; every cell is 7"),
        (Text(name="age"), [("=", "x")], "is left out of the model"),
    ],
)  # fmt: skip
def test_what_no_cell_can_be_is_refused(
    column: Column, conditions: list[tuple[Op, object]], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence.replace("(", r"\(")):
        column.constraint([Condition("age", op, tuple(values)) for op, *values in conditions])


def test_levels_are_known_by_what_people_write() -> None:
    for word in ("yes", "True", "1"):
        assert Boolean(name="b").constraint([Condition("b", "=", (word,))]).cell is True
    dose = Ordinal(name="d", levels=(0.0, 0.5, 3.7))
    assert dose.constraint([Condition("d", "=", ("0.50",))]).cell == 0.5
    assert dose.constraint([Condition("d", ">", ("1",))]).cell == 3.7
    assert dose.constraint([Condition("d", "in", ("0", "3.7"))]).cell is None


def test_a_date_is_its_first_moment() -> None:
    column = KINDS["days"][0]
    found = column.constraint([Condition("x", ">=", ("2024-02",)), Condition("x", "<", ("2024-02-02",))])
    assert found.cell == "01.02.2024"
    assert column.constraint([Condition("x", "=", ("05.03.2024",))]).cell == "05.03.2024"
    with pytest.raises(InputError, match="is no date"):
        column.constraint([Condition("x", "=", ("soon",))])


def test_a_kind_of_ones_own_takes_no_conditions_until_it_says_how() -> None:
    with pytest.raises(InputError, match="columns of kind own take no conditions"):
        Column(name="x", kind="own").constraint([Condition("x", "=", (1,))])


def test_conditions_that_meet_between_two_cells_leave_none() -> None:
    """Of a column that is rounded to decimals: 9.285 is no number of it."""
    column = Continuous(name="x", places=2)
    with pytest.raises(InputError, match=r"no cell can be x < 9\.29 and x >= 9\.29"):
        column.constraint([Condition("x", "<", (9.29,)), Condition("x", ">=", (9.29,))])
    alone = column.constraint([Condition("x", "<=", (9.29,)), Condition("x", "=", (9.29,))])
    assert (alone.cell, alone.thin) == (9.29, True)


def test_two_directions_have_no_mass_beside_each_other() -> None:
    column = Circular(name="x", low=-180, period=360)
    with pytest.raises(InputError, match="no mass"):
        column.constraint([Condition("x", "!=", (49.3,)), Condition("x", "in", (-82.9, -165.2))])


def test_either_end_of_a_turn_may_be_asked_for() -> None:
    """Of both the one is given back that samples have; other numbers stay as they are."""
    up = Circular(name="x", low=-180, period=360, closed="high", step=1)
    down = Circular(name="x", low=-179, period=360, closed="low", step=1)
    for end in (180, -180, "180"):
        assert up.constraint([Condition("x", "=", (end,))]).cell == -180
        assert down.constraint([Condition("x", "in", (end,))]).cell == 180
    assert up.constraint([Condition("x", "=", (179,))]).cell == 179
    plain = Circular(name="x", low=-180, period=360, step=1)
    with pytest.raises(InputError, match="numbers from -180 to below 180 are there"):
        plain.constraint([Condition("x", "=", (180,))])
