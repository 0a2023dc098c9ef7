"""Laws drawn afresh, the rows that are scored, and the program that holds a chain to them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from benchmarks import fresh, fresh_case
from benchmarks.evaluate import fresh_scores
from benchmarks.fresh import bars, line_of, run_case, totals
from benchmarks.fresh_case import Case, fingerprints, summary
from benchmarks.generators import GENERATORS, drawn
from benchmarks.preparation import Chosen
from benchmarks.problem import Problem
from benchmarks.problems import table_problem
from jko.preparation.grid import grid_step
from jko.preparation.table import Table


def orders(start: str) -> Problem:
    """The reported set, without the trials that settle what the preset leaves open."""
    table = Table("orders", drawn("orders", 2100, 0, "rows"), GENERATORS["orders"].columns)
    return table_problem("orders", table, 0, start=start, fresh=5000, chosen=Chosen("on", 2))


@pytest.mark.parametrize("name", GENERATORS)
def test_rows_belong_to_seed_and_purpose(name: str) -> None:
    one = drawn(name, 300, 0, "rows")
    assert one.shape == (300, len(GENERATORS[name].columns))
    assert np.isfinite(one).all()
    assert np.array_equal(one, drawn(name, 300, 0, "rows"))
    assert not np.array_equal(one, drawn(name, 300, 0, "fresh"))
    assert not np.array_equal(one, drawn(name, 300, 1, "rows"))


def test_the_laws_are_what_they_are_said_to_be() -> None:
    visits, amount, discount = drawn("orders", 40_000, 0, "rows").T
    assert visits.mean() == pytest.approx(0.7 * 3 + 0.3 * 9, abs=0.1)
    assert (discount == 0).mean() == pytest.approx(0.45, abs=0.01)
    assert (np.log(amount) - 3 - 0.12 * visits).std() == pytest.approx(0.7, abs=0.01)
    assert [grid_step(column[:2100]) for column in (visits, discount)] == pytest.approx([1.0, 0.1])
    shown = drawn("capped", 40_000, 0, "rows")[:, :4]
    assert shown.min() == 1.0
    assert shown.max() == 12.0
    assert ((shown == 1.0).mean(axis=0) > 0.03).all()
    # Student's t has moments below its degrees of freedom only: a tail that falls like a power
    heavy = np.abs(drawn("heavy_tailed", 40_000, 0, "rows")[:, 2])
    far, farther = (float((heavy > edge * np.median(heavy)).mean()) for edge in (8, 16))
    assert 1.5 < np.log2(far / farther) < 3.5
    wide = drawn("wide", 2100, 0, "rows")
    assert sum(grid_step(column) > 0 for column in wide.T) == 20


def test_fresh_rows_are_scored_by_the_mean_over_the_noise_of_their_columns() -> None:
    """A density that is a step function of the noise: its mean over draws is known."""
    problem = orders("on")
    assert problem.measure == "fresh"
    assert problem.fresh is not None
    assert len(problem.fresh) == 5000
    seen: list[torch.Tensor] = []

    def density(rows: torch.Tensor) -> torch.Tensor:
        seen.append(rows)
        return rows.double()[:, 0]

    few = problem.fresh[:50]
    found = fresh_scores(problem, density, few, 0)
    assert sum(map(len, seen)) == 8 * 50
    noisy = torch.cat(seen)[:, 0].double().numpy().reshape(50, 8) * problem.scale[0] + problem.shift[0]
    assert np.abs(noisy - few[:, :1]).max() <= 0.5 + 1e-3
    assert (np.ptp(noisy, axis=1) > 0).all()
    expected = (noisy.mean(axis=1) - problem.shift[0]) / problem.scale[0] - problem.constant
    assert found == pytest.approx(expected, abs=1e-5)
    assert np.array_equal(found, fresh_scores(problem, density, few, 0))


def test_after_the_same_start_densities_are_in_data_units_all_the_same() -> None:
    """A density that is one in start coordinates has the map's Jacobian as its density in data units."""
    problem = orders("same")
    assert problem.start is not None
    rows = problem.fresh[:200]  # type: ignore[index]
    moved, log_det = problem.mapped(rows + 1e-4)
    near = problem.mapped(rows)[0]
    slopes = ((moved - near).double() / 1e-4).log().sum(1)
    assert float((slopes - log_det).abs().median()) < 0.2  # float32 differences
    again = problem.log_det("test")
    assert again.shape == (len(problem.test),)
    assert float(again.std()) > 0.1
    assert float(problem.train.std(dim=0).sub(1).abs().max()) < 0.1


