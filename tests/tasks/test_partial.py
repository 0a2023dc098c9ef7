"""Blocks set aside to be trained again, on bare files."""

from __future__ import annotations

from pathlib import Path

from jko.disk.layout import Layout
from tasks.adapters.store.partial import ASIDE, set_aside


def test_all_that_was_begun_of_a_block_is_forgotten(tmp_path: Path) -> None:
    """Also of one that is not committed: its checkpoint must not be gone on with."""
    layout = Layout(tmp_path / "chain")
    for k in (0, 1, 2, 10):
        (layout.chain / "blocks" / f"{k}-abc").mkdir(parents=True)
    begun = [layout.run / "staging" / "11-abc", layout.run / "superseded" / "2-other"]
    for folder in begun:
        folder.mkdir(parents=True)
    for place in ("checkpoints/11-abc.safetensors", "scores/10-abc-500.json", "scores/1-abc-500.json"):
        (layout.run / place).parent.mkdir(parents=True, exist_ok=True)
        (layout.run / place).touch()
    assert set_aside(layout, 2) == ["2-abc", "10-abc"]
    assert sorted(path.name for path in (layout.chain / "blocks").iterdir()) == ["0-abc", "1-abc"]
    kept = {str(path.relative_to(layout.run)) for path in layout.run.glob("*/*")}
    aside = {f"superseded/{name}{ASIDE}" for name in ("2-abc", "10-abc")}
    assert kept == {"superseded/2-other", "scores/1-abc-500.json", *aside}
