"""A conditional chain by the usual commands: trained in parts, verified, sampled, scored given a context."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.flows.test_partial import answer, digest, jko
from tests.projects import ROUGH

COVARIATES = (
    "--preset", "smoke", "--set", "data={source: file, file: table.csv, context: [age, dose]}",
    "--set", "steps={count: 2, sizes: [0.5, 4.0]}", "--set", "network.hidden=[16]",
    "--set", "training.flow_matching_iterations=200", "--set", "training.iterations=20",
    "--set", "evaluation={samples: 60, mixture_components: [1]}", *ROUGH,
)  # fmt: skip
CLASSES = (
    "--preset", "digits-by-class", "--set", "steps={count: 1, sizes: [4.0]}", "--set", "network.hidden=[16]",
    "--set", "blocks={1: {flow_matching_iterations: 60, iterations: 4}}", "--set", "data.augment.copies=2",
    "--set", "solver.steps=2", "--set", "evaluation={samples: 60, mixture_components: [1]}",
    *ROUGH, "--chain", "classes",
)  # fmt: skip


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with rows of x ~ N(age/2, 1) and y ~ N(3 dose, ¼)."""
    place = tmp_path_factory.mktemp("conditional")
    draw, rows = np.random.default_rng(0), 1200
    age, dose = draw.normal(2, 3, rows), draw.integers(0, 2, rows)
    x, y = age / 2 + draw.normal(size=rows), 3 * dose + 0.5 * draw.normal(size=rows)
    pd.DataFrame({"x": x, "age": age, "y": y, "dose": dose}).to_csv(place / "table.csv", index=False)
    return place


@pytest.fixture(scope="module")
def folder(table: Path, server: str) -> Path:
    """With a chain trained on the rows in one go."""
    jko(table, "train", *COVARIATES, "--chain", "whole")
    return table


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory, server: str) -> Path:
    place = tmp_path_factory.mktemp("classes")
    jko(place, "train", *CLASSES)
    return place


@pytest.mark.slow
def test_in_parts_it_is_the_chain_in_one_go_and_is_verified(folder: Path) -> None:
    jko(folder, "train", *COVARIATES, "--chain", "parts", "--stop-after", "1")
    jko(folder, "resume", "parts")
    assert digest(folder, "parts") == digest(folder, "whole")
    jko(folder, "verify", "whole")


def test_its_figures_are_conditional(folder: Path) -> None:
    """The entropy of (x, y) given the context is log 2πe + log ½ = 2.14 nats; that of the marginal 3.8."""
    found = answer(folder, "train", *COVARIATES, "--chain", "whole")["metrics"]
    assert 2.0 < found["test/nll"] < 2.7
    assert found["test/nll_gaussian"] == pytest.approx(2.14, abs=0.3)
    whole = answer(folder, "certify", "whole")["chain"]
    assert any("given the context (age, dose)" in part["name"] for part in whole["assumptions"])


def test_samples_are_given_what_is_asked_for(folder: Path) -> None:
    words = ("sample", "whole", "-n", "600", "-o", "samples.csv")
    jko(folder, *words, "--given", "age=6", "--given", "dose=1")
    drawn = pd.read_csv(folder / "samples.csv")
    assert list(drawn) == ["x", "y", "age", "dose"]
    assert (drawn["age"] == 6).all()
    assert drawn["x"].mean() == pytest.approx(3, abs=0.6)
    assert drawn["y"].mean() == pytest.approx(3, abs=0.4)
    jko(folder, *words)
    drawn = pd.read_csv(folder / "samples.csv")
    assert np.corrcoef(drawn["x"], drawn["age"])[0, 1] > 0.6
    jko(folder, "score", "whole", "samples.csv", "-o", "scores.csv")
    score = pd.read_csv(folder / "scores.csv")["log_density"].mean()
    drawn.assign(age=drawn["age"] + 5).to_csv(folder / "moved.csv", index=False)
    jko(folder, "score", "whole", "moved.csv", "-o", "scores.csv")
    assert pd.read_csv(folder / "scores.csv")["log_density"].mean() < score - 1


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("age=6",), "--given dose=VALUE is missing; the context is age, dose"),
        (("age=old", "dose=1"), "'old' is not a finite number"),
        (("weight=3",), "no context 'weight'"),
        (("age",), "the form is column=value"),
    ],
)
def test_a_context_that_is_none_is_refused(folder: Path, given: tuple[str, ...], sentence: str) -> None:
    words = [word for value in given for word in ("--given", value)]
    assert sentence in jko(folder, "sample", "whole", "-n", "5", "-o", "s.csv", *words, code=2)


def test_rows_without_the_context_cannot_be_scored(folder: Path) -> None:
    pd.read_csv(folder / "table.csv").drop(columns="age").to_csv(folder / "less.csv", index=False)
    assert "no column 'age'" in jko(folder, "score", "whole", "less.csv", "-o", "s.csv", code=2)


@pytest.mark.slow
def test_digits_by_class_are_drawn_scored_and_shown(classes: Path) -> None:
    jko(classes, "sample", "classes", "-n", "20", "-o", "threes.csv", "--given", "class=3")
    drawn = pd.read_csv(classes / "threes.csv")
    assert (drawn.pop("class") == 3).all()
    assert drawn.shape == (20, 64)
    jko(classes, "score", "classes", "threes.csv", "-o", "scores.csv")
    assert np.isfinite(pd.read_csv(classes / "scores.csv")["log_density"]).all()
    assert (classes / "classes.report" / "samples.png").is_file()


@pytest.mark.slow
def test_unknown_classes_are_refused(classes: Path) -> None:
    jko(classes, "sample", "classes", "-n", "20", "-o", "any.csv")
    drawn = pd.read_csv(classes / "any.csv")
    assert drawn["class"].nunique() > 5
    said = jko(classes, "sample", "classes", "-n", "5", "-o", "s.csv", "--given", "class=12", code=2)
    assert "class 12 is unknown; the chain has the classes 0, 1, 2" in said
    drawn.assign(**{"class": 10}).to_csv(classes / "tens.csv", index=False)
    assert "class 10 is unknown" in jko(classes, "score", "classes", "tens.csv", "-o", "s.csv", code=2)
    drawn.drop(columns="class").to_csv(classes / "none.csv", index=False)
    assert "no column 'class'" in jko(classes, "score", "classes", "none.csv", "-o", "s.csv", code=2)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((*CLASSES, "--set", "network.kind=residual"), "residual blocks take no context"),
        ((*CLASSES, "--set", "data.smoothing=0.1"), "data.smoothing and data.context do not go together"),
        ((*CLASSES, "--set", "measure.pairing=emd"), "pairs rows of different contexts"),
        (("--preset", "moons", "--set", "data.context=[x]"), "data.context is for data.source = file"),
        ((*COVARIATES, "--set", "data.context=class"), "name the columns of a file in a list"),
        ((*COVARIATES, "--set", "data.context=age"), "columns in a list, as in [age]"),
        ((*COVARIATES, "--set", "data.context=[size]"), "no column 'size'"),
        ((*COVARIATES, "--set", "data.context=[x, y, age, dose]"), "none is left to model"),
        (
            (*COVARIATES, "--set", "data.columns=[x, age]"),
            "column 'age' is in data.columns and in data.context",
        ),
    ],
)
def test_impossible_contexts_are_refused_in_one_sentence(
    table: Path, words: tuple[str, ...], sentence: str
) -> None:
    said = jko(table, "train", *words, "--chain", "never", code=2)
    assert sentence in said
    assert "Traceback" not in said
