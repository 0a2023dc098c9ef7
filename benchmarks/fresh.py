"""Rows never seen: a chain by the project's defaults beside Gaussian mixtures, on laws drawn afresh."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd

from benchmarks.cell import RESULTS, ROOM
from benchmarks.command import sentences
from benchmarks.generators import GENERATORS, drawn
from benchmarks.sets import SETS
from benchmarks.watched import said
from flows.settings import build_request
from jko.config import NUMERICS, Config
from jko.config.data_section import AUTO_COPIES
from jko.core.digest import digest_of
from jko.disk.commit import file_digest
from jko.disk.sealed import read_json, write_json
from jko.laws.densities import Array
from jko.presets import read_preset
from tasks.adapters.store.evaluated import FIGURES

#: what is reported
REPORTED = tuple(name for name in GENERATORS if SETS[name].reported)
#: components of the mixtures, and how they are fitted; copies of rows join them up to so many rows
MIXTURE: Mapping[str, Any] = {
    "components": (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 35, 40),
    "ridges": {"table": (1e-6, 1e-3, 1e-2, 1e-1)},
    "rows": 10_000,
    "iterations": 100,
}
#: CPU seconds for all mixtures of a seed
MIXTURE_SECONDS = 300.0
#: the bars: nats by which ours' worst row may exceed the mixture's, and standard errors of test against fresh
WORSE, ERRORS = 15.0, 3.0
#: whose source the figures depend on
SOURCES = (
    "fresh.py", "generators.py", "evaluate.py", "problem.py", "problems.py", "preparation.py",
    "methods/mixture.py",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One law and one seed.

    Args:
        generator: name of the law.
        seed: of the rows, the chain and the mixture.
        rows: to train, validate and test.
        fresh: rows drawn anew.
        settings: ``key=value`` texts that change the defaults; none for the bars.
    """

    generator: str
    seed: int
    rows: int = 2100
    fresh: int = 5000
    settings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its file's name without the ending."""
        mark = f"-{digest_of(list(self.settings))[:8]}" if self.settings else ""
        return f"fresh-{self.generator}-{self.seed}-{self.rows}-{self.fresh}{mark}"

    @property
    def table(self) -> Array:
        """Rows to train, validate and test."""
        return drawn(self.generator, self.rows, self.seed, "rows")

    @property
    def new(self) -> Array:
        """Rows that nothing was fitted to, independent of the others."""
        return drawn(self.generator, self.fresh, self.seed, "fresh")


def fingerprint(case: Case) -> str:
    """Identity of what the figures depend on: code, numerics and the presets of tables."""
    sources = {name: file_digest(ROOM / name) for name in SOURCES}
    presets = [read_preset(name) for name in ("tabular", "digits")]
    return digest_of({**asdict(case), "sources": sources, "presets": presets, "numerics": NUMERICS})


def figures_of(case: Case) -> dict[str, Any]:
    """Train a chain and the mixtures, and score fresh rows with both, as the project scores a file."""
    with tempfile.TemporaryDirectory() as folder:
        ours, test, config = trained(case, Path(folder))
    other = mixture(case, config)
    fresh, apart = summary(ours), None
    if fresh["nll"] is not None and fresh["nll_se"] is not None:
        apart = abs(test["nll"] - fresh["nll"]) / math.hypot(test["nll_se"], fresh["nll_se"])
    return {"ours": fresh, "test": test, "mixture": summary(other), "standard_errors_apart": apart}


def trained(case: Case, folder: Path) -> tuple[Array, dict[str, float], Config]:
    """What a user does: train on a file, then score another.

    Returns:
        NLL of every fresh row in nats, infinite where there is none; NLL on the test rows with its standard
        error; the settings.
    """
    (folder / "dvc.yaml").write_text("stages: {}\n")
    columns = list(GENERATORS[case.generator].columns)
    for name, rows in (("rows", case.table), ("fresh", case.new)):
        pd.DataFrame(rows, columns=columns).to_csv(folder / f"{name}.csv", index=False)
    settings = (*case.settings, "data.kinds=off")  # as the mixture beside it takes the columns
    chosen = [word for text in settings for word in ("--set", text)]
    said(folder, "train", "--data", "rows.csv", "--chain", "chain", "--seed", str(case.seed), *chosen)
    said(folder, "score", "chain", "fresh.csv", "-o", "scores.csv")
    scores = pd.read_csv(folder / "scores.csv")["log_density"].to_numpy(dtype=float)
    metrics = json.loads((folder / "chain.evaluation" / FIGURES).read_text())["test"]
    request = build_request(folder, file=str(folder / "rows.csv"), assignments=settings, seed=case.seed)
    test = {"nll": float(metrics["nll"]), "nll_se": float(metrics["nll_se"])}
    return np.where(np.isnan(scores), np.inf, -scores), test, request.config


