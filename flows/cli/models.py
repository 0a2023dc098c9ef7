"""Commands that use a trained chain: sample, score and impute."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flows.cli.commands import Command
from flows.cli.kinds import CHAIN, PLACE, SEED
from flows.places import chain_at, project_root
from tasks.adapters.system.terminal import say

if TYPE_CHECKING:
    from pydantic import JsonValue


TRIES = click.IntRange(1, 1_000_000_000)
STEPS = click.IntRange(1, 1_000_000)


@click.command(cls=Command, example='jko sample data/chain -n 1000 --given "x0 > 1" -o samples.csv')
@click.argument("chain", type=CHAIN, metavar="DIR")
@click.option("-n", "rows", type=click.IntRange(1, 100_000_000), required=True, help="Number of samples.")
@click.option("--seed", type=SEED, default=0, show_default=True)
@click.option(
    "--given", multiple=True, metavar="CONDITION",
    help='A condition on any column: "age=40", "30<=age<40", "income>50000", "city in [Rome, Paris]", '
    '"age is empty"; or the '
    "context of a conditional chain, as class=3, by default those of training rows. May be given again.",
)  # fmt: skip
@click.option(
    "--tries", type=TRIES, default=100_000, show_default=True,
    help="Samples at most that are drawn to fulfil conditions.",
)  # fmt: skip
@click.option(
    "--steps", type=STEPS, default=300, show_default=True,
    help="Steps at most of Markov chains, where samples will not do.",
)  # fmt: skip
@click.option(
    "--raw", "--continuous", "raw", is_flag=True,
    help="Write the chain's own numbers: off any grid, and as what columns became.",
)  # fmt: skip
@click.option(
    "--complete",
    is_flag=True,
    help="Fill the empty cells that samples have (data.missing=model).",
)
@click.option("-o", "output", type=PLACE, required=True, help="A .csv, .parquet, .feather, .npy or .xlsx.")
@click.option("--json", "as_json", is_flag=True, help="Print what the samples are worth as JSON.")
def sample(
    *,
    chain: Path,
    rows: int,
    seed: int,
    given: tuple[str, ...],
    tries: int,
    steps: int,
    raw: bool,
    complete: bool,
    output: Path,
    as_json: bool,
) -> None:
    """Draw samples from a chain.

    The chain in DIR is complete. Samples are rows of its table: the same columns, types, levels and grids.
    With conditions they are drawn from the law that the chain has where these hold, and what they are worth
    is told.
    """
    from flows.views.given import sample_complete, sample_given, split_given
    from flows.views.models import draw_samples

    layout = chain_at(chain, project_root())
    context, conditions = split_given(layout, given) if given else ([], [])
    if complete and (conditions or raw):
        raise click.UsageError("--complete goes neither with conditions nor with --raw")
    told: dict[str, JsonValue] = {"method": "samples", "rows": rows, "effective": rows}
    if conditions:
        worth = sample_given(
            layout, rows, seed, output, given=conditions, context=context, raw=raw,
            tries=tries, steps=steps,
        )  # fmt: skip
        told = worth.plain()
        for note in worth.notes:
            say(f"warning: {note}", err=True)
        say(f"{output}: {worth}", err=True)
    elif complete:
        filled = sample_complete(layout, rows, seed, output, context=context, steps=steps)
        told |= {"filled": filled.plain()}
        say(f"{output}: {filled}", err=True)
    else:
        said = draw_samples(layout, rows, seed, output, given=given, raw=raw)
        say(f"{rows} samples in {output}{f'; {said}' if said else ''}", err=True)
    if as_json:
        say(json.dumps({**told, "output": str(output)}, indent=1))


@click.command(cls=Command, example="jko score data/chain rows.csv -o scores.csv")
@click.argument("chain", type=CHAIN, metavar="DIR")
@click.argument("file", type=PLACE, metavar="FILE")
@click.option("-o", "output", type=PLACE, required=True, help="A .csv, .parquet, .feather, .npy or .xlsx.")
@click.option(
    "--missing", type=click.Choice(["drop", "refuse"]), default="drop", show_default=True,
    help="Rows with cells that cannot be: an empty line for each, or none is scored.",
)  # fmt: skip
def score(chain: Path, file: Path, output: Path, missing: str) -> None:
    """Write the log-density of every row of a file.

    The law is that of the chain in DIR, the unit is nats in the data's units, and every row of FILE has
    its line. Where columns have kinds it is the log-probability. Under a conditional chain FILE holds the
    columns of the context, too (class for classes).
    """
    from flows.views.scoring import score_file

    scored = score_file(chain_at(chain, project_root()), file, output, missing=missing)
    for note in scored.notes:
        say(f"{file}: {note}", err=True)
    say(f"{output}: {scored}", err=True)


@click.command(cls=Command, example="jko impute data/chain rows.csv --draws 5 -o filled.csv")
@click.argument("chain", type=CHAIN, metavar="DIR")
@click.argument("file", type=PLACE, metavar="FILE")
@click.option("-o", "output", type=PLACE, required=True, help="A .csv, .parquet, .feather, .npy or .xlsx.")
@click.option(
    "--draws", type=click.IntRange(1, 100_000), default=1, show_default=True,
    help="Draws of every row; of several, a first column says which.",
)  # fmt: skip
@click.option("--seed", type=SEED, default=0, show_default=True)
@click.option(
    "--steps", type=STEPS, default=50, show_default=True,
    help="Steps of Markov chains, where proposals will not do.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print how the holes were filled as JSON.")
def impute(
    *, chain: Path, file: Path, output: Path, draws: int, seed: int, steps: int, as_json: bool
) -> None:
    """Fill the empty cells of a file by draws from a chain.

    Each row is drawn from the law of the chain in DIR given the cells that the row has. Cells that are there
    stay as they are. Under a conditional chain FILE holds the columns of the context, too, without holes.
    """
    from flows.views.given import impute_file

    filled, notes = impute_file(
        chain_at(chain, project_root()), file, output, draws=draws, seed=seed, steps=steps
    )
    for note in notes:
        say(f"{file}: {note}", err=True)
    say(f"{output}: {filled}", err=True)
    if as_json:
        say(json.dumps({**filled.plain(), "output": str(output)}, indent=1))
