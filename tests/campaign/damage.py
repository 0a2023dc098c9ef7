"""Files of finished chains damaged in every way; what every command then says, and what heals.

The oracle is the undamaged chain: a command gives the same output, or says what is wrong, never another
number. ``tests/campaign/test_damage.py`` carries the cases out, and
``python -m tests.campaign.damage COUNT [FIRST]`` does so for people and prints the counts.
"""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from jko.core.errors import InputError, JkoError
from tests.campaign.asked import run, where
from tests.campaign.chains import CHAIN, KINDS, Kind, bring_up, inside, job_of, make, resumed
from tests.campaign.judged import judge
from tests.campaign.sample import EVERY, Part
from tests.campaign.ways import FILE_WAYS, FOLDER_WAYS, apply

#: what belongs to a result; the run folder does not
RESULT = ("chain/", "chain.evaluation/", "chain.report/", "chain.certificate.json", "chain.metrics.json")
#: commands that read, with what they write
READERS: dict[str, tuple[str, ...]] = {
    "status": ("status", CHAIN, "--json"),
    "plan": ("plan", CHAIN, "--json"),
    "sample": ("sample", CHAIN, "-n", "6", "-o", "out.csv"),
    "score": ("score", CHAIN, "../rows.csv", "-o", "out.csv"),
    "verify": ("verify", CHAIN, "--json"),
    "compare": ("compare", CHAIN, "../other/chain", "--json"),
    "certify": ("certify", CHAIN, "--json"),
}


@dataclass(frozen=True)
class Case:
    """One damage.

    Args:
        number: seeds everything that is random of it.
        kind: of the chain.
        place: file or folder below the project.
        way: what is done to it.
    """

    number: int
    kind: str
    place: str
    way: str

    @property
    def random(self) -> random.Random:
        return random.Random(f"damage {self.number}")


@dataclass(frozen=True)
class Answer:
    """What a command did: exit code, what it printed and the file it wrote."""

    code: int
    out: str
    said: str
    written: bytes | None


@dataclass
class Outcome:
    """What became of a case: ``faults`` are sentences, empty where all was as it must be."""

    case: Case
    answers: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    noticed: bool = False
    healed: bool = False
    harmless: bool = False


class Bench:
    """A finished chain of one kind, another of the same settings and another seed, and a place to damage.

    Args:
        kind: of chain.
        folder: an empty folder.
    """

    def __init__(self, kind: Kind, folder: Path) -> None:
        self.kind, self.folder = kind, folder
        self.work = folder / "work"
        make(kind, self.work)
        make(kind, folder / "other", seed=1)
        (folder / "rows.csv").write_text(rows_of(self.work))
        shutil.copytree(self.work, folder / "whole")
        self.expected = {name: self.ask(name) for name in READERS}
        assert all(answer.code == 0 for answer in self.expected.values()), self.expected
        self.tree = tree(self.work)

    @property
    def files(self) -> list[str]:
        """All files that the chain has."""
        whole = self.folder / "whole"
        return sorted(str(path.relative_to(whole)) for path in whole.rglob("*") if owned(path, whole))

    @property
    def folders(self) -> list[str]:
        """Folders that hold a commit, and those of the chain as a whole."""
        whole = self.folder / "whole"
        commits = [path.parent for path in whole.rglob("COMMIT.json")]
        return sorted(str(path.relative_to(whole)) for path in [*commits, *whole.glob("chain/[bm]*")])

    def restore(self) -> None:
        """The undamaged chain again."""
        shutil.rmtree(self.work)
        shutil.copytree(self.folder / "whole", self.work)

    def ask(self, name: str) -> Answer:
        """Run one of the reading commands."""
        with inside(self.work):
            Path("out.csv").unlink(missing_ok=True)
            code, out, said = run(*READERS[name])
            written = Path("out.csv").read_bytes() if Path("out.csv").is_file() else None
            Path("out.csv").unlink(missing_ok=True)
        return Answer(code, out, said, written)

    def carry_out(self, case: Case) -> Outcome:
        """Damage, ask every command, heal, and compare."""
        self.restore()
        outcome = Outcome(case)
        outcome.harmless = not apply(self, case)
        for name in READERS:
            if name == "compare" and case.number % 4:
                continue  # by far the slowest
            answer = self.ask(name)
            outcome.answers[judge(self, outcome, name, answer)] += 1
        if case.place.startswith(RESULT) and not outcome.harmless and not outcome.noticed:
            outcome.faults.append("status, plan and verify say nothing of it")
        self.heal(outcome)
        return outcome

    def heal(self, outcome: Outcome) -> None:
        """Start the command again that made the chain; every file must be as it was.

        Of odd numbers ``jko resume`` comes first: it may refuse only where the settings are lost.
        """
        with inside(self.work):
            try:
                if outcome.case.number % 2:
                    with contextlib.suppress(InputError):
                        bring_up(resumed(self.kind))
                if outcome.case.way == "folder a file":
                    with contextlib.suppress(InputError):
                        bring_up(job_of(self.kind))
                    put_away(Path(outcome.case.place))
                bring_up(job_of(self.kind))
            except JkoError as error:
                outcome.faults.append(f"train refuses to heal: {error}")
                return
            except Exception as error:
                outcome.faults.append(f"train ends in {type(error).__name__}: {error}{where(error)}")
                return
        found = tree(self.work)
        wrong = [name for name, content in self.tree.items() if found.get(name) != content]
        more = [name for name in found if name not in self.tree]
        more = [name for name in more if not (self.kind.pruned and "/samples.zarr" in name)]
        outcome.healed = not wrong and not more
        if not outcome.healed and not outcome.harmless:
            first = (wrong or more)[0]
            outcome.faults.append(f"train did not heal {first}" if wrong else f"train left {first}")


