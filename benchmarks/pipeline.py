"""What the pipeline costs beside its numerics: of a run, of a block, and with nothing to do."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.cell import RESULTS
from benchmarks.command import sentences
from benchmarks.page import keep, markdown
from benchmarks.watched import environment, run

FILE = "pipeline.json"
#: what the issue of cost counts as numerics; the rest of a run is prepare, certify, report and the pipeline
NUMERICS = ("train", "push", "measure", "evaluate")
#: numbers of blocks of the runs that the cost per block is fitted to
BLOCKS = (2, 8, 16)
TINY_SETTINGS = (
    "training.flow_matching_iterations=2", "training.iterations=2", "training.batch_size=32", "data.rows=400",
    "network.hidden=[8]", "evaluation.samples=50", "evaluation.mixture_components=[1]", "measure.rows=40",
    "measure.reference_rows=10",
)  # fmt: skip
TINY = tuple(word for setting in TINY_SETTINGS for word in ("--set", setting))


@contextmanager
def project() -> Iterator[tuple[Path, str]]:
    """An empty project with a server up, and a run behind it that made the stores of MLflow and Prefect."""
    from tasks.adapters.scheduling.server import prefect_server, wait_until_healthy

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        with prefect_server(folder) as server:
            wait_until_healthy(server, folder)
            run(folder, "train", "--preset", "smoke", "--chain", "first", *TINY, server=server)
            yield folder, server


def shares(found: Mapping[str, Any]) -> dict[str, float]:
    """Where the time of a run went, seconds, and the share outside the numerics of its whole.

    The whole begins after process start and imports.
    """
    wall = {name: part["wall_s"] for name, part in found["parts"].items()}
    cpu = {name: part["cpu_s"] for name, part in found["parts"].items()}
    numerics = sum(wall.get(name, 0.0) for name in NUMERICS)
    run_s, run_cpu = found["run"]["wall_s"], found["run"]["cpu_s"]
    others = {f"{name}_s": seconds for name, seconds in wall.items() if name not in NUMERICS}
    return {
        "run_s": run_s,
        "numerics_s": numerics,
        **others,
        "pipeline_s": run_s - sum(wall.values()),
        "outside_share": 1 - numerics / run_s,
        "pipeline_share": 1 - sum(wall.values()) / run_s,
        "pipeline_cpu_s": run_cpu - sum(cpu.values()),
    }


def large_run(folder: Path, server: str, preset: str, settings: tuple[str, ...]) -> dict[str, float]:
    """One run of a preset, shortened by settings."""
    words = [word for setting in settings for word in ("--set", setting)]
    return shares(run(folder, "train", "--preset", preset, "--chain", "large", *words, server=server))


def per_block(folder: Path, server: str, repetitions: int) -> dict[str, Any]:
    """Seconds of a run beside its numerics, and of each block, by least squares over tiny chains."""
    points = []
    for turn in range(repetitions):
        for count in BLOCKS:
            chain = f"tiny-{count}-{turn}"
            words = ("--set", f"steps.count={count}", "--chain", chain, *TINY)
            found = run(folder, "train", "--preset", "smoke", *words, server=server)
            points.append(
                {
                    "blocks": count,
                    **shares(found),
                    "start_s": found["start_s"],
                    "imports_s": found["imports"]["wall_s"],
                }
            )
    fitted = {
        of: np.polyfit([p["blocks"] for p in points], [p[of] for p in points], 1).tolist()
        for of in ("pipeline_s", "pipeline_cpu_s")
    }
    return {
        "points": points,
        "run_s": fitted["pipeline_s"][1],
        "block_s": fitted["pipeline_s"][0],
        "run_cpu_s": fitted["pipeline_cpu_s"][1],
        "block_cpu_s": fitted["pipeline_cpu_s"][0],
        "start_s": statistics.median(p["start_s"] for p in points),
        "imports_s": statistics.median(p["imports_s"] for p in points),
    }


def no_operation(folder: Path, server: str, repetitions: int) -> dict[str, float]:
    """Seconds from process start to end of a run that has nothing to do."""
    command = [
        sys.executable,
        "-m",
        "flows.cli.main",
        "train",
        "--preset",
        "smoke",
        "--chain",
        "first",
        *TINY,
    ]
    walls = []
    for _ in range(repetitions):
        start = time.time()
        subprocess.run(command, cwd=folder, env=environment(server), capture_output=True, check=True)
        walls.append(time.time() - start)
    return {"median_s": statistics.median(walls), "smallest_s": min(walls), "largest_s": max(walls)}


def table(figures: Mapping[str, Any]) -> str:
    """The figures beside what was asked."""
    large, block, idle = figures["large"], figures["per_block"], figures["no_operation"]
    name = figures["preset"] + (f" ({', '.join(figures['settings'])})" if figures["settings"] else "")
    body = [
        (
            f"{name}: share outside train, push, measure, evaluate",
            f"{100 * large['outside_share']:.1f} %",
            "≤ 5 %",
        ),
        ("of it neither preparing, certifying nor drawing", f"{100 * large['pipeline_share']:.1f} %", "–"),
        ("a run beside its numerics", f"{block['run_s']:.2f} s ({block['run_cpu_s']:.2f} CPU-s)", "≤ 3 s"),
        (
            "and each block",
            f"{1e3 * block['block_s']:.0f} ms ({1e3 * block['block_cpu_s']:.0f} CPU-ms)",
            "≤ 100 ms",
        ),
        ("process start", f"{block['start_s']:.2f} s", "–"),
        ("imports", f"{block['imports_s']:.2f} s", "–"),
        ("nothing to do, from process start", f"{idle['median_s']:.2f} s", "≤ 3 s"),
    ]
    return markdown(("cost", "measured", "aim"), body)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.option("--preset", default="rose", show_default=True, help="The run whose shares are shown.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override one of its settings.")
@click.option("--repetitions", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--results", type=click.Path(path_type=Path), default=RESULTS, help="Folder of the JSON files.")
@sentences
def main(as_json: bool, preset: str, settings: tuple[str, ...], repetitions: int, results: Path) -> None:
    """Run chains in a project of their own with a server up, and put the table into the README."""
    with project() as (folder, server):
        figures = {
            "preset": preset,
            "settings": list(settings),
            "no_operation": no_operation(folder, server, repetitions + 2),
            "per_block": per_block(folder, server, repetitions),
            "large": large_run(folder, server, preset, settings),
        }
    keep(results / FILE, figures, "pipeline", table(figures))
    click.echo(json.dumps(figures, indent=1) if as_json else table(figures))


if __name__ == "__main__":
    main()
