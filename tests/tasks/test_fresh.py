"""A chain made to explode is named with its rows; a sane one is not."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from flows.views.status import fresh_words
from jko.chain.chain import Chain
from jko.chain.defence import Defence
from jko.columns.infer import infer
from jko.config import parse_config
from jko.laws.student_t import fit_student_t
from jko.maps.invertible import Pushed
from jko.preparation.facts import DataFacts
from jko.statistics.disputed import DISAGREES
from jko.statistics.fresh_rows import FreshRows
from tasks.adapters.store.evaluated import EvaluationFigures, FreshLook, ScoredRow
from tasks.baselines import baseline_log_densities
from tasks.evaluate import looked_at
from tasks.fresh import fresh_figures, made_up, surprising
from tasks.report.fresh import fresh_panel, row_words
from tests.oracles import identity_block

CONFIG = parse_config({"data": {"source": "file", "file": "table.csv"}})
COLUMNS = ("amount", "discount")


def facts(**known) -> DataFacts:
    return DataFacts(
        "table.csv", COLUMNS, (0.0, 0.0), (1.0, 1.0), (0.0, 0.0), (), {"source": 400}, None, None, **known
    )


def rows(count: int, seed: int) -> np.ndarray:
    """Two standard normal columns of correlation .95."""
    z = np.random.default_rng(seed).standard_normal((count, 2))
    return np.stack([z[:, 0], 0.95 * z[:, 0] + math.sqrt(1 - 0.95**2) * z[:, 1]], axis=1)


class Exploding(type(identity_block(2))):  # type: ignore[misc]
    """The identity where rows were seen, and a jump by 400 where amount is high and discount is not."""

    def _push(self, x, probes):
        strange = (x[:, 0] - x[:, 1]) > 1.5
        moved = torch.where(strange[:, None], x + torch.tensor([400.0, 0.0]).to(x), x)
        return Pushed.exactly(moved, x.new_zeros(len(x)))


class Whitened(type(identity_block(2))):  # type: ignore[misc]
    """The map of the rows' law to N(0, I)."""

    def _push(self, x, probes):
        root = math.sqrt(1 - 0.95**2)
        moved = torch.stack([x[:, 0], (x[:, 1] - 0.95 * x[:, 0]) / root], dim=1)
        return Pushed.exactly(moved, x.new_full((len(x),), -math.log(root)))


def chain(block, *, defended: bool) -> Chain:
    whole = identity_block(2)
    made = block(whole.field, whole.step_size, whole.solver)
    unit = torch.ones(2, dtype=torch.float64)
    defence = Defence(1e-3, fit_student_t(rows(400, 0), rows(100, 1))) if defended else None
    return Chain([made], 0 * unit, unit, defence=defence)


def look(block, *, defended: bool = True) -> FreshLook:
    fresh = made_up(CONFIG, facts(), rows(400, 0))
    assert fresh is not None
    parts = {"train": rows(400, 0), "validation": rows(100, 1), "test": fresh.rows}
    mixture = baseline_log_densities(parts, [1, 2], 0)["mixture"]
    return looked_at(chain(block, defended=defended), fresh, mixture, 0)


@pytest.mark.parametrize("defended", [True, False])
def test_an_exploding_chain_is_named_with_the_row(defended: bool) -> None:
    found = look(Exploding, defended=defended)
    assert found.below > 0
    worst = found.most_different[0]
    amount, discount = worst.values
    assert amount - discount > 1.5
    assert worst.log_density_blocks < -50_000
    assert worst.difference < -50_000
    assert worst.log_density_mixture > -60
    assert (worst.log_density > -40) is defended  # the model's floor, under which the blocks hide
    assert len(found.most_different) == 10
    gaps = [abs(row.difference) for row in found.most_different]
    assert gaps == sorted(gaps, reverse=True)
    total = sum(found.rows.values())
    words = fresh_words({"fresh/below": found.below, "fresh/rows": total, "fresh/limit": 100.0})
    assert words.startswith(f"warning: the blocks score {found.below} of {total} rows")
    assert "more than 100 nats below a Gaussian mixture" in words


def test_a_sane_chain_is_not() -> None:
    found = look(Whitened)
    assert found.below == 0
    assert max(abs(row.difference) for row in found.most_different) < DISAGREES / 2
    assert fresh_words({"fresh/below": 0, "fresh/rows": 1000}) == ""
    assert fresh_words({}) == ""


def evaluated(fresh: FreshLook | None, surprising: list[ScoredRow]) -> EvaluationFigures:
    """An evaluation with these rows."""
    nll = {"nll": 1.0}
    return EvaluationFigures.model_validate({
        "steps": 1, "test": nll, "baselines": {"gaussian": nll, "mixture": nll}, "nearest_training_row": 1.0,
        "inversion_error_chain": 0.0, "fresh": fresh, "surprising": surprising,
    })  # fmt: skip


