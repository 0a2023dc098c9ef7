"""What a sweep consists of: settings from texts, draws, and the tree of shared first blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.sweeps.sweep_plan import Wanted, define, find_sweep, sweep_folder
from jko.core.errors import InputError
from jko.disk.identity import source_key
from tasks.sweep.axes import Range, Values, draws, grid_axis, kinds_of, random_axis
from tasks.sweep.cells import read_sweep, write_sweep
from tasks.sweep.prefixes import Chain, Step, parts_of, plan_steps


@pytest.mark.parametrize(
    ("text", "key", "values"),
    [
        ("training.learning_rate=1e-3,0.01", "training.learning_rate", (0.001, 0.01)),
        ("network.hidden=[64,64],[128,128]", "network.hidden", ([64, 64], [128, 128])),
        ("network.hidden=[64,64]", "network.hidden", ([64, 64],)),
        ("stop.certificate=null, 0.5", "stop.certificate", (None, 0.5)),
        ("solver.method=rk4,euler", "solver.method", ("rk4", "euler")),
    ],
)
def test_a_grid_is_a_list_of_yaml_values(text: str, key: str, values: tuple[object, ...]) -> None:
    assert grid_axis(text) == Values(key, values)


def test_ranges_know_the_kind_of_their_setting() -> None:
    assert random_axis("training.iterations=10:20") == Range("training.iterations", 10, 20, False, True)
    assert random_axis("blocks.3.iterations = 10:20:log") == Range("blocks.3.iterations", 10, 20, True, True)
    assert random_axis("data.smoothing=0:1") == Range("data.smoothing", 0, 1, False, False)
    assert random_axis("stop.certificate=1e-3:1:log").log
    assert random_axis("solver.steps=3,4") == Values("solver.steps", (3, 4))
    assert kinds_of("network.activation") == {str}
    assert kinds_of("steps.count") == {int}
    assert kinds_of("network.depth") == kinds_of("nothing.there") == set()


def test_draws_are_counted_and_their_laws_are_those_asked_for() -> None:
    axes = [
        random_axis("training.learning_rate=1e-4:1e-1:log"),
        random_axis("training.iterations=1:3"),
        random_axis("solver.method=rk4,euler"),
        random_axis("data.smoothing=0:1"),
    ]
    many = list(draws(axes, 2000, 7))
    assert list(draws(axes, 3, 7)) == many[:3]
    assert [one["data.smoothing"] for one in draws(axes[3:], 5, 7)] == [
        one["data.smoothing"] for one in many[:5]
    ], "another setting must not change the draws of this one"
    assert list(draws(axes, 3, 8)) != many[:3]
    rates = np.log10([one["training.learning_rate"] for one in many])
    assert rates.min() >= -4
    assert rates.max() <= -1
    # mean of 2000 uniform draws of width 3: standard error 3/√12/√2000
    assert abs(rates.mean() + 2.5) < 4 * 3 / math.sqrt(12 * 2000)
    counts = [sum(one["training.iterations"] == value for one in many) for value in (1, 2, 3)]
    assert sum(counts) == 2000
    assert max(abs(count - 2000 / 3) for count in counts) < 4 * math.sqrt(2000 * 2 / 9)
    assert all(type(one["training.iterations"]) is int for one in many)
    assert {one["solver.method"] for one in many} == {"rk4", "euler"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({}, "nothing is varied"),
        ({"grid": ("training.iterations",)}, "the form is KEY="),
        ({"grid": ("training.iterations=",)}, "the form is KEY="),
        ({"grid": ("seed=1,2",)}, "seeds are given by --seeds"),
        ({"grid": ("training={}",)}, "name one setting"),
        ({"grid": ("network.hidden=[64",)}, "the values are not readable"),
        ({"grid": ("training.iterations=1,2", "training.iterations=3")}, "varied twice"),
        ({"grid": ("training.iteration=1,2",)}, "combination training.iteration=1 seed=0: unknown key"),
        ({"grid": ("training.iterations=5,-1",)}, "combination training.iterations=-1 seed=0: training.it"),
        ({"grid": ("training.iterations=[5,6]",)}, "combination training.iterations=[5,6] seed=0"),
        ({"grid": ("blocks.9.iterations=5",)}, "blocks.9 names a block that is not there"),
        ({"random": ("training.learning_rate=1:2",)}, "--draws belong together"),
        ({"grid": ("solver.steps=3,4",), "draws": 3}, "--draws belong together"),
        ({"draws": 3}, "--draws belong together"),
        ({"grid": ("solver.steps=3,4",), "random": ("solver.steps=3:4",), "draws": 1}, "exclude each other"),
        ({"random": ("training.iterations=1.5:4",), "draws": 2}, "must have integer ends"),
        ({"random": ("training.learning_rate=0:1:log",), "draws": 2}, "must begin above 0"),
        ({"random": ("training.learning_rate=2:1",), "draws": 2}, "must be below the second"),
        ({"random": ("training.learning_rate=1:2:exp",), "draws": 2}, "only log is allowed"),
        ({"random": ("network.activation=1:2",), "draws": 2}, "is no number"),
        ({"random": ("training.learning_rate=-1:1",), "draws": 9}, "combination training.learning_rate=-0."),
    ],
)
def test_a_bad_definition_gets_one_sentence(tmp_path: Path, words: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        define(tmp_path, tmp_path / "sweep", "s", Wanted(preset="smoke", **words))  # type: ignore[arg-type]
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_stored_sweep_takes_more_cells_and_no_other_base(tmp_path: Path) -> None:
    folder = sweep_folder(tmp_path, "s")
    few = Wanted(preset="smoke", grid=("training.iterations=5,10",), seeds=(0, 1))
    sweep, _ = find_sweep(tmp_path, folder, "s", few)
    write_sweep(sweep)
    assert read_sweep(folder) == sweep
    assert find_sweep(tmp_path, folder, "s", few) == (sweep, "")
    assert find_sweep(tmp_path, folder, "s", Wanted()) == (sweep, "")
    both, said = find_sweep(
        tmp_path, folder, "s",
        Wanted(preset="smoke", grid=("training.iterations=10,20", "solver.steps=3,4"), seeds=(1,)),
    )  # fmt: skip
    # solver.steps = 3 is the preset's: (10, 3) is there already, (20, 3), (10, 4) and (20, 4) are not
    assert "3 cells added, 4 cells of earlier definitions kept" in said
    assert both.cells[:4] == sweep.cells
    assert both.varied(both.cells[0]) == {"training.iterations": 5, "solver.steps": 3}
    with pytest.raises(InputError, match=r"training\.batch_size is 128 there and 64 here"):
        find_sweep(
            tmp_path, folder, "s",
            Wanted(preset="smoke", assignments=("training.batch_size=64",), grid=("solver.steps=3,4",)),
        )  # fmt: skip
    with pytest.raises(InputError, match="there is no sweep t yet"):
        find_sweep(tmp_path, sweep_folder(tmp_path, "t"), "t", Wanted())
    with pytest.raises(InputError, match="cannot name a sweep"):
        sweep_folder(tmp_path, "../elsewhere")


def chains(*words: str, **known: int) -> list[Chain]:
    """A chain for each word; its letters are the identities of data and blocks."""
    return [Chain(word, tuple(word), known.get(word, 0)) for word in words]


def test_shared_parts_get_one_step() -> None:
    assert plan_steps(chains("dab", "dac"), split=False) == [
        Step("dab"), Step("dac", None, "dab", 2, "dab")
    ]  # fmt: skip
    assert plan_steps(chains("dab", "dac"), split=True) == [
        Step("dab", 1), Step("dab", None, None, 0, "dab, blocks 1..1"),
        Step("dac", None, "dab", 2, "dab, blocks 1..1"),
    ]  # fmt: skip
    assert plan_steps(chains("da", "db"), split=True)[0] == Step("da", 0)
    assert [step.source for step in plan_steps(chains("da", "eb"), split=True)] == [None, None]


def test_what_is_committed_is_taken_at_once() -> None:
    steps = plan_steps(chains("dab", "dac", dac=2), split=True)
    assert steps == [Step("dac"), Step("dab", None, "dac", 2, None)]


def test_a_chain_that_its_stop_rule_may_end_early_lets_others_train_what_is_shared() -> None:
    early, late = Chain("early", tuple("dabc"), limits=(0.5,)), Chain("late", tuple("dabc"), limits=(0.0,))
    assert [step.cell for step in plan_steps([early, late], split=False)] == ["late", "early"]
    ended = Chain("ended", tuple("da"), have=2, finished=True)
    steps = plan_steps([ended, early, late], split=False)
    assert steps[0] == Step("late", None, "ended", 2, None)


def simulated(tree: Sequence[Chain], steps: Sequence[Step]) -> list[tuple[str, ...]]:
    """Run a plan in its order on paper; returns every part that was made, by its whole path."""
    have = {chain.name: chain.parts[: chain.have] for chain in tree}
    parts = {chain.name: chain.parts for chain in tree}
    made, ended = [], set()
    for step in steps:
        assert step.after is None or step.after in ended
        wanted, own = parts[step.cell], have[step.cell]
        if step.source is not None:
            other = have[step.source]
            common = sum(1 for k in range(len(wanted)) if other[: k + 1] == wanted[: k + 1])
            assert common >= step.shared, "the source must have what the plan says is shared"
            own = max(own, wanted[:common], key=len)
        last = len(wanted) if step.stop_after is None else step.stop_after + 1
        made += [wanted[: k + 1] for k in range(len(own), last)]
        have[step.cell] = max(own, wanted[:last], key=len)
        ended.add(step.name)
    assert have == parts
    return made


@given(st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=8), st.booleans(), st.data())
def test_every_part_of_every_tree_is_made_once(words: list[str], split: bool, data: st.DataObject) -> None:
    have = [data.draw(st.integers(0, len(word))) for word in words]
    tree = [Chain(str(i), tuple(word), have[i]) for i, word in enumerate(words)]
    finished = [Chain(c.name, c.parts, c.have, c.have == len(c.parts)) for c in tree]
    made = simulated(finished, plan_steps(finished, split=split))
    assert len(made) == len(set(made))
    known = {chain.parts[: k + 1] for chain in tree for k in range(chain.have)}
    assert not known & set(made)
    wanted = {chain.parts[: k + 1] for chain in tree for k in range(len(chain.parts))}
    assert set(made) == wanted - known


def test_parts_are_equal_exactly_where_blocks_are() -> None:
    from flows.settings import build_request

    root = Path("nowhere")

    def parts(*assignments: str) -> tuple[str, ...]:
        config = build_request(root, preset="smoke", assignments=assignments).config
        return parts_of(config, source_key(config))

    base = parts()
    assert len(base) == 4
    for words, equal in [
        (("blocks.3.iterations=5",), 3), (("blocks.2.jitter=0.1",), 2), (("network.hidden=[8]",), 1),
        (("seed=1",), 0), (("data.rows=300",), 0), (("evaluation.samples=20",), 4), (("steps.count=2",), 3),
    ]:  # fmt: skip
        other = parts(*words)
        same = [a == b for a, b in zip(base, other, strict=False)]
        assert [*same, False].index(False) == equal, words


def test_every_combination_and_seed_is_a_cell() -> None:
    root = Path("nowhere")
    wanted = Wanted(preset="smoke", grid=("solver.steps=3,4", "network.hidden=[8],[8,8]"), seeds=(0, 5))
    sweep = define(root, root, "s", wanted)
    found = [(*sweep.varied(cell).values(), cell.config.seed) for cell in sweep.cells]
    assert found == [(a, b, c) for a, b, c in product((3, 4), ([8], [8, 8]), (0, 5))]
    assert len({cell.name for cell in sweep.cells}) == 8
    again = define(root, root, "s", wanted)
    assert again.cells == sweep.cells
