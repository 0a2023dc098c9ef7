"""Hostile settings and files read in process: an error of this project in one sentence, or a right reading.

Every input is a function of its kind and number (``fuzz_text``, ``fuzz_tables``, ``fuzz_files``). Inputs are
read in a forked child with little memory to spare, which is killed when one takes too long; no exception but
:class:`jko.core.errors.JkoError` may come out, and nothing that is not finite. ``python -m
tests.campaign.fuzz COUNT [KIND [FIRST]]`` prints what went wrong and the counts; the number of one gives it
again.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import select
import shutil
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from jko.core.errors import JkoError
from tests.campaign import fuzz_files, fuzz_tables, fuzz_text
from tests.campaign.asked import ROOT, run, where
from tests.campaign.chains import CHAIN, KINDS, make

#: bytes that an input may make this process take beside what it has
MEMORY = 1_500_000_000
#: processor time of one input
SECONDS = 6.0
#: the child is killed after so long without a word
PATIENCE = 60.0
#: inputs that one child reads
BATCH = 100
#: how many of a thousand inputs are of a kind
SHARES = {
    "settings": 300, "yaml": 60, "csv": 300, "npy": 170, "picture": 60, "json": 40, "safetensors": 40,
    "zarr": 15, "score": 15,
}  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """What became of an input: ``accepted``, ``refused`` or a fault, with what was said."""

    kind: str
    number: int
    state: str
    said: str = ""

    @property
    def fault(self) -> bool:
        return self.state not in ("accepted", "refused")


class FaultError(Exception):
    """An input was read in a way that is not allowed."""


def draw_of(kind: str, number: int) -> random.Random:
    return random.Random(f"fuzz {kind} {number}")


# --- one input of each kind, in a project folder that is the working directory ---


def settings(number: int) -> str:
    words = fuzz_text.settings(draw_of("settings", number))
    options = [f"--preset={words['preset']}", *(f"--set={text}" for text in words["assignments"])]
    options += [] if words["seed"] is None else [f"--seed={words['seed']}"]
    state = command("plan", "--json", *(text.replace("\x00", "\x01") for text in options))
    if state == "accepted":
        from flows.settings import build_request

        use(build_request(Path.cwd(), **words).config)
    return state


def yaml(number: int) -> str:
    draw = draw_of("yaml", number)
    valid = draw.choice([(ROOT / "params.yaml").read_text(), *(p.read_text() for p in presets())])
    Path("params.yaml").write_bytes(fuzz_text.yaml_text(draw, valid))
    try:
        return command("plan", "--json")
    finally:
        Path("params.yaml").unlink()


def presets() -> list[Path]:
    return sorted((ROOT / "flows" / "presets").glob("*.yaml"))


def use(config: Any) -> None:
    """What follows from settings before anything is trained."""
    from jko.disk.identity import fingerprints
    from jko.preparation.prepare import prepare
    from tasks.datasets.sources import SOURCES

    fingerprints(config, "0" * 64)
    if config.data.source not in ("file", "digits", "breast_cancer") and config.data.rows <= 5000:
        copies = config.data.augment.copies_of(config.data.rows)
        if copies * config.data.rows * len(config.data.mean) <= 100_000:
            check_prepared(prepare(SOURCES[config.data.source](config.data, config.seed), config))


def check_prepared(found: Any) -> None:
    """Everything a chain would be trained on is finite."""
    for name, values in {**found.arrays, "shift": found.shift, "scale": found.scale}.items():
        if not np.isfinite(values).all():
            raise FaultError(f"{name} is not finite")
    if not (np.asarray(found.scale) > 0).all():
        raise FaultError("a scale is not positive")


def read_data(file: str, *words: str) -> str:
    """What ``jko train --data FILE`` reads before it trains."""
    from flows.session import Job, check_input
    from flows.settings import build_request
    from jko.disk.layout import Layout
    from jko.preparation.prepare import prepare
    from tasks.adapters.store.plan import make_plan
    from tasks.datasets.sources import SOURCES

    root = Path.cwd()
    request = build_request(root, file=file, assignments=words)
    config, layout = request.config, Layout(root / "nothing")
    check_input(Job("fuzz", config, layout, root, ""), make_plan(config, layout))
    table = SOURCES["file"](config.data, config.seed)
    check_back(table)
    check_prepared(prepare(table, config))
    return "accepted"


def check_back(table: Any) -> None:
    """Cells of kinds come back as a frame, holes where there were some."""
    from jko.columns.cells import read_cells
    from jko.given import Form
    from jko.preparation.kinds import KindTable

    if not isinstance(table, KindTable):
        return
    frame = Form("frame").cells(table.schema.decode(table.rows), table.dtypes, table.schema)
    frame.to_csv(index=False)
    for column in table.schema.kept:
        present = read_cells(table.cells[column.name]).present
        if column.width and (frame[column.name].notna().to_numpy() != present).any():
            raise FaultError(f"column {column.name!r}: other cells are empty than in the table")


def csv(number: int) -> str:
    content, words = fuzz_tables.csv(draw_of("csv", number))
    Path("t.csv").write_bytes(content)
    return read_data("t.csv", *words)


def npy(number: int) -> str:
    content, words = fuzz_tables.npy(draw_of("npy", number))
    Path("t.npy").write_bytes(content)
    return read_data("t.npy", *words)


def picture(number: int) -> str:
    content, ending = fuzz_files.picture(draw_of("picture", number))
    Path(f"t.{ending}").write_bytes(content)
    return read_data(f"t.{ending}", "data.rows=200")


def score(number: int) -> str:
    """A file that is scored under the chain; its columns are often the chain's."""
    draw = draw_of("score", number)
    content, _ = fuzz_tables.csv(draw)
    Path("t.csv").write_bytes(content.replace(b"c0", b"x", 1).replace(b"c1", b"y", 1))
    Path("out.csv").unlink(missing_ok=True)
    state = command("score", CHAIN, "t.csv", "-o", "out.csv")
    if state == "accepted" and any(word in Path("out.csv").read_text().lower() for word in ("nan", "inf")):
        raise FaultError("a score that is no number")
    return state


