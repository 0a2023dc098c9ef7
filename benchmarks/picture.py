"""Any grey picture as a density: how far from it peers and ours are after some minutes."""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks.command import sentences
from benchmarks.figures import published
from benchmarks.problems import picture_problem
from benchmarks.side_by_side import SHOWN, Line, compare, show
from jko.disk.commit import file_digest

#: threads of our chain; a minute is a minute of all of them
THREADS = 2


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=20.0,
    show_default=True,
    help=f"For our chain, of {THREADS} cores.",
)
@click.option(
    "--peer-seconds",
    type=click.FloatRange(min=0, min_open=True),
    help="CPU seconds of each peer, where they shall have fewer than ours.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@sentences
def main(file: Path, minutes: float, peer_seconds: float | None, seed: int, *, as_json: bool) -> None:
    """Fit peers and ours to the darkness of the picture FILE and print their gaps to it."""
    problem = picture_problem(file.stem, file, seed)
    chain = 60 * THREADS * minutes
    seconds = {**dict.fromkeys(SHOWN, min(peer_seconds or chain, chain)), "ours": chain}
    lines = compare(lambda start: problem, seconds, {"ours": THREADS}, seed)
    show(problem, [*lines, *papers(file)], as_json=as_json)


def papers(file: Path) -> list[Line]:
    """The published figures, if the file is the picture they are about."""
    rose = published()["rose"]
    if file_digest(file) != rose["sha256"]:
        return []
    return [Line(one["name"], ours=False, value=one["gap"], note=one["source"]) for one in rose["published"]]


if __name__ == "__main__":
    main()