def rows_of(project: Path) -> str:
    """Rows to score with the columns that the chain of a project has, as CSV."""
    facts = json.loads(next(project.glob(f"{CHAIN}/blocks/0-*/data.json")).read_text())
    names = [*facts["columns"], *facts.get("context_columns", [])]
    columns = list(zip((0.5, 0.25, 2), (-0.5, 0.8, 3.5), (1.2, -0.3, 0), strict=True))[: len(names)]
    if facts.get("kinds"):  # a grade is a count then
        columns = [(2, 3, 0) if name == "grade" else own for name, own in zip(names, columns, strict=True)]
    lines = [",".join(map(str, row)) for row in zip(*columns, strict=True)]
    return "\n".join([",".join(names), *lines]) + "\n"


def put_away(place: Path) -> None:
    """What a user does who is told that a file lies where the chain has a folder."""
    if place.is_file():
        place.unlink()


def owned(path: Path, root: Path) -> bool:
    """Whether a file is the chain's."""
    return path.is_file() and str(path.relative_to(root)).startswith(CHAIN)


def tree(root: Path) -> dict[str, bytes]:
    """Every file of the result by its path."""
    names = {str(path.relative_to(root)): path for path in root.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in sorted(names.items()) if name.startswith(RESULT)}


def group_of(place: str) -> str:
    """Files of the same purpose, each drawn equally often."""
    name = Path(place).name
    if "samples.zarr" in place:
        return f"{place.split('/', maxsplit=1)[0]} {'zarr.json' if name == 'zarr.json' else 'chunk'}"
    if place.startswith("chain/blocks/0-"):
        return f"data {name}"
    if place.startswith("chain/measures/"):
        return "measures"
    if place.endswith(".png"):
        return "pictures"
    if place.startswith("chain.run/scores/"):
        return "scores"
    return f"{place.split('/', maxsplit=1)[0]} {name}"


def draw_case(bench: Bench, number: int) -> Case:
    """The case of a number: kind of file, file and way are random, all ways equally often."""
    draw = random.Random(f"case {number}")
    ways = [*FILE_WAYS, *FILE_WAYS, "garbled", "garbled", *FOLDER_WAYS]
    way = ways[draw.randrange(len(ways))]
    if way in FOLDER_WAYS:
        return Case(number, bench.kind.name, draw.choice(bench.folders), way)
    groups: dict[str, list[str]] = {}
    for place in bench.files:
        if way != "garbled" or place.endswith(".json"):
            groups.setdefault(group_of(place), []).append(place)
    return Case(number, bench.kind.name, draw.choice(groups[draw.choice(sorted(groups))]), way)


def carry_out(
    count: int, folder: Path, first: int = 0, only: Collection[str] = tuple(KINDS), part: Part = EVERY
) -> Iterator[Outcome]:
    """Cases ``first``.. shared out among the kinds of chains; of the kinds that are named a part each."""
    kinds = sorted(KINDS)
    for index, name in enumerate(kinds):
        if name in only:
            bench = Bench(KINDS[name], folder / name)
            for number in range(first + index, first + count, len(kinds))[part]:
                yield bench.carry_out(draw_case(bench, number))
            shutil.rmtree(folder / name)


def told(outcome: Outcome) -> list[str]:
    """The faults of a case, a line each."""
    case = outcome.case
    return [f"{case.number:5d} {case.kind:11s} {case.way:14s} {case.place}: {one}" for one in outcome.faults]


def summary(outcomes: Sequence[Outcome]) -> str:
    """Counts of the outcomes as lines of a table."""
    lines = ["| way | cases | said the same | told or refused | noticed | healed, every byte | faults |",
             "|---|--:|--:|--:|--:|--:|--:|"]  # fmt: skip
    for way in [*FILE_WAYS, *FOLDER_WAYS, "all"]:
        own = [one for one in outcomes if way in (one.case.way, "all")]
        said = sum((one.answers for one in own), Counter())
        lines.append(
            f"| {way} | {len(own)} | {said['same']} | {said['told'] + said['named']} "
            f"| {sum(one.noticed for one in own)} | {sum(one.healed for one in own)} "
            f"| {sum(bool(one.faults) for one in own)} |"
        )
    return "\n".join(lines)


def main(count: int, first: int = 0, *kinds: str) -> None:
    """Carry cases out and print what went wrong, then the counts; those so far where it is ended early."""
    begun, outcomes = time.monotonic(), []
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with TemporaryDirectory(prefix="jko-damage-") as folder, contextlib.suppress(KeyboardInterrupt):
        for outcome in carry_out(count, Path(folder), first, kinds or tuple(KINDS)):
            outcomes.append(outcome)
            if outcome.faults:
                print("\n".join(told(outcome)), flush=True)
    print(summary(outcomes))
    print(f"{time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]), *sys.argv[3:])
