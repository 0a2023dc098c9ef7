"""The study: its exact part against closed forms, its trained part stored once, the tables."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from flows.cli.main import cli
from jko.certify.guarantee import CERTIFICATES
from jko.certify.resolution import Bracket
from jko.laws import gaussian
from jko.laws.densities import Density
from jko.laws.gaussian import Gaussian
from jko.measure.figures import BlockFigures
from tasks.experiments import study
from tasks.experiments.study_brackets import RESOLUTIONS, Judged, OnGrid, judged
from tasks.experiments.study_laws import BOXES
from tasks.experiments.study_scaling import EPSILONS, STEP_SIZES, inexact_step, scaling, scaling_table
from tasks.experiments.study_tables import WAYS, bracket_summary, brackets, guards, summary, table

NAMES = [
    "study.csv", "scaling.csv", "brackets.csv",
    "scaling.png", "looseness.png", "certificates.png", "brackets.png",
]  # fmt: skip


@pytest.mark.parametrize("step_size", STEP_SIZES)
@pytest.mark.parametrize("epsilon", [0.1, 0.003, 1e-5])
def test_the_steps_of_a_shifted_gaussian_in_closed_form(step_size: float, epsilon: float) -> None:
    """|m_n| = ε + (|m_0| − ε)/(1+γ)^n, and nothing else changes."""
    found = scaling(Gaussian.of([3.0, 4.0], 1.0), step_size, epsilon)
    assert found.epsilon_error < 1e-12

    def first(bound: float) -> int:
        return math.ceil(math.log((5 - epsilon) / (bound - epsilon)) / math.log1p(step_size))

    assert found.steps_2 == first(2 * epsilon)
    assert found.steps_root5 == first(math.sqrt(5) * epsilon)
    mean = epsilon + (5 - epsilon) / (1 + step_size) ** (found.steps_root5 + 1)
    assert found.kl_reached == pytest.approx(mean**2 / 2, rel=1e-9)


def test_no_direction_of_the_shift_leaves_more() -> None:
    law, gamma, epsilon = Gaussian.of([2.0, -1.0], [0.5, 1.5]), 0.3, 0.2
    worst = gaussian.w2_squared(inexact_step(law, gamma, epsilon))
    after = gaussian.jko_step(law, gamma)
    for angle in np.linspace(0, 2 * math.pi, 60):
        shift = epsilon * gamma / (1 + gamma) * np.array([math.cos(angle), math.sin(angle)])
        other = Gaussian(after.mean + shift, after.std)
        assert gaussian.epsilon_squared(law, other, gamma) == pytest.approx(epsilon**2)
        assert gaussian.w2_squared(other) <= worst + 1e-12


def test_the_steps_grow_like_the_log_of_one_over_epsilon() -> None:
    found = scaling_table(STEP_SIZES, EPSILONS)
    assert (found.steps_2 <= found.steps_b).all()
    assert (found.steps_b <= found.steps_a).all()
    assert (found.kl_reached <= found.kl_bound).all()
    assert (found.kl_promised <= found.kl_bound).all()
    for gamma, own in found.groupby("step_size"):
        places = np.log(1 / own.epsilon)
        for name, rate in (
            ("steps_2", 1 / math.log1p(gamma)),
            ("steps_b", 2 / math.log1p(2 * gamma)),
            ("steps_a", 2 / math.log1p(gamma / 2)),
        ):
            slope, start = np.polyfit(places, own[name], 1)
            assert slope == pytest.approx(rate, rel=0.04), (gamma, name)
            assert np.abs(own[name] - slope * places - start).max() <= 1


@pytest.mark.parametrize("target", ["gaussian", "mixture", "moons"])
def test_the_score_of_a_target_is_the_gradient_of_its_log_density(target: str) -> None:
    law: Density = study.law_of(target)
    x = law.sample(20, np.random.default_rng(0))
    for i, unit in enumerate(1e-5 * np.eye(2)):
        slope = (law.log_prob(x + unit) - law.log_prob(x - unit)) / 2e-5
        np.testing.assert_allclose(law.score(x)[:, i], slope, rtol=1e-5, atol=1e-5)


def test_the_standardised_law_has_the_moments_and_the_mass() -> None:
    law = study.law_of("moons")
    rows = law.sample(20_000, np.random.default_rng(0))
    np.testing.assert_allclose(rows.mean(0), 0, atol=0.02)
    np.testing.assert_allclose(rows.std(0), 1, atol=0.02)
    axis = np.linspace(-4, 4, 161)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    assert np.exp(law.log_prob(grid)).sum() * 0.05**2 == pytest.approx(1, abs=1e-6)


@dataclass(frozen=True)
class Started:
    """One start of ``jko experiment study --quick``: what it said and wrote."""

    output: str
    progress: str
    files: dict[str, bytes]
    cells: dict[str, int]


@pytest.fixture(scope="module")
def starts(tmp_path_factory: pytest.TempPathFactory) -> list[Started]:
    """Two starts in one project; between them the Gaussian cell is damaged."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "dvc.yaml").write_text("stages: {}\n")
    kept = folder / ".jko" / "study"
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for _ in range(2):
            done = CliRunner().invoke(cli, ["experiment", "study", "--quick"])
            assert done.exit_code == 0, done.output
            files = {path.name: path.read_bytes() for path in (folder / ".jko/experiments/study").iterdir()}
            cells = {path.name: path.stat().st_mtime_ns for path in kept.iterdir()}
            found.append(Started(done.stdout, done.stderr, files, cells))
            next(kept.glob("gaussian*")).write_text('{"cell": ')
    return found


