"""Commands that use a trained chain: sample and score."""

from __future__ import annotations

from pathlib import Path

import click

from flows.cli.commands import Command
from flows.cli.kinds import CHAIN, PLACE, SEED
from flows.places import chain_at, project_root
from tasks.adapters.system.terminal import say


@click.command(cls=Command, example="jko sample data/chain -n 1000 -o samples.csv")
@click.argument("chain", type=CHAIN, metavar="DIR")
@click.option("-n", "rows", type=click.IntRange(1, 100_000_000), required=True, help="Number of samples.")
@click.option("--seed", type=SEED, default=0, show_default=True)
@click.option(
    "--given", multiple=True, metavar="COLUMN=VALUE",
    help="What samples of a conditional chain are given, as class=3; contexts of training rows by default.",
)  # fmt: skip
@click.option(
    "--raw", "--continuous", "raw", is_flag=True,
    help="Write the chain's own numbers: off any grid, and as what columns became.",
)  # fmt: skip
@click.option("-o", "output", type=PLACE, required=True, help="A .csv, .parquet, .feather, .npy or .xlsx.")
def sample(*, chain: Path, rows: int, seed: int, given: tuple[str, ...], raw: bool, output: Path) -> None:
    """Draw samples from a chain.

    The chain in DIR is complete. Samples are rows of its table: the same columns, types, levels and grids.
    """
    from flows.views.models import draw_samples

    said = draw_samples(chain_at(chain, project_root()), rows, seed, output, given=given, raw=raw)
    say(f"{rows} samples in {output}{f'; {said}' if said else ''}", err=True)


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
