"""Samples of tables of many kinds of columns: ours beside a copula and trees, judged by ``jko.judge``.

Every model has the same training rows and draws as many samples. The held-out rows are the same for all, and
no model sees them. Tables become numbers in the same way for all (:class:`benchmarks.mixed_rows.Coding`).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import click
import torch

from benchmarks.cell import RESULTS
from benchmarks.command import sentences
from benchmarks.mixed_models import MODELS
from benchmarks.mixed_rows import SETS, Coding, divided, faults, file_of, read_set
from benchmarks.mixed_table import OF_COLUMNS, OF_PAIRS, OF_ROWS, Found, Wrong, known, path_of, table, told
from benchmarks.page import README, between_marks
from jko.certify.resolution import Projection
from jko.config import NUMERICS
from jko.core.digest import digest_of
from jko.disk.commit import file_digest
from jko.disk.durable import write_text
from jko.disk.sealed import read_json, write_json
from jko.judged import Judged
from jko.judging import judge
from jko.presets import read_preset

#: of the table of the page
MARKS = "mixed"
#: of every model
SAMPLES = 20_000
#: worst columns and pairs that are kept
KEPT = 10
#: raised when rows are drawn, coded or judged in another way
RULES = 1


def wrong(projections: Sequence[Projection], resolution: float) -> Wrong:
    """A summary of columns or pairs."""
    at = [one for of in projections for one in of.bracket if math.isclose(one.resolution, resolution)]
    worst = sorted(projections, key=lambda one: -one.least)[:KEPT]
    uppers = [math.inf if one.upper is None else one.upper for one in at]
    return Wrong(
        resolution=resolution,
        lower=fmean(max(0.0, one.lower or 0.0) for one in at),
        upper=fmean(uppers),
        least=fmean(one.least for one in projections),
        known=sum(one.least > 0 for one in projections),
        of=len(projections),
        worst=tuple((" and ".join(one.columns), one.least) for one in worst if one.least > 0),
    )


def summary(judged: Judged) -> dict[str, Any]:
    """The figures of the table from what the judge says."""
    (rows,) = [one for one in judged.bracket if math.isclose(one.resolution, OF_ROWS)]
    return {
        "columns": wrong(judged.singles, OF_COLUMNS), "pairs": wrong(judged.pairs, OF_PAIRS), "rows": rows,
        "auc": judged.classifier.auc, "auc_se": judged.classifier.auc_se,
    }  # fmt: skip


def run(name: str, method: str, seed: int, data: Path, samples: int, *, rows: int | None = None) -> Found:
    """Train a model on a set, or on some of its rows, draw samples and judge them.

    Raises:
        InputError: the set's file is not there.
    """
    torch.set_num_threads(1)
    train, held_out = divided(read_set(name, data), SETS[name].held_out, seed, rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that stand alone: the sets are known
        drawn = MODELS[method].draw(train, samples, seed)
    coding = Coding(train)
    judged = judge(
        coding.judged(held_out), {method: coding.judged(drawn.samples)}, resolutions=(OF_ROWS,), seed=seed
    )
    return Found(
        **summary(judged[method]), train_s=drawn.train_s, sample_s=drawn.sample_s, train=len(train),
        held_out=len(held_out), samples=len(drawn.samples), note=drawn.note,
        faults=faults(train, drawn.samples),
    )  # fmt: skip


def fingerprint(name: str, method: str, seed: int, data: Path, rows: int | None = None) -> str:
    """Identity of what the figures depend on.

    Raises:
        InputError: the set's file or the model's package is not there.
    """
    model, known_as = MODELS[method], SETS[name]
    more = [[*known_as.empty]] if known_as.empty else []
    fewer = [] if rows is None else [rows]
    return digest_of(
        {
            "asked": [seed, SAMPLES, RULES, model.edition, *fewer],
            "rows": [file_digest(file_of(name, data)), [*known_as.dropped], known_as.held_out, *more],
            "versions": model.versions,
            "ours": [NUMERICS, read_preset("tabular")] if model.ours else None,
        }
    )


def there(sets: Sequence[str], data: Path) -> Sequence[str]:
    """The sets that are asked for, or all whose file is there.

    Raises:
        InputError: no set's file is there.
    """
    found = sets or [name for name in SETS if (data / SETS[name].file).is_file()]
    return found or [name for name in SETS if file_of(name, data)]


@click.command()
@click.option(
    "--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True,
    help="Folder of the files that the page names; what is not there is left out.",
)  # fmt: skip
@click.option("--set", "sets", type=click.Choice(list(SETS)), multiple=True, help="These only.")
@click.option("--model", "models", type=click.Choice(list(MODELS)), multiple=True, help="These only.")
@click.option("--rows", type=click.IntRange(min=20), help="Train every model on so many rows.")
@click.option("--again", is_flag=True, help="Compute what was asked for, even if its figures are there.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--results", type=click.Path(path_type=Path), default=RESULTS, help="Folder of the JSON files.")
@click.option("--readme", type=click.Path(path_type=Path), default=README, help="The page to write into.")
@sentences
def main(
    data: Path, sets: Sequence[str], models: Sequence[str], results: Path, readme: Path, *, again: bool,
    seed: int, rows: int | None,
) -> None:  # fmt: skip
    """Train every model on every set and write the table; what is done stays done."""
    for name in there(sets, data):
        for method in models or MODELS:
            path = path_of(results, name, method, seed, rows)
            stored, mark = read_json(path), fingerprint(name, method, seed, data, rows)
            if again or not stored or stored["fingerprint"] != mark:
                found = run(name, method, seed, data, SAMPLES, rows=rows)
                write_json(
                    path, {"fingerprint": mark, "versions": MODELS[method].versions, "found": found.plain()}
                )
            for said in told(name, method, rows, Found.model_validate(read_json(path)["found"])):
                click.echo(said)
            write_text(readme, between_marks(readme.read_text(), MARKS, table(known(results))))


if __name__ == "__main__":
    main()
