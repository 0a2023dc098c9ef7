"""Prepared data of the chain that DVC owns lie at two places, which say the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from jko.disk.commit import read_commit
from jko.disk.facts import read_facts
from jko.disk.identity import data_fingerprint
from jko.disk.layout import Layout
from jko.preparation.facts import DataFacts
from jko.preparation.made import MadeRows
from tasks.prepare import adopt_prepared, commit_data

ROWS = np.random.default_rng(0).standard_normal((30, 2)).astype(np.float32)
FACTS = DataFacts(
    name="table", columns=("a", "b"), shift=(0.0, 0.0), scale=(1.0, 1.0), grid=(0.0, 0.0), notes=(),
    rows={"source": 30}, entropy=None, image_shape=None,
)  # fmt: skip


def test_columns_named_anew_reach_both_places(tmp_path: Path) -> None:
    """The rows are the same data; what is said of them is what was just prepared."""
    layout = Layout(tmp_path / "chain", tmp_path / "prepared")
    for facts, key in ((FACTS, "old"), (replace(FACTS, columns=("x", "y")), "new")):
        digest = commit_data(layout, MadeRows(facts, {"train": ROWS}, None, "d" * 64), key)
        adopt_prepared(layout, digest)
        fingerprint = data_fingerprint(digest)
        assert read_facts(layout, fingerprint).columns == facts.columns
        for place in (layout.prepared, layout.block(0, fingerprint)):
            commit = read_commit(place, verify=True)
            assert commit is not None
            assert commit.record.source_key == key
