"""Largest resident memory of a training run: over the number of blocks, and over the number of rows."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.cell import RESULTS
from benchmarks.command import sentences
from benchmarks.page import keep, markdown
from benchmarks.watched import run

FILE = "memory.json"
BLOCKS = (2, 8, 32)
#: rows and dimensions of the files
FILES = ((100_000, 2), (1_000_000, 2), (10_000_000, 2), (1_000_000, 16))
PARTS = ("prepare", "train", "push", "measure", "evaluate", "report")
SHORT = (
    "--set", "training.flow_matching_iterations=20", "--set", "training.iterations=5",
    "--set", "evaluation.mixture_components=[1]",
)  # fmt: skip


def of_blocks(count: int) -> dict[str, Any]:
    """A chain of so many equal blocks on two moons."""
    with tempfile.TemporaryDirectory() as place:
        words = ("--set", f"steps.count={count}", "--set", "network.hidden=[128, 128]")
        return run(Path(place), "train", "--preset", "smoke", "--chain", "chain", *words, *SHORT)


def of_rows(rows: int, dim: int) -> dict[str, Any]:
    """A chain of two blocks on a file of so many normal draws."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        file = np.lib.format.open_memmap(folder / "rows.npy", "w+", np.float32, (rows, dim))
        draw = np.random.default_rng(0)
        for start in range(0, rows, 100_000):
            file[start : start + 100_000] = draw.standard_normal((min(100_000, rows - start), dim))
        del file
        words = ("--data", "rows.npy", "--set", "steps.count=2", "--set", "training.batch_size=1000")
        return run(folder, "train", "--preset", "smoke", "--chain", "chain", *words, *SHORT)


def table(figures: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Both series."""
    body = []
    for one in figures["blocks"]:
        body.append((f"{one['blocks']} blocks, 2000 rows of 2", *_cells(one)))
    for one in figures["rows"]:
        body.append((f"2 blocks, {one['rows']:,} rows of {one['dim']}".replace(",", " "), *_cells(one)))
    return markdown(("chain", "peak MiB", "above the imports", *PARTS), body)


def _cells(one: Mapping[str, Any]) -> tuple[str, ...]:
    parts = [one["parts"].get(name, {}).get("peak_mb", 0) for name in PARTS]
    return (
        f"**{one['peak_mb']:.0f}**",
        f"{one['peak_mb'] - one['base_mb']:.0f}",
        *(f"{part:.0f}" for part in parts),
    )


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.option("--most-rows", type=int, default=10_000_000, show_default=True, help="Leave out larger files.")
@click.option("--most-blocks", type=int, default=32, show_default=True, help="Leave out longer chains.")
@click.option("--results", type=click.Path(path_type=Path), default=RESULTS, help="Folder of the JSON files.")
@sentences
def main(as_json: bool, most_rows: int, most_blocks: int, results: Path) -> None:
    """Train in processes of their own, and put the table into the README."""
    figures = {
        "blocks": [{"blocks": count, **of_blocks(count)} for count in BLOCKS if count <= most_blocks],
        "rows": [
            {"rows": rows, "dim": dim, **of_rows(rows, dim)} for rows, dim in FILES if rows <= most_rows
        ],
    }
    keep(results / FILE, figures, "memory", table(figures))
    click.echo(json.dumps(figures, indent=1) if as_json else table(figures))


if __name__ == "__main__":
    main()
