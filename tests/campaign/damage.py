"""Files of finished chains damaged in every way; what every command then says, and what heals.

The oracle is the undamaged chain: a command gives the same output, or says what is wrong, never another
number. ``tests/campaign/test_damage.py`` carries the cases out, and
``python -m tests.campaign.damage COUNT [FIRST]`` does so for people and prints the counts.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flows.cli.main import main as jko
from jko.errors import InputError, JkoError
from tests.campaign.chains import CHAIN, KINDS, Kind, bring_up, inside, job_of, make, resumed

ROOT = Path(__file__).resolve().parents[2]
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
DEEP = 20_000


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
    rows = [(0.5, 0.25, 2), (-0.5, 0.8, 3.5), (1.2, -0.3, 0)]
    lines = [",".join(str(value) for value in row[: len(names)]) for row in rows]
    return "\n".join([",".join(names), *lines]) + "\n"


def put_away(place: Path) -> None:
    """What a user does who is told that a file lies where the chain has a folder."""
    if place.is_file():
        place.unlink()


def run(*words: str) -> tuple[int, str, str]:
    """The command line in this process: exit code, standard output and error."""
    out, said = io.StringIO(), io.StringIO()
    before, sys.argv = sys.argv, ["jko", *words]
    code = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
            jko()
    except SystemExit as stop:
        code = int(stop.code or 0)
    except Exception as error:
        code = 1
        said.write(f"Traceback: {type(error).__name__}: {error}{where(error)}")
    finally:
        sys.argv = before
    return code, out.getvalue(), said.getvalue()


def where(error: BaseException) -> str:
    """The last line of this project that an exception came through."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame[0].startswith(str(ROOT))]
    return f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""


def owned(path: Path, root: Path) -> bool:
    """Whether a file is the chain's."""
    return path.is_file() and str(path.relative_to(root)).startswith(CHAIN)


def tree(root: Path) -> dict[str, bytes]:
    """Every file of the result by its path."""
    names = {str(path.relative_to(root)): path for path in root.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in sorted(names.items()) if name.startswith(RESULT)}


# --- what is done to a file ---


def flip(bench: Bench, path: Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes())
    if content:
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def truncate(bench: Bench, path: Path, draw: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: draw.randrange(len(content))] if content else b"")


def empty(bench: Bench, path: Path, draw: random.Random) -> None:
    path.write_bytes(b"")


def delete(bench: Bench, path: Path, draw: random.Random) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def swap(bench: Bench, path: Path, draw: random.Random) -> None:
    """Put the same file or folder of another block, or of the other chain, in its place."""
    others = sorted(twins(bench, path))
    if not others:
        return
    other = draw.choice(others)
    delete(bench, path, draw)
    shutil.copytree(other, path) if other.is_dir() else shutil.copy(other, path)


def twins(bench: Bench, path: Path) -> Iterator[Path]:
    """Files or folders that have the same part in another block or in the other chain."""
    own = path.relative_to(bench.work)
    for root in (bench.folder / "other", bench.folder / "whole"):
        for other in root.rglob(f"*{path.suffix}"):
            place = other.relative_to(root)
            same_kind = other.is_dir() == path.is_dir() and part_of(place) == part_of(own)
            if same_kind and not (root.name == "whole" and place == own):
                yield other


def part_of(place: Path) -> tuple[str, ...]:
    """A path without the names of blocks: equal for the same part of different blocks and chains."""
    return tuple("#" if "-" in name and name[0].isdigit() else name for name in place.parts)


def garble(bench: Bench, path: Path, draw: random.Random) -> None:
    """Valid JSON of other values; bytes at random where the file is none."""
    try:
        value = json.loads(path.read_text())
    except (ValueError, UnicodeDecodeError):
        path.write_bytes(draw.randbytes(path.stat().st_size))
        return
    path.write_text(garbled(value, draw))


def garbled(value: Any, draw: random.Random) -> str:
    """Other JSON than a value: one figure edited, one type changed, another top, or nested without end."""
    way = draw.choice(["edit", "edit", "edit", "type", "type", "drop", "top", "deep", "nan"])
    if way == "top":
        return draw.choice(["[]", "null", "{}", "0", '"text"', "true", "[[]]", '{"a": 1}'])
    if way == "deep":
        return "[" * DEEP + "]" * DEEP
    spots = list(leaves(value))
    if not spots:
        return "null"
    holder, key = draw.choice(spots)
    old = holder[key]
    if way == "drop":
        del holder[key]
    elif way == "nan":
        holder[key] = float(draw.choice(["nan", "inf"]))
    elif way == "type":
        holder[key] = draw.choice([v for v in (None, [], {}, "text", 3, -1.5, True, [[1]]) if v != old])
    else:
        holder[key] = edited(old, draw)
    return json.dumps(value)


def edited(old: Any, draw: random.Random) -> Any:
    """Another value of the same type."""
    if isinstance(old, bool) or old is None:
        return not old
    if isinstance(old, int | float):
        return draw.choice([old + 1, old * 10, -old - 1])
    if isinstance(old, str):
        return f"{old}0" if draw.random() < 0.5 or not old else f"{old[:-1]}{'1' if old[-1] != '1' else '2'}"
    return old