TINY = ("training.flow_matching_iterations=20", "training.iterations=2", "steps.sizes=[0.5, 4.0]",
        "network.hidden=[8, 8]", "solver.steps=2", "evaluation.samples=50")  # fmt: skip


@pytest.mark.slow
def test_a_case_is_run_once_and_says_what_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fresh_case, "MIXTURE", {**fresh_case.MIXTURE, "components": (1, 2)})
    words = ["--seeds", "1", "--rows", "120", "--fresh", "100", "--results", str(tmp_path)]
    words += [word for text in TINY for word in ("--set", text)]
    done = CliRunner().invoke(fresh.main, words)
    assert done.exit_code == 0, done.output
    (path,) = tmp_path.glob("fresh-orders-0-120-100-*.json")
    record = json.loads(path.read_text())
    assert record["ours"]["nll_se"] > 0
    assert record["mixture"]["nll"] < record["mixture"]["worst"]
    assert set(record["bars"]) == {"below_mixture", "worst_row", "test_is_fresh"}
    assert "below_mixture" in done.output
    case = Case("orders", 0, 120, 100, TINY)
    never = dict.fromkeys(fresh.PARTS, lambda _: pytest.fail("run again"))
    monkeypatch.setattr(fresh, "PARTS", never)
    assert run_case(case, tmp_path) == record


def test_what_is_done_of_a_case_is_kept_when_it_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chain takes a minute and the mixtures minutes: each part is kept when it ends."""
    case = Case("orders", 0, 120, 100)
    ours = {"ours": summary(np.array([1.0, 2.0])), "test": {"nll": 1.5, "nll_se": 0.1}}

    def stopped(_: Case) -> dict[str, object]:
        raise KeyboardInterrupt

    monkeypatch.setattr(fresh, "PARTS", {"chain": lambda _: ours, "mixture": stopped})
    with pytest.raises(KeyboardInterrupt):
        run_case(case, tmp_path)
    (path,) = tmp_path.glob("fresh-orders-0-*.json")
    assert "bars" not in json.loads(path.read_text())
    other = {"mixture": summary(np.array([1.0, 3.0]))}
    again = {"chain": lambda _: pytest.fail("run again"), "mixture": lambda _: other}
    monkeypatch.setattr(fresh, "PARTS", again)
    record = run_case(case, tmp_path)
    assert record["bars"]["below_mixture"]
    assert record == json.loads(path.read_text())
    assert fingerprints(case) != fingerprints(Case("orders", 1, 120, 100))


def test_the_bars_are_those_that_are_asked_for() -> None:
    ours, other = summary(np.array([1.0, 2.0, 3.0])), summary(np.array([2.0, 3.0, 4.0]))
    found = {
        "ours": ours,
        "mixture": other,
        "test": {"nll": 2.0, "nll_se": 0.1},
        "standard_errors_apart": 0.0,
    }
    assert all(bars(found).values())
    assert not bars({**found, "mixture": summary(np.array([1.0, 1.0, 2.0]))})["below_mixture"]
    assert not bars({**found, "ours": {**ours, "worst": 19.5}})["worst_row"]
    assert not bars({**found, "standard_errors_apart": 3.1})["test_is_fresh"]
    lost = {**found, "ours": summary(np.array([1.0, np.inf])), "standard_errors_apart": None}
    assert not any(bars(lost).values())
    record = {**lost, "bars": bars(lost), "case": {"generator": "orders", "seed": 3}}
    assert "not finite" in line_of(record)
    assert totals([record])[0].startswith("orders: below_mixture 0 of 1")
