"""The tables and pictures of this folder's README, from the cells' files."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import click

from benchmarks import mixed_table
from benchmarks.cell import RESULTS, Cell, result_of
from benchmarks.chosen import RECORD
from benchmarks.command import DATA, sentences
from benchmarks.drawing import write_pictures
from benchmarks.figures import Row, published, rows, stored
from benchmarks.page import EMPTY, README, between_marks, markdown
from benchmarks.plan import PART, Lookup, budget, ours_setting, plan
from benchmarks.sets import SECONDS, SETS, names
from jko.core.errors import InputError
from jko.disk.durable import write_text

#: last columns of a table
COSTS = ("median core-s", "peak MiB")
#: outdated cells that are named
NAMED = 5
#: rows of one method on all sets of a kind
Board = Mapping[tuple[str, str], Mapping[str, Row]]


def rose_table(lookup: Lookup) -> str:
    """The rose: published figures, earlier measurements, and the cells, the smallest gap first."""
    known = published()["rose"]
    lines = [
        (one["gap"], f"{one['gap']:.3f}", one["name"], "–", "–") for one in known["published"]
    ]  # of a paper neither the time nor the memory is known
    for one in known["measured"]:
        seconds, gap = one["curve"][-1]
        lines.append((gap, f"{gap:.3f}", one["name"], f"{seconds}", "–"))
    for row in rows("rose", lookup).values():
        value = math.inf if row.value is None else row.value
        lines.append((value, row.text, _name(row), f"{row.core_s:.0f}", f"{row.peak_mb:.0f}"))
    ranked = sorted(lines, key=lambda line: line[0])
    body = [(name, gap, seconds, memory) for _, gap, name, seconds, memory in ranked]
    return markdown(("method", "gap, nats", "core-s", "peak MiB"), body)


def board(kind: str, lookup: Lookup, record: Path = RECORD) -> Board:
    """Rows of all sets of a kind by method."""
    found: dict[tuple[str, str], dict[str, Row]] = {}
    for name in names(kind):
        for key, row in rows(name, lookup, record).items():
            found.setdefault(key, {})[name] = row
    return found


def plane_table(made: Board, seconds: float, lookup: Lookup) -> str:
    """Gaps on the laws of the plane after some CPU seconds, with the median ratio to ours."""
    shown = [name for name in names("plane") if any(name in of for of in made.values())]
    if not shown:
        return EMPTY
    ended = {
        key: {name: _ended(row, seconds, lookup) for name, row in of.items()} for key, of in made.items()
    }
    ours = ended.get(("ours", "default"), {})
    body = []
    for of in ended.values():
        texts = [of[name].at(seconds)[1] if name in of else "–" for name in shown]
        body.append((_label(of), *texts, _ratio(of, ours, seconds), *_costs(of)))
    return markdown(("method", *shown, "median ratio to ours", *COSTS), body)


def _ended(row: Row, seconds: float, lookup: Lookup) -> Row:
    """The row with the cell of just this budget in place of a longer one's curve, where it was run.

    A chain that is cut in the middle says nothing of a shorter one: it was planned for the whole budget.
    """
    own = Cell(**row.records[0]["cell"])
    if own.seconds == int(seconds):
        return row
    record = lookup(replace(own, seconds=int(seconds)))
    return replace(row, records=(record,)) if record else row


def steps_table(lookup: Lookup, record: Path = RECORD) -> str:
    """Exact ε² of every step of our chain on the rose, before and after the JKO objective polished it."""
    setting = ours_setting(SETS["rose"], record) or "default"
    found = lookup(Cell("rose", "ours", setting, 0, budget("rose")))
    steps = (found or {}).get("notes", {}).get("steps", [])
    if not steps:
        return EMPTY
    body = [
        (str(k), f"{step['step_size']:g}", _squared(step["before_polish"]), _squared(step["epsilon_squared"]))
        for k, step in enumerate(steps, start=1)
    ]
    return markdown(("block", "γ", "ε² before the polish", "ε² after it"), body)


def _squared(figure: Mapping[str, float] | None) -> str:
    return "–" if figure is None else f"{figure['value']:.3g} ± {figure['se']:.2g}"


def _ratio(of: Mapping[str, Row], ours: Mapping[str, Row], seconds: float) -> str:
    """Median over the sets of a method's gap over ours."""
    pairs = [(of[name].at(seconds)[0], ours[name].at(seconds)[0]) for name in of if name in ours]
    ratios = [one / other for one, other in pairs if one is not None and other]
    return f"{statistics.median(ratios):.2f}" if ratios else "–"


def nll_table(made: Board, sets: Sequence[str]) -> str:
    """NLL on some of the tables: of fresh rows where a generator makes them, and else of test rows."""
    shown = [name for name in sets if any(name in of for of in made.values())]
    if not shown:
        return EMPTY
    body = []
    for of in made.values():
        own = {name: of[name] for name in shown if name in of}
        if own:
            texts = [own[name].text if name in own else "–" for name in shown]
            body.append((_label(own), *texts, *_costs(own)))
    return markdown(("method", *shown, *COSTS), body)


def _label(of: Mapping[str, Row]) -> str:
    return _name(next(iter(of.values())))


def _costs(of: Mapping[str, Row]) -> tuple[str, str]:
    """Median CPU seconds and memory over the sets, for the columns :data:`COSTS`."""
    seconds = statistics.median(row.core_s for row in of.values())
    return f"{seconds:.0f}", f"{statistics.median(row.peak_mb for row in of.values()):.0f}"


def _name(row: Row) -> str:
    return f"**{row.label}**" if row.ours else row.label


def contents(lookup: Lookup, results: Path = RESULTS) -> dict[str, str]:
    """The tables by the name of their marks."""
    plane, table = board("plane", lookup), board("table", lookup)
    long, short = (
        [n for n in names("table") if (SETS[n].seconds == SECONDS) is first] for first in (True, False)
    )
    return {
        "rose": rose_table(lookup),
        "rose-steps": steps_table(lookup),
        "plane-short": plane_table(plane, SECONDS / PART, lookup),
        "plane": plane_table(plane, SECONDS, lookup),
        "tables": nll_table(table, long),
        "more-tables": nll_table(table, short),
        "mixed": mixed_table.table(mixed_table.known(results)),
    }


def outdated(data: Path | None, results: Path) -> list[str]:
    """Names of the cells whose figures are of other code, settings, rows or libraries than the present."""
    lookup, found = stored(results), []
    for name in SETS:
        for cell in plan(name).cells if SETS[name].reported else ():
            try:
                if lookup(cell) and result_of(cell, data, results) is None:
                    found.append(cell.name)
            except InputError:
                continue  # its file is not here, so nothing is known of it
    return found


@click.command()
@click.option("--results", type=click.Path(path_type=Path), default=RESULTS, help="Folder of the JSON files.")
@click.option("--readme", type=click.Path(path_type=Path), default=README, help="The page to write into.")
@DATA
@sentences
def main(results: Path, readme: Path, data: Path | None) -> None:
    """Write the tables into the README and the pictures beside it."""
    lookup = stored(results)
    text = readme.read_text()
    for name, content in contents(lookup, results).items():
        text = between_marks(text, name, content)
    write_text(readme, text)
    write_pictures(lookup, readme.parent / "pictures")
    old = outdated(data, results)
    if old:
        names = ", ".join(old[:NAMED]) + (" and others" if len(old) > NAMED else "")
        click.echo(f"{len(old)} figures are not of the present code, settings or libraries: {names}")


if __name__ == "__main__":
    main()
