"""One cell of the benchmark: a set, a method, a setting, a seed and a budget, as one command."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from benchmarks.command import DATA, sentences
from benchmarks.methods import METHODS, method_of
from benchmarks.run import run_method, setting_of
from jko.config import NUMERICS
from tasks.adapters.commit import file_digest
from tasks.adapters.sealed import digest_of, read_json, write_json

ROOM = Path(__file__).parent
RESULTS = ROOM / "results"
#: code that every figure depends on
COMMON = ("budget.py", "evaluate.py", "laws.py", "problems.py", "run.py")


@dataclass(frozen=True)
class Cell:
    """What is run, and for how long.

    Args:
        set: a name in :data:`benchmarks.problems.SETS`.
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
    """Identity of all that the figures depend on: code, settings, rows and libraries.

    Of the project's own numerics it takes the number that is raised when they change, and not their source:
    a comment in ``jko`` makes no cell run again.

    Raises:
        InputError: unknown method or setting, or the set's file is missing.
    """
    from benchmarks.problems import data_digest

    method = method_of(cell.method)
    sources = [ROOM / name for name in COMMON] + list(method.sources)
    own = method.ours or cell.method == "end_to_end"
    return digest_of(
        {
            "cell": asdict(cell),
            "setting": setting_of(cell.method, cell.setting),
            "sources": {path.name: file_digest(path) for path in sources},
            "data": data_digest(cell.set, data),
            "versions": method.versions,
            "numerics": NUMERICS if own else None,
            "identity": _identity(method.module, kind_of(cell.set)) if method.ours else None,
        }
    )


def _identity(module: str, kind: str) -> Any:
    """What a method says of itself beyond its source, such as the text of its presets for a kind of set."""
    try:
        loaded = importlib.import_module(f"benchmarks.methods.{module}")
    except ModuleNotFoundError:
        return None
    return loaded.identity(kind) if hasattr(loaded, "identity") else None


def kind_of(name: str) -> str:
    """The kind of a set, or of a file by its ending."""
    from benchmarks.problems import SETS
    from tasks.datasets.pictures import is_picture

    known = {one: kind for kind, names in SETS.items() for one in names}
    return known.get(name) or ("picture" if is_picture(name) else "table")


def result_of(cell: Cell, data: Path | None, results: Path = RESULTS) -> Mapping[str, Any] | None:
    """The cell's figures; ``None`` if it was never run, or by other code, settings, rows or libraries."""
    known = read_json(cell.path(results))
    return known if known and known["fingerprint"] == fingerprint(cell, data) else None


def run_cell(cell: Cell, data: Path | None, results: Path = RESULTS) -> Mapping[str, Any]:
    """The cell's figures, computed and written if they are not there yet.

    The file appears in one piece when the cell ends; a cell that is stopped leaves none.

    Raises:
        InputError: unknown set, method or setting; a file or a package is missing.
    """
    import torch

    from benchmarks.problems import load_problem

    known = result_of(cell, data, results)
    if known is not None:
        return known
    torch.set_num_threads(1)
    mark = fingerprint(cell, data)
    outcome = run_method(
        load_problem(cell.set, cell.seed, data), cell.method, cell.setting, cell.seed, cell.seconds
    )
    record = {
        "cell": asdict(cell),
        "fingerprint": mark,
        "versions": METHODS[cell.method].versions,
        **outcome.record(),
    }
    write_json(cell.path(results), record)
    return record


@click.command()
@click.argument("set")
@click.argument("method")
@click.option("--setting", default="default", show_default=True, help="A setting of the method.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--seconds", type=click.IntRange(min=1), default=60, show_default=True, help="CPU seconds.")
@click.option("--results", type=click.Path(path_type=Path), default=RESULTS, help="Folder of the JSON files.")
@DATA
@sentences
def main(results: Path, data: Path | None, **cell: Any) -> None:
    """Run METHOD on SET for some CPU seconds, unless its figures are there, and print them."""
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
