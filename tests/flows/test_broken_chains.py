"""Every command that reads a chain, on chains broken in every way: a sentence, never a traceback."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.projects import call

WRONG = (
    b'{"format":1,"config":5,"data_digest":7,"fingerprints":"x","settings":3,"digest":[],"identity":{},'
    b'"files":3,"record":[],"fingerprint":5,"columns":3,"curve":[1],"chain":3,"blocks":{"a":1}}'
)


def content(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def replaced(make: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda path: (path.unlink(), make(path))


HOW: dict[str, Callable[[Path], object]] = {
    "deep": content(b"[" * 100_000),
    "a list": content(b"[]"),
    "wrong types": content(WRONG),
    "no text": content(b"\xff\xfe\x00"),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "a folder": replaced(lambda path: path.mkdir()),
    "a pipe": replaced(os.mkfifo),
    "a link in a circle": replaced(lambda path: path.symlink_to(path.name)),
    "absent": lambda path: path.unlink(),
}
FILES = (
    "c/chain.json", "c/blocks/0-*/data.json", "c/blocks/0-*/samples.zarr/zarr.json",
    "c/blocks/1-*/COMMIT.json", "c/blocks/1-*/block.json", "c/blocks/1-*/weights.safetensors",
    "c/blocks/1-*/samples.zarr/train/zarr.json", "c/measures/1-*.json", "c.certificate.json",
    "c.metrics.json",
    "c.run/finished.json", "c.run/events.jsonl", "c.evaluation/COMMIT.json", "c.evaluation/figures.json",
    "c.report/COMMIT.json",
)  # fmt: skip
COMMANDS = (
    ("status", "c"), ("plan", "c", "--extend", "1"), ("sample", "c", "-n", "3", "-o", "s.csv"),
    ("status", "c", "--json"),
)  # fmt: skip


@pytest.mark.parametrize("share", ["some ways", pytest.param("every way", marks=pytest.mark.slow)])
@pytest.mark.parametrize("file", FILES)
def test_a_broken_file_is_a_sentence(
    file: str, share: str, smoke_project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    # every third way of a file, others of the next one
    part = slice(FILES.index(file) % 3, None, 3) if share == "some ways" else slice(None)
    for how, harm in list(HOW.items())[part]:
        folder = tmp_path / how.replace(" ", "-")
        shutil.copytree(smoke_project, folder, ignore=shutil.ignore_patterns(".jko"))
        (path,) = folder.glob(file)
        harm(path)
        monkeypatch.chdir(folder)
        for words in COMMANDS:
            code = call(monkeypatch, *words)
            said = capsys.readouterr().err
            assert code in (0, 1, 2), (how, words, said)
            assert "Traceback" not in said, (how, words, said)
            assert "not foreseen" not in said, (how, words, said)
            assert not code or said.count("jko: ") == 1, (how, words, said)
        shutil.rmtree(folder)
