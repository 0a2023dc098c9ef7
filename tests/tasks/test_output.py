"""Outputs: whole under a private name, never through a planted link, of the mode of the umask."""

from __future__ import annotations

import os
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import IO

import pandas as pd
import pytest

from flows.views.models import write_table
from jko.disk.durable import new_folder, write_text
from tasks.adapters.system.output import csv_text, guarded, unguarded, write_whole

WRITER = """
import sys
from pathlib import Path
import pandas as pd
from tasks.adapters.system.output import csv_text, write_whole
text = csv_text(pd.DataFrame({"x": [float(sys.argv[1])] * 20_000})).encode()
parts = [text[i : i + 9000] for i in range(0, len(text), 9000)]
for _ in range(60):
    write_whole(Path("out.csv"), lambda stream: [stream.write(part) for part in parts])
"""


def test_two_processes_write_the_same_output_and_no_file_is_mixed(tmp_path: Path) -> None:
    words = [sys.executable, "-c", WRITER]
    root = Path(__file__).resolve().parents[2]
    writers = [
        subprocess.Popen([*words, str(i)], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(root)})
        for i in (1, 2)
    ]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        if (tmp_path / "out.csv").exists():
            values = pd.read_csv(tmp_path / "out.csv").x
            assert len(values) == 20_000
            assert values.nunique() == 1
            seen.add(values[0])
    assert [writer.returncode for writer in writers] == [0, 0]
    assert seen <= {1.0, 2.0}
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


@pytest.mark.parametrize("kind", ["csv", "npy", "parquet"])
def test_a_planted_link_is_not_followed(kind: str, tmp_path: Path) -> None:
    precious, out = tmp_path / "precious", tmp_path / f"out.{kind}"
    precious.write_text("keep me")
    for name in (out.name, f".{out.name}.tmp", f".tmp-{out.name}"):
        (tmp_path / name).symlink_to(precious)
    write_table(pd.DataFrame({"x": [1.0]}), out)
    assert precious.read_text() == "keep me"
    assert not out.is_symlink()
    assert (tmp_path / f".{out.name}.tmp").is_symlink()


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_files_and_folders_have_the_mode_that_umask_leaves(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        write_text(tmp_path / "a.json", "{}")
        write_table(pd.DataFrame({"x": [1.0]}), tmp_path / "b.csv")
        folder = new_folder(tmp_path)
    finally:
        os.umask(before)
    for path in (tmp_path / "a.json", tmp_path / "b.csv"):
        assert path.stat().st_mode & 0o777 == 0o666 & ~umask
    assert folder.stat().st_mode & 0o777 == 0o777 & ~umask


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")

    def cut(stream: IO[bytes]) -> None:
        stream.write(b"new")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_whole(path, cut)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


FORMULAS = ["=1+1", "+a", "-x", "@SUM(A1)", "-2+3+cmd|' /C calc'!A0", "\t=1", " =1"]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_name_and_no_text_of_a_csv_is_a_formula(text: str) -> None:
    assert guarded(text) == f"'{text}"
    assert unguarded(guarded(text)) == text
    lines = csv_text(pd.DataFrame({text: ["b"], "c": [text]}))
    frame = pd.read_csv(StringIO(lines))
    assert frame.columns[0] == f"'{text}"
    assert frame.c[0] == f"'{text}"


@pytest.mark.parametrize("text", ["-1", "+2.5e-3", "-0.12 ± 0.03", "a=b", "x", "'tis", "", "-.5"])
def test_numbers_and_names_stay_as_they_are(text: str) -> None:
    assert guarded(text) == text
    assert unguarded(text) == text