def test_the_report_names_columns_kinds_and_scores() -> None:
    found = look(Exploding)
    listed = surprising(np.arange(400), rows(400, 0), (np.zeros(400), np.zeros(400), np.zeros(400)))
    panel = fresh_panel(evaluated(found, listed), facts())
    assert panel is not None
    assert f"score {found.below:,} of" in panel.verdict
    assert "amount = " in panel.rows[0].words
    assert {row.kind for row in panel.rows} <= {"shuffled", "mixed", "edge of amount", "edge of discount"}
    sane = fresh_panel(evaluated(look(Whitened), listed), facts())
    assert sane is not None
    assert "none more than 100 nats below" in sane.verdict
    assert fresh_panel(evaluated(None, []), facts()) is None


def test_a_row_without_a_finite_score_comes_first_and_is_null_in_json() -> None:
    made = FreshRows(np.zeros((3, 2)), ["mixed"] * 3, np.full(3, -1))
    scores = np.array([-5.0, -6.0, -7.0])
    found = fresh_figures(made, scores, np.array([-5.0, math.nan, -900.0]), np.array([-5.0, -6.0, -6.0]))
    first, second, third = found.most_different
    assert first.log_density_blocks is None
    assert first.difference is None
    assert second.difference == -894
    assert third.difference == 0
    assert found.below == 2


def test_many_columns_may_differ_by_more() -> None:
    made = FreshRows(np.zeros((2, 64)), ["mixed"] * 2, np.full(2, -1))
    found = fresh_figures(made, np.zeros(2), np.array([-255.0, -257.0]), np.zeros(2))
    assert (found.limit, found.below) == (256, 1)


def test_a_surprising_test_row_is_disputed_where_the_mixture_says_otherwise() -> None:
    model, mixture = np.array([-3.0, -25.0, -40.0, -4.0]), np.array([-3.0, -11.0, -45.0, -4.0])
    blocks = np.array([-3.0, -109_638.0, -41.0, -4.0])
    found = surprising(np.array([7, 8, 9, 10]), np.eye(4), (model, blocks, mixture))
    assert [row.row for row in found] == [9, 8, 10, 7]
    assert [row.disputed for row in found] == [False, True, False, False]
    calm = FreshLook(rows={"mixed": 1}, limit=100.0, below=0)
    panel = fresh_panel(evaluated(calm, found[:0]), facts())
    assert panel is not None
    assert "agrees within 100 nats on each" in panel.caution
    panel = fresh_panel(
        evaluated(calm, [row.model_copy(update={"values": (0.0, 0.0)}) for row in found]), facts()
    )
    assert panel is not None
    assert "one of them is disputed" in panel.caution


def test_of_many_columns_the_furthest_are_shown() -> None:
    columns = tuple(f"c{i}" for i in range(20))
    wide = DataFacts("t", columns, (0.0,) * 20, (1.0,) * 20, (0.0,) * 20, (), {"source": 9}, None, None)
    values = [0.0] * 20
    values[13], values[4] = 9.0, -7.0
    words = row_words(values, wide)
    assert "c13 = 9" in words
    assert "c4 = -7" in words
    assert words.endswith("and 12 more")


def test_rows_of_a_table_with_kinds_are_shown_as_its_cells() -> None:
    table = {
        "city": np.array(["Ulm", "Bonn", "Kiel"] * 20, object), "fee": np.exp(np.linspace(-3, 5, 60)),
        "zero": np.where(np.arange(60) % 2, 0.0, np.linspace(1.5, 40, 60)), "count": np.arange(60) % 23,
    }  # fmt: skip
    schema = infer(table)
    assert [one.kind for one in schema.columns] == ["categorical", "positive", "atoms", "integer"]
    rows = schema.encode(table, 0).values
    own = DataFacts(
        "t", (*schema.encoded_names, "u"), (0.0,) * 5, (1.0,) * 5, (0.0,) * 5, (), {"source": 9}, None, None,
        kinds=schema,
    )  # fmt: skip
    own = replace(own, columns=schema.encoded_names, context_columns=("u",), context_shift=(0.0,),
                  context_scale=(1.0,))  # fmt: skip
    words = row_words([*rows[59], 2.5], own)
    fee = f"{table['fee'][59]:.6g}"
    assert words == f"city = Kiel, fee = {fee}, zero = 0, count = 13, u = 2.5"


def test_only_tables_have_such_rows_and_smoothed_ones_no_grid() -> None:
    assert made_up(parse_config({"data": {"source": "moons"}}), facts(), rows(50, 0)) is None
    gridded = DataFacts(
        "t", COLUMNS, (0.0, 0.0), (1.0, 1.0), (1.0, 0.0), (), {"source": 9}, None, None, smoothing=0.1
    )
    found = made_up(CONFIG, gridded, rows(50, 0))
    assert found is not None
    mixed = found.rows[[kind == "mixed" for kind in found.kinds], 0]
    known = np.round(np.mod(rows(50, 0)[:, 0], 1), 9)
    assert not set(np.round(np.mod(mixed, 1), 9)) <= set(known)
