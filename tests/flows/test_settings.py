"""Layers of settings, presets and the project's own files."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.places import project_root
from flows.settings import build_request
from jko.config import Config, parse_config
from jko.core.errors import InputError
from jko.presets import preset_names, read_yaml

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_valid(name: str) -> None:
    assert isinstance(build_request(ROOT, preset=name).config, Config)


def test_params_yaml_is_the_digits_preset_written_out() -> None:
    values = read_yaml(ROOT / "params.yaml")
    assert parse_config(values) == build_request(ROOT, preset="digits").config
    assert set(values) == set(Config.model_fields)


def test_dvc_stages_depend_on_every_section_of_the_settings() -> None:
    stages = read_yaml(ROOT / "dvc.yaml")["stages"].values()
    assert {name for stage in stages for name in stage.get("params", [])} == set(Config.model_fields)


def test_later_layers_win() -> None:
    request = build_request(
        ROOT, preset="smoke", assignments=["steps.count=5", "blocks.2.iterations=7"], seed=9
    )
    assert len(request.config.step_sizes) == 5
    assert request.config.training_of(2).iterations == 7
    assert request.config.training_of(1).iterations == 40
    assert request.config.seed == 9
    assert not request.default


def test_no_options_is_the_default_run() -> None:
    assert build_request(ROOT).default


@pytest.mark.parametrize(("file", "fourier"), [("picture.PNG", True), ("table.csv", False), ("t.npy", False)])
def test_a_file_brings_the_preset_of_its_kind(file: str, fourier: bool) -> None:
    config = build_request(ROOT, file=file).config
    assert (config.data.source, config.data.file) == ("file", file)
    assert bool(config.network.fourier) is fourier


def test_a_shorter_chain_loses_the_preset_s_blocks_beyond_its_end() -> None:
    config = build_request(ROOT, file="picture.png", assignments=["steps.count=1"]).config
    assert set(config.blocks) == {1}
    whole = build_request(ROOT, file="picture.png").config
    assert set(whole.blocks) == {1, 2, 3, 4}
    assert config.blocks[1] == whole.blocks[1]


@pytest.mark.parametrize("text", ["blocks.3.iterations=5", "blocks=5", "blocks.x=1"])
def test_blocks_that_are_not_there_but_asked_for_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="blocks"):
        build_request(ROOT, file="picture.png", assignments=["steps.count=2", text])


def test_the_project_is_found_from_below(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert project_root(tmp_path / "a" / "b") == tmp_path
