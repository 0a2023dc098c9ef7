"""The gate's small language, and what it makes of figures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jko.config import Config
from jko.core.errors import InputError
from tasks.adapters.store.evaluated import EvaluationFigures
from tasks.compare.comparison import Comparison, Subject
from tasks.compare.gate import Condition, judge, parse_condition
from tasks.compare.record import About, Record

ROWS = 100
#: number in the source of the first of them
FIRST_ROW = 1000


def subject(label: str, nll: float, *, spread: float = 0.0, digest: str = "rows", **more: Any) -> Subject:
    """A run whose log-density of row i is −nll ± spread, alternating."""
    densities = -nll + spread * np.where(np.arange(ROWS) % 2, 1, -1)
    figures = EvaluationFigures.model_validate({
        "steps": 2, "test_digest": digest, "test": {"nll": nll, "nll_se": 0.1, **more.get("test", {})},
        "baselines": {name: {"nll": 2.0} for name in ("gaussian", "mixture")},
        "nearest_training_row": 1.0, "inversion_error_chain": more.get("inversion", 0.0),
    })  # fmt: skip
    about = About.model_validate({
        "state": "complete", "blocks": 2, "planned": 2, "digest": "d", "data": "toy", "data_digest": digest,
        "columns": ["x"], "image_shape": None, "entropy": None, "config": Config().model_dump(mode="json"),
    })  # fmt: skip
    densities[list(more.get("exploded", {}))] -= list(more.get("exploded", {}).values())
    rows = pd.DataFrame({"row": FIRST_ROW + np.arange(ROWS), "log_density": densities})
    tracked = {"time/train_cpu_s": more.get("seconds", 10.0)}
    return Subject(label, "a test", Record(about, figures=figures, test_rows=rows, tracked=tracked))


def outcome(condition: str, baseline: Subject, candidate: Subject) -> tuple[bool, float]:
    found = judge(Comparison([baseline, candidate]), [parse_condition(condition)])
    assert len(found) == 1
    return found[0].tripped, found[0].difference


@pytest.mark.parametrize(
    ("text", "metric", "above", "limit", "unit"),
    [
        ("test/nll > +0.02", "test/nll", True, 0.02, ""),
        ("test/nll>+0.02", "test/nll", True, 0.02, ""),
        ("  test/nll  <  -1.5e-2  ", "test/nll", False, -0.015, ""),
        ("test/nll > +2se", "test/nll", True, 2.0, "se"),
        ("test/nll > +2 se", "test/nll", True, 2.0, "se"),
        ("time/train_cpu_s > +10%", "time/train_cpu_s", True, 10.0, "%"),
        ("steps > 0", "steps", True, 0.0, ""),
        ("steps > +.5", "steps", True, 0.5, ""),
    ],
)
def test_conditions_are_read(text: str, metric: str, above: bool, limit: float, unit: Any) -> None:
    assert parse_condition(text) == Condition(text.strip(), metric, above, limit, unit)


@pytest.mark.parametrize(
    "text",
    [
        "", "test/nll", "test/nll > ", "> +1", "test/nll = +1", "test/nll >= +1", "test/nll => +1",
        "test/nll > +1 nats", "test/nll > + 1", "test/nll > +-1", "test/nll > +1se%", "test/nll > +nan",
        "test/nll > +inf", "test/nll > +1 > +2", "test/nll > +1; steps > +1", "test/nll > +1e999", "1 > +1",
        "test/nll > +1,5", "test/nll > 0x10",
    ],
)  # fmt: skip
def test_what_is_no_condition_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(InputError, match="--fail-if") as error:
        parse_condition(text)
    assert "\n" not in str(error.value)


def test_a_limit_needs_its_sign() -> None:
    with pytest.raises(InputError, match=r"as in \+0.02 or -0.02"):
        parse_condition("test/nll > 0.02")


@pytest.mark.parametrize(
    ("condition", "tripped"),
    [
        ("test/nll > +0.04", True), ("test/nll > +0.06", False), ("test/nll < +0.06", True),
        ("test/nll < -0.01", False), ("test/nll > -1", True),
    ],
)  # fmt: skip
def test_differences_are_candidate_minus_baseline(condition: str, tripped: bool) -> None:
    assert outcome(condition, subject("a", 1.0), subject("b", 1.05)) == (tripped, pytest.approx(0.05))


def test_standard_errors_are_those_of_the_paired_difference() -> None:
    """Rows differ by .05 ± .1 in turns: the standard error is .1/√99."""
    worse = subject("b", 1.05, spread=0.1)
    errors = 0.05 / (0.1 / np.sqrt(ROWS - 1))
    assert outcome("test/nll > +2se", subject("a", 1.0), worse) == (True, pytest.approx(errors))
    assert outcome("test/nll > +6se", subject("a", 1.0), worse)[0] is False
    assert outcome("test/nll > +2se", subject("a", 1.0), subject("b", 1.0)) == (False, 0.0)
    assert outcome("test/nll > +1000se", subject("a", 1.0), subject("b", 1.25))[0] is True  # no spread at all


def test_percentages_are_of_the_baseline() -> None:
    slow = subject("b", 1.0, seconds=11.5)
    assert outcome("time/train_cpu_s > +10%", subject("a", 1.0), slow) == (True, pytest.approx(15.0))
    assert outcome("time/train_cpu_s > +20%", subject("a", 1.0), slow)[0] is False


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("test/nll > +3%", "can be negative or zero"),
        ("steps > +2se", "no standard error of the difference is known for steps; it is for test/nll"),
        ("test/nll_se > +1", "no run compared has a figure 'test/nll_se'; did you mean test/nll"),
        ("zzz > +1", "known: test/nll, steps"),
        ("inversion_error_chain > +5%", "inversion_error_chain of a is 0; no percentage of it"),
    ],
)
def test_what_makes_no_sense_is_refused(condition: str, said: str) -> None:
    with pytest.raises(InputError, match="--fail-if") as error:
        outcome(condition, subject("a", 1.0), subject("b", 1.0))
    assert said in str(error.value)


@pytest.mark.parametrize("name", ["test/nll", "test/nll_mixture"])
def test_densities_of_other_rows_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="a and b: the runs are on other data"):
        outcome(f"{name} > +1", subject("a", 1.0), subject("b", 1.0, digest="others"))
    assert outcome("steps > +1", subject("a", 1.0), subject("b", 1.0, digest="others")) == (False, 0.0)


def test_a_candidate_without_the_figure_does_not_pass() -> None:
    candidate = Subject(
        "b", "a test", Record(subject("b", 1.0).record.about.model_copy(update={"blocks": 1}))
    )
    with pytest.raises(InputError, match=r"b has no test/nll \(complete, 1 of 2 blocks done\)"):
        outcome("test/nll > +1", subject("a", 1.0), candidate)


def test_rows_that_are_not_finite_do_not_pass() -> None:
    broken = subject("b", 1.0)
    assert broken.record.test_rows is not None
    broken.record.test_rows.loc[3, "log_density"] = -np.inf
    with pytest.raises(InputError, match="1 rows have no finite difference"):
        outcome("test/nll > +1", subject("a", 1.0), broken)


@pytest.mark.parametrize("condition", ["test/nll > +2se", "test/nll > +0.02", "test/nll > +100"])
@pytest.mark.parametrize("rows", [{7: 13_000.0}, {7: 13_000.0, 8: 13_100.0, 9: 13_200.0}])
def test_rows_that_explode_cannot_hide_in_their_own_error(condition: str, rows: dict[int, float]) -> None:
    """The mean is at most 1.7 of its own standard errors above 0, whatever the height of the rows."""
    found = judge(
        Comparison([subject("a", 1.0), subject("b", 1.0, spread=0.1, exploded=rows)]),
        [parse_condition(condition)],
    )
    assert found[0].tripped
    assert found[0].unreliable
    assert found[0].verdict == "gate failed as unreliable"
    names = "row 1007" if len(rows) == 1 else "rows 1009, 1008 and 1007"
    assert f"unreliable: {names} of the source" in found[0].says
    assert "\n" not in found[0].says


def test_a_row_that_exploded_in_the_baseline_is_told_as_well() -> None:
    """Such a baseline is no measure: every candidate would pass."""
    exploded = subject("a", 1.0, spread=0.1, exploded={3: 500.0})
    (found,) = judge(
        Comparison([exploded, subject("b", 1.2, spread=0.1)]), [parse_condition("test/nll > +2se")]
    )
    assert (found.tripped, found.unreliable) == (True, True)
    assert "row 1003 of the source" in found.says


def test_mean_and_trimmed_mean_have_to_agree() -> None:
    """Five rows are worse by two nats, each a fifth of the error: without the worst the mean is below .1."""
    candidate = subject("b", 1.0, spread=0.3, exploded=dict.fromkeys(range(5), 2.0))
    found = judge(
        Comparison([subject("a", 1.0), candidate]),
        [parse_condition(text) for text in ("test/nll > +0.095", "test/nll > +0.2", "test/nll > +0.01")],
    )
    assert [(one.tripped, one.unreliable) for one in found] == [(True, True), (False, False), (True, False)]
    assert "the trimmed mean" in found[0].says
    assert "row 1000 of the source" in found[0].says


def test_a_chain_with_heavy_tails_that_was_made_worse_never_passes() -> None:
    """Twenty tries: .1 nats worse a row, and in every second one some rows explode."""
    rng = np.random.default_rng(0)
    for try_ in range(20):
        base = 9 + rng.standard_t(5, 500)
        worse = base + 0.1 + 0.3 * rng.standard_t(4, 500)
        if try_ % 2:
            which = rng.choice(500, 1 + try_ // 5, replace=False)
            worse[which] += 10 ** rng.uniform(2, 5, len(which))
        pair = [with_rows(subject(label, 1.0), -rows) for label, rows in (("a", base), ("b", worse))]
        (found,) = judge(Comparison(pair), [parse_condition("test/nll > +2se")])
        assert found.tripped, found.says


def test_an_equal_chain_with_heavy_tails_passes() -> None:
    rng, passed = np.random.default_rng(1), 0
    for _ in range(40):
        base = 9 + rng.standard_t(5, 500)
        other = base + 0.3 * rng.standard_t(5, 500)
        pair = [with_rows(subject(label, 1.0), -rows) for label, rows in (("a", base), ("b", other))]
        (found,) = judge(Comparison(pair), [parse_condition("test/nll > +2se")])
        passed += not found.tripped
    assert passed >= 36


def with_rows(own: Subject, densities: np.ndarray) -> Subject:
    """The run with other log-densities of its test rows."""
    rows = pd.DataFrame({"row": np.arange(len(densities)), "log_density": densities})
    return replace(own, record=replace(own.record, test_rows=rows))


def test_the_gap_to_the_entropy_is_judged_by_the_same_rows() -> None:
    """It is the NLL less a constant."""
    gap = {"gap_to_entropy": 0.1}
    runs = [subject("a", 1.0, test=gap), subject("b", 1.0, exploded={7: 13_000.0}, test=gap)]
    (found,) = judge(Comparison(runs), [parse_condition("test/gap_to_entropy > +1")])
    assert (found.tripped, found.unreliable) == (True, True)
    other = subject("b", 1.0, digest="others", test={**gap, "dominating_rows": [3]})
    (found,) = judge(Comparison([runs[0], other]), [parse_condition("test/gap_to_entropy > +1")])
    assert "row 3 of the source is most of the squared standard error of b" in found.says
    assert (found.tripped, found.unreliable) == (True, True)
