"""Facts of the data, in a commit that fits them: what no chain of ours writes is refused in a sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jko.core.errors import InputError
from jko.disk.facts import FACTS, read_facts
from jko.disk.layout import Layout
from jko.disk.manifest import required_manifest
from tests.campaign.fuzz import commit_again
from tests.fixtures.make import archive_of

CHANGES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "fewer steps of the grid": (lambda facts: facts["grid"].pop(), "grid: a step of 0 or more"),
    "a negative step": (lambda facts: facts.update(grid=[-1.0, 0.0]), "grid: a step of 0 or more"),
    "fewer shifts": (lambda facts: facts["shift"].pop(), "as many shifts and scales"),
    "a scale of 0": (lambda facts: facts.update(scale=[0.0, 1.0]), "scales positive and finite"),
    "an origin of no grid": (lambda facts: facts.update(origins={"x": 0.0}), "of dequantised columns"),
    "one mark": (lambda facts: facts.update(marks=["."]), "one before decimals"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_facts_that_do_not_fit_each_other_are_refused(change: str, tmp_path: Path) -> None:
    shutil.unpack_archive(archive_of("moons"), tmp_path)
    layout = Layout(tmp_path / "chain")
    fingerprint = required_manifest(layout).fingerprints[0]
    path = layout.block(0, fingerprint) / FACTS
    assert read_facts(layout, fingerprint).dim == 2
    alter, said = CHANGES[change]
    facts = json.loads(path.read_text())
    alter(facts)
    path.write_text(json.dumps(facts))
    commit_again(path)
    with pytest.raises(InputError, match=said):
        read_facts(layout, fingerprint)
