"""Step plans at equal iterations: equal, geometric, fitted, reparametrised and refined, with NLL and ε."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from benchmarks.cell import RESULTS, ROOM
from benchmarks.command import sentences
from benchmarks.page import EMPTY, keep, markdown
from benchmarks.watched import jko, seconds_of_children
from jko.disk.durable import write_bytes
from jko.disk.sealed import write_json
from jko.presets import merged, read_preset
from tasks.report.drawing import STYLE, png

FILE = "step_plans.json"
PAGE = ROOM.parent / "docs" / "step-planning.md"
PICTURE = ROOM / "pictures" / "step-plans.png"
#: growth of the geometric plan's step sizes from step to step, as in JKO-iFlow's configuration of the rose
GROWTH = 1.4
#: what is fitted, found once for each set: KL that may be left at the end, nats
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Case:
    """A set with one network and one training for all plans.

    Args:
        name: of the preset that the set is of; its overrides of single blocks are left out.
        steps: N; a multiple of two.
        flow_matching: iterations of flow matching, all blocks and parents of a plan together.
        iterations: of the JKO objective, likewise.
        settings: what differs from the preset.
    """

    name: str
    steps: int
    flow_matching: int
    iterations: int
    settings: Mapping[str, Any] = field(default_factory=dict)


CASES = (
    Case("moons", 6, 5400, 72, {"training": {"batch_size": 500}}),
    Case("digits", 4, 6000, 192, {"training": {"flow_matching_learning_rate": 0.003, "jitter": 0.3}}),
    Case(
        "rose", 6, 5400, 36,
        {"network": {"fourier_scale": [1.0, 3.0, 10.0]}, "training": {"batch_size": 1000}},
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """A way to choose steps.

    Args:
        label: of the row.
        command: of ``jko`` that makes the chain from its parent; empty for a plan without one.
        parent: share of N that the parent has; 0 without one.
    """

    label: str
    command: str = ""
    parent: Fraction = Fraction(0)

    def share(self, steps: int) -> Fraction:
        """Of all iterations, those of one block: of the plan's own N or of its parent."""
        return 1 / (steps * (1 + self.parent))


PLANS: Mapping[str, Plan] = {
    "equal": Plan("equal steps"),
    "geometric": Plan(f"geometric, × {GROWTH}"),
    "fitted": Plan("fitted to the rows"),
    "reparametrised": Plan("geometric, reparametrised", "reparametrise", Fraction(1)),
    "refined": Plan("geometric with half as many, refined", "refine", Fraction(1, 2)),
}
#: what the others are compared with, on the same test rows
BASE = "geometric"


def growing(time: float, steps: int, growth: float) -> list[float]:
    r"""Step sizes γ, γρ, …, γρ^{N−1} with the total time Σ log(1+γ_k).

    >>> [round(size, 6) for size in growing(2 * math.log(3), 2, 1.0)]
    [2.0, 2.0]
    """
    from scipy.optimize import brentq

    def excess(log_first: float) -> float:
        return sum(math.log1p(math.exp(log_first) * growth**k) for k in range(steps)) - time

    first = math.exp(brentq(excess, -40.0, math.log(math.expm1(time))))
    return [first * growth**k for k in range(steps)]