def leaves(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every value inside a JSON value that is no mapping, with what holds it."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        if isinstance(inner, dict | list) and inner:
            yield from leaves(inner)
        else:
            yield value, key


def replace_by_file(bench: Bench, path: Path, draw: random.Random) -> None:
    shutil.rmtree(path)
    path.write_text("{}")


FILE_WAYS: dict[str, Callable[[Bench, Path, random.Random], None]] = {
    "flipped": flip, "truncated": truncate, "emptied": empty, "deleted": delete, "swapped": swap,
    "garbled": garble,
}  # fmt: skip
FOLDER_WAYS = {"folder deleted": delete, "folder swapped": swap, "folder a file": replace_by_file}


def apply(bench: Bench, case: Case) -> bool:
    """Damage a file or folder; whether that changed what it says."""
    path = bench.work / case.place
    before = content_of(path)
    {**FILE_WAYS, **FOLDER_WAYS}[case.way](bench, path, case.random)
    return content_of(path) != before


def content_of(path: Path) -> Any:
    """What a file says: a JSON value, or its bytes; of a folder all files."""
    if path.is_dir():
        return {str(own.relative_to(path)): own.read_bytes() for own in path.rglob("*") if own.is_file()}
    if not path.exists():
        return None
    try:
        return (
            json.dumps(json.loads(path.read_text()), sort_keys=True)
            if path.suffix == ".json"
            else path.read_bytes()
        )
    except (ValueError, RecursionError, UnicodeDecodeError):
        return path.read_bytes()


# --- what a command may answer ---


def judge(bench: Bench, outcome: Outcome, name: str, answer: Answer) -> str:
    """How a command took the damage; a fault is noted with the outcome."""
    whole = bench.expected[name]
    if answer.code == 0:
        if (answer.out, answer.written) == (whole.out, whole.written):
            return "same"
        gone = outcome.case.way == "folder deleted" and "/blocks/" in outcome.case.place
        if told := honest(name, answer, whole, gone=gone):
            outcome.noticed |= told == "told" and name in ("status", "plan", "verify")
            return told
        outcome.faults.append(f"{name}: exit 0 and {difference(whole, answer)}")
        return "wrong"
    if answer.code in (2, 3) and "Traceback" not in answer.said and named(answer.said):
        outcome.noticed |= name in ("status", "plan", "verify")
        return "named"
    first = answer.said.strip().splitlines()
    outcome.faults.append(f"{name}: exit {answer.code}, {first[-1][:300] if first else 'not a word'}")
    return "crash"


def named(said: str) -> bool:
    """Whether a refusal is one sentence that says where."""
    lines = [line for line in said.strip().splitlines() if line.startswith("jko: ")]
    return len(lines) == 1 and (CHAIN in lines[0] or "block" in lines[0])


def honest(name: str, answer: Answer, whole: Answer, *, gone: bool) -> str:
    """Whether another output says of itself that something is missing, and every figure in it is true.

    Args:
        name: of the command.
        answer: what it said.
        whole: what it says of the undamaged chain.
        gone: whether a block is gone without trace, as if it had never been trained.
    """
    try:
        found, wanted = json.loads(answer.out), json.loads(whole.out)
    except ValueError:
        return ""
    if name == "plan":
        actions = [part["action"] for part in (*found["blocks"], *found["then"])]
        known = all(block["measured"] for block in found["blocks"][1:])
        return "told" if {*actions} - {"done"} or not known else ""
    if name == "verify":  # what is not there is not checked
        checks = {check["name"]: check for check in wanted}
        return "told" if all(checks.get(one["name"]) == one for one in found) else ""
    if name == "certify":  # made again, perhaps of fewer blocks where one is gone
        fewer = gone and found["blocks"] == wanted["blocks"][: len(found["blocks"])]
        return "same" if found == wanted else "told" if fewer else ""
    if name == "compare" and gone:  # a chain in training, whose last block is another
        return "told" if found["runs"][0]["state"] == "partial" else ""
    if name == "compare":
        found, wanted = found["runs"][0], wanted["runs"][0]
    return "told" if not other_figures(found, wanted) else ""


#: keys whose values say in words what is missing
WORDS = ("state", "damaged", "source", "name")


def other_figures(found: Any, whole: Any) -> list[str]:
    """Numbers that are shown and differ; what is absent, null or empty says nothing."""
    if isinstance(found, dict):
        if not isinstance(whole, dict):
            return ["another shape"] if found else []
        return [
            one for key, value in found.items() if key not in WORDS
            for one in other_figures(value, whole.get(key))
        ]  # fmt: skip
    if isinstance(found, list) and isinstance(whole, list) and len(found) <= len(whole):
        return [one for own, other in zip(found, whole, strict=False) for one in other_figures(own, other)]
    return [] if found == whole or found in (None, "", [], {}) else [f"{found} for {whole}"]


def difference(whole: Answer, answer: Answer) -> str:
    """The first line in which two outputs differ."""
    old = (whole.out + (whole.written or b"").decode()).splitlines()
    new = (answer.out + (answer.written or b"").decode()).splitlines()
    for one, other in zip(old, new, strict=False):
        if one != other:
            return f"{other.strip()[:80]!r} for {one.strip()[:80]!r}"
    return f"{len(new)} lines for {len(old)}"


# --- which cases ---


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
    count: int, folder: Path, first: int = 0, only: Collection[str] = tuple(KINDS)
) -> Iterator[Outcome]:
    """Cases ``first``.. shared out among the kinds of chains; only those of the kinds that are named."""
    kinds = sorted(KINDS)
    for index, name in enumerate(kinds):
        if name in only:
            bench = Bench(KINDS[name], folder / name)
            for number in range(first + index, first + count, len(kinds)):
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
