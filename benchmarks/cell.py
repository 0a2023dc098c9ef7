"""One cell of the benchmark: a set, a method, a setting, a seed and a budget, as one command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import click

from benchmarks.chosen import RECORD, check
from benchmarks.command import DATA, sentences
from benchmarks.evaluate import Figure
from benchmarks.methods import METHODS, method_of
from benchmarks.presets import identity
from benchmarks.run import Outcome, run_method
from benchmarks.sets import SETS
from benchmarks.settings import setting_of
from jko.config import NUMERICS
from jko.core.digest import digest_of
from jko.disk.sealed import read_json, write_json

ROOM = Path(__file__).parent
#: parts of the rows that are held out
PARTS = ("validation", "test")
RESULTS = ROOM / "results"
#: seconds of the clock to CPU seconds, and seconds beside, beyond which a cell was disturbed by other work
BUSY, SLACK = 1.5, 10.0
#: raised when sets are prepared, budgets are kept or models are judged in another way
RULES = 1


@dataclass(frozen=True)
class Cell:
    """What is run, and for how long.

    Args:
        set: a name in :data:`benchmarks.sets.SETS`, or a file.
        method: a name in :data:`benchmarks.methods.METHODS`.
        setting: a name of the method's settings.
        seed: of the rows and of the method.
        seconds: CPU seconds of one thread.
    """

    set: str
    method: str
    setting: str = "default"
    seed: int = 0
    seconds: int = 60

    @property
    def name(self) -> str:
        """Its file's name without the ending."""
        return f"{self.set}-{self.method}-{self.setting}-{self.seed}-{self.seconds}"

    def path(self, results: Path = RESULTS) -> Path:
        """Where its figures are kept."""
        return results / f"{self.name}.json"


def fingerprint(cell: Cell, data: Path | None) -> str:
    """Identity of all that the figures depend on: rules, settings, rows and libraries.

    Of code it takes the numbers that are raised when what it computes changes (:data:`RULES`, a method's
    ``edition``, the library's ``NUMERICS``), and not its source: a comment or a move makes no cell run again.

    Raises:
        InputError: unknown method or setting, or the set's file is missing.
    """
    from benchmarks.problems import data_digest

    method, group = method_of(cell.method), group_of_set(cell.set)
    # the preset decides how the rows of tables are prepared for all
    prepared = {name: own["data"] for name, own in identity(group).items()} if "table" in group else None
    own = method.ours or cell.method == "end_to_end"
    return digest_of(
        {
            "cell": asdict(cell),
            "setting": setting_of(cell.method, cell.setting),
            "rules": RULES,
            "edition": method.edition,
            "data": data_digest(cell.set, data),
            "prepared": [method.start, prepared],
            "versions": method.versions,
            "numerics": NUMERICS if own else None,
            "preset": identity(group) if method.ours else None,
        }
    )


def group_of_set(name: str) -> str:
    """The group of a set, or of a file by its ending."""
    from tasks.datasets.pictures import is_picture

    if name in SETS:
        return SETS[name].group
    return "picture" if is_picture(name) else "table"


def result_of(cell: Cell, data: Path | None, results: Path = RESULTS) -> Mapping[str, Any] | None:
    """The cell's figures; ``None`` if it was never run, or by other code, settings, rows or libraries.

    Nor do figures count for which the machine did much else: equal CPU seconds are then no equal work.
    """
    known = read_json(cell.path(results))
    if not known or known["fingerprint"] != fingerprint(cell, data):
        return None
    return None if disturbed(known) else known


def disturbed(known: Mapping[str, Any]) -> bool:
    """Whether a cell waited so long for a processor that other programs had its caches meanwhile.

    On two processors that did other work for six of seven seconds, one chain ended at 14.8 nats after 120 CPU
    seconds, and at 13.4 undisturbed.

    Args:
        known: its figures.
    """
    return bool(known["wall_s"] > BUSY * (known["core_s"] + known["evaluation_s"]) + SLACK)


def run_cell(
    cell: Cell, data: Path | None, results: Path = RESULTS, *, record: Path = RECORD
) -> Mapping[str, Any]:
    """The cell's figures, computed and written if they are not there yet.

    The file appears in one piece when the cell ends; a cell that is stopped leaves none.

    Args:
        cell: what to run.
        data: folder of the files.
        results: where figures are kept.
        record: of the tuning, without which no test row of a reported set is looked at.

    Raises:
        InputError: unknown set, method or setting; a file or a package is missing; the settings are not those
            that were recorded before.
    """
    reported = cell.set in SETS and SETS[cell.set].reported
    setting_of(cell.method, cell.setting)
    entry = check(SETS[cell.set].group, cell.method, cell.setting, record) if reported else None
    mark, known = fingerprint(cell, data), result_of(cell, data, results)
    if known is not None:
        return known
    found = {
        "cell": asdict(cell),
        "fingerprint": mark,
        "versions": METHODS[cell.method].versions,
        "tuning": None if entry is None else digest_of(entry),
        **_outcome(cell, data, results, opened=True).record(),
    }
    write_json(cell.path(results), found)
    return found


def _outcome(cell: Cell, data: Path | None, choices: Path | None, *, opened: bool) -> Outcome:
    """Run a method; where the test rows stay closed, validation rows stand in their place."""
    import torch

    from benchmarks.problems import load_problem

    torch.set_num_threads(1)
    problem = load_problem(cell.set, cell.seed, data, start=METHODS[cell.method].start, choices=choices)
    if cell.set in SETS and not SETS[cell.set].reported:
        problem = replace(problem, choice_s=0.0)  # the trials of all settings have it in common
    if not opened:
        log_dets = None if problem.log_dets is None else dict.fromkeys(PARTS, problem.log_dets["validation"])
        problem = replace(problem, test=problem.validation, log_density=None, log_dets=log_dets, fresh=None)
    return run_method(problem, cell.method, cell.setting, cell.seed, cell.seconds)


def tried(cell: Cell, data: Path | None) -> Figure:
    """The NLL on the validation rows: nothing is recorded, and no test row is looked at.

    Raises:
        InputError: as of :func:`run_cell`, but for what was recorded.
    """
    return _outcome(cell, data, None, opened=False).validation_nll


@click.command()
@click.argument("set")
@click.argument("method")
@click.option("--setting", default="default", show_default=True, help="A setting of the method.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--seconds", type=click.IntRange(min=1), default=60, show_default=True, help="CPU seconds.")
@click.option("--results", type=click.Path(path_type=Path), default=RESULTS, help="Folder of the JSON files.")
@click.option("--try", "only_try", is_flag=True, help="Validation rows only; nothing is kept.")
@DATA
@sentences
def main(results: Path, data: Path | None, *, only_try: bool, **cell: Any) -> None:
    """Run METHOD on SET for some CPU seconds, unless its figures are there, and print them."""
    if only_try:
        found = tried(Cell(**cell), data)
        click.echo(f"{cell['set']} {cell['method']}: validation NLL {found.value:.4f} ± {found.se:.4f} nats")
        return
    record = run_cell(Cell(**cell), data, results)
    measure = record["measure"]
    value = record[measure]
    shown = "not finite" if value["value"] is None else f"{value['value']:.4f} ± {value['se']:.4f}"
    click.echo(
        f"{cell['set']} {cell['method']} {cell['setting']} seed {cell['seed']}: {measure} {shown} nats, "
        f"{record['core_s']:.0f} core-s, {record['peak_mb']:.0f} MiB"
    )


if __name__ == "__main__":
    main()
