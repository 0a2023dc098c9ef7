"""``jko.sklearn``: scikit-learn's own checks, its tools around the estimator, keeping it, and anomalies."""

from __future__ import annotations

import copy
import pickle
import pickletools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import jko
from jko.sklearn import JKOFlow

ROOT = Path(__file__).resolve().parents[2]
#: settings under which a fit takes a tenth of a second
SMALL = {
    "steps.sizes": [1.0],
    "network.hidden": [8],
    "data.standardise": "on",
    "data.augment.copies": 1,
}


def small(**more: object) -> JKOFlow:
    return JKOFlow(**{"max_iter": 5, "settings": SMALL, **more})


def rows(count: int = 200, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 3)) * [1.0, 2.0, 0.5] + 7


def frame(count: int = 200) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    return pd.DataFrame(
        {"items": draw.poisson(4, count), "price": draw.lognormal(size=count)}, index=range(5, 5 + count)
    )


@pytest.fixture(scope="module")
def model() -> JKOFlow:
    return small().fit(rows())


@pytest.fixture(scope="module")
def framed() -> JKOFlow:
    return small().fit(frame())


def unlike(estimator: JKOFlow) -> dict[str, str]:
    """Run only where SCIPY_ARRAY_API is set."""
    return {
        "check_array_api_input": "its columns are sums of one another, and a law on a plane has no density"
    }


@parametrize_with_checks([small(max_iter=2)], expected_failed_checks=unlike)
def test_it_is_an_estimator(estimator: JKOFlow, check: object) -> None:
    """The checks of scikit-learn."""
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks([JKOFlow(max_iter=2)], expected_failed_checks=unlike)
def test_so_it_is_with_the_preset_of_tables(estimator: JKOFlow, check: object) -> None:
    check(estimator)


def test_it_is_the_flow_of_fit(model: JKOFlow) -> None:
    settings = {**SMALL, "training.flow_matching_iterations": 5, "training.iterations": 5}
    flow = jko.fit(rows(), settings={**settings, "data.split.test": 1e-9}, progress=False)
    ours, theirs = model.flow_.state_dict(), flow.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    np.testing.assert_allclose(model.score_samples(rows()), flow.log_prob(rows()), atol=1e-4)
    assert model.score(rows()) == pytest.approx(model.score_samples(rows()).mean())
    assert len(flow.rows["test"]) == 2
    assert model.n_iter_ == 10


def test_counts_are_scored_as_jko_score_does(framed: JKOFlow) -> None:
    mean, error = framed.flow_.log_prob_with_error(frame())
    assert (error > 0).any()
    np.testing.assert_allclose(framed.score_samples(frame()), mean, atol=1e-4)


def test_a_row_has_the_score_that_it_has_alone(model: JKOFlow) -> None:
    one_by_one = [model.score_samples(row[None])[0] for row in rows()[:20]]
    np.testing.assert_allclose(model.score_samples(rows())[:20], one_by_one, rtol=0, atol=1e-10)


def test_samples_are_drawn_as_those_of_kernel_density(model: JKOFlow) -> None:
    np.testing.assert_array_equal(model.sample(4, random_state=1), model.flow_.sample(4, seed=1))
    assert model.sample().shape == (1, 3)
    np.random.seed(0)
    first = model.sample(2)
    assert not np.array_equal(first, model.sample(2))
    np.random.seed(0)
    np.testing.assert_array_equal(first, model.sample(2))
    with pytest.raises(ValueError, match="-1 rows cannot be drawn"):
        model.sample(-1)


def test_a_frame_comes_back_as_a_frame(framed: JKOFlow) -> None:
    drawn = framed.sample(6, random_state=0)
    assert list(drawn.columns) == list(framed.feature_names_in_) == ["items", "price"]
    assert drawn["items"].dtype == np.int64
    with pytest.raises(ValueError, match="feature names should match"):
        framed.score_samples(frame()[["price", "items"]])


def test_it_works_within_pipelines_and_searches() -> None:
    made = make_pipeline(StandardScaler(), small()).set_output(transform="pandas")
    assert made.fit(frame()).score_samples(frame()).shape == (200,)
    folds = cross_val_score(made, frame(), cv=2)
    assert folds.shape == (2,)
    assert np.isfinite(folds).all()
    choices = {"max_iter": [1, 5], "settings": [SMALL, {**SMALL, "network.hidden": [4]}]}
    search = GridSearchCV(small(), choices, cv=2).fit(frame())
    assert search.best_estimator_.score(frame()) == pytest.approx(search.score(frame()))
    assert list(search.best_estimator_.sample(2).columns) == ["items", "price"]


