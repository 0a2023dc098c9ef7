"""Bad input: one sentence that says what, where and what is allowed; exit code 2; nothing left."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.cli.main import main


@dataclass(frozen=True)
class Case:
    """A command with bad input.

    Args:
        words: the command; ``{f}`` stands for the file, ``|`` for a blank in a word.
        says: parts the sentence must hold.
        make: writes the file.
    """

    words: str
    says: tuple[str, ...]
    make: Callable[[Path], None] = lambda path: None
    file: str = "table.csv"


def text(content: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(content) and None


def numbers(rows: int, first: str = "") -> str:
    """A table of two columns with something in its first cell."""
    body = [f"{np.sin(i):.6f},{np.cos(i * i):.6f}" for i in range(rows)]
    if first:
        body[0] = f"{first},1.0"
    return "alpha,beta\n" + "\n".join(body) + "\n"


def white(path: Path) -> None:
    Image.fromarray(np.full((20, 20), 255, np.uint8)).save(path)


def bomb() -> str:
    """YAML of 200 letters that stands for ten to the ninth numbers."""
    names = "abcdefghi"
    lists = ["&a|[1,1,1,1,1,1,1,1,1,1]"]
    lists += [f"&{new}|[{','.join(f'*{old}' for _ in range(10))}]" for old, new in pairwise(names)]
    return f"[{','.join(lists)}]"


#: settings of training for a grid of 10^6 cells
TEN = ("iterations", "flow_matching_iterations", "batch_size", "validate_every", "validation_rows", "jitter")


def ten() -> str:
    return ",".join(map(str, range(2, 12)))


CASES = {
    "plan of a missing file": Case("plan --data {f}", ("table.csv", "no such file")),
    "plan of text": Case(
        "plan --data {f}", ("'p'", "'$0.50'"), text("p,q\n" + "".join(f"${i}.50,{i}\n" for i in range(30)))
    ),
    "plan of an empty cell": Case(
        "plan --data {f}",
        ("'alpha'", "empty cell at data row 1", "data.missing=model"),
        text(numbers(60, " ")),
    ),
    "plan of few rows": Case("plan --data {f}", ("4 rows", "at least 6"), text(numbers(4))),
    "plan of an array with text": Case(
        "plan --data {f}", ("t.npy",), lambda path: np.save(path, np.array([["a", "b"]] * 30)), file="t.npy"
    ),
    "missing file": Case("train --data {f}", ("table.csv", "no such file")),
    "missing picture": Case("train --data {f}", ("p.png", "no such file"), file="p.png"),
    "empty file": Case("train --data {f}", ("table.csv", "empty"), text("")),
    "header only": Case("train --data {f}", ("table.csv", "no rows"), text("a,b\n")),
    "no header": Case("train --data {f}", ("table.csv", "header"), text("1,2\n3,4\n")),
    "first row of numbers and text": Case(
        "train --data {f}", ("'5.1, 3.5, a'", "data.header=no"), text("5.1,3.5,a\n4.9,3.0,b\n" * 9)
    ),
    "thousands or decimals": Case(
        "train --data {f}", ("'1,234'", "data.thousands=comma"), text('p,q\n"1,234",1\n"2,345",2\n')
    ),
    "currency": Case(
        "train --data {f}", ("'p'", "'$0.50'"), text("p,q\n" + "".join(f"${i}.50,{i}\n" for i in range(30)))
    ),
    "formula for a name": Case("train --data {f}", ("'=cmd()'", "formula"), text("=cmd(),b\n1,2\n")),
    "escape in a name": Case("train --data {f}", (r"'a\x1b[31m'", "control"), text("a\x1b[31m,b\n1,2\n")),
    "a copied column": Case(
        "train --data {f}",
        ("'a', 'c'", "equal in every row", "data.columns"),
        text("a,b,c\n" + "".join(f"{np.sin(i)},{np.cos(i * i)},{np.sin(i)}\n" for i in range(60))),
    ),
    "a fill value": Case(
        "train --data {f}",
        ("'alpha'", "data.missing_values"),
        text(numbers(90, "1e20")),
    ),
    "marked cells": Case(
        "train --data {f} --set data.missing_values=[1.5]",
        ("'alpha'", "empty cell", "row 1"),
        text(numbers(50, "1.5")),
    ),
    "Git LFS pointer": Case(
        "train --data {f}",
        ("x.npy", "Git LFS"),
        text("version https://git-lfs.github.com/spec/v1\n"),
        "x.npy",
    ),
    "npy of objects": Case(
        "train --data {f}",
        ("x.npy", "Python objects"),
        lambda path: np.save(path, np.array([{"a": 1}], dtype=object)),
        "x.npy",
    ),
    "picture with nan": Case(
        "train --data {f}",
        ("p.tif", "pixel (0, 0) holds nan"),
        lambda path: Image.fromarray(np.full((9, 9), np.nan, np.float32)).save(path),
        "p.tif",
    ),
    "no numeric column": Case(
        "train --data {f} --set data.kinds=off", ("no numeric column", "a, b"), text("a,b\nx,y\nz,w\n")
    ),
    "nothing but free text": Case(
        "train --data {f}",
        ("table.csv", "no column is left to model", "'a' (free text"),
        text("a\n" + "".join(f"row {i} of {7 * i}\n" for i in range(60))),
    ),
    "kinds that are not there": Case(
        "train --data {f} --set data.kinds=k.yaml", ("k.yaml", "no such file"), text(numbers(50))
    ),
    "kinds for plain numbers": Case(
        "train --data {f} --set data.kinds=k.yaml",
        ("data.kinds = k.yaml", "columns have names"),
        lambda path: np.save(path, np.zeros((50, 2))),
        "x.npy",
    ),
    "text in a column": Case("train --data {f}", ("'alpha'", "'oops'", "row 1"), text(numbers(50, "oops"))),
    "text in a named column": Case(
        "train --data {f} --set data.columns=[alpha]", ("'alpha'", "'oops'"), text(numbers(50, "oops"))
    ),
    "infinite value": Case("train --data {f}", ("'alpha'", "infinite", "row 1"), text(numbers(50, "inf"))),
    "empty cell": Case("train --data {f}", ("'alpha'", "row 1", "data.missing=drop"), text(numbers(50, " "))),
    "one row": Case("train --data {f}", ("1 rows", "at least 6"), text(numbers(1))),
    "constant column": Case(
        "train --data {f} --set data.kinds=off",
        ("'beta'", "constant"),
        text("alpha,beta\n" + "0.1,3\n0.7,3\n0.31,3\n" * 9),
    ),
    "unknown column": Case(
        "train --data {f} --set data.columns=[gamma]", ("'gamma'", "alpha, beta"), text(numbers(50))
    ),
    "unknown kind of file": Case("train --data {f}", (".xyz", ".csv and .tsv", ".npy"), text("1"), "t.xyz"),
    "half of a packed table": Case(
        "train --data {f}",
        ("t.csv.gz", "cut short or damaged"),
        lambda path: path.write_bytes(gzip.compress(numbers(500).encode())[:400]),
        "t.csv.gz",
    ),
    "several arrays": Case(
        "train --data {f}",
        ("t.npz", "2 arrays, 'X' (9 × 2), 'y' (9)", "data.array=X"),
        lambda path: np.savez(path, X=np.zeros((9, 2)), y=np.zeros(9)),
        "t.npz",
    ),
    "a file that DVC has": Case(
        "train --data {f}",
        ("table.csv", "no such file", "dvc pull table.csv"),
        lambda path: path.with_name("table.csv.dvc").write_text("outs: []"),
    ),
    "no folder of an array": Case(
        "train --data {f}",
        ("t.zarr", "no Zarr store of format 3"),
        lambda path: path.mkdir(),
        "t.zarr",
    ),
    "npy that is none": Case("train --data {f}", ("x.npy", "not a readable NPY"), text("hello"), "x.npy"),
    "npy of three axes": Case(
        "train --data {f}", ("x.npy", "(rows, d)"), lambda path: np.save(path, np.zeros((2, 2, 2))), "x.npy"
    ),
    "all-white picture": Case("train --data {f}", ("p.png", "white"), white, "p.png"),
    "picture that is none": Case("train --data {f}", ("p.png", "picture"), text("hello"), "p.png"),
    "step size zero": Case(
        "train --preset smoke --set steps.first=0", ("steps.first", "0", "greater than 0")
    ),
    "step size negative": Case("train --preset smoke --set steps.sizes=[-1]", ("steps.sizes", "-1")),
    "no blocks": Case(
        "train --preset smoke --set steps.count=0", ("steps.count", "greater than or equal to 1")
    ),
    "unknown key": Case(
        "train --preset smoke --set steps.number=3", ("steps.number", "count, first, free, max")
    ),
    "unknown top key": Case("train --preset smoke --set step.count=3", ("step", "steps")),
    "unknown block key": Case(
        "train --preset smoke --set blocks.2.iteration=3", ("blocks.2.iteration", "iterations")
    ),
    "wrong type": Case("train --preset smoke --set network.hidden=wide", ("network.hidden", "'wide'")),
    "not a number": Case("train --preset smoke --set steps.first=.nan", ("steps.first",)),
    "no value": Case("train --preset smoke --set steps.count", ("steps.count", "key=value")),
    "unknown preset": Case(
        "train --preset nope",
        ("'nope'", "digits, digits-by-class, gaussian, moons, rose, sampling, smoke, tabular, targets"),
    ),
    "unknown option": Case("train --prest smoke", ("--prest",)),
    "negative seed": Case("train --preset smoke --seed -1", ("seed", "-1")),
    "resume nothing": Case("resume nowhere", ("nowhere", "no chain there")),
    "status of nothing": Case("status nowhere", ("nowhere", "no chain there")),
    "sample from nothing": Case("sample nowhere -n 5 -o s.csv", ("nowhere", "no chain there")),
    "sample to nowhere": Case("sample nowhere -n 5 -o no/where/s.csv", ("no/where", "does not exist")),
    "sample to a strange file": Case("sample nowhere -n 5 -o s.pdf", (".pdf", ".csv, .npy, .parquet")),
    "no samples": Case("sample nowhere -n 0 -o s.csv", ("0",)),
    "folder of something else": Case(
        "train --preset smoke --chain other", ("other", "not a chain's folder", "precious.txt")
    ),
    "chain of another format": Case("resume old", ("old/chain.json", "format 7", "reads format 1")),
    "a tag of YAML": Case("train --preset smoke --set data.rows=!!float|x", ("data.rows", "tag")),
    "a tag in a list": Case("train --preset smoke --set steps.sizes=[!!python/name:os.system|1]", ("tag",)),
    "lists without end": Case(f"train --preset smoke --set steps.sizes={'[' * 100_000}", ("not readable",)),
    "lists in lists": Case(f"train --preset smoke --set steps.sizes={'[' * 50}{']' * 50}", ("levels deep",)),
    "a list that holds itself": Case("train --preset smoke --set steps.sizes=&a|[*a]", ("levels deep",)),
    "aliases that grow": Case(
        "train --preset smoke --set steps.sizes=" + bomb(), ("steps.sizes", "more than 100000 values")
    ),
    "a date": Case("train --preset smoke --set data.columns=[2024-01-01]", ("date", "quotes")),
    "a strange key": Case("train --preset smoke --set network={[1]:|2}", ("network",)),
    "a seed of 23 digits": Case(f"train --preset smoke --set seed={'9' * 23}", ("seed", "9" * 23)),
    "a seed of 5000 digits": Case(f"train --preset smoke --set seed={'9' * 5000}", ("seed", "not readable")),
    "a number of 400 digits": Case(f"train --preset smoke --set steps.first={'9' * 400}", ("steps.first",)),
    "a key of 5000 letters": Case(f"train --preset smoke --set {'a.' * 5000}b=1", ("no key is so long",)),
    "nul in a name": Case('train --preset smoke --set data.file="x\\0"', ("no name can have",)),
    "grid with a tag": Case("sweep s --preset smoke --grid steps.count=!!int|1", ("--grid", "not readable")),
    "grid without end": Case(f"sweep s --preset smoke --grid steps.sizes={'[' * 5000}", ("--grid",)),
    "too many cells": Case(
        "sweep s --preset smoke " + " ".join(f"--grid training.{key}={ten()}" for key in TEN),
        ("1000000 combinations", "at most 100000"),
    ),
    "endless range": Case("sweep s --random steps.first=1:1e999 --draws 2", ("--random", "finite")),
    "seeds of 5000 digits": Case(f"sweep s --seeds {'9' * 5000}", ("--seeds", "whole numbers")),
    "wait for nan": Case("resume c --wait nan", ("--wait", "nan")),
    "wait for ever": Case("resume c --wait inf", ("--wait", "inf")),
    "wait backwards": Case("resume c --wait -1", ("--wait", "-1")),
    "extend by 10^9": Case("resume c --extend 1000000000", ("--extend", "1000000000")),
    "from block 0": Case("resume c --from-block 0", ("--from-block", "0")),
    "10^12 samples": Case("sample c -n 1000000000000 -o s.csv", ("-n", "1000000000000")),
    "1e12 samples": Case("sample c -n 1e12 -o s.csv", ("-n", "1e12")),
    "samples of a huge seed": Case(f"sample c -n 1 --seed {'9' * 23} -o s.csv", ("--seed", "9" * 23)),
    "samples of a negative seed": Case("sample c -n 1 --seed -1 -o s.csv", ("--seed", "-1")),
    "sweep of a huge seed": Case(f"sweep s --sweep-seed {'9' * 23}", ("--sweep-seed",)),
    "a list of 10^23 runs": Case(f"runs --limit {'9' * 23}", ("--limit",)),
    "steps to nan": Case("steps --preset smoke --tolerance nan", ("--tolerance", "nan")),
    "steps to infinity": Case("steps --preset smoke --maximum inf", ("--maximum", "inf")),
    "plan of nothing longer": Case("plan --extend 2", ("--extend 2", "jko plan DIR")),
    "split that leaves nothing": Case(
        "train --preset smoke --set data.split.test=0.9", ("data.split.test", "0.9")
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input(
    name: str, project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    case, file = CASES[name], project / CASES[name].file
    case.make(file)
    for folder, inside, content in (("other", "precious.txt", "x"), ("old", "chain.json", '{"format": 7}')):
        (project / folder).mkdir()
        (project / folder / inside).write_text(content)
    before = sorted(project.rglob("*"))
    monkeypatch.setattr(
        "sys.argv",
        ["jko", *(word.replace("|", " ") for word in case.words.replace("{f}", file.name).split())],
    )
    with pytest.raises(SystemExit) as stop:
        main()
    said = capsys.readouterr().err.strip().splitlines()
    assert stop.value.code == 2
    assert all(part in said[-1] for part in case.says), said
    assert "Traceback" not in "\n".join(said)
    assert sorted(project.rglob("*")) == before
