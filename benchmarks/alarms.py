"""A schedule's alarm and a gate held to bars: how often they are wrong where the truth is known.

One chain is trained on rows of a law by the defaults for a file. New rows of the same law, or with one column
shifted, then go through the code that a schedule runs on new data (:func:`flows.scheduling.drift.drift`).
Chains that were hardly trained stand against it in the gate ``test/nll > +2se`` of ``jko compare``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd

from benchmarks.cell import RESULTS, ROOM
from benchmarks.command import sentences
from benchmarks.fresh_case import REPORTED
from benchmarks.generators import GENERATORS, drawn
from benchmarks.watched import said
from flows.scheduling.drift import drift
from flows.settings import build_request
from flows.views.models import open_chain
from jko.config import NUMERICS
from jko.core.digest import digest_of
from jko.disk.commit import file_digest
from jko.disk.layout import Layout
from jko.disk.sealed import read_json, write_json
from jko.laws.densities import Array
from jko.preparation.grid import grid_step
from jko.presets import read_preset
from jko.statistics.shift import LEVEL

#: rows of the chain, new rows of a repetition, and standard deviations of a shift
ROWS, NEW, SHIFT = 2100, 500, 0.3
#: repetitions, the most false alarms and the fewest found shifts among them; tries of the gate
REPETITIONS, FALSE, FOUND, TRIES = 100, 5, 95, 20
#: a chain that is hardly trained: thirty iterations of each phase
HARDLY = ("training.flow_matching_iterations=30", "training.iterations=30", "training.validate_every=30")
GATE = "test/nll > +2se"
#: what is figured of a chain that only stands in the gate
CHEAP = (
    "evaluation.samples=50", "evaluation.mixture_components=[1]", "measure.critic_centres=3",
    "measure.reference_rows=20",
)  # fmt: skip
#: whose source the figures depend on
SOURCES = ("benchmarks/alarms.py", "benchmarks/generators.py", "flows/scheduling/drift.py",
           "flows/scheduling/drifted.py", "jko/statistics/shift.py", "tasks/compare/gate.py")  # fmt: skip


class Champion:
    """A chain of a law in a project of its own, trained when it is first asked for.

    Args:
        law: a name in :data:`benchmarks.generators.GENERATORS`.
        seed: of rows and chain.
        root: an empty folder, or one in which it was trained before.
        settings: ``key=value`` texts that change the defaults; none for the bars.
    """

    def __init__(self, law: str, seed: int, root: Path, settings: Sequence[str] = ()) -> None:
        self.law, self.seed, self.root, self.settings = law, seed, root, tuple(settings)
        self.rows = drawn(law, ROWS, seed, "rows")

    @property
    def layout(self) -> Layout:
        """The chain, complete and evaluated."""
        if not (self.root / "champion" / "chain.json").exists():
            self.root.mkdir(parents=True, exist_ok=True)
            (self.root / "dvc.yaml").write_text("stages: {}\n")
            self.train("champion", self.settings)
        return Layout.of(self.root / "champion", self.root)

    def train(self, chain: str, settings: Sequence[str]) -> None:
        """Train a chain on the rows, as a user does."""
        self.write(self.rows)
        words = [word for text in settings for word in ("--set", text)]
        said(self.root, "train", "--data", "rows.csv", "--chain", chain, "--seed", str(self.seed), *words)

    def write(self, rows: Array) -> None:
        """Rows in the file that the chain is trained on, in place of those that are there."""
        columns = list(GENERATORS[self.law].columns)
        pd.DataFrame(rows, columns=columns).to_csv(self.root / "rows.csv", index=False)

    def alarms(self, repetition: int, column: int | None = None) -> dict[str, Any]:
        """What a schedule says of new rows of the law.

        Args:
            repetition: whose rows are drawn.
            column: one that is shifted by :data:`SHIFT` of its standard deviation, to its grid if it has one.
        """
        layout = self.layout
        new = drawn(self.law, NEW, self.seed, f"new {repetition}")
        if column is not None:
            new[:, column] += shift_of(self.rows[:, column])
        self.write(new)
        request = build_request(self.root, file=str(self.root / "rows.csv"), assignments=(), seed=self.seed)
        found = drift(layout, request.config)
        named = None if column is None else f"'{GENERATORS[self.law].columns[column]}'" in found.says
        return {"alarm": found.alarm, "p": found.figures["drift/p"], "named": named}

    def gate(self, attempt: int) -> dict[str, Any]:
        """What the gate says of a chain on the same rows that is hardly trained.

        Args:
            attempt: each has batches of another size, which changes all that is drawn.
        """
        from flows.views.compare import compare_runs

        facts, chain = open_chain(self.layout)[2], f"hardly{attempt}"
        copies = facts.rows["train"] // facts.rows["source"]
        same = (f"data.standardise={facts.start_kind or 'on'}", f"data.augment.copies={copies}")
        own = f"training.batch_size={512 - attempt}"
        self.train(chain, (*self.settings, *HARDLY, *CHEAP, *same, own))
        names = [str(self.root / "champion"), str(self.root / chain)]
        done = compare_runs(self.root, names, [GATE], None, track=False)
        return {"passed": not done.tripped, "says": done.outcomes[0].says}


def shift_of(values: Array) -> float:
    """By how much a column is moved, data units: a gridded one by whole steps, at least one."""
    moved, step = SHIFT * float(values.std()), grid_step(values)
    return max(1, round(moved / step)) * step if step else moved


def parts_of(law: str) -> dict[str, int]:
    """What is repeated, and how often: no shift, one of each column, the gate."""
    columns = GENERATORS[law].columns
    return {"same": REPETITIONS, **{f"shift-{name}": REPETITIONS for name in columns}, "gate": TRIES}


def fingerprint(champion: Champion, part: str) -> str:
    """Identity of what the figures depend on."""
    sources = {name: file_digest(ROOM.parent / name) for name in SOURCES}
    numbers = [ROWS, NEW, SHIFT, REPETITIONS, TRIES, NUMERICS]
    about: list[Any] = [champion.law, champion.seed, list(champion.settings), part, list(HARDLY)]
    return digest_of([about, numbers, sources, read_preset("tabular")])


def run_part(champion: Champion, part: str, count: int, results: Path) -> Mapping[str, Any]:
    """Repetitions of one part, kept after each; what was done before is not done again."""
    path = results / f"alarms-{champion.law}-{champion.seed}-{part}.json"
    mark, known = fingerprint(champion, part), read_json(path)
    found = list(known["found"]) if known and known["fingerprint"] == mark else []
    columns = GENERATORS[champion.law].columns
    while len(found) < count:
        if part == "gate":
            one = champion.gate(len(found))
        else:
            column = None if part == "same" else columns.index(part.removeprefix("shift-"))
            one = champion.alarms(len(found), column)
        found.append(one)
        write_json(path, {"fingerprint": mark, "part": part, "law": champion.law, "found": found})
    return {"part": part, "found": found[:count]}


def line_of(record: Mapping[str, Any]) -> str:
    """One line for a part, with whether its bar holds."""
    part, found = record["part"], record["found"]
    if part == "gate":
        passed = sum(one["passed"] for one in found)
        return f"gate {GATE!r}: {passed} of {len(found)} hardly trained chains pass: {_word(not passed)}"
    alarms = sum(one["alarm"] for one in found)
    share = alarms / len(found)
    error = float(np.sqrt(share * (1 - share) / len(found)))
    told = f"{part}: {alarms} alarms of {len(found)} ({share:.2f} ± {error:.2f}, level {LEVEL:g}"
    if part == "same":
        return f"{told}): {_word(100 * alarms <= FALSE * len(found))}"
    named = sum(one["named"] for one in found)
    return f"{told}; the column is named in {named}): {_word(100 * alarms >= FOUND * len(found))}"


def _word(holds: bool) -> str:
    return "holds" if holds else "fails"


@click.command()
@click.option(
    "--generator", type=click.Choice(REPORTED), default="orders", show_default=True, help="The law."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of rows and chain.")
@click.option("--part", "only", multiple=True, help="same, shift-COLUMN or gate; all by default.")
@click.option(
    "--folder", type=click.Path(path_type=Path), help="Where the chains are kept; nowhere by default."
)
@click.option("--results", type=click.Path(path_type=Path), default=RESULTS, help="Folder of the JSON files.")
@sentences
def main(generator: str, seed: int, only: tuple[str, ...], folder: Path | None, results: Path) -> None:
    """Repeat what a schedule and a gate decide where the truth is known; what is done stays done."""
    with tempfile.TemporaryDirectory() as place:
        champion = Champion(generator, seed, folder or Path(place))
        for part, count in parts_of(generator).items():
            if not only or part in only:
                click.echo(line_of(run_part(champion, part, count, results)))


if __name__ == "__main__":
    main()
