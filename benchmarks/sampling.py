"""Chains from noise to unnormalised targets: log Z, effective sample size and energy distance, one table.

Every target twice: as the blocks leave it, and with a correction between them (``target.correction``).
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from benchmarks.cell import RESULTS
from benchmarks.command import sentences
from benchmarks.page import keep, markdown
from benchmarks.watched import jko, seconds_of_children

FILE = "sampling.json"


@dataclass(frozen=True)
class Case:
    """A target as the settings of a run.

    Args:
        name: of the row.
        potential: ``target.potential``.
        dim: dimension.
        options: ``target.options``.
        std: standard deviation of the normal law that the chain starts from.
        correction: ``target.correction``, the share of rows drawn again after a block.
    """

    name: str
    potential: str
    dim: int
    options: Mapping[str, float]
    std: float = 1.0
    correction: float = 0.0

    @property
    def corrected(self) -> Case:
        """The same target with corrections, under a name of its own."""
        return replace(self, name=f"{self.name}, corrected", correction=RATE)

    def settings(self) -> list[str]:
        """Words of the command line."""
        target = {
            "potential": self.potential, "options": dict(self.options), "correction": self.correction,
        }  # fmt: skip
        data = {"mean": [0.0] * self.dim, "std": [self.std] * self.dim}
        return ["--set", f"target={json.dumps(target)}", "--set", f"data={json.dumps(data)}"]


#: share of rows that a correction draws again
RATE = 0.2
MODES = {"components": 8, "radius": 8.0, "std": 1.0}
#: the mixtures called GMM-d in arXiv:2407.20444, there with other random means
NARROW = {"components": 10, "half_width": 1.0, "std": 0.1}
TARGETS = (
    Case("8 Gaussians, d = 2", "sphere_mixture", 2, MODES, 4.0),
    Case("8 Gaussians, d = 10", "sphere_mixture", 10, MODES, 3.0),
    Case("8 Gaussians, d = 50", "sphere_mixture", 50, MODES, 1.5),
    Case("10 narrow Gaussians, d = 10", "uniform_mixture", 10, NARROW),
    Case("banana, d = 2", "banana", 2, {"width": 3.0, "bend": 0.3}, 2.0),
    Case("funnel, d = 10", "funnel", 10, {"width": 3.0}),
    Case("logistic regression on breast cancer, d = 31", "breast_cancer_regression", 31, {}),
)
CASES = tuple(case for target in TARGETS for case in (target, target.corrected))


def run(case: Case) -> dict[str, Any]:
    """Train a chain of the preset towards a target in a project of its own.

    Raises:
        JkoError: it failed.
    """
    with tempfile.TemporaryDirectory() as place:
        before = seconds_of_children()
        words = ("--preset", "targets", "--chain", "chain", *case.settings())
        metrics = jko(Path(place), "train", *words)["metrics"]
        return {"name": case.name, "dim": case.dim, "core_s": seconds_of_children() - before, **metrics}


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """One row a target, and one with corrections."""
    heading = (
        "target", "redrawn between blocks", "log Z", "known", "effective share", "energy distance²",
        "drawn again by weight", "exact samples", "core-s",
    )  # fmt: skip
    body = [
        (
            row["name"],
            _number(row, "redrawn", ".3f"),
            f"{row['target/log_z']:.3f} ± {row['target/log_z_se']:.2g}",
            _number(row, "log_z_known", ".3f"),
            f"{row['target/effective_share']:.3f}",
            *(_distance(row, name) for name in ("energy_distance", "corrected", "exact")),
            f"{row['core_s']:.0f}",
        )
        for row in rows
    ]
    return markdown(heading, body)


def _distance(row: Mapping[str, Any], name: str) -> str:
    value = _number(row, name, ".1e")
    return value if value == "–" else f"{value} ± {row[f'target/{name}_se']:.0e}"


def _number(row: Mapping[str, Any], name: str, form: str) -> str:
    value = row.get(f"target/{name}")
    return "–" if value is None else f"{value:{form}}"


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.option("--only", multiple=True, help="A word in the names of the targets to run again.")
@click.option("--results", type=click.Path(path_type=Path), default=RESULTS, help="Folder of the JSON files.")
@sentences
def main(as_json: bool, only: Sequence[str], results: Path) -> None:
    """Train towards every target without figures; each has its row in the README as soon as it ends."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    path = results / FILE
    found = json.loads(path.read_text())["rows"] if path.is_file() else {}
    for case in CASES:
        wanted = any(word in case.name for word in only) if only else case.name not in found
        if wanted:
            found[case.name] = run(case)
            rows = [found[one.name] for one in CASES if one.name in found]
            keep(path, {"rows": found}, "sampling", table(rows))
    rows = [found[one.name] for one in CASES if one.name in found]
    click.echo(json.dumps(rows, indent=1) if as_json else table(rows))


if __name__ == "__main__":
    main()