def mixture(case: Case, config: Config) -> Array:
    """NLL of every fresh row under the mixture that is the best on validation rows, nats, data units.

    It is fitted to the rows that the chain has: the same split and noise, only standardised, and to them with
    the copies that the chain may have.
    """
    from benchmarks.budget import Budget
    from benchmarks.evaluate import Track, fresh_scores
    from benchmarks.methods.mixture import fit
    from benchmarks.preparation import Chosen
    from benchmarks.problems import table_problem
    from jko.preparation.table import Table

    table = Table(case.generator, case.table, GENERATORS[case.generator].columns)
    copies = config.data.augment.copies
    chosen = Chosen("on", AUTO_COPIES if copies == "auto" else copies)
    problem = table_problem(case.generator, table, case.seed, chosen=chosen)
    budget = Budget(MIXTURE_SECONDS)
    density = fit(problem, budget, MIXTURE, case.seed, Track(problem, Budget(0.0)))
    return -fresh_scores(problem, density, case.new, case.seed)


def summary(nll: Array) -> dict[str, float | None]:
    """Mean, its standard error, median and the worst of NLLs, nats; ``None`` where they are not finite."""
    found = {
        "nll": float(nll.mean()),
        "nll_se": float(np.std(nll, ddof=1)) / math.sqrt(len(nll)) if np.isfinite(nll).all() else math.inf,
        "median": float(np.median(nll)),
        "worst": float(nll.max()),
    }
    return {name: value if math.isfinite(value) else None for name, value in found.items()}


def bars(found: Mapping[str, Any]) -> dict[str, bool]:
    """Which bars the figures of a case hold."""
    ours, other, apart = found["ours"], found["mixture"], found["standard_errors_apart"]
    finite = ours["nll"] is not None
    return {
        "below_mixture": finite and ours["nll"] < other["nll"],
        "worst_row": finite and ours["worst"] <= other["worst"] + WORSE,
        "test_is_fresh": apart is not None and apart <= ERRORS,
    }


def run_case(case: Case, results: Path) -> Mapping[str, Any]:
    """The figures of a case, computed and written unless its file has them."""
    path, mark = results / f"{case.name}.json", fingerprint(case)
    known: Mapping[str, Any] | None = read_json(path)
    if known and known["fingerprint"] == mark:
        return known
    found = figures_of(case)
    record = {"case": asdict(case), "fingerprint": mark, **found, "bars": bars(found)}
    write_json(path, record)
    return record


def line_of(record: Mapping[str, Any]) -> str:
    """One line for a case."""
    ours, other, test = record["ours"], record["mixture"], record["test"]
    failed = [name for name, holds in record["bars"].items() if not holds]
    apart = record["standard_errors_apart"]
    distance = "–" if apart is None else f"{apart:.1f}"
    return (
        f"{record['case']['generator']} seed {record['case']['seed']}: fresh {_shown(ours)}, mixture "
        f"{_shown(other)}; test {_shown(test)}, {distance} SE from fresh; worst row "
        f"{_number(ours['worst'])} for {_number(other['worst'])}: "
        + ("holds" if not failed else "fails " + ", ".join(failed))
    )


def _shown(figure: Mapping[str, float | None]) -> str:
    return f"{_number(figure['nll'])} ± {_number(figure['nll_se'])}"


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.2f}"


def totals(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """How many seeds of each law hold each bar."""
    lines = []
    for name in dict.fromkeys(record["case"]["generator"] for record in records):
        own = [record["bars"] for record in records if record["case"]["generator"] == name]
        said = ", ".join(f"{bar} {sum(one[bar] for one in own)} of {len(own)}" for bar in own[0])
        lines.append(f"{name}: {said}")
    return lines


@click.command()
@click.option("--generator", type=click.Choice(REPORTED), multiple=True, help="Laws; orders by default.")
@click.option("--seeds", type=click.IntRange(min=1), default=10, show_default=True, help="How many.")
@click.option("--first", type=click.IntRange(min=0), default=0, show_default=True, help="The first seed.")
@click.option("--rows", type=click.IntRange(min=30), default=2100, show_default=True)
@click.option("--fresh", type=click.IntRange(min=2), default=5000, show_default=True)
@click.option("--set", "settings", multiple=True, help="Change the defaults, as for jko train.")
@click.option("--results", type=click.Path(path_type=Path), default=RESULTS, help="Folder of the JSON files.")
@sentences
def main(
    generator: tuple[str, ...],
    results: Path,
    *,
    seeds: int,
    first: int,
    rows: int,
    fresh: int,
    settings: tuple[str, ...],
) -> None:
    """Train on rows of a law, score fresh ones, and say whether the bars hold; what is done stays done."""
    records = []
    for name in generator or ("orders",):
        for seed in range(first, first + seeds):
            records.append(run_case(Case(name, seed, rows, fresh, settings), results))
            click.echo(line_of(records[-1]))
    for line in totals(records):
        click.echo(line)


if __name__ == "__main__":
    main()
