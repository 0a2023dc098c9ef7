"""The configuration: what is refused and in which words, overrides, step sizes."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from jko.config import Config, parse_config
from jko.core.errors import InputError, JkoError

NAN, INF = float("nan"), float("inf")

#: settings -> parts of the sentence: the key, the value received, what is allowed
REFUSED = {
    "wrong type": ({"training": {"iterations": "many"}}, ["training.iterations", "'many'", "integer"]),
    "fraction of an iteration": (
        {"training": {"iterations": 1.5}},
        ["training.iterations", "1.5", "integer"],
    ),
    "negative count": ({"training": {"iterations": -1}}, ["training.iterations", "-1", "equal to 0"]),
    "zero rate": ({"training": {"learning_rate": 0}}, ["training.learning_rate", "0", "greater than 0"]),
    "nan rate": ({"training": {"learning_rate": NAN}}, ["training.learning_rate", "nan", "finite"]),
    "infinite clip": ({"training": {"clip": INF}}, ["training.clip", "inf", "finite"]),
    "zero step size": ({"steps": {"count": 2, "first": 0}}, ["steps.first", "0", "greater than 0"]),
    "negative step size": ({"steps": {"sizes": [0.1, -1]}}, ["steps.sizes.1", "-1", "greater than 0"]),
    "no blocks": ({"steps": {"count": 0}}, ["steps.count", "0", "equal to 1"]),
    "too few step sizes": (
        {"steps": {"count": 3, "sizes": [1, 2]}},
        ["steps.count", "3", "steps.sizes", "2", "steps.sizes = null"],
    ),
    "no steps": ({"steps": {}}, ["steps.count", "steps.sizes"]),
    "empty step sizes": ({"steps": {"sizes": []}}, ["steps.count", "steps.sizes"]),
    "no hidden layer": ({"network": {"hidden": []}}, ["network.hidden", "[]", "at least 1"]),
    "zero width": ({"network": {"hidden": [64, 0]}}, ["network.hidden.1", "0", "equal to 1"]),
    "unknown activation": ({"network": {"activation": "relu"}}, ["network.activation", "'relu'", "'silu'"]),
    "unknown kind": ({"network": {"kind": "spline"}}, ["network.kind", "'spline'", "'ode' or 'residual'"]),
    "no contraction": ({"network": {"lipschitz": 1.0}}, ["network.lipschitz", "1.0", "less than 1"]),
    "frequencies of a residual block": (
        {"network": {"kind": "residual", "fourier": 4}},
        ["network.fourier = 4", "network.kind = ode", "residual"],
    ),
    "unknown method": ({"solver": {"method": "dopri5"}}, ["solver.method", "'dopri5'", "'rk4'"]),
    "no solver steps": ({"solver": {"steps": 0}}, ["solver.steps", "0", "equal to 1"]),
    "unknown source": ({"data": {"source": "cifar"}}, ["data.source", "'cifar'", "'digits'"]),
    "half held out": ({"data": {"split": {"test": 0.5}}}, ["data.split.test", "0.5", "less than 0.5"]),
    "file without a name": ({"data": {"source": "file"}}, ["data.file", "data.source"]),
    "a name without file": ({"data": {"file": "x.csv"}}, ["data.file", "data.source"]),
    "mean and std differ": ({"data": {"mean": [1, 2], "std": [1]}}, ["data.mean", "data.std"]),
    "zero std": ({"data": {"std": [1, 0]}}, ["data.std.1", "0", "greater than 0"]),
    "switch": ({"data": {"standardise": "no"}}, ["data.standardise", "'no'", "'on', 'off', 'whiten'"]),
    "neither number nor word": (
        {"data": {"augment": {"copies": 0}}},
        ["data.augment.copies = 0 is", "equal to 1, or 'auto'"],
    ),
    "block zero": ({"blocks": {0: {"iterations": 1}}}, ["blocks.0", "0", "equal to 1"]),
    "block by name": ({"blocks": {"last": {"iterations": 1}}}, ["blocks.last", "'last'", "integer"]),
    "override": (
        {"blocks": {2: {"step_size": -1}}},
        ["blocks.2.step_size", "-1", "greater than or equal to 0.000001"],
    ),
    "dtype": ({"runtime": {"dtype": "float16"}}, ["runtime.dtype", "'float16'", "'float32'"]),
    "negative seed": ({"seed": -1}, ["seed", "-1", "equal to 0"]),
    "correction of too much": (
        {"target": {"potential": "funnel", "correction": 0.95}},
        ["target.correction", "0.95", "equal to 0.9"],
    ),
    "correction without target": (
        {"target": {"correction": 0.2}},
        ["target.correction = 0.2", "another target.potential than standard_gaussian"],
    ),
    "correction beside an interaction": (
        {"target": {"potential": "funnel", "interaction": 0.5, "correction": 0.2}},
        ["target.correction = 0.2", "target.interaction 0"],
    ),
    "correction without entropy": (
        {"target": {"potential": "funnel", "entropy": "off", "correction": 0.2}},
        ["target.correction = 0.2", "target.entropy on"],
    ),
    "correction with a context": (
        {
            "data": {"source": "digits", "context": ["class"]},
            "target": {"potential": "funnel", "correction": 0.2},
        },
        ["target.correction = 0.2", "data.context"],
    ),
    "a forward step that turns points around": (
        {"scheme": "forward_euler", "steps": {"sizes": [0.5, 8.0]}},
        ["scheme = forward_euler", "block 2 has γ = 8", "below 1"],
    ),
    "section is a number": ({"data": 3}, ["data", "3", "dictionary"]),
    "not a mapping": ([1], ["[1]", "dictionary"]),
}
UNKNOWN = {
    "top": ({"sed": 1}, "sed", "seed"),
    "section": ({"training": {"lr": 1}}, "training.lr", "learning_rate"),
    "nested": ({"data": {"split": {"train": 0.8}}}, "data.split.train", "validation"),
    "block": ({"blocks": {1: {"lr": 0.1}}}, "blocks.1.lr", "learning_rate"),
}


@pytest.mark.parametrize(("values", "parts"), REFUSED.values(), ids=REFUSED)
def test_impossible_settings_are_refused_naming_key_value_and_what_is_allowed(
    values: dict, parts: list[str]
) -> None:
    with pytest.raises(InputError) as caught:
        parse_config(values, where="params.yaml")
    sentence = str(caught.value)
    assert sentence.startswith("params.yaml: ")
    assert "\n" not in sentence
    for part in parts:
        assert part in sentence


@pytest.mark.parametrize(("values", "key", "neighbour"), UNKNOWN.values(), ids=UNKNOWN)
def test_an_unknown_key_is_refused_naming_the_keys_allowed_there(
    values: dict, key: str, neighbour: str
) -> None:
    with pytest.raises(InputError, match=rf"unknown key {key}; allowed there: .*\b{neighbour}\b"):
        parse_config(values)


@pytest.mark.parametrize("values", [{"data": {"mean": [INF, 0]}}, {"data": {"mean": [NAN, 0]}}])
def test_a_mean_that_is_not_a_number_is_refused(values: dict) -> None:
    with pytest.raises(InputError, match=r"data\.mean"):
        parse_config(values)


@pytest.mark.parametrize(
    "steps",
    [{"count": 1000, "ratio": 2.1}, {"count": 400, "ratio": 0.1}],
    ids=["ratio^999 overflows", "ratio^399 underflows"],
)
def test_a_schedule_out_of_the_range_of_floats_is_refused_or_bounded(steps: dict) -> None:
    """Never another exception than InputError, never a step size of zero."""
    try:
        sizes = parse_config({"steps": steps}).step_sizes
    except InputError:
        return
    assert all(0 < size <= 5 for size in sizes)


def test_input_errors_are_the_project_s_own_with_exit_code_2() -> None:
    assert issubclass(InputError, JkoError)
    assert issubclass(InputError, ValueError)
    assert InputError.exit_code == 2


def test_every_key_has_a_default() -> None:
    assert parse_config({}) == Config()


def test_step_sizes_follow_the_schedule() -> None:
    config = parse_config({"steps": {"count": 4, "first": 0.25, "ratio": 2, "max": 1.5}})
    assert config.step_sizes == (0.25, 0.5, 1.0, 1.5)


def test_a_list_of_step_sizes_sets_the_number_of_blocks() -> None:
    assert parse_config({"steps": {"sizes": [0.1, 0.4, 0.2]}}).step_sizes == (0.1, 0.4, 0.2)


def test_one_block_s_step_size_can_differ() -> None:
    config = parse_config(
        {"steps": {"count": 3, "first": 1, "ratio": 1}, "blocks": {"2": {"step_size": 0.1}}}
    )
    assert config.step_sizes == (1.0, 0.1, 1.0)


def test_training_of_a_block_is_the_common_one_with_its_own_overrides() -> None:
    config = parse_config(
        {"training": {"iterations": 50, "clip": 2}, "blocks": {3: {"iterations": 0, "warm_start": False}}}
    )
    assert config.training_of(1) == config.training
    own = config.training_of(3)
    assert (own.iterations, own.warm_start, own.clip) == (0, False, 2.0)
    same = own.model_copy(update={"iterations": 50, "warm_start": config.training.warm_start})
    assert same == config.training


def test_a_step_size_override_leaves_training_alone() -> None:
    config = parse_config({"blocks": {2: {"step_size": 0.1}}})
    assert vars(config.training_of(2)) == vars(config.training)


@pytest.mark.parametrize(("given", "kept"), [(True, "on"), (False, "off"), ("on", "on"), ("off", "off")])
def test_on_and_off_may_arrive_as_booleans(given: bool | str, kept: str) -> None:
    """YAML 1.1 reads a bare on/off as a boolean."""
    assert parse_config({"data": {"standardise": given}}).data.standardise == kept


def test_dequantise_off_may_arrive_as_a_boolean() -> None:
    assert parse_config({"data": {"dequantise": False}}).data.dequantise == "off"


@pytest.mark.parametrize("section", ["data", "steps", "training", "solver", "network", "measure", "runtime"])
def test_configurations_are_frozen(section: str) -> None:
    config = parse_config({})
    part = getattr(config, section)
    with pytest.raises(ValidationError):
        setattr(config, section, part)
    with pytest.raises(ValidationError):
        setattr(part, next(iter(type(part).model_fields)), 1)


def test_json_round_trip_is_the_same_configuration() -> None:
    config = parse_config({"blocks": {2: {"step_size": 0.1}}, "steps": {"sizes": [0.1, 0.2]}})
    assert Config.model_validate_json(config.model_dump_json()) == config


def test_importing_the_configuration_loads_no_torch() -> None:
    code = "import sys, jko.config; sys.exit(any(m in sys.modules for m in ('torch', 'numpy', 'prefect')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_block_may_have_frequencies_of_its_own_and_then_starts_anew() -> None:
    config = parse_config(
        {
            "steps": {"sizes": [0.1, 0.2, 0.3, 0.4]},
            "network": {"fourier": 4, "fourier_scale": [5.0, 10.0]},
            "blocks": {3: {"fourier_scale": 2.0}, 4: {"fourier_scale": [2.0], "warm_start": False}},
        }
    )
    assert [config.network_of(k).fourier_scale for k in (1, 2, 3)] == [(5.0, 10.0), (5.0, 10.0), 2.0]
    assert [config.starts_warm(k) for k in (1, 2, 3, 4)] == [False, True, False, False]
    assert config.training_of(3) == config.training


@pytest.mark.parametrize("scale", [0.0, [], [1.0, -1.0], "x"])
def test_frequencies_without_a_width_are_refused(scale: object) -> None:
    with pytest.raises(InputError, match="fourier_scale"):
        parse_config({"network": {"fourier": 4, "fourier_scale": scale}})


def test_copies_are_made_where_rows_are_few() -> None:
    augment = parse_config({"data": {"augment": {"copies": 16, "most_rows": 1000}}}).data.augment
    assert [augment.copies_of(rows) for rows in (10, 100, 600, 5000)] == [16, 10, 1, 1]


def test_residual_blocks_have_no_flow_matching_whatever_is_set() -> None:
    values = {
        "steps": {"count": 2},
        "training": {"flow_matching_iterations": 7, "iterations": 5},
        "blocks": {2: {"flow_matching_iterations": 9, "iterations": 6}},
    }
    for kind, matching in (("ode", [7, 9]), ("residual", [0, 0])):
        config = parse_config({**values, "network": {"kind": kind}})
        assert [config.training_of(k).flow_matching_iterations for k in (1, 2)] == matching
        assert [config.training_of(k).iterations for k in (1, 2)] == [5, 6]
