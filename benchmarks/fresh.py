"""Rows never seen: a chain by the project's defaults beside Gaussian mixtures, on laws drawn afresh."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from benchmarks.cell import RESULTS
from benchmarks.command import sentences
from benchmarks.fresh_case import REPORTED, Case, chain_part, fingerprints, mixture_part
from jko.disk.sealed import read_json, write_json

#: the bars: nats by which ours' worst row may exceed the mixture's, and standard errors of test against fresh
WORSE, ERRORS = 15.0, 3.0
#: the parts of a case, each kept when it is done
PARTS: Mapping[str, Callable[[Case], dict[str, Any]]] = {"chain": chain_part, "mixture": mixture_part}
#: what stands in a case's file of each
FIGURES_OF = {"chain": ("ours", "test"), "mixture": ("mixture",)}


def verdict(found: Mapping[str, Any]) -> dict[str, Any]:
    """What follows from the figures of all parts."""
    fresh, test, apart = found["ours"], found["test"], None
    if fresh["nll"] is not None and fresh["nll_se"] is not None:
        apart = abs(test["nll"] - fresh["nll"]) / math.hypot(test["nll_se"], fresh["nll_se"])
    both = {**found, "standard_errors_apart": apart}
    return {"standard_errors_apart": apart, "bars": bars(both)}


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
    """The figures of a case; each part is computed and kept in its file unless it is there."""
    path, marks = results / f"{case.name}.json", fingerprints(case)
    known = read_json(path) or {}
    kept = known.get("fingerprints", {})
    valid = {part for part in PARTS if kept.get(part) == marks[part]}
    if valid == set(PARTS):
        return known
    found = {name: known[name] for part in valid for name in FIGURES_OF[part]}
    for part, run in PARTS.items():
        if part not in valid:
            found |= run(case)
            valid.add(part)
            done = {name: marks[name] for name in PARTS if name in valid}
            case_of = {**asdict(case), "settings": list(case.settings)}
            record = {"case": case_of, "fingerprints": done, **found}
            if valid == set(PARTS):
                record |= verdict(found)
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