@pytest.mark.slow
def test_the_quick_study_writes_its_tables_and_pictures(starts: list[Started]) -> None:
    assert sorted(starts[0].files) == sorted(NAMES)
    assert all(content for content in starts[0].files.values())
    rows = pd.read_csv(io.BytesIO(starts[0].files["study.csv"]))
    assert len(rows) == 2 * 2 * len(WAYS) * len(CERTIFICATES)
    assert set(rows.status) <= {"holds", "violated", "withdrawn", "not applicable"}
    assert "certificate_c_hwi" in starts[0].output
    assert "guard" in starts[0].output


@pytest.mark.slow
def test_stored_cells_are_not_computed_again(starts: list[Started]) -> None:
    first, second = starts
    assert first.progress.count("training") == 2
    # the damaged one is made again, bit for bit
    assert second.progress.count("training") == 1
    assert "gaussian-1-short: training" in second.progress
    assert second.files == first.files
    moons = next(name for name in first.cells if name.startswith("moons"))
    assert second.cells[moons] == first.cells[moons]
    assert first.cells.keys() == second.cells.keys()


@pytest.mark.slow
def test_no_exact_certificate_of_the_quick_study_is_violated(starts: list[Started]) -> None:
    rows = pd.read_csv(io.BytesIO(starts[0].files["study.csv"]))
    exact = rows[rows.score == "exact score"]
    assert "violated" not in set(exact.status)
    assert (exact.looseness.dropna() > 1).all()


@pytest.mark.slow
def test_the_quick_study_has_a_bracket_of_every_block_and_resolution(starts: list[Started]) -> None:
    rows = pd.read_csv(io.BytesIO(starts[0].files["brackets.csv"]))
    assert len(rows) == 2 * 2 * len(RESOLUTIONS)
    assert (rows.lower <= rows.upper).all()
    chains = rows.groupby(["target", "block"])
    # a blur only lowers KL, and the finest certified resolution is one
    assert chains.kl.apply(lambda own: own.is_monotonic_decreasing).all()
    assert (chains.certified.sum() <= 1).all()
    exact = pd.read_csv(io.BytesIO(starts[0].files["study.csv"])).groupby(["target", "block"]).first()
    assert (chains.kl.max() <= exact.kl + 4 * exact.kl_se).all()
    assert "brackets by resolution" in starts[0].output


def test_the_truth_on_the_grid_is_the_closed_form_without_blocks() -> None:
    """KL of N((2, -1), diag(.5, 1.5)²) and N(0, I), both blurred."""
    law = study.law_of("gaussian")
    there = OnGrid(law, BOXES["gaussian"], 0.05)
    found = judged(law, [], there, (200, 400), "closed")
    for each in found:
        s = each.bracket.resolution
        a2, variance = 1 - s * s, (1 - s * s) * np.array([0.25, 2.25]) + s * s
        exact = (a2 * 5 + (variance - 1 - np.log(variance)).sum()) / 2
        assert each.kl == pytest.approx(exact, abs=1e-4)
    other = judged(law, [], there, (200, 400), "another")[0]
    assert other.bracket != found[0].bracket
    assert other.kl == found[0].kl