def test_parameters_come_back_and_change() -> None:
    own = small(random_state=3)
    assert clone(own).get_params() == own.get_params()
    assert set(own.get_params()) == {
        "preset", "max_iter", "settings", "missing", "random_state", "verbose",
    }  # fmt: skip
    assert own.set_params(preset="smoke", max_iter=None).max_iter is None
    with pytest.raises(NotFittedError):
        own.score_samples(rows())


def test_max_iter_caps_every_block() -> None:
    own = {"training.flow_matching_iterations": 7, "blocks": {1: {"flow_matching_iterations": 30}}}
    config = small(max_iter=9, settings={**SMALL, **own}).fit(rows()).flow_.config
    assert (config.training.flow_matching_iterations, config.training.iterations) == (7, 9)
    assert config.training_of(1).flow_matching_iterations == 9
    assert config.network.hidden == (8,)
    flow = small(max_iter=2, settings=config).fit(rows()).flow_
    assert flow.config.training_of(1).flow_matching_iterations == 2
    for wrong in (0, 2.5, True, "many"):
        with pytest.raises(ValueError, match="max_iter"):
            small(max_iter=wrong).fit(rows())


@pytest.mark.parametrize("state", [5, np.int64(5)])
def test_an_integer_is_the_seed(state: int) -> None:
    assert small(random_state=state).fit(rows()).flow_.config.seed == 5


def test_a_generator_gives_a_seed() -> None:
    one, two = (small(random_state=np.random.RandomState(4)).fit(rows()).flow_.config.seed for _ in range(2))
    assert one == two != small(random_state=np.random.RandomState(5)).fit(rows()).flow_.config.seed


def test_what_the_library_refuses_is_a_value_error() -> None:
    with pytest.raises(ValueError, match=r"unknown key training\.speed"):
        small(settings={"training.speed": 3}).fit(rows())
    with pytest.raises(jko.InputError, match="is constant in the training rows"):
        small().fit(np.c_[rows(), np.ones(200)])
    with pytest.raises(ValueError, match="minimum of 6 is required"):
        small().fit(rows(5))


def names_in(content: bytes) -> set[str]:
    """Modules that a pickle takes something from."""
    found, texts = set(), []
    for operation, argument, _ in pickletools.genops(content):
        if operation.name == "GLOBAL":
            found.add(argument.split(" ")[0])
        if operation.name == "STACK_GLOBAL":
            found.add(texts[-2])
        if isinstance(argument, str):
            texts.append(argument)
    return found


def test_a_kept_estimator_is_bytes_and_the_same(model: JKOFlow) -> None:
    content = pickle.dumps(model)
    # numpy's scalars and arrays are of scikit-learn's own attributes
    assert {name.split(".")[0] for name in names_in(content)} <= {"jko", "numpy"}
    assert "torch" not in str(names_in(content))
    for again in (pickle.loads(content), copy.deepcopy(model)):
        np.testing.assert_array_equal(again.score_samples(rows()), model.score_samples(rows()))
        np.testing.assert_array_equal(again.sample(5, 1), model.sample(5, 1))
        np.testing.assert_array_equal(again.anomaly_scores(rows()), model.anomaly_scores(rows()))
        assert again.flow_.rows is None
        assert again.flow_.folder is None


def test_a_kept_estimator_gives_frames(framed: JKOFlow, tmp_path: Path) -> None:
    """In a process that has not loaded pandas before, too."""
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(framed))
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(framed)).sample(5, 1), framed.sample(5, 1))
    code = "import pickle; print(pickle.load(open('model.pkl', 'rb')).sample(2).dtypes.to_dict())"
    done = python(code, tmp_path)
    assert "'items': dtype('int64')" in done.stdout


def test_a_damaged_one_is_refused(model: JKOFlow) -> None:
    state = model.__getstate__()
    name = next(name for name in state["flow_"] if name.endswith("weights.safetensors"))
    state["flow_"][name] = state["flow_"][name][:-1] + b"\0"
    with pytest.raises(jko.InputError, match="weights"):
        JKOFlow().__setstate__(state)