JSON_FILES = (
    "chain/chain.json",
    "chain/blocks/0-*/data.json",
    "chain/blocks/0-*/COMMIT.json",
    "chain/blocks/2-*/COMMIT.json",
    "chain/blocks/1-*/block.json",
    "chain/measures/1-*.json",
    "chain.certificate.json",
    "chain.metrics.json",
    "chain.evaluation/figures.json",
    "chain.evaluation/COMMIT.json",
    "chain.report/COMMIT.json",
    "chain.run/finished.json",
)
COMMANDS = (("status", CHAIN), ("status", CHAIN, "--json"), ("plan", CHAIN), ("certify", CHAIN),
            ("sample", CHAIN, "-n", "3", "-o", "out.csv"), ("verify", CHAIN),
            ("compare", CHAIN, CHAIN))  # fmt: skip


def json_file(number: int) -> str:
    """A JSON file of the chain, its commit made to fit; then a command or two that read it."""
    draw = draw_of("json", number)
    path = next(Path.cwd().glob(draw.choice(JSON_FILES)))
    with other_content(path, fuzz_text.json_text(draw, path.read_text())):
        states = {command(*words) for words in draw.sample(COMMANDS, 2)}
    return "refused" if "refused" in states else "accepted"


def safetensors(number: int) -> str:
    """Weights in a commit that fits them."""
    draw = draw_of("safetensors", number)
    path = next(Path.cwd().glob(f"chain/blocks/{draw.choice((1, 2))}-*/weights.safetensors"))
    with other_content(path, fuzz_files.safetensors(draw, path.read_bytes())):
        Path("out.csv").unlink(missing_ok=True)
        state = command("sample", CHAIN, "-n", "20", "-o", "out.csv")
        text = Path("out.csv").read_text().lower() if state == "accepted" else ""
        if any(word in text for word in ("nan", "inf", ",,")):
            raise FaultError("a sample that is no number")
        return (
            "refused" if "refused" in (state, command("score", CHAIN, "rows.csv", "-o", "out.csv")) else state
        )


def zarr(number: int) -> str:
    """The description of an array in a commit that fits it."""
    draw = draw_of("zarr", number)
    path = draw.choice(sorted(Path.cwd().glob("chain/blocks/*/samples.zarr/**/zarr.json")))
    with other_content(path, fuzz_files.zarr_json(draw, path.read_bytes())):
        return command("verify", CHAIN)


@contextlib.contextmanager
def other_content(path: Path, content: bytes) -> Iterator[None]:
    """A file of the chain with other content, in a commit that names its digest."""
    with TemporaryDirectory(dir=Path.cwd()) as kept:
        for name in Path.cwd().glob(f"{CHAIN}*"):
            (shutil.copytree if name.is_dir() else shutil.copy)(name, Path(kept) / name.name)
        try:
            path.write_bytes(content)
            commit_again(path)
            yield
        finally:
            for name in Path.cwd().glob(f"{CHAIN}*"):
                shutil.rmtree(name) if name.is_dir() else name.unlink()
            for name in Path(kept).iterdir():
                name.rename(Path.cwd() / name.name)


def commit_again(path: Path) -> None:
    """Make the commit above a file fit its bytes, as whoever shares a prepared chain could."""
    from jko.disk.commit import COMMIT, publish, read_commit

    folder = next((own for own in path.parents if (own / COMMIT).is_file()), None)
    if folder is None or path.name == COMMIT or (commit := read_commit(folder)) is None:
        return
    (folder / COMMIT).unlink()
    copy = shutil.copytree(folder, folder.with_name("again"))
    publish(Path(copy), folder, commit.fingerprint, commit.record)
    shutil.rmtree(copy, ignore_errors=True)