def test_the_brackets_are_counted_on_the_side_where_they_hold() -> None:
    def one(s: float, lower: float, upper: float) -> Bracket:
        return Bracket(
            resolution=s, lower=lower, lower_se=0.01, lower_95=lower - 0.01, upper=upper, upper_se=0.01,
            upper_95=upper + 0.01, rows=9, samples=9, density="samples",
        )  # fmt: skip

    made = [
        Judged(bracket=one(0.1, 0.0, 0.3), kl=0.2, kl_error=0.0),
        Judged(bracket=one(0.2, 0.05, 0.13), kl=0.1, kl_error=0.0),
        Judged(bracket=one(0.4, 0.05, 0.06), kl=0.08, kl_error=0.0),
    ]
    about = {"target": "gaussian", "step_size": 1.0, "effort": "short"}
    rows = brackets([study.StudyCell(cell=about, blocks=[figures()], brackets=[made])])
    assert list(rows.certified) == [False, True, False]
    assert list(rows.upper_holds) == [True, True, False]
    found = bracket_summary(rows)
    assert list(found.index) == ["0.1", "0.2", "0.4", "certified", "all"]
    assert found.loc["certified", "U - KL"] == pytest.approx(0.03)
    assert found.loc["all", "upper holds"] == 2
    assert found.loc["all", "lower holds"] == 3


def test_the_key_of_a_cell_covers_its_settings() -> None:
    cell = study.cells()[0]
    others = [
        replace(cell, step_size=0.31), replace(cell, training=(0, 31)), replace(cell, target="moons"),
        replace(cell, sizes=replace(cell.sizes, truth=41_000)),
    ]  # fmt: skip
    keys = {one.key for one in [cell, *others, *study.cells()]}
    assert len(keys) == len(others) + len(study.cells()) == len(others) + 12


def figures(**changes: Any) -> dict[str, Any]:
    """A measured block: an exact step to N((1, 0), I), as the true figures have it."""
    names = [name for name in BlockFigures.model_fields if name.endswith("_se")]
    same = {
        **dict.fromkeys(BlockFigures.model_fields), **dict.fromkeys(names, 0.0), "step_size": 1.0,
        "potential_before": 3.0, "loss_potential": 1.5, "movement": 1.0, "kl_drop": 1.5, "nll": 3.3,
        "epsilon_squared": 0.0, "fisher": 1.0, "kappa": 0.0, "kl": 0.5, "kl_se": 0.01,
        "loss_log_det": 0.0, "epsilon_class": "affine", "epsilon_reason": "", "symmetric_part_positive": True,
    }  # fmt: skip
    return {**same, **changes}


def cell_of(*blocks: dict[str, Any]) -> list[study.StudyCell]:
    about = {"target": "gaussian", "step_size": 1.0, "effort": "short"}
    return [study.StudyCell(cell=about, blocks=list(blocks))]


def test_the_table_tells_what_became_of_every_certificate() -> None:
    low = {"fisher": 0.2, "fisher_exact": 1.0}
    shown = table(cell_of(figures(**low))).set_index(["score", "certificate"])
    assert shown.loc[("exact score", "certificate_c"), "status"] == "holds"
    assert shown.loc[("exact score", "certificate_c"), "looseness"] == pytest.approx(1)
    assert shown.loc[("critic", "certificate_c"), "status"] == "violated"
    assert shown.loc[("critic", "certificate_c"), "unguarded"] == pytest.approx(0.1)
    guarded = cell_of(figures(**low, kl_lower_mixture=0.4))
    assert dict(zip(("none", "classifier", "mixture", "both"), guards(guarded).withdrawn, strict=True)) == {
        "none": 0, "classifier": 0, "mixture": 4, "both": 4,
    }  # fmt: skip
    withdrawn = table(guarded).set_index(["score", "certificate"]).loc[("critic", "certificate_c")]
    assert withdrawn.status == "withdrawn"
    assert withdrawn.unguarded == pytest.approx(0.1)
    assert math.isnan(withdrawn.bound)
    crooked = table(cell_of(figures(kappa=None)))
    assert set(crooked[crooked.status == "not applicable"].certificate) == {"certificate_a", "certificate_b"}
    tiny = table(cell_of(figures(kl=1e-4)))
    assert tiny.looseness.isna().all()


def test_the_summary_counts_and_takes_medians() -> None:
    rows = table(cell_of(figures(), figures(kl=0.25)))
    whole = summary(rows).loc[("certificate_c", "critic")]
    assert (whole["median"], whole["max"], whole["gaussian"]) == (1.5, 2.0, 1.5)
    assert (whole["holds"], whole["violated"], whole["withdrawn"]) == (2, 0, 0)
