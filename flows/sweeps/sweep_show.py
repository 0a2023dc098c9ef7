"""The end of a sweep: its tables, its picture, and what is printed of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from flows.sweeps.sweep_plan import survey
from jko.core.display import bound_text, figure, finite, with_error
from tasks.adapters.system.terminal import say
from tasks.sweep.cells import Sweep
from tasks.sweep.results import Results, results, several_seeds, write_tables

if TYPE_CHECKING:
    from rich.table import Table

    from tasks.adapters.system.screen import Screen

#: of tables that are written to a file
WIDTH = 200


def show_sweep(sweep: Sweep, root: Path, failures: Mapping[str, str], *, as_json: bool) -> None:
    """Write the tables and the picture, and print them.

    Args:
        sweep: the sweep.
        root: the project's folder.
        failures: sentences of the cells that have no result.
        as_json: print JSON.
    """
    from tasks.sweep.picture import write_picture

    found = results(sweep, states(sweep, root, failures))
    paths = [*write_tables(sweep, found), write_picture(sweep, found)]
    if as_json:
        files = [str(path) for path in paths]
        say(json.dumps({"name": sweep.name, "by": sweep.by, **asdict(found), "files": files}, indent=1))
        return
    print_cells(sweep, found)
    if several_seeds(sweep) and found.settings:
        print_settings(sweep, found)
    say("\n".join(str(path) for path in paths))


def states(sweep: Sweep, root: Path, failures: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Of every cell, how it stands and why."""
    found = {}
    for own in survey(sweep, root):
        why = failures.get(own.cell.name, own.failure)
        state = "failed" if why else "complete" if own.chain.finished else "unfinished"
        found[own.cell.name] = (state, why)
    return found


def print_cells(sweep: Sweep, found: Results) -> None:
    """The table of cells, and the sentences of those that failed."""
    gap = any(row["test/gap_to_entropy"] is not None for row in found.cells)
    state = any(row["state"] != "complete" for row in found.cells)
    named = ["test NLL", *["gap"] * gap, "Δ to best", "ε", "KL ≤", "blocks", "CPU s", *["state"] * state]
    title = f"sweep {sweep.name}, by {sweep.by}; blocks: trained + taken; * two SE apart, ? unreliable"
    table = plain_table(title, ["cell", *short_names(sweep.keys), "seed", *named])
    for row in found.cells:
        table.add_row(
            row["cell"], *(word(row[key]) for key in sweep.keys), str(row["seed"]),
            with_error(row["test/nll"], row["test/nll_se"]),
            *[figure(row["test/gap_to_entropy"])] * gap,
            difference(row, found), figure(row["epsilon"]), bound_text(row["kl_bound"], row["kl_estimate"]),
            f"{row['trained']}+{row['taken']}", f"{row['cpu_s']:.0f}", *[row["state"]] * state,
        )  # fmt: skip
    console().print(table)
    whys: dict[str, list[str]] = {}
    for row in found.cells:
        whys.setdefault(row["why"], []).append(row["cell"])
    for why in [why for why in whys if why]:
        say(f"{', '.join(whys[why])}: {why}")
    for row in found.cells:
        if row["warning"]:
            say(f"{row['cell']}: {row['warning']}")


def print_settings(sweep: Sweep, found: Results) -> None:
    """The table of combinations over their seeds."""
    names = [*short_names(sweep.keys), "seeds", f"{sweep.by} (± SD)", "Δ to best (± SD)"]
    table = plain_table("over seeds", names)
    for own in found.settings:
        table.add_row(
            *(word(own[key]) for key in sweep.keys), str(own["seeds"]),
            with_error(own[f"{sweep.by}_mean"], own[f"{sweep.by}_sd"]),
            with_error(own.get("difference_mean"), own.get("difference_sd")),
        )  # fmt: skip
    console().print(table)


def console() -> Screen:
    """Where tables go; wide where nobody's terminal sets the width."""
    from tasks.adapters.system.screen import screen

    return screen(width=WIDTH)


def plain_table(title: str, names: list[str]) -> Table:
    """A table for people, narrow enough for a terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in names:
        table.add_column(name, justify="left" if name in ("cell", "state") else "right")
    return table


def short_names(keys: tuple[str, ...]) -> list[str]:
    """Settings by their last word where that says which."""
    last = [key.rpartition(".")[2] for key in keys]
    return [name if last.count(name) == 1 else key for name, key in zip(last, keys, strict=True)]


def word(value: JsonValue) -> str:
    """A setting in a table."""
    return "–" if value is None else str(value).replace(" ", "")


def difference(row: Mapping[str, Any], found: Results) -> str:
    """The paired difference to the best cell; a star where two standard errors tell them apart.

    A question mark stands where one row, or a few, are most of the error.
    """
    if not finite(row["difference"]):
        return "best" if found.settings and row["cell"] in found.settings[0]["cells"] else "–"
    star = {"not distinguishable": " ", "unreliable": "?"}.get(row["verdict"], "*")
    return with_error(row["difference"], row["difference_se"], "+.3f", ".3f") + star