def settings(case: Case, seed: int, sizes: Sequence[float], share: Fraction) -> dict[str, Any]:
    """All settings of a chain in which every block has this share of the iterations."""
    values = {key: part for key, part in read_preset(case.name).items() if key != "blocks"}
    matching, iterations = round(case.flow_matching * share), round(case.iterations * share)
    own = {
        "seed": seed,
        "steps": {"sizes": list(sizes), "count": None},
        "training": {
            "flow_matching_iterations": matching,
            "iterations": iterations,
            "validate_every": max(1, matching // 2),
        },
    }
    return merged(merged(values, dict(case.settings)), own)


def train(folder: Path, name: str, values: Mapping[str, Any]) -> None:
    """Train a chain of these settings, or go on with it."""
    write_json(folder / "params.yaml", values)  # JSON is YAML
    jko(folder, "train", "--chain", name)


def run(case: Case, seed: int, name: str, folder: Path, fitted: Mapping[str, Any]) -> dict[str, Any]:
    """Train the chain of one plan and look at it.

    Args:
        case: the set.
        seed: of everything.
        name: of the plan.
        folder: project of all chains of this set and seed.
        fitted: what ``jko steps`` says of the set.
    """
    plan, time = PLANS[name], fitted["time"]
    before, share = seconds_of_children(), plan.share(case.steps)
    if plan.command:
        steps = int(case.steps * plan.parent)
        parent = f"{name}-parent"
        train(folder, parent, settings(case, seed, growing(time, steps, GROWTH), share))
        jko(folder, plan.command, parent, "--chain", name)
    else:
        sizes = {
            "fitted": [step["step_size"] for step in fitted["steps"]],
            "geometric": growing(time, case.steps, GROWTH),
            "equal": growing(time, case.steps, 1.0),
        }[name]
        train(folder, name, settings(case, seed, sizes, share))
    core_s = seconds_of_children() - before
    return {"core_s": core_s, **looked_at(jko(folder, "status", name))}


def looked_at(status: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of a chain that the table and the picture show."""
    blocks = [block["metrics"] for block in status["blocks"]]
    names = ("epsilon_squared", "epsilon_exact_squared", "nll", "nll_se", "movement")
    return {
        "step_sizes": [block["step_size"] for block in status["blocks"]],
        "test": {key: value for key, value in status["metrics"].items() if key.startswith("test/")},
        **{name: [block[name] for block in blocks] for name in names},
    }


def paired(folder: Path, name: str) -> dict[str, float]:
    """NLL of a plan's chain less that of the geometric one, on the same test rows."""
    (found,) = jko(folder, "compare", BASE, name)["paired"]
    return {"difference": found["difference"], "se": found["se"]}


def root_mean_square(squares: Sequence[float | None]) -> float | None:
    """√ of the mean ε² over the blocks, below zero taken as zero; ``None`` where one is unknown.

    >>> root_mean_square([9.0, -1.0])
    2.0
    """
    known = [square for square in squares if square is not None]
    return math.sqrt(max(sum(known) / len(known), 0.0)) if known and len(known) == len(squares) else None


def table(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """One row for each set, plan and seed."""
    heading = (
        "set", "seed", "plan", "first … last γ", "test NLL, nats", "less geometric", "ε, critic", "ε, exact",
        "core-s",
    )  # fmt: skip
    body = []
    for key, row in figures.items():
        case, seed, name = key.split("/")
        sizes, test = row["step_sizes"], row["test"]
        gap = row.get("less_geometric")
        body.append(
            (
                case, seed, PLANS[name].label, f"{sizes[0]:.2g} … {sizes[-1]:.2g}",
                f"{test['test/nll']:.3f} ± {test['test/nll_se']:.3f}",
                "–" if gap is None else f"{gap['difference']:+.3f} ± {gap['se']:.3f}",
                *(_form(root_mean_square(row[key])) for key in ("epsilon_squared", "epsilon_exact_squared")),
                f"{row['core_s']:.0f}",
            )
        )  # fmt: skip
    return markdown(heading, body)


def _form(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def picture(figures: Mapping[str, Mapping[str, Any]]) -> Figure:
    """NLL and ε of every block over the Ornstein–Uhlenbeck time, one row of pictures a set, first seed."""
    sets = list(dict.fromkeys(key.split("/")[0] for key in figures))
    figure = Figure(figsize=(9.0, 3.2 * len(sets)))
    for place, case in enumerate(sets):
        left = figure.add_subplot(len(sets), 2, 2 * place + 1)
        right = figure.add_subplot(len(sets), 2, 2 * place + 2)
        for colour, (name, plan) in enumerate(PLANS.items()):
            row = figures.get(f"{case}/0/{name}")
            if row is None:
                continue
            times, time = [], 0.0
            for size in row["step_sizes"]:
                time += math.log1p(size)
                times.append(time)
            look: dict[str, Any] = {
                "color": f"C{colour}",
                "marker": "o",
                "ms": 3,
                "lw": 1.2,
                "label": plan.label,
            }
            left.plot(times, row["nll"], **look)
            exact = row["epsilon_exact_squared"]
            squares = row["epsilon_squared"] if None in exact else exact
            right.plot(times, [math.sqrt(max(square, 0.0)) for square in squares], **look)
        kind = "critic" if case == "digits" else "exact"
        left.set(title=case, xlabel="time Σ log(1+γ)", ylabel="NLL after the block, nats", xscale="log")
        right.set(title=case, xlabel="time Σ log(1+γ)", ylabel=f"ε of the block ({kind})", xscale="log")
        for axes in (left, right):  # over less than two decades the small ticks' labels would overlap
            axes.xaxis.set_minor_formatter(NullFormatter())
        if kind == "exact":
            right.set_yscale("symlog", linthresh=1.0)
        left.legend(fontsize=6)
    figure.tight_layout()
    return figure


@click.command()
@click.option(
    "--only", multiple=True, type=click.Choice([case.name for case in CASES]), help="A set; else all."
)
@click.option("--seed", "seeds", multiple=True, type=click.IntRange(min=0), default=[0], show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.option(
    "--work", type=click.Path(path_type=Path), help="Folder that keeps the chains; none by default."
)
@click.option("--results", type=click.Path(path_type=Path), default=RESULTS, help="Folder of the JSON files.")
@sentences
def main(only: Sequence[str], seeds: Sequence[int], as_json: bool, work: Path | None, results: Path) -> None:
    """Train every plan on every set without figures; table and picture go into docs/step-planning.md."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    path = results / FILE
    known = json.loads(path.read_text()) if path.is_file() else {}
    wanted = [case for case in CASES if not only or case.name in only]
    for case in wanted:
        for seed in seeds:
            if all(f"{case.name}/{seed}/{name}" in known for name in PLANS):
                continue
            with tempfile.TemporaryDirectory() as place:
                known |= compared(case, seed, (work or Path(place)) / f"{case.name}-{seed}")
            show(path, known)
    show(path, known)  # another table or picture may be wanted of old figures
    click.echo(json.dumps(known, indent=1) if as_json else table(ranked(known)))


def compared(case: Case, seed: int, folder: Path) -> dict[str, dict[str, Any]]:
    """All plans on one set with one seed, in one project."""
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, dict[str, Any]] = {}
    write_json(folder / "params.yaml", settings(case, seed, [1.0], Fraction(1)))
    fitted = jko(folder, "steps", "--count", str(case.steps), "--tolerance", str(TOLERANCE))
    for name in PLANS:
        found[name] = run(case, seed, name, folder, fitted)
    for name in PLANS:
        found[name]["less_geometric"] = None if name == BASE else paired(folder, name)
    return {f"{case.name}/{seed}/{name}": row for name, row in found.items()}


def show(path: Path, known: Mapping[str, Mapping[str, Any]]) -> None:
    """Keep figures, table and picture."""
    import matplotlib

    rows = ranked(known)
    with matplotlib.rc_context(STYLE):
        write_bytes(PICTURE, png(picture(rows)))
    keep(path, rows, "step-plans", table(rows) if rows else EMPTY, PAGE)


def ranked(known: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Figures in the order of sets, seeds and plans."""
    sets, plans = [case.name for case in CASES], list(PLANS)

    def place(key: str) -> tuple[int, int, int]:
        case, seed, name = key.split("/")
        return sets.index(case), int(seed), plans.index(name)

    return {key: known[key] for key in sorted(known, key=place)}


if __name__ == "__main__":
    main()