def python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Python in a process of its own."""
    setup = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
    return subprocess.run(
        [sys.executable, "-c", setup + code], cwd=folder, capture_output=True, text=True, check=False
    )


def test_the_library_loads_without_scikit_learn_and_says_what_is_missing(tmp_path: Path) -> None:
    code = (
        "class Refused:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'sklearn': raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Refused())\n"
        "import jko; jko.fit, jko.load, jko.Flow\n"
        "import jko.sklearn"
    )
    done = python(code, tmp_path)
    wanted = "ImportError: jko.sklearn needs scikit-learn: pip install 'scikit-learn>=1.6'"
    assert done.stderr.splitlines()[-1] == wanted
    assert python("import jko; jko.fit; assert 'sklearn' not in sys.modules", tmp_path).returncode == 0


def test_odd_rows_come_first(model: JKOFlow, framed: JKOFlow) -> None:
    given = np.r_[rows(50, 1), [[7.0, 7.0, 7.0]], [[7.0, 60.0, 7.0]]]
    found = model.anomaly_scores(given)
    np.testing.assert_array_equal(found["score"], -model.score_samples(given))
    # standardised: the units of all rows are the same
    in_start = model.anomaly_scores(given, units="start")
    volume = -np.log(np.array(model.flow_.facts.scale)).sum()
    np.testing.assert_allclose(in_start["score"], found["score"] + volume)
    np.testing.assert_array_equal(found["disputed"], in_start["disputed"])
    assert sorted(found["rank"]) == list(range(1, 53))
    assert found["rank"][-1] == 1
    assert found["rank"][-2] > 40
    assert not found["disputed"][:50].any()
    table = framed.anomaly_scores(frame()[:9])
    assert list(table.index) == list(range(5, 14))
    assert list(table.columns) == ["score", "rank", "score_mixture", "disputed"]
    assert [str(kind) for kind in table.dtypes] == ["float64", "int64", "float64", "bool"]


def orders(count: int = 200) -> pd.DataFrame:
    """A table with text, a number above zero and a count."""
    draw = np.random.default_rng(1)
    city = draw.choice(["Köln", "Ulm", "Zürich"], count, p=[0.6, 0.37, 0.03])
    return pd.DataFrame(
        {"city": city, "price": draw.lognormal(size=count), "items": draw.poisson(3, count)},
        index=range(5, 5 + count),
    )


def test_a_frame_with_text_has_kinds() -> None:
    made = small().fit(orders())
    assert [column.kind for column in made.flow_.facts.kinds.columns] == [
        "categorical",
        "positive",
        "integer",
    ]
    mean, _ = made.flow_.log_prob_with_error(orders())
    np.testing.assert_allclose(made.score_samples(orders()), mean, atol=1e-4)
    assert list(made.feature_names_in_) == list(made.sample(2, 0).columns) == ["city", "price", "items"]
    odd = pd.DataFrame({"city": ["Köln", "Zürich"], "price": [1.0, 300.0], "items": [3, 3]}, index=["a", "b"])
    found = made.anomaly_scores(odd)
    np.testing.assert_array_equal(found["score"], -made.score_samples(odd))
    assert found.loc["b", "rank"] == 1
    # the mixture is of what cells became, so both are probabilities of the same cells
    assert abs(found.loc["a", "score"] - found.loc["a", "score_mixture"]) < 3
    assert np.isfinite(found["score_mixture"]).all()
    assert not found["disputed"].any()
    with pytest.raises(ValueError, match="for columns of numbers alone"):
        made.anomaly_scores(odd, units="start")
    with pytest.raises(ValueError, match="'Bonn'"):
        made.score_samples(odd.assign(city="Bonn"))
    with pytest.raises(ValueError, match="feature names should match"):
        made.score_samples(odd[["price", "city", "items"]])
    with pytest.raises(ValueError, match="give a data frame like that of fit"):
        made.score_samples(rows(2))
    again = pickle.loads(pickle.dumps(made))
    pd.testing.assert_frame_equal(again.anomaly_scores(odd), found)
    pd.testing.assert_frame_equal(again.sample(5, 1), made.sample(5, 1))


def test_kinds_of_numbers_are_asked_for() -> None:
    """Scores are then those of the flow, too, and not those of numbers that no block has seen."""
    given = frame()
    made = small(settings={**SMALL, "data.kinds": "auto"}).fit(given)
    mean, _ = made.flow_.log_prob_with_error(given)
    np.testing.assert_allclose(made.score_samples(given), mean, atol=1e-4)
    assert small().fit(given).flow_.facts.kinds is None
    assert cross_val_score(small(), orders(), cv=2).shape == (2,)


def test_a_row_that_the_blocks_alone_send_far_out_is_disputed() -> None:
    """The mixture finds it ordinary; the defence keeps its score from falling without end."""
    own = small().fit(rows())
    with torch.no_grad():
        for parameter in own.flow_.parameters():
            parameter.add_(3.0)
    found = own.anomaly_scores(rows())
    assert found["disputed"].mean() > 0.5
    assert found["score"].max() < 50
    assert found["score_mixture"].max() < 50


@pytest.mark.filterwarnings("ignore:column")
def test_start_coordinates_do_not_depend_on_how_a_column_is_measured() -> None:
    """Scores of rows and of their exponentials, up to the tails of the splines."""
    own = {**SMALL, "data.standardise": "marginals"}
    given = rows(1000)
    wide = np.exp(3 * given / given.std(axis=0))
    one = small(settings=own).fit(given).anomaly_scores(given, units="start")["score"]
    model = small(settings=own).fit(wide)
    inner = np.abs(one - np.median(one)) < 2
    assert np.corrcoef(one[inner], model.anomaly_scores(wide, units="start")["score"][inner])[0, 1] > 0.9
    assert np.corrcoef(one[inner], model.anomaly_scores(wide)["score"][inner])[0, 1] < 0.5
    with pytest.raises(ValueError, match="units = 'nats' is not allowed"):
        model.anomaly_scores(wide, units="nats")


#: frames of other packages, and one made of columns
OTHERS: dict[str, Callable[[dict[str, list[object]]], Any]] = {
    "polars": lambda columns: pytest.importorskip("polars").DataFrame(columns), "Arrow": pa.table,
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_frames_of_other_packages_come_back_as_such(name: str) -> None:
    own, same = OTHERS[name](frame().to_dict("list")), frame().reset_index(drop=True)
    made, alike = small().fit(own), small().fit(same)
    assert list(made.feature_names_in_) == ["items", "price"]
    np.testing.assert_array_equal(made.score_samples(own), alike.score_samples(same))
    for again in (made, pickle.loads(pickle.dumps(made))):
        drawn = again.sample(6, random_state=0)
        assert type(drawn) is type(own)
        assert np.asarray(drawn["items"]).tolist() == alike.sample(6, random_state=0)["items"].tolist()
        assert np.asarray(drawn["items"]).dtype == np.int64
    found = made.anomaly_scores(own)
    assert type(found) is type(own)
    np.testing.assert_array_equal(np.asarray(found["rank"]), alike.anomaly_scores(same)["rank"])
    other = OTHERS[name]({"price": [1.0], "items": [2]})
    with pytest.raises(ValueError, match="feature names should match"):
        made.score_samples(other)
    assert np.isfinite(cross_val_score(small(), own, cv=2)).all()


@pytest.mark.parametrize("name", OTHERS)
def test_text_of_other_packages_has_kinds(name: str) -> None:
    own, same = OTHERS[name](orders().to_dict("list")), orders().reset_index(drop=True)
    made, alike = small().fit(own), small().fit(same)
    np.testing.assert_array_equal(made.score_samples(own), alike.score_samples(same))
    assert np.asarray(made.sample(5, 0)["city"]).tolist() == alike.sample(5, 0)["city"].tolist()


def holed(count: int = 200) -> pd.DataFrame:
    """A table in which a quarter of the prices and counts is empty."""
    table = orders(count).astype({"items": "Int64"})
    draw = np.random.default_rng(2)
    for name in ("price", "items"):
        table.loc[draw.random(count) < 0.25, name] = None
    return table


def test_holes_are_part_of_the_law() -> None:
    table = holed()
    with pytest.raises(ValueError, match="empty cell"):
        small().fit(table)
    made = small(missing="model").fit(table)
    assert np.isfinite(made.score_samples(table)).all()
    drawn = made.sample(200, 0)
    assert dict(drawn.dtypes) == dict(table.dtypes)
    assert drawn["items"].isna().any()
    assert np.isfinite(made.anomaly_scores(table)["score"]).all()
    assert np.isfinite(cross_val_score(small(missing="model"), table, cv=2)).all()
    again = pickle.loads(pickle.dumps(made))
    np.testing.assert_array_equal(again.score_samples(table), made.score_samples(table))
    pd.testing.assert_frame_equal(again.sample(20, 0), made.sample(20, 0))
    same = small(settings={**SMALL, "data.missing": "model"}).fit(table)
    np.testing.assert_array_equal(same.score_samples(table), made.score_samples(table))
    numbers = table[["price", "items"]]
    assert small(missing="model").fit(numbers).sample(200, 0).isna().any().all()


def test_rows_with_holes_are_dropped_where_it_is_asked_for() -> None:
    with_holes = rows()
    with_holes[3, 1] = np.nan
    with pytest.raises(ValueError, match="contains NaN"):
        small().fit(with_holes)
    made = small(missing="drop").fit(with_holes)
    same = small().fit(np.delete(with_holes, 3, axis=0))
    np.testing.assert_array_equal(made.score_samples(rows()), same.score_samples(rows()))
    with pytest.raises(ValueError, match="contains NaN"):
        made.score_samples(with_holes)
    with pytest.raises(ValueError, match="missing = 'model' is for data frames"):
        small(missing="model").fit(rows())
    with pytest.raises(ValueError, match="give refuse, drop, model"):
        small(missing="fill").fit(rows())
    assert [small(missing=word).__sklearn_tags__().input_tags.allow_nan for word in (None, "model")] == [
        False, True,
    ]  # fmt: skip