def command(*words: str) -> str:
    """A command of the command line: its exit code and what it says must be those of a known end."""
    code, out, said = run(*words)
    last = (said.strip().splitlines() or [""])[-1][:300]
    if code not in (0, 2, 3) or "Traceback" in said:
        raise FaultError(f"jko {words[0]}: exit {code}: {last}")
    if any(ord(letter) < 32 and letter not in "\n\t\r" for letter in said + out):
        raise FaultError(f"jko {words[0]}: control characters reach the terminal: {last!r}")
    if code and not said.strip():
        raise FaultError(f"jko {words[0]}: exit {code} without a word")
    return "refused" if code else "accepted"


READERS: dict[str, Callable[[int], str]] = {
    "settings": settings, "yaml": yaml, "csv": csv, "npy": npy, "picture": picture, "json": json_file,
    "safetensors": safetensors, "zarr": zarr, "score": score,
}  # fmt: skip


def read(kind: str, number: int) -> Verdict:
    """Read one input and say what became of it."""
    begun = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            state, said = READERS[kind](number), ""
    except JkoError as error:
        said = str(error)
        state = "refused" if "\n" not in said and error.exit_code in (2, 3) else "not one sentence"
    except FaultError as error:
        state, said = "wrong", str(error)
    except BaseException as error:  # the fault that is looked for
        state, said = type(error).__name__, f"{error}{where(error)}"[:300]
    if (took := time.process_time() - begun) > SECONDS:
        state, said = "slow", f"{took:.1f} s, {state} {said}"
    return Verdict(kind, number, state, said)


# --- in children with little memory ---


def read_all(wanted: Sequence[tuple[str, int]], folder: Path, *, show: bool = False) -> list[Verdict]:
    """Read inputs in forked children; one that dies or hangs is a fault, and the next goes on."""
    left, found = list(wanted), []
    while left:
        verdicts, death = one_child(left[:BATCH], folder)
        found += verdicts
        tell(verdicts, show)
        del left[: len(verdicts)]
        if death and left:
            found.append(Verdict(*left.pop(0), death))
            tell(found[-1:], show)
    return found


def tell(found: Sequence[Verdict], show: bool) -> None:
    """Print the faults."""
    for one in found if show else ():
        if one.fault:
            print(f"{one.kind} {one.number}: {one.state}: {one.said}", flush=True)


def one_child(wanted: Sequence[tuple[str, int]], folder: Path) -> tuple[list[Verdict], str]:
    """As many inputs as a child reads until it ends; and how it ended, if before the last."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reading)
        be_child(wanted, folder, writing)
    os.close(writing)
    found, death = [], "died"
    with os.fdopen(reading) as lines:
        while True:
            if not select.select([lines], [], [], PATIENCE)[0]:
                os.kill(pid, signal.SIGKILL)
                death = "hung"
                break
            line = lines.readline()
            if not line:
                break
            found.append(Verdict(*json.loads(line)))
    _, status = os.waitpid(pid, 0)
    return found, "" if len(found) == len(wanted) else f"{death} ({status})"


def be_child(wanted: Sequence[tuple[str, int]], folder: Path, writing: int) -> None:
    """Read inputs and write a line for each; never returns."""
    try:
        silence = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(silence, descriptor)
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
        os.chdir(folder)
        with os.fdopen(writing, "w", buffering=1) as lines:
            for kind, number in wanted:
                verdict = read(kind, number)
                lines.write(json.dumps([kind, number, verdict.state, verdict.said]) + "\n")
                lines.flush()
    finally:
        os._exit(0)


def project(folder: Path) -> Path:
    """A project with a finished chain, whose files are the valid ones that are changed."""
    make(KINDS["moons"], folder)
    (folder / "rows.csv").write_text("x,y\n0.5,0.25\n-0.5,0.8\n")
    return folder


def cases(count: int, kinds: Sequence[str] = tuple(SHARES), first: int = 0) -> list[tuple[str, int]]:
    """So many inputs, shared out among the kinds; of one kind all of them."""
    total = sum(SHARES[kind] for kind in kinds)
    return [(kind, first + number) for kind in kinds for number in range(round(count * SHARES[kind] / total))]


def summary(found: Sequence[Verdict]) -> str:
    """Counts by kind as a table."""
    lines = ["| kind | inputs | read | refused | faults |", "|---|--:|--:|--:|--:|"]
    for kind in [*SHARES, "all"]:
        own = [one for one in found if kind in (one.kind, "all")]
        states = Counter(one.state for one in own)
        faults = sum(one.fault for one in own)
        lines.append(f"| {kind} | {len(own)} | {states['accepted']} | {states['refused']} | {faults} |")
    return "\n".join(lines)


def main(count: str, kind: str = "", first: str = "0") -> None:
    """Read inputs, print the faults and the counts."""
    begun = time.monotonic()
    with TemporaryDirectory(prefix="jko-fuzz-") as name:
        wanted = cases(int(count), (kind,) if kind else tuple(SHARES), int(first))
        found = read_all(wanted, project(Path(name)), show=True)
    print(summary(found))
    print(f"{time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
