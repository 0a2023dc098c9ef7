"""Hostile settings and files end in one sentence, at once and without much memory."""

from __future__ import annotations

import io
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.campaign import fuzz
from tests.campaign.fuzz import SHARES, cases, project, read_all
from tests.campaign.fuzz_files import chunk
from tests.campaign.sample import Part

#: inputs of ``make test``, and of the whole, of which ``make test-all`` reads one in so many
FAST, WHOLE, SOME = 200, 20_000, 11


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return project(tmp_path_factory.mktemp("fuzz") / "project")


def faults(wanted: list[tuple[str, int]], folder: Path) -> list[str]:
    """What went wrong with these inputs, which were all read."""
    found = read_all(wanted, folder)
    assert [(one.kind, one.number) for one in found] == wanted
    return [f"{one.kind} {one.number}: {one.state}: {one.said}" for one in found if one.fault]


def test_hostile_inputs_are_read_or_refused_in_one_sentence(folder: Path) -> None:
    wanted = cases(FAST, first=WHOLE)
    assert abs(len(wanted) - FAST) < len(SHARES)  # shares are rounded
    assert faults(wanted, folder) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(SHARES))
def test_campaign_of_hostile_inputs(kind: str, folder: Path, part: Callable[[int], Part]) -> None:
    assert faults([case for case in cases(WHOLE) if case[0] == kind][part(SOME)], folder) == []


def test_many_inputs_are_read_not_only_refused(folder: Path) -> None:
    """A generator of rubbish alone would find nothing behind the first check."""
    found = read_all([("csv", number) for number in range(60)], folder)
    states = [one.state for one in found]
    assert states.count("accepted") > 2
    assert states.count("refused") > 10


def allocate(number: int) -> str:
    return str(np.ones(400_000_000)[number])


def hang(number: int) -> str:
    time.sleep(60)
    return "accepted"


def loop(number: int) -> str:
    begun = time.process_time()
    while time.process_time() - begun < 0.3:
        pass
    return "accepted"


@pytest.mark.parametrize(
    ("reader", "state"),
    [
        (lambda number: 1 / 0, "ZeroDivisionError"),
        (allocate, "MemoryError"),
        (hang, "hung"),
        (loop, "slow"),
        (lambda number: os._exit(3), "died"),
    ],
)
def test_the_campaign_sees_what_is_not_allowed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, reader: Callable[[int], str], state: str
) -> None:
    monkeypatch.setitem(fuzz.READERS, "csv", reader)
    monkeypatch.setattr(fuzz, "PATIENCE", 1.0 if reader is hang else 30.0)
    monkeypatch.setattr(fuzz, "SECONDS", 0.2 if reader is loop else fuzz.SECONDS)
    found = read_all([("csv", 1), ("csv", 2)], folder)
    assert [one.state.partition(" ")[0] for one in found] == [state] * 2


# --- what once ended in a traceback, or was read as something else ---


def npy(header: str, body: bytes = b"", version: int = 1) -> bytes:
    """An array file with this header."""
    text = header.encode() + b"\n"
    return b"\x93NUMPY" + bytes((version, 0)) + struct.pack("<H", len(text)) + text + body


def archive() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, a=np.zeros((30, 2)))
    return stream.getvalue()


def tiff(value: float) -> bytes:
    values = np.random.default_rng(0).random((12, 10)).astype(np.float32)
    values[3, 4] = value
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "TIFF")
    return stream.getvalue()


def png(width: int, height: int) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


FILES = {
    "archive.npy": archive(),
    "cut-archive.npy": b"PK\x03\x04",
    "unclosed.npy": npy("("),
    "nested.npy": npy("(" * 5000),
    "huge.npy": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 2), }"),
    "overflow.npy": npy(f"{{'descr': '<f2', 'fortran_order': False, 'shape': ({10**30}, 2), }}"),
    "pickle.npy": b"\x80\x04\x95\x10\x00\x00\x00",
    "pointer.npy": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
    "negative.tif": tiff(-9999.0),
    "missing.tif": tiff(float("nan")),
    "infinite.tif": tiff(float("inf")),
    "bomb.png": png(13_000, 13_000),
    "flat-bomb.png": png(2**31 - 1, 1),
    "escape.csv": b"\x1b[2Jx,y\n1,2\n",
    "comment.csv": b"# no line but this",
    "nul.csv": b"x,y\n1,\x002\n",
}


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_hostile_file_is_refused_in_one_sentence(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / name).write_bytes(FILES[name])
    monkeypatch.setitem(fuzz.READERS, "file", lambda number: fuzz.read_data(name, "data.rows=200"))
    (found,) = read_all([("file", 0)], folder)
    assert found.state == "refused", found
    assert name in found.said


SETTINGS = (
    "data.rows=!!float x",
    "data.rows=!!int x",
    "seed=2001-13-45",
    "data.mean=!!bool x",
    "data.file=" + "x" * 300,
    "seed=" + "9" * 400,
    "data.columns=" + "[" * 3000,
    "network.hidden=&a [*a]",
    "a." * 3000 + "b=1",
    "blocks.²={}",
)


@pytest.mark.parametrize("text", SETTINGS, ids=range(len(SETTINGS)))
def test_a_hostile_setting_is_refused_in_one_sentence(
    folder: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("plan", "--preset", "smoke", "--set", text)
    monkeypatch.setitem(fuzz.READERS, "words", lambda number: fuzz.command(*words))
    (found,) = read_all([("words", 0)], folder)
    assert found.state == "refused", found
