"""The known laws of the sources, in the units that the blocks see."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from jko.config import Config, parse_config
from jko.laws import densities
from jko.laws.densities import entropy
from jko.preparation.facts import DataFacts, facts_of
from jko.preparation.prepare import prepare
from tasks.datasets.laws import LAWS, density_of, score_of, smoothed_curve, smoothed_entropy
from tasks.datasets.sources import SOURCES
from tasks.prepare import entropy_of


def known(**data: object) -> tuple[Config, DataFacts, np.ndarray]:
    config = parse_config({"data": {"rows": 4000, **data}})
    table = SOURCES[config.data.source](config.data, 0)
    prepared = prepare(table, config)
    return (
        config,
        facts_of(table, prepared, entropy=entropy_of(table, prepared, config)),
        prepared.arrays["train"].astype(float),
    )


@pytest.mark.parametrize("source", [*LAWS, "curve"])
def test_the_score_has_mean_zero_and_pairs_with_the_rows_as_integration_by_parts_says(source: str) -> None:
    """E s = 0 and E xᵢ sⱼ = −δᵢⱼ for the score s of the law of the rows, in their own units."""
    config, facts, rows = known(source=source, **({"smoothing": 0.05} if source == "curve" else {}))
    score = score_of(config, facts)
    assert score is not None
    s = score(torch.from_numpy(rows)).numpy()
    error = 4 * s.std(axis=0) / np.sqrt(len(rows))
    assert np.all(np.abs(s.mean(axis=0)) < error)
    for i in range(rows.shape[1]):
        product = rows[:, [i]] * s
        wanted = -np.eye(rows.shape[1])[i]
        assert np.all(np.abs(product.mean(axis=0) - wanted) < 4 * product.std(axis=0) / np.sqrt(len(rows)))


def test_no_score_where_the_law_is_unknown_or_switched_off() -> None:
    config, facts, _ = known(source="moons", smoothing=0.1)
    assert score_of(config, facts) is None
    config, facts, _ = known(source="moons")
    off = config.model_copy(update={"measure": config.measure.model_copy(update={"density": "off"})})
    assert score_of(off, facts) is None
    assert density_of(parse_config({}).data) is None


@pytest.mark.slow
def test_the_law_of_the_smoothed_curve_fits_its_rows() -> None:
    """Mean log-density of the prepared rows is minus its entropy; the plain curve has none."""
    _, facts, rows = known(source="curve", smoothing=0.02)
    law = smoothed_curve(0.02, np.array(facts.shift), np.array(facts.scale))
    values = law.log_prob(rows)
    assert values.mean() == pytest.approx(-entropy(law).value, abs=4 * values.std() / np.sqrt(len(rows)))
    assert facts.entropy is not None
    assert facts.entropy["value"] == pytest.approx(
        entropy(law, seed=5).value + np.log(facts.scale).sum(), abs=0.05
    )
    assert known(source="curve")[1].entropy is None
    assert smoothed_entropy("moons", 0.1, np.zeros(2), np.ones(2)) is None


def test_a_picture_file_is_a_law_as_long_as_it_is_there(tmp_path) -> None:
    from PIL import Image

    path = tmp_path / "dark.png"
    Image.fromarray((255 * (1 - densities.rose_picture(40))).astype(np.uint8)).save(path)
    config = parse_config({"data": {"source": "file", "file": str(path), "rows": 1000}})
    assert density_of(config.data) is not None
    path.unlink()
    assert density_of(config.data) is None
